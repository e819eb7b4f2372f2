//go:build unix

package postgres_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
)

// servers are three handles of one store, as three servers have them.
func servers(t *testing.T) (stores [3]*postgres.Store, url string) {
	t.Helper()
	url = testserver.Postgres(t)
	for i := range stores {
		stores[i] = open(t, url)
	}
	return stores, url
}

func TestLoginsOnThreeServersLeaveTheLimit(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	const limit, callers = 3, 6
	var made, ended [callers][]sojourn.StoredSession
	for round := range 30 {
		inParallel(t, callers, func(i int) error {
			s := newSession("ada", round)
			evicted, err := stores[i%3].CreateSession(t.Context(), s, limit)
			made[i], ended[i] = append(made[i], s), append(ended[i], evicted...)
			return err
		})
		left, err := stores[0].Sessions(t.Context(), "ada")
		if err != nil || len(left) != limit {
			t.Fatalf("round %d: %d sessions are left, want %d; %v", round, len(left), limit, err)
		}
	}
	left, err := stores[0].EndUser(t.Context(), "ada", sojourn.EndDisconnectAll)
	must(t, err)
	wantOnce(t, made[:], append(ended[:], left))
}

func TestBrowsersOfASubnetAreLimitedOnThreeServers(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	const limit, callers = 3, 6
	for round := range 30 {
		inParallel(t, callers, func(i int) error {
			_, err := stores[i%3].CreateBrowser(t.Context(), sojourn.StoredBrowser{
				Key: newKey("ada"), Subnet: netip.MustParsePrefix("192.0.2.0/24"), LastSeen: epoch,
			}, limit)
			return err
		})
		if n, err := stores[0].Count(t.Context()); err != nil || n.Browsers != limit {
			t.Fatalf("round %d: %d browsers are left, want %d; %v", round, n.Browsers, limit, err)
		}
	}
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

// Whatever ends a user's last sessions at once, on whichever servers: one of the
// ends tells the others that none is left.
func TestLastSessionToEndTellsThatNoneIsLeft(t *testing.T) {
	t.Parallel()
	stores, url := servers(t)
	heard, _ := changesOf(t, open(t, url), stores[0])
	end := func(store *postgres.Store, s sojourn.StoredSession) error {
		_, _, err := store.EndSession(t.Context(), s.Key, sojourn.EndRevoked)
		return err
	}
	endUser := func(store *postgres.Store, s sojourn.StoredSession) error {
		sessions, err := store.Sessions(t.Context(), "ada")
		var others []sojourn.Key
		for _, o := range sessions {
			if o.Key != s.Key {
				others = append(others, o.Key)
			}
		}
		if err == nil {
			_, err = store.EndUser(t.Context(), "ada", sojourn.EndDisconnectAll, others...)
		}
		return err
	}
	expire := func(store *postgres.Store, _ sojourn.StoredSession) (err error) {
		for more := true; more && err == nil; {
			_, more, err = store.Expire(t.Context(), epoch, 1)
		}
		return err
	}
	for round := range 120 {
		ways := [][2]func(*postgres.Store, sojourn.StoredSession) error{{end, end}, {end, expire}, {end, endUser}}[round%3]
		var both [2]sojourn.StoredSession
		for i := range both {
			both[i] = newSession("ada", i)
			if i == 1 {
				both[i].Deadline = epoch
			}
			_, err := stores[0].CreateSession(t.Context(), both[i], 0)
			must(t, err)
		}
		inParallel(t, 2, func(i int) error { return ways[i](stores[i], both[i]) })
		if a, b := next(t, heard).Left, next(t, heard).Left; a != 0 && b != 0 {
			t.Fatalf("round %d: neither end told that no session is left: %d and %d", round, a, b)
		}
	}
}

func TestOneOfManyEndsLeavesNone(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	const sessions = 6
	for round := range 40 {
		var all [sessions]sojourn.StoredSession
		var none [sessions]int
		for i := range all {
			all[i] = newSession("ada", i)
			_, err := stores[0].CreateSession(t.Context(), all[i], 0)
			must(t, err)
		}
		inParallel(t, sessions, func(i int) error {
			_, left, err := stores[i%3].EndSession(t.Context(), all[i].Key, sojourn.EndRevoked)
			if left == 0 {
				none[i] = 1
			}
			return err
		})
		n := 0
		for i := range none {
			n += none[i]
		}
		if n != 1 {
			t.Fatalf("round %d: %d ends left no session, want 1", round, n)
		}
	}
}

// A tab is there as long as it has values, whoever adds and removes them.
func TestTabIsThereAsLongAsItHasValues(t *testing.T) {
	t.Parallel()
	stores, _ := servers(t)
	s := newSession("ada", 0)
	_, err := stores[0].CreateSession(t.Context(), s, 0)
	must(t, err)
	key := sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}, Tab: "tab"}
	for round := range 100 {
		inParallel(t, 4, func(i int) error {
			w := sojourn.Write{Version: sojourn.AnyVersion}
			if (i+round)%2 == 0 {
				w.Data = []byte("data")
			}
			k := key
			k.Name = strconv.Itoa(i)
			if round%10 == 9 && i == 1 {
				return stores[i%3].DropValues(t.Context(), k.Owner, k.Tab, sojourn.Key{})
			}
			_, err := stores[i%3].SetValue(t.Context(), k, w)
			return err
		})
		n, err := stores[0].Count(t.Context())
		must(t, err)
		tabs, err := stores[0].Tabs(t.Context(), key.Owner)
		must(t, err)
		if (n.Values > 0) != (len(tabs) > 0) {
			t.Fatalf("round %d: %d values and tabs %+v", round, n.Values, tabs)
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
