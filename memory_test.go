package sojourn_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/storetest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) sojourn.Store { return sojourn.NewMemoryStore() })
}

var memoryEpoch = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)

// memoryKey is the n-th key of a user.
func memoryKey(user sojourn.UserID, n int) sojourn.Key {
	k := sojourn.Key(sha256.Sum256(binary.BigEndian.AppendUint64([]byte(user), uint64(n))))
	shard := sojourn.ShardOf(user)
	copy(k[:], shard[:])
	return k
}

// memorySession is the n-th session of a user, opened and seen n milliseconds
// after memoryEpoch.
func memorySession(user sojourn.UserID, n int) sojourn.StoredSession {
	key, at := memoryKey(user, n), memoryEpoch.Add(time.Duration(n)*time.Millisecond)
	return sojourn.StoredSession{
		Key:        key,
		ID:         sojourn.SessionID(base64.RawURLEncoding.EncodeToString(key[16:])),
		User:       user,
		Browser:    memoryKey("browser of "+user, n),
		OpenedAt:   at,
		LastSeen:   at,
		ExpiresAt:  at.Add(90 * 24 * time.Hour),
		Deadline:   at.Add(14 * 24 * time.Hour),
		UserAgent:  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		RemoteAddr: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}),
	}
}

func memoryMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMemorySessionIsSmall is not parallel, so that nothing else is measured.
func TestMemorySessionIsSmall(t *testing.T) {
	const sessions, most = 200_000, 220
	agents := make([]string, 20)
	for i := range agents {
		agents[i] = fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 120+i)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // the strings of unique need more than one
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	create := func(store sojourn.Store, i int) {
		// The browser sends the same string again and again, never the same bytes.
		s := memorySession(sojourn.UserID(fmt.Sprintf("user-%06d", i)), i)
		s.UserAgent = strings.Clone(agents[i%len(agents)])
		_, err := store.CreateSession(t.Context(), s, 50)
		memoryMust(t, err)
	}

	before := heap()
	store := sojourn.NewMemoryStore()
	for i := range sessions {
		create(store, i)
	}
	each := float64(heap()-before) / sessions
	t.Logf("%.1f bytes a session", each)
	if each > most {
		t.Errorf("a session costs %.1f bytes, more than %d", each, most)
	}

	for {
		_, more, err := store.Expire(t.Context(), memoryEpoch.Add(20*24*time.Hour), 10_000)
		memoryMust(t, err)
		if !more {
			break
		}
	}
	if c, err := store.Count(t.Context()); err != nil || c.Sessions != 0 {
		t.Fatalf("Count: %+v, error %v; want no sessions", c, err)
	}
	if left := int64(heap()) - int64(before); left > 2*sessions { // other tests run beside; a leak is a hundred times that
		t.Errorf("%d sessions that ended left %d bytes", sessions, left)
	}
	runtime.KeepAlive(store)
}

