package storetest

import (
	"bytes"
	"errors"
	"strings"

	"github.com/sojourn-go/sojourn"
)

const (
	setsValue   = "SetValue writes one value, if the write's conditions hold at the moment it takes effect, and returns the new version: 0 for a removal."
	newVersions = "A version is positive and never comes twice for one key, also after removals."
	unknown     = "It returns ErrNotFound, and writes nothing, when the owner is a session or browser that does not exist or when w.Session names one that does not exist"
	conflict    = "otherwise ErrConflict when the version is not w.Version"
)

var valueExercises = []exercise{
	{
		"a value is there as it was written",
		setsValue,
		func(x *check) {
			for _, key := range x.owners() {
				x.wantNoValue(key)
				v := x.set(key, "one")
				x.wantValue(key, "one")
				got, err := x.Value(x.Context(), key)
				x.must(err, "Value")
				if got.Version != v {
					x.broken("Value has version %d; SetValue returned %d", got.Version, v)
				}
				x.set(key, "two")
				x.wantValue(key, "two")
			}
		},
	},
	{
		"a value that was never written is absent",
		"Value returns the value at key; one that is absent has Version 0.",
		func(x *check) {
			for _, key := range x.owners() {
				x.wantNoValue(key)
			}
			x.wantNoValue(own(ofSession(newSession("ada")), "cart"))
			x.wantNoValue(own(ofBrowser(newBrowser()), "cart"))
			x.wantNoValue(own(ofUser("nobody here"), "cart"))
		},
	},
	{
		"each name of each tab of each owner has its own value",
		"Value returns the value at key; one that is absent has Version 0.",
		func(x *check) {
			var keys []sojourn.ValueKey
			for _, key := range x.owners() {
				for _, name := range []string{"a", "A", "a ", "ab", "b"} {
					key.Name = name
					keys = append(keys, key)
				}
				if key.Tab != "" {
					key.Tab += "2"
					keys = append(keys, key)
				}
			}
			keys = append(keys, own(ofUser("a"), "bc"), own(ofUser("ab"), "c"), own(ofUser("abc"), ""))
			for _, key := range keys {
				x.set(key, show(key))
			}
			for _, key := range keys {
				x.wantValue(key, show(key))
			}
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: int64(len(keys))})
		},
	},
	{
		"names, tabs and users are kept byte for byte",
		"Value returns the value at key; one that is absent has Version 0.",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			var keys []sojourn.ValueKey
			for _, odd := range oddStrings {
				keys = append(keys,
					own(ofUser(sojourn.UserID(odd)), "name"), own(ofSession(s), odd), ofTab(ofSession(s), odd, "name"))
			}
			for _, key := range keys {
				x.set(key, show(key))
			}
			for _, key := range keys {
				x.wantValue(key, show(key))
			}
		},
	},
	{
		"a value of no bytes is a value",
		"Version 0 and nil Data: there is none.",
		func(x *check) {
			for _, key := range x.owners() {
				x.set(key, "")
				x.wantValue(key, "")
			}
		},
	},
	{
		"a value may be any bytes, and a mebibyte of them",
		"Value returns the value at key; one that is absent has Version 0.",
		func(x *check) {
			for _, data := range []string{"\x00", "\xff\xfe\x00", "'", strings.Repeat("0123456789abcde\x00", 1<<16)} {
				for _, key := range x.owners() {
					x.set(key, data)
					x.wantValue(key, data)
				}
			}
		},
	},
	{
		"nil removes a value",
		"nil removes the value",
		func(x *check) {
			for _, key := range x.owners() {
				v := x.set(key, "one")
				x.remove(key, v)
				x.wantNoValue(key)
				x.remove(key, 0)
				x.remove(key, sojourn.AnyVersion)
				x.set(key, "two")
				x.remove(key, sojourn.AnyVersion)
				x.wantNoValue(key)
			}
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1})
		},
	},
	{
		"a write based on the present version succeeds",
		"the version it must have now; 0: there must be none; AnyVersion: whatever",
		func(x *check) {
			for _, key := range x.owners() {
				var version int64
				for _, data := range []string{"one", "two", "three"} {
					v, err := x.SetValue(x.Context(), key, sojourn.Write{Data: []byte(data), Version: version})
					x.must(err, "SetValue")
					x.wantValue(key, data)
					version = v
				}
			}
		},
	},
	{
		"a write based on another version is a conflict and writes nothing",
		conflict,
		func(x *check) {
			for _, key := range x.owners() {
				x.wantConflict(key, 1)
				x.wantNoValue(key)
				old := x.set(key, "one")
				now := x.set(key, "two")
				for _, version := range []int64{0, old, now + 1, now + 1000} {
					x.wantConflict(key, version)
				}
				x.wantValue(key, "two")
				x.remove(key, now)
				x.wantConflict(key, now)
				x.wantNoValue(key)
			}
		},
	},
	{
		"a version never comes twice",
		newVersions,
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			x.create(s, 0)
			keys := []sojourn.ValueKey{
				own(ofUser("ada"), "cart"), own(ofSite(), "cart"), own(ofSession(s), "cart"),
				own(ofBrowser(b), "cart"), ofTab(ofBrowser(b), "tab", "cart"),
			}
			seen := map[sojourn.ValueKey]map[int64]bool{}
			for round := range 12 {
				x.browser(b, 0)
				for _, key := range keys {
					if seen[key] == nil {
						seen[key] = map[int64]bool{}
					}
					for range 2 {
						v := x.set(key, "same")
						if v <= 0 || seen[key][v] {
							x.broken("round %d: version %d of %v, which is not positive or was there before", round, v, key)
						}
						seen[key][v] = true
					}
					switch round % 4 {
					case 0:
						x.remove(key, sojourn.AnyVersion)
					case 1:
						x.must(x.DropValues(x.Context(), key.Owner, key.Tab, sojourn.Key{}), "DropValues")
					}
				}
				if round%4 == 2 {
					x.must(x.EndBrowsers(x.Context(), b.Key), "EndBrowsers")
				}
			}
		},
	},
	{
		"nothing is written for a session or browser that does not exist",
		unknown,
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			x.create(s, 0)
			x.browser(b, 0)
			x.end(s, 0)
			x.must(x.EndBrowsers(x.Context(), b.Key), "EndBrowsers")
			for _, owner := range []sojourn.Owner{
				ofSession(s), ofBrowser(b), ofSession(newSession("ada")), ofBrowser(newBrowser()),
				{Kind: sojourn.OwnerSession},
				{Kind: sojourn.OwnerBrowser},
			} {
				for _, tab := range []string{"", "tab"} {
					key := ofTab(owner, tab, "cart")
					for _, w := range []sojourn.Write{
						{Data: []byte("1"), Version: sojourn.AnyVersion},
						{Data: []byte("1")},
						{Data: []byte("1"), Version: 7},
						{Data: []byte{}, Version: sojourn.AnyVersion},
						{Version: sojourn.AnyVersion},
						{},
					} {
						if _, err := x.SetValue(x.Context(), key, w); !errors.Is(err, sojourn.ErrNotFound) {
							x.broken("SetValue of %v with %+v: error %v, want ErrNotFound", key, w, err)
						}
					}
					x.wantNoValue(key)
				}
			}
			x.wantCount(sojourn.Counts{})
		},
	},
	{
		"nothing is written for a request whose session does not exist",
		unknown,
		func(x *check) {
			gone, there := newSession("ada"), newSession("ada")
			x.create(gone, 0)
			x.end(gone, 0)
			x.create(there, 0)
			for _, key := range x.owners() {
				x.set(key, "kept")
				for _, data := range [][]byte{[]byte("late"), {}, nil} {
					w := sojourn.Write{Data: data, Version: sojourn.AnyVersion, Session: gone.Key}
					if _, err := x.SetValue(x.Context(), key, w); !errors.Is(err, sojourn.ErrNotFound) {
						x.broken("SetValue of %v: error %v, want ErrNotFound", key, err)
					}
				}
				x.wantValue(key, "kept")
				w := sojourn.Write{Data: []byte("new"), Version: sojourn.AnyVersion, Session: there.Key}
				_, err := x.SetValue(x.Context(), key, w)
				x.must(err, "SetValue")
				x.wantValue(key, "new")
			}
		},
	},
	{
		"a user's value is written by one of the user's sessions only",
		"if not zero, this session must exist; for a user's values, one of the user's",
		func(x *check) {
			ada, bob := newSession("ada"), newSession("bob")
			x.create(ada, 0)
			x.create(bob, 0)
			key := own(ofUser("ada"), "theme")
			w := sojourn.Write{Data: []byte("dark"), Version: sojourn.AnyVersion, Session: bob.Key}
			if _, err := x.SetValue(x.Context(), key, w); !errors.Is(err, sojourn.ErrNotFound) {
				x.broken("SetValue with another user's session: error %v, want ErrNotFound", err)
			}
			x.wantNoValue(key)
			w.Session = ada.Key
			_, err := x.SetValue(x.Context(), key, w)
			x.must(err, "SetValue")
			x.wantValue(key, "dark")
		},
	},
}

