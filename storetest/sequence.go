package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn"
	"pgregory.net/rapid"
)

var sequenceExercises = []exercise{
	{
		"any sequence of operations answers as the contract says",
		"This is the whole contract",
		func(x *check) {
			if c := x.counts(); c != (sojourn.Counts{}) {
				x.broken("the store is not empty: %+v", c)
			}
			// One store for all sequences: each leaves it empty.
			rapid.Check(x.T, func(t *rapid.T) {
				q := &sequence{check: x, t: t, model: newModel(), versions: map[sojourn.ValueKey][]int64{}}
				defer q.clear()
				t.Repeat(map[string]func(*rapid.T){
					"":              q.compare,
					"CreateSession": q.createSession,
					"CreateBrowser": q.createBrowser,
					"EndSession":    q.endSession,
					"EndUser":       q.endUser,
					"EndBrowsers":   q.endBrowsers,
					"SetValue":      q.setValue,
					"SetValue2":     q.setValue, // twice as often
					"DropValues":    q.dropValues,
					"Touch":         q.touch,
					"Expire":        q.expire,
				})
				q.compareAll()
			})
		},
	},
}

var (
	someUsers   = []sojourn.UserID{"ada", "bob", "a\x00b"}
	someSubnets = []netip.Prefix{{}, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/56")}
	someTabs    = []string{"", "tab", "tab2"}
	someNames   = []string{"cart", "theme"}
)

// A sequence is one run of random operations on a store and on its model.
type sequence struct {
	check    *check
	t        *rapid.T
	model    *model
	sessions []sojourn.StoredSession // every one made, also those that ended
	browsers []sojourn.StoredBrowser
	versions map[sojourn.ValueKey][]int64 // every one answered
	clock    time.Duration
}

func (q *sequence) store() sojourn.Store { return q.check.Store }

func (q *sequence) fatalf(format string, args ...any) {
	q.t.Helper()
	q.t.Fatalf("the store breaks its contract: "+format, args...)
}

func (q *sequence) must(err error, doing string) {
	q.t.Helper()
	if err != nil {
		q.fatalf("%s: %v", doing, err)
	}
}

// when is a random time, different from every one before, so that no order
// depends on ties.
func (q *sequence) when() time.Time {
	q.clock += time.Millisecond
	return epoch.Add(q.clock + time.Duration(rapid.IntRange(0, 60).Draw(q.t, "minute"))*time.Minute)
}

// deadline is a random one; zero now and then.
func (q *sequence) deadline() time.Time {
	if at := q.when(); rapid.IntRange(0, 5).Draw(q.t, "ever") > 0 {
		return at
	}
	return time.Time{}
}

func (q *sequence) user() sojourn.UserID { return rapid.SampledFrom(someUsers).Draw(q.t, "user") }

// session is the key of one that was made, or of none.
func (q *sequence) session() sojourn.Key {
	n := rapid.IntRange(-1, len(q.sessions)-1).Draw(q.t, "session")
	if n < 0 {
		return newKey("nobody")
	}
	return q.sessions[n].Key
}

func (q *sequence) browser() sojourn.Key {
	n := rapid.IntRange(-1, len(q.browsers)-1).Draw(q.t, "browser")
	if n < 0 {
		return newKey("nobody")
	}
	return q.browsers[n].Key
}

func (q *sequence) owner() sojourn.Owner {
	switch rapid.SampledFrom([]sojourn.OwnerKind{
		sojourn.OwnerSession, sojourn.OwnerBrowser, sojourn.OwnerUser, sojourn.OwnerSite,
	}).Draw(q.t, "kind") {
	case sojourn.OwnerSession:
		return sojourn.Owner{Kind: sojourn.OwnerSession, Key: q.session()}
	case sojourn.OwnerBrowser:
		return sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: q.browser()}
	case sojourn.OwnerUser:
		return ofUser(q.user())
	default:
		return ofSite()
	}
}

// tab is one of the owner's, or the owner itself: users and the site have no
// tabs.
func (q *sequence) tab(owner sojourn.Owner) string {
	if owner.Kind == sojourn.OwnerUser || owner.Kind == sojourn.OwnerSite {
		return ""
	}
	return rapid.SampledFrom(someTabs).Draw(q.t, "tab")
}

func (q *sequence) createSession(t *rapid.T) {
	s := newSession(q.user())
	s.OpenedAt, s.LastSeen, s.Deadline = q.when(), q.when(), q.deadline()
	limit := rapid.IntRange(0, 4).Draw(t, "limit")
	evicted, err := q.store().CreateSession(q.check.Context(), s, limit)
	q.must(err, "CreateSession")
	q.sessions = append(q.sessions, s)
	q.same("CreateSession", evicted, q.model.createSession(s, limit))
}

