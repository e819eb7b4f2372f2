package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

func TestMemorySubnetLimitFollowsTouches(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ctx := t.Context()
	const browsers = 200
	subnet := netip.MustParsePrefix("192.0.2.0/24")
	key := func(n int) sojourn.Key { return memoryKey("browser", n) }
	for n := range browsers {
		_, err := store.CreateBrowser(ctx, sojourn.StoredBrowser{
			Key: key(n), Subnet: subnet, LastSeen: memoryEpoch.Add(time.Duration(n) * time.Second), Deadline: memoryEpoch.Add(time.Hour),
		}, browsers)
		memoryMust(t, err)
	}
	// Every third one is seen again, in another order; every fifth one goes.
	var want []int
	for n := range browsers {
		if n%3 == 0 {
			memoryMust(t, store.Touch(ctx, []sojourn.Touch{{
				Owner: sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: key(n)}, LastSeen: memoryEpoch.Add(time.Duration(2*browsers-n) * time.Second),
			}}))
		}
		if n%5 == 0 {
			memoryMust(t, store.EndBrowsers(ctx, key(n)))
		} else if n%3 != 0 {
			want = append(want, n)
		}
	}
	for n := browsers - 1; n >= 0; n-- {
		if n%3 == 0 && n%5 != 0 {
			want = append(want, n)
		}
	}
	last := sojourn.StoredBrowser{Key: key(browsers), Subnet: subnet}
	evicted, err := store.CreateBrowser(ctx, last, 1)
	memoryMust(t, err)
	if len(evicted) != len(want) {
		t.Fatalf("%d evicted, want %d", len(evicted), len(want))
	}
	for i, n := range want {
		if evicted[i] != key(n) {
			t.Fatalf("the one evicted at %d is not browser %d", i, n)
		}
	}
	if c, err := store.Count(ctx); err != nil || c != (sojourn.Counts{Browsers: 1}) {
		t.Errorf("Count: %+v, error %v", c, err)
	}
	if _, err := store.Browser(ctx, last.Key); err != nil {
		t.Error(err)
	}
}

// What Expire remembers of deadlines must not make it miss one.
func TestMemoryExpiresWhatWasMadeOrLeftSinceItLooked(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ctx := t.Context()
	expire := func(now time.Time, max, want int) {
		t.Helper()
		ended, _, err := store.Expire(ctx, now, max)
		memoryMust(t, err)
		if len(ended) != want {
			t.Fatalf("%d ended, want %d", len(ended), want)
		}
	}
	const sessions = 2000 // more than go under one lock
	for n := range sessions {
		s := memorySession("ada", n)
		s.Deadline = memoryEpoch.Add(time.Duration(n) * time.Second)
		_, err := store.CreateSession(ctx, s, 0)
		memoryMust(t, err)
	}
	expire(memoryEpoch.Add(-time.Second), sessions, 0)
	expire(memoryEpoch, sessions, 1)
	s := memorySession("ada", sessions)
	s.Deadline = memoryEpoch
	_, err := store.CreateSession(ctx, s, 0)
	memoryMust(t, err)
	expire(memoryEpoch, sessions, 1)
	later := memoryEpoch.Add(sessions * time.Second)
	expire(later, 500, 500)
	expire(later, 1000, 1000)
	expire(later, 1000, 499)
	expire(later, 1000, 0)
}

func TestMemoryReportsEachEndOnceToWhoeverEndsInParallel(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ctx := t.Context()
	const users, each, limit = 8, 60, 5
	var ends sync.Map
	var created, reported atomic.Int64
	end := func(ended []sojourn.StoredSession, err error) {
		if err != nil {
			t.Error(err)
		}
		for _, s := range ended {
			reported.Add(1)
			if _, twice := ends.LoadOrStore(s.Key, true); twice {
				t.Error("a session was reported as ended twice")
			}
		}
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range each {
				for u := range users {
					user := sojourn.UserID(fmt.Sprint("user-", u))
					s := memorySession(user, g*each+n)
					if u%2 == 0 {
						s.Key[0] = byte(n) // elsewhere than its user
					}
					end(store.CreateSession(ctx, s, limit))
					created.Add(1)
					session := sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}
					for _, o := range []sojourn.Owner{session, {Kind: sojourn.OwnerUser, User: user}, {Kind: sojourn.OwnerSite}} {
						_, err := store.SetValue(ctx, sojourn.ValueKey{Owner: o, Tab: "tab", Name: "n"},
							sojourn.Write{Data: []byte("1"), Version: sojourn.AnyVersion, Session: s.Key, Deadline: memoryEpoch.Add(time.Hour)})
						if err != nil && !errors.Is(err, sojourn.ErrNotFound) {
							t.Error(err)
						}
					}
					b := sojourn.StoredBrowser{Key: s.Browser, Subnet: netip.PrefixFrom(s.RemoteAddr, 24), LastSeen: s.LastSeen, Deadline: s.LastSeen}
					if _, err := store.CreateBrowser(ctx, b, limit); err != nil {
						t.Error(err)
					}
					if err := store.Touch(ctx, []sojourn.Touch{
						{Owner: session, LastSeen: s.LastSeen.Add(time.Second)},
						{Owner: sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key}, LastSeen: s.LastSeen.Add(time.Second), Deadline: s.Deadline},
					}); err != nil {
						t.Error(err)
					}
					list, err := store.Sessions(ctx, user)
					if err != nil || len(list) > limit {
						t.Errorf("%d sessions, error %v; want at most %d", len(list), err, limit)
					}
					switch n % 4 {
					case 0:
						ended, _, err := store.EndSession(ctx, s.Key, sojourn.EndDisconnect)
						end(ended, err)
					case 1:
						ended, _, err := store.Expire(ctx, s.Deadline, 3)
						end(ended, err)
					case 2:
						if u == n%users {
							end(store.EndUser(ctx, user, sojourn.EndDisconnectAll, s.Key))
						}
					}
				}
			}
		})
	}
	wg.Wait()
	for u := range users {
		end(store.EndUser(ctx, sojourn.UserID(fmt.Sprint("user-", u)), sojourn.EndDisconnectAll))
	}
	if created.Load() != reported.Load() {
		t.Errorf("%d sessions were created and %d reported as ended", created.Load(), reported.Load())
	}
	for more := true; more; {
		var err error
		_, more, err = store.Expire(ctx, memoryEpoch.Add(1000*24*time.Hour), 100)
		memoryMust(t, err)
	}
	if c, err := store.Count(ctx); err != nil || c != (sojourn.Counts{}) {
		t.Errorf("Count: %+v, error %v; want nothing left", c, err)
	}
}

func TestMemoryChangesNeverComeAndEndWithTheContextOrTheStore(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	changes := func(ctx context.Context) error {
		return store.Changes(ctx, func(c sojourn.Change) { t.Errorf("a change: %+v", c) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- changes(ctx) }()
	memoryMust(t, store.Publish(ctx, []byte("hello")))
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("Changes returned %v, want the context's error", err)
	}
	second := make(chan error)
	go func() { second <- changes(t.Context()) }()
	memoryMust(t, store.Close())
	if err := <-second; err == nil {
		t.Error("Changes returned no error on a closed store")
	}
}