// owners are keys of values of every kind of owner, and of their tabs; they
// make one session and one browser.
func (x *check) owners() []sojourn.ValueKey {
	x.Helper()
	s, b := newSession("ada"), newBrowser()
	x.create(s, 0)
	x.browser(b, 0)
	return []sojourn.ValueKey{
		own(ofSite(), "cart"), own(ofUser("ada"), "cart"), own(ofSession(s), "cart"), own(ofBrowser(b), "cart"),
		ofTab(ofSession(s), "tab", "cart"), ofTab(ofBrowser(b), "tab", "cart"),
	}
}

// remove removes a value, which has to work.
func (x *check) remove(key sojourn.ValueKey, version int64) {
	x.Helper()
	_, err := x.SetValue(x.Context(), key, sojourn.Write{Version: version})
	x.must(err, "SetValue of nil")
}

// wantConflict fails unless writes based on version are refused.
func (x *check) wantConflict(key sojourn.ValueKey, version int64) {
	x.Helper()
	for _, data := range [][]byte{[]byte("late"), {}, nil} {
		_, err := x.SetValue(x.Context(), key, sojourn.Write{Data: data, Version: version})
		if !errors.Is(err, sojourn.ErrConflict) {
			x.broken("SetValue of %v based on version %d: error %v, want ErrConflict", key, version, err)
		}
	}
}

// show is a text that is different for every key.
func show(key sojourn.ValueKey) string {
	var b bytes.Buffer
	b.WriteByte(byte(key.Owner.Kind))
	b.Write(key.Owner.Key[:])
	for _, s := range []string{string(key.Owner.User), key.Tab, key.Name} {
		b.WriteString(s)
		b.WriteByte('/')
	}
	return b.String()
}