func (q *sequence) createBrowser(t *rapid.T) {
	b := newBrowser()
	if key := q.browser(); rapid.IntRange(0, 2).Draw(t, "again") == 0 {
		b.Key = key
	}
	b.Subnet, b.LastSeen, b.Deadline = rapid.SampledFrom(someSubnets).Draw(t, "subnet"), q.when(), q.deadline()
	limit := rapid.IntRange(0, 3).Draw(t, "limit")
	evicted, err := q.store().CreateBrowser(q.check.Context(), b, limit)
	q.must(err, "CreateBrowser")
	q.browsers = append(q.browsers, b)
	if want := q.model.createBrowser(b, limit); !sameKeys(evicted, want) {
		q.fatalf("CreateBrowser evicted %x, want %x", evicted, want)
	}
}

func (q *sequence) endSession(*rapid.T) {
	key := q.session()
	ended, left, err := q.store().EndSession(q.check.Context(), key, sojourn.EndRevoked)
	q.must(err, "EndSession")
	want := q.model.endSession(key)
	q.same("EndSession", ended, want)
	if len(want) > 0 && left != len(q.model.sessionsOf(want[0].User)) {
		q.fatalf("EndSession returned %d left, want %d", left, len(q.model.sessionsOf(want[0].User)))
	}
}

func (q *sequence) endUser(t *rapid.T) {
	user := q.user()
	var keep []sojourn.Key
	for range rapid.IntRange(0, 2).Draw(t, "keep") {
		keep = append(keep, q.session())
	}
	ended, err := q.store().EndUser(q.check.Context(), user, sojourn.EndDisconnectAll, keep...)
	q.must(err, "EndUser")
	q.same("EndUser", ended, q.model.endUser(user, keep...))
}

func (q *sequence) endBrowsers(t *rapid.T) {
	var keys []sojourn.Key
	for range rapid.IntRange(0, 2).Draw(t, "keys") {
		keys = append(keys, q.browser())
	}
	q.must(q.store().EndBrowsers(q.check.Context(), keys...), "EndBrowsers")
	for _, key := range keys {
		q.model.endBrowser(key)
	}
}

func (q *sequence) setValue(t *rapid.T) {
	owner := q.owner()
	key := ofTab(owner, q.tab(owner), rapid.SampledFrom(someNames).Draw(t, "name"))
	w := sojourn.Write{
		Data:    rapid.SampledFrom([][]byte{nil, {}, []byte("one"), []byte("two")}).Draw(t, "data"),
		Version: sojourn.AnyVersion,
	}
	switch rapid.IntRange(0, 3).Draw(t, "version") {
	case 0:
		w.Version = 0
	case 1:
		w.Version = q.model.values[key].Version
	case 2:
		if v := q.versions[key]; len(v) > 0 {
			w.Version = rapid.SampledFrom(v).Draw(t, "old version")
		}
	}
	if rapid.Bool().Draw(t, "of session") {
		w.Session = q.session()
	}
	if key.Tab != "" {
		w.Deadline = q.deadline()
	}
	version, err := q.store().SetValue(q.check.Context(), key, w)
	if want := q.model.setValue(key, w, version); !errors.Is(err, want) {
		q.fatalf("SetValue(%v, %+v): error %v, want %v", key, w, err, want)
	}
	if err == nil && w.Data != nil {
		if version <= 0 || slices.Contains(q.versions[key], version) {
			q.fatalf("SetValue(%v) returned version %d, which is not positive or was there before: %v", key, version, q.versions[key])
		}
		q.versions[key] = append(q.versions[key], version)
	}
}

func (q *sequence) dropValues(t *rapid.T) {
	owner := q.owner()
	id := q.tab(owner)
	var session sojourn.Key
	if owner.Kind != sojourn.OwnerUser && rapid.Bool().Draw(t, "of session") {
		session = q.session()
	}
	err := q.store().DropValues(q.check.Context(), owner, id, session)
	if want := q.model.dropValues(owner, id, session); !errors.Is(err, want) {
		q.fatalf("DropValues: error %v, want %v", err, want)
	}
}

func (q *sequence) touch(t *rapid.T) {
	var touches []sojourn.Touch
	for range rapid.IntRange(0, 3).Draw(t, "touches") {
		owner := sojourn.Owner{Kind: sojourn.OwnerSession, Key: q.session()}
		if rapid.Bool().Draw(t, "of browser") {
			owner = sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: q.browser()}
		}
		touches = append(touches, sojourn.Touch{
			Owner: owner, Tab: q.tab(owner), LastSeen: q.when(), Deadline: q.deadline(),
		})
	}
	q.must(q.store().Touch(q.check.Context(), touches), "Touch")
	for _, touch := range touches {
		q.model.touch(touch)
	}
}

func (q *sequence) expire(t *rapid.T) {
	now := q.when().Add(-time.Hour / 2)
	q.expireAt(now, rapid.IntRange(1, 4).Draw(t, "max"))
}

