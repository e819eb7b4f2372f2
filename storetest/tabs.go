package storetest

import (
	"errors"
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	drops    = "DropValues removes all values of an owner's tab; tab \"\" stands for the owner itself, whose tabs keep theirs."
	tabsList = "Tabs returns the tabs of which owner has values, the one whose Deadline comes first first."
)

var tabExercises = []exercise{
	{
		"dropping a tab's values leaves the others",
		drops,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.set(own(owner, "a"), "1")
				x.set(ofTab(owner, "one", "a"), "2")
				x.set(ofTab(owner, "one", "b"), "3")
				x.set(ofTab(owner, "two", "a"), "4")
				x.must(x.DropValues(x.Context(), owner, "one", sojourn.Key{}), "DropValues")
				x.wantNoValue(ofTab(owner, "one", "a"))
				x.wantNoValue(ofTab(owner, "one", "b"))
				x.wantValue(own(owner, "a"), "1")
				x.wantValue(ofTab(owner, "two", "a"), "4")
				x.wantTabs(owner, "two")
			}
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 4})
		},
	},
	{
		"dropping the owner's values leaves those of its tabs",
		drops,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.set(own(owner, "a"), "1")
				x.set(own(owner, "b"), "2")
				x.set(ofTab(owner, "one", "a"), "3")
				x.must(x.DropValues(x.Context(), owner, "", sojourn.Key{}), "DropValues")
				x.wantNoValue(own(owner, "a"))
				x.wantNoValue(own(owner, "b"))
				x.wantValue(ofTab(owner, "one", "a"), "3")
			}
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 2})
		},
	},
	{
		"dropping the values of one owner leaves those of others",
		drops,
		func(x *check) {
			keys := x.owners()
			for _, key := range keys {
				x.set(key, "1")
			}
			x.set(own(ofUser("bob"), "cart"), "kept")
			for i, key := range keys {
				x.must(x.DropValues(x.Context(), key.Owner, key.Tab, sojourn.Key{}), "DropValues")
				x.wantNoValue(key)
				for _, rest := range keys[i+1:] {
					x.wantValue(rest, "1")
				}
				x.must(x.DropValues(x.Context(), key.Owner, key.Tab, sojourn.Key{}), "DropValues again")
			}
			x.wantValue(own(ofUser("bob"), "cart"), "kept")
			x.must(x.DropValues(x.Context(), ofSession(newSession("ada")), "", sojourn.Key{}), "DropValues of nobody")
		},
	},
	{
		"nothing is dropped for a request whose session does not exist",
		"If session is not zero and does not exist, it removes nothing and returns ErrNotFound.",
		func(x *check) {
			gone, there := newSession("ada"), newSession("ada")
			x.create(gone, 0)
			x.end(gone, 0)
			x.create(there, 0)
			for _, key := range x.owners() {
				x.set(key, "1")
				err := x.DropValues(x.Context(), key.Owner, key.Tab, gone.Key)
				if !errors.Is(err, sojourn.ErrNotFound) {
					x.broken("DropValues of %v: error %v, want ErrNotFound", key, err)
				}
				x.wantValue(key, "1")
			}
		},
	},
	{
		"values are dropped for a request whose session exists",
		drops,
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			for _, key := range []sojourn.ValueKey{
				own(ofSite(), "cart"), own(ofUser("ada"), "cart"), own(ofSession(s), "cart"), ofTab(ofSession(s), "tab", "cart"),
			} {
				x.set(key, "1")
				x.must(x.DropValues(x.Context(), key.Owner, key.Tab, s.Key), "DropValues")
				x.wantNoValue(key)
			}
		},
	},
	{
		"tabs are listed, the one whose deadline comes first first",
		tabsList,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.wantTabs(owner)
				x.set(own(owner, "a"), "no tab")
				x.wantTabs(owner)
				x.tab(owner, "third", 3*time.Hour)
				x.tab(owner, "first", 1*time.Hour)
				x.tab(owner, "second", 2*time.Hour)
				x.wantTabs(owner, "first", "second", "third")
			}
		},
	},
	{
		"a tab without deadline is listed last",
		tabsList,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				_, err := x.SetValue(x.Context(), ofTab(owner, "never", "a"), sojourn.Write{Data: []byte("1")})
				x.must(err, "SetValue")
				x.tab(owner, "b", 2*time.Hour)
				x.tab(owner, "a", 1*time.Hour)
				x.wantTabs(owner, "a", "b", "never")
			}
		},
	},
	{
		"a tab is listed with its deadline",
		"A tab's deadline is the latest that a Write or Touch gave it.",
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.wantDeadline(owner, x.tab(owner, "tab", 1*time.Hour))
				x.tab(owner, "tab", -time.Hour)
				x.wantDeadline(owner, epoch.Add(1*time.Hour))
				_, err := x.SetValue(x.Context(), ofTab(owner, "tab", "b"), sojourn.Write{Data: []byte("1"), Deadline: epoch.Add(2 * time.Hour)})
				x.must(err, "SetValue")
				x.wantDeadline(owner, epoch.Add(2*time.Hour))
				for _, d := range []time.Duration{3, 1} {
					x.must(x.Touch(x.Context(), []sojourn.Touch{{Owner: owner, Tab: "tab", Deadline: epoch.Add(d * time.Hour)}}), "Touch")
					x.wantDeadline(owner, epoch.Add(3*time.Hour))
				}
				x.must(x.Touch(x.Context(), []sojourn.Touch{{Owner: owner, Tab: "tab"}}), "Touch")
				x.wantDeadline(owner, time.Time{})
			}
		},
	},
	{
		"a tab without values is not listed",
		tabsList,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.tab(owner, "one", 1*time.Hour)
				x.tab(owner, "two", 2*time.Hour)
				x.remove(ofTab(owner, "one", "a"), sojourn.AnyVersion)
				x.wantTabs(owner, "two")
				x.must(x.DropValues(x.Context(), owner, "two", sojourn.Key{}), "DropValues")
				x.wantTabs(owner)
			}
			x.wantTabs(ofSession(newSession("ada")))
		},
	},
	{
		"a write moves its tab's deadline forward, never back",
		"it moves the tab's deadline forward, never back",
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.tab(owner, "one", 1*time.Hour)
				x.tab(owner, "two", 2*time.Hour)
				x.wantTabs(owner, "one", "two")
				x.tab(owner, "one", 3*time.Hour)
				x.wantTabs(owner, "two", "one")
				x.tab(owner, "one", 1*time.Hour)
				x.wantTabs(owner, "two", "one")
				_, err := x.SetValue(x.Context(), ofTab(owner, "two", "b"), sojourn.Write{Data: []byte("1")})
				x.must(err, "SetValue without deadline")
				x.tab(owner, "two", 2*time.Hour)
				x.wantTabs(owner, "one", "two")
			}
		},
	},
	{
		"a write that is refused does not move its tab's deadline",
		unknown,
		func(x *check) {
			gone := newSession("ada")
			x.create(gone, 0)
			x.end(gone, 0)
			for _, owner := range x.tabOwners() {
				x.tab(owner, "one", 1*time.Hour)
				x.tab(owner, "two", 2*time.Hour)
				w := sojourn.Write{Data: []byte("late"), Version: sojourn.AnyVersion, Session: gone.Key, Deadline: epoch.Add(3 * time.Hour)}
				if _, err := x.SetValue(x.Context(), ofTab(owner, "one", "a"), w); !errors.Is(err, sojourn.ErrNotFound) {
					x.broken("SetValue: error %v, want ErrNotFound", err)
				}
				w.Session, w.Version = sojourn.Key{}, 0
				if _, err := x.SetValue(x.Context(), ofTab(owner, "one", "a"), w); !errors.Is(err, sojourn.ErrConflict) {
					x.broken("SetValue: error %v, want ErrConflict", err)
				}
				x.wantTabs(owner, "one", "two")
			}
		},
	},
}

// wantDeadline fails unless owner has one tab, with this deadline.
func (x *check) wantDeadline(owner sojourn.Owner, want time.Time) {
	x.Helper()
	got, err := x.Tabs(x.Context(), owner)
	x.must(err, "Tabs")
	if len(got) != 1 || !sameTime(got[0].Deadline, want) {
		x.broken("Tabs returned %+v, want one with deadline %v", got, want)
	}
}

// tab writes the value "a" of a tab, with a deadline in d after epoch.
func (x *check) tab(owner sojourn.Owner, tab string, d time.Duration) time.Time {
	x.Helper()
	_, err := x.SetValue(x.Context(), ofTab(owner, tab, "a"), sojourn.Write{
		Data: []byte("1"), Version: sojourn.AnyVersion, Deadline: epoch.Add(d),
	})
	x.must(err, "SetValue")
	return epoch.Add(d)
}

// tabOwners are a session and a browser, newly made.
func (x *check) tabOwners() []sojourn.Owner {
	x.Helper()
	s := newSession("ada")
	x.create(s, 0)
	return []sojourn.Owner{ofSession(s), ofBrowser(x.browser(newBrowser(), 0))}
}