func TestMemoryKeepsEveryIDAddressAndTime(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ids := []sojourn.SessionID{
		"", "a", "0123456789012345678901", "AAAAAAAAAAAAAAAAAAAAAA", "-_-_-_-_-_-_-_-_-_-_-w",
		"AAAAAAAAAAAAAAAAAAAAAB",                  // drops bits
		"AAAAAAAAAA\nAAAAAAAAAAA",                 // decoders pass over a new line
		"AAAAAAAAAAAAAAAAAAAA==",                  // padded
		"AAAAAAAAAAAAAAAAAAAAA+",                  // of the other alphabet
		"AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAé", // longer, as long in bytes
		sojourn.SessionID(strings.Repeat("x", 1000)),
	}
	addrs := []string{
		"", "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "::ffff:192.0.2.1",
		"fe80::1%eth0", "fe80::1%1", "::1%" + strings.Repeat("z", 100),
	}
	times := []time.Time{
		{},
		time.Unix(0, 0), time.Unix(0, -1e6), memoryEpoch,
		time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		memoryEpoch.In(time.FixedZone("", 3600)),
	}
	for n := range max(len(ids), len(addrs), len(times)) {
		want := memorySession("ada", n)
		want.ID = ids[n%len(ids)]
		want.RemoteAddr, _ = netip.ParseAddr(addrs[n%len(addrs)])
		want.OpenedAt = times[n%len(times)]
		want.LastSeen = times[(n+1)%len(times)]
		want.ExpiresAt = times[(n+2)%len(times)]
		want.Deadline = times[(n+3)%len(times)]
		want.UserAgent = strings.Repeat("agent\x00\xff", n)
		_, err := store.CreateSession(t.Context(), want, 0)
		memoryMust(t, err)
		got, err := store.Session(t.Context(), want.Key)
		memoryMust(t, err)
		for _, p := range []struct{ got, want *time.Time }{
			{&got.OpenedAt, &want.OpenedAt},
			{&got.LastSeen, &want.LastSeen},
			{&got.ExpiresAt, &want.ExpiresAt},
			{&got.Deadline, &want.Deadline},
		} {
			if !p.got.Equal(*p.want) || p.got.IsZero() != p.want.IsZero() {
				t.Errorf("got time %v, want %v", *p.got, *p.want)
			}
			*p.got, *p.want = time.Time{}, time.Time{}
		}
		if got != want {
			t.Errorf("got\n\t%+q\nwant\n\t%+q", got, want)
		}
	}
}

func TestMemoryKeepsNothingOfTheCallers(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	key := sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSite}, Name: "motd"}
	data := []byte("hello")
	_, err := store.SetValue(t.Context(), key, sojourn.Write{Data: data})
	memoryMust(t, err)
	copy(data, "xxxxx")
	for range 2 {
		v, err := store.Value(t.Context(), key)
		memoryMust(t, err)
		if string(v.Data) != "hello" {
			t.Fatalf("the value is %q, changed through a slice that was given or returned", v.Data)
		}
		copy(v.Data, "yyyyy")
	}
}

// Sites make keys that carry the user's shard; the store must not rely on it.
func TestMemorySessionOutsideItsUsersShard(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ctx := t.Context()
	var all []sojourn.StoredSession
	for n := range 600 {
		s := memorySession("ada", n)
		s.Key[0], s.Key[1] = byte(n), byte(n>>8)
		all = append(all, s)
		_, err := store.CreateSession(ctx, s, 0)
		memoryMust(t, err)
		owner := sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}
		for _, o := range []sojourn.Owner{owner, {Kind: sojourn.OwnerUser, User: "ada"}, {Kind: sojourn.OwnerSite}} {
			_, err = store.SetValue(ctx, sojourn.ValueKey{Owner: o, Name: "cart"},
				sojourn.Write{Data: []byte("1"), Version: sojourn.AnyVersion, Session: s.Key})
			memoryMust(t, err)
		}
		memoryMust(t, store.Touch(ctx, []sojourn.Touch{{Owner: owner, LastSeen: s.LastSeen.Add(time.Hour)}}))
	}
	for n, s := range all[:500] {
		got, err := store.Session(ctx, s.Key)
		if err != nil || !got.LastSeen.Equal(s.LastSeen.Add(time.Hour)) {
			t.Fatalf("session %d: %+v, error %v", n, got, err)
		}
		ended, left, err := store.EndSession(ctx, s.Key, sojourn.EndRevoked)
		if err != nil || len(ended) != 1 || left != len(all)-1-n {
			t.Fatalf("the end of session %d: %d ended, %d left, error %v", n, len(ended), left, err)
		}
		if _, err := store.Session(ctx, s.Key); !errors.Is(err, sojourn.ErrNotFound) {
			t.Fatalf("session %d after its end: error %v, want ErrNotFound", n, err)
		}
	}
	extra := memorySession("ada", 1000)
	extra.Key[0]++
	evicted, err := store.CreateSession(ctx, extra, 51)
	if err != nil || len(evicted) != 50 {
		t.Fatalf("%d evicted, error %v; want 50", len(evicted), err)
	}
	ended, err := store.EndUser(ctx, "ada", sojourn.EndDisconnectAll, extra.Key)
	if err != nil || len(ended) != 50 {
		t.Fatalf("EndUser ended %d, error %v; want 50", len(ended), err)
	}
	if c, err := store.Count(ctx); err != nil || c != (sojourn.Counts{Sessions: 1, Values: 2}) {
		t.Fatalf("Count: %+v, error %v; want the last session, the user's value and the site's", c, err)
	}
}

