// Package storetest tests whether a sojourn.Store keeps its contract: the
// sentences of the doc comments of sojourn.Store. A failure quotes the
// sentence that the store breaks.
//
// A store's own tests call Run; a store that several servers share calls
// RunShared as well; Benchmark measures what a site's requests wait for.
package storetest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// Run tests the whole contract of a store. Each of its subtests calls open
// once, for an empty store of its own, and runs in parallel with the others;
// the store is closed when the subtest ends. What open has to clean up beside
// that, it leaves to t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) sojourn.Store) {
	for _, e := range exercises() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { s.Close() })
			e.run(&check{T: t, Store: s, promise: e.promise})
		})
	}
}

func exercises() []exercise {
	return slices.Concat(
		sessionExercises, endExercises, browserExercises, valueExercises, tabExercises,
		touchExercises, expireExercises, generalExercises, concurrentExercises, sequenceExercises,
	)
}

// An exercise tests one sentence of the contract.
type exercise struct {
	name    string // of the subtest
	promise string // the sentence, or its part, as it stands in the contract
	run     func(x *check)
}

// check is what an exercise works with: the subtest and its store. Its methods
// fail the subtest when something that has to work does not.
type check struct {
	*testing.T
	sojourn.Store
	promise string
}

// broken fails the subtest, quoting the promise.
func (x *check) broken(format string, args ...any) {
	x.Helper()
	x.Errorf("the store breaks its contract:\n\t%q", x.promise)
	x.Fatalf(format, args...)
}

// must fails the subtest if an operation that has to work does not.
func (x *check) must(err error, doing string) {
	x.Helper()
	if err != nil {
		x.broken("%s: %v", doing, err)
	}
}

// create makes a session and returns the ones evicted.
func (x *check) create(s sojourn.StoredSession, limit int) []sojourn.StoredSession {
	x.Helper()
	evicted, err := x.CreateSession(x.Context(), s, limit)
	x.must(err, "CreateSession")
	return evicted
}

// sessionsOf makes n sessions of user, each seen and opened a second after
// the one before.
func (x *check) sessionsOf(user sojourn.UserID, n int) []sojourn.StoredSession {
	x.Helper()
	made := make([]sojourn.StoredSession, n)
	for i := range made {
		made[i] = seenAt(newSession(user), epoch.Add(time.Duration(i)*time.Second))
		x.create(made[i], 0)
	}
	return made
}

// browser makes a browser and fails unless it evicts these.
func (x *check) browser(b sojourn.StoredBrowser, limit int, evicted ...sojourn.StoredBrowser) sojourn.StoredBrowser {
	x.Helper()
	got, err := x.CreateBrowser(x.Context(), b, limit)
	x.must(err, "CreateBrowser")
	var want []sojourn.Key
	for _, e := range evicted {
		want = append(want, e.Key)
	}
	if !sameKeys(got, want) {
		x.broken("CreateBrowser evicted %x, want %x", got, want)
	}
	return b
}

// set writes a value whatever is there, with a deadline if it is a tab's, and
// returns its version.
func (x *check) set(key sojourn.ValueKey, data string) int64 {
	x.Helper()
	w := sojourn.Write{Data: []byte(data), Version: sojourn.AnyVersion}
	if key.Tab != "" {
		w.Deadline = epoch.Add(time.Hour)
	}
	v, err := x.SetValue(x.Context(), key, w)
	x.must(err, "SetValue")
	return v
}

// wantSession fails unless the store has the session as it is given.
func (x *check) wantSession(want sojourn.StoredSession) {
	x.Helper()
	got, err := x.Session(x.Context(), want.Key)
	x.must(err, "Session")
	if !sameSession(got, want) {
		x.broken("Session returned\n\t%+v\nwant\n\t%+v", got, want)
	}
}

// wantNoSession fails unless the store has no session of key.
func (x *check) wantNoSession(key sojourn.Key) {
	x.Helper()
	if got, err := x.Session(x.Context(), key); !errors.Is(err, sojourn.ErrNotFound) {
		x.broken("Session returned %+v, error %v; want ErrNotFound", got, err)
	}
}

// wantBrowser fails unless the store has the browser as it is given.
func (x *check) wantBrowser(want sojourn.StoredBrowser) {
	x.Helper()
	got, err := x.Browser(x.Context(), want.Key)
	x.must(err, "Browser")
	if !sameBrowser(got, want) {
		x.broken("Browser returned\n\t%+v\nwant\n\t%+v", got, want)
	}
}

// wantNoBrowser fails unless the store has no browser of key.
func (x *check) wantNoBrowser(key sojourn.Key) {
	x.Helper()
	if got, err := x.Browser(x.Context(), key); !errors.Is(err, sojourn.ErrNotFound) {
		x.broken("Browser returned %+v, error %v; want ErrNotFound", got, err)
	}
}

// wantValue fails unless the value at key is data.
func (x *check) wantValue(key sojourn.ValueKey, data string) {
	x.Helper()
	got, err := x.Value(x.Context(), key)
	x.must(err, "Value")
	if got.Version <= 0 || got.Data == nil || !bytes.Equal(got.Data, []byte(data)) {
		x.broken("Value of %v returned %q, version %d; want %q", key, got.Data, got.Version, data)
	}
}

