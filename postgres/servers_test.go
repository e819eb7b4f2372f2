//go:build unix

package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
)

var epoch = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)

// newSession is a session of user, opened and seen n seconds after epoch.
func newSession(user sojourn.UserID, n int) sojourn.StoredSession {
	var id [16]byte
	rand.Read(id[:])
	at := epoch.Add(time.Duration(n) * time.Second)
	return sojourn.StoredSession{
		Key:        newKey(user),
		ID:         sojourn.SessionID(base64.RawURLEncoding.EncodeToString(id[:])),
		User:       user,
		Browser:    newKey(user),
		OpenedAt:   at,
		LastSeen:   at,
		ExpiresAt:  at.Add(90 * 24 * time.Hour),
		Deadline:   at.Add(14 * 24 * time.Hour),
		UserAgent:  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		RemoteAddr: netip.MustParseAddr("192.0.2.1"),
	}
}

func newKey(user sojourn.UserID) (k sojourn.Key) {
	rand.Read(k[:])
	shard := sojourn.ShardOf(user)
	copy(k[:], shard[:])
	return k
}

// servers are three handles of one store, as three servers have them.
func servers(t *testing.T) (stores [3]*postgres.Store, url string) {
	t.Helper()
	url = testserver.Postgres(t)
	for i := range stores {
		stores[i] = open(t, url)
	}
	return stores, url
}

// inParallel runs f for 0 to n-1 at once.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestLoginsOnThreeServersLeaveTheLimit(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	const limit, callers, each = 5, 9, 20
	made := make([][]sojourn.StoredSession, callers)
	ended := make([][]sojourn.StoredSession, callers)
	inParallel(t, callers, func(i int) error {
		for n := range each {
			s := newSession("ada", n)
			evicted, err := stores[i%3].CreateSession(t.Context(), s, limit)
			if err != nil {
				return err
			}
			made[i], ended[i] = append(made[i], s), append(ended[i], evicted...)
		}
		return nil
	})
	left, err := stores[0].Sessions(t.Context(), "ada")
	if err != nil || len(left) != limit {
		t.Fatalf("%d sessions are left, want %d; %v", len(left), limit, err)
	}
	wantOnce(t, made, append(ended, left))
}

func TestSweepersReportEachSessionOnce(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	const sessions = 500
	var made []sojourn.StoredSession
	for i := range sessions {
		s := newSession(sojourn.UserID(fmt.Sprint("user", i/3)), i)
		s.Deadline = epoch
		if _, err := stores[0].CreateSession(t.Context(), s, 0); err != nil {
			t.Fatal(err)
		}
		made = append(made, s)
	}
	ended := make([][]sojourn.StoredSession, 6)
	inParallel(t, len(ended), func(i int) error {
		for {
			some, more, err := stores[i%3].Expire(t.Context(), epoch, 50)
			ended[i] = append(ended[i], some...)
			if err != nil || !more {
				return err
			}
		}
	})
	// What was passed over because somebody else had it is left for the next.
	rest, _, err := stores[0].Expire(t.Context(), epoch, sessions)
	if err != nil {
		t.Fatal(err)
	}
	wantOnce(t, [][]sojourn.StoredSession{made}, append(ended, rest))
}