func TestMemorySessionIsNotReplaced(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	s := memorySession("ada", 1)
	_, err := store.CreateSession(t.Context(), s, 0)
	memoryMust(t, err)
	for _, user := range []sojourn.UserID{"ada", "bob"} {
		again := s
		again.User = user
		if _, err := store.CreateSession(t.Context(), again, 1); err == nil {
			t.Errorf("a second session of one key was made, for %s", user)
		}
	}
	if got, err := store.Session(t.Context(), s.Key); err != nil || got.User != "ada" {
		t.Errorf("the session is %+v, error %v", got, err)
	}
}

// Tables grow and shrink under this many keys; a session lost on the way, or
// one of a user's, fails.
func TestMemoryFindsEverySessionWhileItGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	ctx := t.Context()
	const users, each = 300, 20
	user := func(u int) sojourn.UserID { return sojourn.UserID(fmt.Sprint("user-", u)) }
	left := map[int]int{}
	check := func() {
		t.Helper()
		for u := range users {
			list, err := store.Sessions(ctx, user(u))
			memoryMust(t, err)
			if len(list) != left[u] {
				t.Fatalf("user %d has %d sessions, want %d", u, len(list), left[u])
			}
			if !slices.IsSortedFunc(list, func(a, b sojourn.StoredSession) int { return b.OpenedAt.Compare(a.OpenedAt) }) {
				t.Fatalf("user %d's sessions are not in order", u)
			}
			for _, s := range list {
				if got, err := store.Session(ctx, s.Key); err != nil || got != s {
					t.Fatalf("got %+v, error %v; want %+v", got, err, s)
				}
			}
		}
	}
	for n := range each {
		for u := range users {
			_, err := store.CreateSession(ctx, memorySession(user(u), n), 0)
			memoryMust(t, err)
			left[u]++
		}
		if n%5 == 0 {
			check()
		}
	}
	check()
	for n := range each {
		for u := range users {
			ended, _, err := store.EndSession(ctx, memoryKey(user(u), (n*7+u)%each), sojourn.EndRevoked)
			if err != nil || len(ended) != 1 {
				t.Fatalf("%d ended, error %v", len(ended), err)
			}
			left[u]--
		}
		if n%5 == 0 {
			check()
		}
	}
	check()
}

// Two sessions opened in one millisecond are as many as their order.
func TestMemoryLastCreatedComesFirstAmongThoseOpenedAtOnce(t *testing.T) {
	t.Parallel()
	store := sojourn.NewMemoryStore()
	for n := range 40 {
		s := memorySession("ada", n)
		s.OpenedAt, s.LastSeen = memoryEpoch, memoryEpoch
		_, err := store.CreateSession(t.Context(), s, 0)
		memoryMust(t, err)
		_, err = store.CreateSession(t.Context(), memorySession(sojourn.UserID(fmt.Sprint("bob", n)), n), 0)
		memoryMust(t, err)
	}
	list, err := store.Sessions(t.Context(), "ada")
	memoryMust(t, err)
	for i, s := range list {
		if s.Key != memoryKey("ada", 39-i) {
			t.Fatalf("the session at %d is not the one that was opened %d before the last", i, i)
		}
	}
	evicted, err := store.CreateSession(t.Context(), memorySession("ada", 40), 39)
	if err != nil || len(evicted) != 2 || evicted[0].Key != memoryKey("ada", 0) || evicted[1].Key != memoryKey("ada", 1) {
		t.Errorf("evicted %+v, error %v; want the two opened first", evicted, err)
	}
}