// wantNoValue fails unless there is no value at key.
func (x *check) wantNoValue(key sojourn.ValueKey) {
	x.Helper()
	got, err := x.Value(x.Context(), key)
	x.must(err, "Value")
	if got.Version != 0 || got.Data != nil {
		x.broken("Value of %v returned %q, version %d; want none", key, got.Data, got.Version)
	}
}

// wantTabs fails unless owner has exactly these tabs, in this order.
func (x *check) wantTabs(owner sojourn.Owner, want ...string) {
	x.Helper()
	got, err := x.Tabs(x.Context(), owner)
	x.must(err, "Tabs")
	if !slices.EqualFunc(got, want, func(t sojourn.StoredTab, id string) bool { return t.ID == id }) {
		x.broken("Tabs returned %+v, want %q", got, want)
	}
}

// wantCount fails unless the store holds exactly this much.
func (x *check) wantCount(want sojourn.Counts) {
	x.Helper()
	got, err := x.Count(x.Context())
	x.must(err, "Count")
	if got != want {
		x.broken("Count returned %+v, want %+v", got, want)
	}
}

// wantEnded fails unless ended is exactly want, in any order.
func (x *check) wantEnded(ended []sojourn.StoredSession, want ...sojourn.StoredSession) {
	x.Helper()
	rest := slices.Clone(want)
	for _, e := range ended {
		i := slices.IndexFunc(rest, func(w sojourn.StoredSession) bool { return sameSession(w, e) })
		if i < 0 {
			x.broken("ended, but not to be:\n\t%+v\nof\n\t%+v", e, want)
		}
		rest = slices.Delete(rest, i, i+1)
	}
	if len(rest) > 0 {
		x.broken("not ended: %+v", rest)
	}
}

// epoch is when the exercises happen.
var epoch = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)

// newKey is a key never used before, in the shard of user.
func newKey(user sojourn.UserID) (k sojourn.Key) {
	rand.Read(k[:])
	shard := sojourn.ShardOf(user)
	copy(k[:], shard[:])
	return k
}

func newSession(user sojourn.UserID) sojourn.StoredSession {
	var id [16]byte
	rand.Read(id[:])
	return sojourn.StoredSession{
		Key:        newKey(user),
		ID:         sojourn.SessionID(base64.RawURLEncoding.EncodeToString(id[:])),
		User:       user,
		Browser:    newKey(user),
		OpenedAt:   epoch,
		LastSeen:   epoch,
		ExpiresAt:  epoch.Add(90 * 24 * time.Hour),
		Deadline:   epoch.Add(14 * 24 * time.Hour),
		UserAgent:  "Mozilla/5.0 (X11; Linux x86_64)",
		RemoteAddr: netip.MustParseAddr("192.0.2.1"),
	}
}

// seenAt is s, opened and last seen at t.
func seenAt(s sojourn.StoredSession, t time.Time) sojourn.StoredSession {
	s.OpenedAt, s.LastSeen = t, t
	return s
}

func newBrowser() sojourn.StoredBrowser {
	return sojourn.StoredBrowser{
		Key:       newKey(sojourn.UserID(rand.Text())),
		Hierarchy: "browser",
		Subnet:    netip.MustParsePrefix("192.0.2.0/24"),
		LastSeen:  epoch,
		Deadline:  epoch.Add(400 * 24 * time.Hour),
	}
}

func ofSession(s sojourn.StoredSession) sojourn.Owner {
	return sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}
}

func ofBrowser(b sojourn.StoredBrowser) sojourn.Owner {
	return sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key}
}

func ofUser(user sojourn.UserID) sojourn.Owner {
	return sojourn.Owner{Kind: sojourn.OwnerUser, User: user}
}

func ofSite() sojourn.Owner { return sojourn.Owner{Kind: sojourn.OwnerSite} }

// own is the key of a value of the owner itself.
func own(owner sojourn.Owner, name string) sojourn.ValueKey {
	return sojourn.ValueKey{Owner: owner, Name: name}
}

// ofTab is the key of a value of one of the owner's tabs.
func ofTab(owner sojourn.Owner, tab, name string) sojourn.ValueKey {
	return sojourn.ValueKey{Owner: owner, Tab: tab, Name: name}
}

func sameSession(a, b sojourn.StoredSession) bool {
	return a.Key == b.Key && a.ID == b.ID && a.User == b.User && a.Browser == b.Browser &&
		sameTime(a.OpenedAt, b.OpenedAt) && sameTime(a.LastSeen, b.LastSeen) &&
		sameTime(a.ExpiresAt, b.ExpiresAt) && sameTime(a.Deadline, b.Deadline) &&
		a.UserAgent == b.UserAgent && a.RemoteAddr == b.RemoteAddr
}

func sameBrowser(a, b sojourn.StoredBrowser) bool {
	return a.Key == b.Key && a.Hierarchy == b.Hierarchy && a.Subnet == b.Subnet &&
		sameTime(a.LastSeen, b.LastSeen) && sameTime(a.Deadline, b.Deadline)
}

// sameKeys reports whether two lists have the same keys, in any order.
func sameKeys(a, b []sojourn.Key) bool {
	compare := func(a, b sojourn.Key) int { return bytes.Compare(a[:], b[:]) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare))
}

// sameTime reports whether two times are the same to the millisecond; a zero
// time is the same as a zero time only.
func sameTime(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && a.Sub(b).Abs() < time.Millisecond
}