// Whatever ends a user's sessions at once, on whichever server: one of the ends
// is the one that leaves none.
func TestLastSessionToEndIsToldThatNoneIsLeft(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	for range 20 {
		var all []sojourn.StoredSession
		for i := range 6 {
			s := newSession("ada", i)
			s.Deadline = epoch
			if _, err := stores[0].CreateSession(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		none := make([]int, len(all))
		inParallel(t, len(all), func(i int) error {
			ended, left, err := stores[i%3].EndSession(t.Context(), all[i].Key, sojourn.EndRevoked)
			if len(ended) > 0 && left == 0 {
				none[i]++
			}
			return err
		})
		var n int
		for i := range none {
			n += none[i]
		}
		if n != 1 {
			t.Fatalf("%d ends were told that no session is left, want 1", n)
		}
	}
}

// Everything at once on few owners: nothing fails but as the contract says, and
// no value or tab is left without its owner, no tab without values, and no
// value of a tab without the tab.
func TestRacesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	stores, url := servers(t)
	const rounds = 60
	users := []sojourn.UserID{"ada", "bob"}
	var mu sync.Mutex
	live := []sojourn.Owner{}
	pick := func(n int) sojourn.Owner {
		mu.Lock()
		defer mu.Unlock()
		return live[n%len(live)]
	}
	add := func(i, n int) error {
		s := newSession(users[n%2], n)
		s.Deadline = epoch.Add(time.Duration(n) * time.Second)
		b := sojourn.StoredBrowser{Key: newKey(s.User), Subnet: netip.MustParsePrefix("192.0.2.0/24"), LastSeen: s.LastSeen, Deadline: s.Deadline}
		_, err1 := stores[i%3].CreateSession(t.Context(), s, 4)
		_, err2 := stores[i%3].CreateBrowser(t.Context(), b, 4)
		mu.Lock()
		defer mu.Unlock()
		live = append(live, sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}, sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key})
		live = live[max(0, len(live)-8):]
		return errors.Join(err1, err2)
	}
	if err := add(0, 0); err != nil {
		t.Fatal(err)
	}
	inParallel(t, 12, func(i int) error {
		store := stores[i%3]
		for n := range rounds {
			o := pick(i*7 + n)
			tab := []string{"", "one", "two"}[n%3]
			at := epoch.Add(time.Duration(n) * time.Second)
			var err error
			switch i {
			case 0, 1, 2, 3, 4:
				w := sojourn.Write{Data: []byte("data"), Version: sojourn.AnyVersion, Deadline: at}
				if n%4 == 3 {
					w.Data = nil
				}
				if witness := pick(n); n%2 == 0 && witness.Kind == sojourn.OwnerSession {
					w.Session = witness.Key
				}
				_, err = store.SetValue(t.Context(), sojourn.ValueKey{Owner: o, Tab: tab, Name: []string{"a", "b"}[n%2]}, w)
			case 5, 6:
				err = store.DropValues(t.Context(), o, tab, sojourn.Key{})
			case 7, 8:
				err = store.Touch(t.Context(), []sojourn.Touch{
					{Owner: o, LastSeen: at, Deadline: at},
					{Owner: o, Tab: "one", Deadline: at},
					{Owner: pick(n), Tab: "two", Deadline: at},
					{Owner: pick(n + 1), LastSeen: at, Deadline: at},
					{Owner: pick(n + 2), LastSeen: at, Deadline: at},
				})
			case 9:
				_, _, err = store.Expire(t.Context(), at, 3)
			case 10:
				err = add(i, n)
			case 11:
				switch {
				case n%10 == 9:
					_, err = store.EndUser(t.Context(), users[n%2], sojourn.EndDisconnectAll)
				case o.Kind == sojourn.OwnerSession:
					_, _, err = store.EndSession(t.Context(), o.Key, sojourn.EndRevoked)
				default:
					err = store.EndBrowsers(t.Context(), o.Key, pick(n).Key)
				}
			}
			if err != nil && !errors.Is(err, sojourn.ErrNotFound) {
				return fmt.Errorf("caller %d, round %d: %w", i, n, err)
			}
		}
		return nil
	})
	for what, sql := range map[string]string{
		"values without a session": `select count(*) from sojourn.value v where substr(owner, 1, 1) = 's'
			and not exists (select from sojourn.session s where 's'::bytea || s.key = v.owner)`,
		"values without a browser": `select count(*) from sojourn.value v where substr(owner, 1, 1) = 'b'
			and not exists (select from sojourn.browser b where 'b'::bytea || b.key = v.owner)`,
		"tabs without values": `select count(*) from sojourn.tab t
			where not exists (select from sojourn.value v where v.owner = t.owner and v.tab = t.tab)`,
		"tabs' values without a tab": `select count(*) from sojourn.value v where v.tab <> ''
			and not exists (select from sojourn.tab t where t.owner = v.owner and t.tab = v.tab)`,
	} {
		var n int
		if query(t, url, sql, &n); n > 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

func TestBigEndsAndMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	heard, _ := changesOf(t, stores[1], stores[0])
	user := sojourn.UserID(strings.Repeat("a\x00\xff", 3000))
	made := map[sojourn.Key]sojourn.StoredSession{}
	for i := range 40 {
		s := newSession(user, i)
		s.UserAgent = strings.Repeat("agent", 2000)
		if _, err := stores[0].CreateSession(t.Context(), s, 0); err != nil {
			t.Fatal(err)
		}
		made[s.Key] = s
	}
	if _, err := stores[0].EndUser(t.Context(), user, sojourn.EndDisconnectAll); err != nil {
		t.Fatal(err)
	}
	for range len(made) {
		c := next(t, heard)
		if c.Ended == nil {
			t.Fatalf("a message of %d bytes came instead", len(c.Message))
		}
		s, ok := made[c.Ended.Key]
		if !ok || c.Ended.User != user || c.Ended.UserAgent != s.UserAgent || c.Reason != sojourn.EndDisconnectAll || c.Left != 0 {
			t.Fatalf("arrived changed, or twice: %.200v, %s, %d left", *c.Ended, c.Reason, c.Left)
		}
		delete(made, c.Ended.Key)
	}
	message := make([]byte, 1<<20)
	rand.Read(message)
	if err := stores[0].Publish(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	if c := next(t, heard); string(c.Message) != string(message) {
		t.Errorf("a message of %d bytes arrived with %d, or changed", len(message), len(c.Message))
	}
}

// changesOf calls Changes of a store until the test ends, and returns when it
// hears what other publishes.
func changesOf(t *testing.T, store, other sojourn.Store) (heard <-chan sojourn.Change, returned <-chan error) {
	t.Helper()
	const hello = "are you there?"
	ctx, cancel := context.WithCancel(context.Background())
	all, err := make(chan sojourn.Change, 1000), make(chan error, 1)
	first, over := make(chan struct{}, 1000), make(chan struct{})
	go func() {
		defer close(over)
		err <- store.Changes(ctx, func(c sojourn.Change) {
			if string(c.Message) == hello {
				first <- struct{}{}
				return
			}
			all <- c
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	for began := time.Now(); time.Since(began) < patience; {
		if err := other.Publish(t.Context(), []byte(hello)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-first:
			return all, err
		case <-over:
			t.Fatalf("Changes returned %v", <-err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("Changes hears nothing")
	return nil, nil
}

// next waits for a change.
func next(t *testing.T, heard <-chan sojourn.Change) sojourn.Change {
	t.Helper()
	select {
	case c := <-heard:
		return c
	case <-time.After(patience):
		t.Fatal("a change did not arrive")
		return sojourn.Change{}
	}
}

// wantOnce fails unless each session made was returned once.
func wantOnce(t *testing.T, made, returned [][]sojourn.StoredSession) {
	t.Helper()
	count := map[sojourn.Key]int{}
	for _, list := range made {
		for _, s := range list {
			count[s.Key] = 0
		}
	}
	for _, list := range returned {
		for _, s := range list {
			count[s.Key]++
		}
	}
	for key, n := range count {
		if n != 1 {
			t.Errorf("session %x was returned %d times", key, n)
		}
	}
}