// expireAt expires by max at a time until nothing is left to.
func (q *sequence) expireAt(now time.Time, max int) {
	var all []sojourn.StoredSession
	for n := 0; ; n++ {
		ended, more, err := q.store().Expire(q.check.Context(), now, max)
		q.must(err, "Expire")
		if len(ended) > max {
			q.fatalf("Expire(%d) ended %d sessions", max, len(ended))
		}
		all = append(all, ended...)
		if !more {
			break
		}
		if n > 1000 {
			q.fatalf("Expire says without end that more is left")
		}
	}
	want, _ := q.model.expire(now, math.MaxInt)
	q.same("Expire", all, want)
}

// same fails unless two lists have the same sessions.
func (q *sequence) same(doing string, got, want []sojourn.StoredSession) {
	q.t.Helper()
	ok := len(got) == len(want)
	for _, g := range got {
		ok = ok && slices.ContainsFunc(want, func(w sojourn.StoredSession) bool { return sameSession(w, g) })
	}
	if !ok {
		q.fatalf("%s returned\n\t%+v\nwant\n\t%+v", doing, got, want)
	}
}

// compare compares what is cheap to compare, after each operation.
func (q *sequence) compare(*rapid.T) {
	got, err := q.store().Count(q.check.Context())
	q.must(err, "Count")
	if want := q.model.count(); got != want {
		q.fatalf("Count returned %+v, want %+v", got, want)
	}
}

// compareAll compares everything that can be read.
func (q *sequence) compareAll() {
	ctx := q.check.Context()
	owners := []sojourn.Owner{ofSite()}
	for _, s := range q.sessions {
		owners = append(owners, ofSession(s))
		got, err := q.store().Session(ctx, s.Key)
		want, ok := q.model.sessions[s.Key]
		if ok != (err == nil) || ok && !sameSession(got, want) || !ok && !errors.Is(err, sojourn.ErrNotFound) {
			q.fatalf("Session returned %+v, %v; want %+v, %t", got, err, want, ok)
		}
	}
	for _, b := range q.browsers {
		owners = append(owners, ofBrowser(b))
		got, err := q.store().Browser(ctx, b.Key)
		want, ok := q.model.browsers[b.Key]
		if ok != (err == nil) || ok && !sameBrowser(got, want) || !ok && !errors.Is(err, sojourn.ErrNotFound) {
			q.fatalf("Browser returned %+v, %v; want %+v, %t", got, err, want, ok)
		}
	}
	for _, user := range someUsers {
		owners = append(owners, ofUser(user))
		got, err := q.store().Sessions(ctx, user)
		q.must(err, "Sessions")
		if want := q.model.sessionsOf(user); !slices.EqualFunc(got, want, sameSession) {
			q.fatalf("Sessions returned\n\t%+v\nwant\n\t%+v", got, want)
		}
	}
	for _, owner := range owners {
		got, err := q.store().Tabs(ctx, owner)
		q.must(err, "Tabs")
		if want := q.model.tabsOf(owner); !sameTabs(got, want) {
			q.fatalf("Tabs returned %+v, want %+v", got, want)
		}
		for _, id := range someTabs {
			for _, name := range someNames {
				key := ofTab(owner, id, name)
				got, err := q.store().Value(ctx, key)
				q.must(err, "Value")
				if want := q.model.values[key]; !bytes.Equal(got.Data, want.Data) || got.Version != want.Version || (got.Data == nil) != (want.Data == nil) {
					q.fatalf("Value of %v returned %+v, want %+v", key, got, want)
				}
			}
		}
	}
}

// sameTabs reports whether two lists have the same tabs in the same order;
// those without deadline may stand in any.
func sameTabs(a, b []sojourn.StoredTab) bool {
	byID := func(tabs []sojourn.StoredTab) []sojourn.StoredTab {
		tabs = slices.Clone(tabs)
		if i := slices.IndexFunc(tabs, func(t sojourn.StoredTab) bool { return t.Deadline.IsZero() }); i >= 0 {
			slices.SortFunc(tabs[i:], func(a, b sojourn.StoredTab) int { return cmp.Compare(a.ID, b.ID) })
		}
		return tabs
	}
	return slices.EqualFunc(byID(a), byID(b), func(a, b sojourn.StoredTab) bool {
		return a.ID == b.ID && sameTime(a.Deadline, b.Deadline)
	})
}

// clear leaves the store as empty as it was.
func (q *sequence) clear() {
	ctx := q.check.Context()
	var errs []error
	for _, user := range someUsers {
		_, err := q.store().EndUser(ctx, user, sojourn.EndDisconnectAll)
		errs = append(errs, err, q.store().DropValues(ctx, ofUser(user), "", sojourn.Key{}))
	}
	for _, b := range q.browsers {
		errs = append(errs, q.store().EndBrowsers(ctx, b.Key))
	}
	errs = append(errs, q.store().DropValues(ctx, ofSite(), "", sojourn.Key{}))
	if err := errors.Join(errs...); err != nil {
		panic(fmt.Sprintf("clearing the store: %v", err))
	}
}
