//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
)

// short is the timeout of stores that wait in vain for it. Before, on machines
// that have much else to do, they have to be opened within it.
const short = 3 * time.Second

func TestEverythingResumesWhenTheEngineIsBack(t *testing.T) {
	t.Parallel()
	server := testserver.NewPostgres(t, "fsync=off")
	a, b := open(t, server.URL()), open(t, server.URL(), postgres.MaxStaleness(time.Minute))
	_, returned := changesOf(t, b, a)
	s := newSession("ada", 0)
	if _, err := a.CreateSession(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	must(t, server.Stop())
	if err := <-returned; !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Changes returned %v, want %v", err, sojourn.ErrUnavailable)
	}
	if d := b.Fresh(); d != 0 {
		t.Errorf("Fresh is %v without notifications", d)
	}
	for _, store := range []*postgres.Store{a, b} {
		if _, err := store.Session(t.Context(), s.Key); !errors.Is(err, sojourn.ErrUnavailable) || errors.Is(err, sojourn.ErrNotFound) {
			t.Errorf("Session: %v, want %v", err, sojourn.ErrUnavailable)
		}
		if _, _, err := store.EndSession(t.Context(), s.Key, sojourn.EndRevoked); !errors.Is(err, sojourn.ErrUnavailable) {
			t.Errorf("EndSession: %v, want %v", err, sojourn.ErrUnavailable)
		}
		if err := store.Changes(t.Context(), func(sojourn.Change) {}); !errors.Is(err, sojourn.ErrUnavailable) {
			t.Errorf("Changes: %v, want %v", err, sojourn.ErrUnavailable)
		}
	}
	must(t, server.Start())
	if got, err := a.Session(t.Context(), s.Key); err != nil || got.User != s.User {
		t.Errorf("Session: %+v, %v", got, err)
	}
	if ended, _, err := b.EndSession(t.Context(), s.Key, sojourn.EndRevoked); err != nil || len(ended) != 1 {
		t.Errorf("EndSession: %+v, %v", ended, err)
	}
	changesOf(t, b, a)
}

// Connections that lie idle while the engine restarts are dead and not used:
// not even a write, which is not sent twice, fails for them.
func TestRestartWhileIdleFailsNothing(t *testing.T) {
	t.Parallel()
	server := testserver.NewPostgres(t, "fsync=off")
	store := open(t, server.URL(), postgres.MaxConns(4))
	inParallel(t, 8, func(i int) error { // so that there are several connections
		_, err := store.CreateSession(t.Context(), newSession("ada", i), 0)
		return err
	})
	must(t, server.Stop())
	must(t, server.Start())
	for i := range 8 {
		if _, err := store.CreateSession(t.Context(), newSession("ada", i), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasAnsweredSurvivesACrash(t *testing.T) {
	t.Parallel()
	server := testserver.NewPostgres(t)
	// Whatever the database's default, an answer means that it is on disk.
	query(t, server.URL(), `alter database postgres set synchronous_commit = off`)
	store := open(t, server.URL())
	for round := range 5 {
		kept, ended := newSession("ada", round), newSession("bob", round)
		for _, s := range []sojourn.StoredSession{kept, ended} {
			if _, err := store.CreateSession(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
		}
		if all, err := store.EndUser(t.Context(), "bob", sojourn.EndDisconnectAll); err != nil || len(all) != 1 {
			t.Fatalf("EndUser: %+v, %v", all, err)
		}
		must(t, server.Kill())
		must(t, server.Start())
		if _, err := store.Session(t.Context(), ended.Key); !errors.Is(err, sojourn.ErrNotFound) {
			t.Errorf("round %d: the session that was ended: %v, want %v", round, err, sojourn.ErrNotFound)
		}
		if _, err := store.Session(t.Context(), kept.Key); err != nil {
			t.Errorf("round %d: the session that was created: %v", round, err)
		}
	}
}

// The network swallows everything and says nothing.
func TestHalfOpenConnectionsAreNoticedInTime(t *testing.T) {
	t.Parallel()
	const staleness = 2 * time.Second
	direct := testserver.Postgres(t)
	proxy := testserver.NewProxy(t, hostOf(t, direct), nil)
	a := open(t, direct)
	b := open(t, through(t, direct, proxy), postgres.MaxStaleness(staleness), postgres.Timeout(short))
	heard, returned := changesOf(t, b, a)
	s := newSession("ada", 0)
	if _, err := a.CreateSession(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	await(t, "the store to be certain", func() bool { return b.Fresh() == staleness })

	proxy.Hold()
	held := time.Now()
	if _, err := a.EndUser(t.Context(), "ada", sojourn.EndDisconnectAll); err != nil {
		t.Fatal(err)
	}
	for {
		now, fresh := time.Since(held), b.Fresh()
		if fresh == 0 {
			break
		}
		if now > staleness/2 {
			t.Fatalf("%v after nothing came through any more Fresh is %v", now, fresh)
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := b.Session(t.Context(), s.Key); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Session: %v, want %v", err, sojourn.ErrUnavailable)
	}
	if err := <-returned; !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Changes returned %v, want %v", err, sojourn.ErrUnavailable)
	}
	select {
	case c := <-heard:
		t.Errorf("a change came through: %+v", c)
	default:
	}

	proxy.Release()
	proxy.Cut()
	changesOf(t, b, a)
	await(t, "the store to be certain again", func() bool { return b.Fresh() == staleness })
	if _, err := b.Session(t.Context(), s.Key); !errors.Is(err, sojourn.ErrNotFound) {
		t.Errorf("Session: %v, want %v", err, sojourn.ErrNotFound)
	}
}

// Calls whose context never ends, such as those of ends that go on without
// their client, fail when the timeout is over.
func TestNoCallWaitsForeverForAnEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	direct := testserver.Postgres(t)
	proxy := testserver.NewProxy(t, hostOf(t, direct), nil)
	const conns = 4 // less than there are calls: some wait for a connection
	store := open(t, through(t, direct, proxy), postgres.Timeout(short), postgres.MaxConns(conns))
	s := newSession("ada", 0)
	_, err := store.CreateSession(t.Context(), s, 0)
	must(t, err)
	session := sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}
	value := sojourn.ValueKey{Owner: session, Name: "cart"}
	proxy.Hold()
	ctx := context.Background()
	calls := map[string]func() error{
		"CreateSession": func() error { _, err := store.CreateSession(ctx, newSession("ada", 1), 1); return err },
		"Session":       func() error { _, err := store.Session(ctx, s.Key); return err },
		"Sessions":      func() error { _, err := store.Sessions(ctx, "ada"); return err },
		"EndSession":    func() error { _, _, err := store.EndSession(ctx, s.Key, sojourn.EndRevoked); return err },
		"EndUser":       func() error { _, err := store.EndUser(ctx, "ada", sojourn.EndRevoked); return err },
		"CreateBrowser": func() error { _, err := store.CreateBrowser(ctx, sojourn.StoredBrowser{Key: s.Key}, 1); return err },
		"Browser":       func() error { _, err := store.Browser(ctx, s.Key); return err },
		"EndBrowsers":   func() error { return store.EndBrowsers(ctx, s.Key) },
		"Value":         func() error { _, err := store.Value(ctx, value); return err },
		"SetValue":      func() error { _, err := store.SetValue(ctx, value, sojourn.Write{Data: []byte("1")}); return err },
		"DropValues":    func() error { return store.DropValues(ctx, session, "", sojourn.Key{}) },
		"Tabs":          func() error { _, err := store.Tabs(ctx, session); return err },
		"Touch":         func() error { return store.Touch(ctx, []sojourn.Touch{{Owner: session, LastSeen: epoch}}) },
		"Expire":        func() error { _, _, err := store.Expire(ctx, epoch, 10); return err },
		"Count":         func() error { _, err := store.Count(ctx); return err },
		"Publish":       func() error { return store.Publish(ctx, []byte("hello")) },
		"Changes":       func() error { return store.Changes(ctx, func(sojourn.Change) {}) },
	}
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(calls))
	for name, call := range calls {
		go func() { results <- result{name, call()} }()
	}
	late := time.After(patience)
	for range len(calls) {
		select {
		case r := <-results:
			delete(calls, r.name)
			if !errors.Is(r.err, sojourn.ErrUnavailable) {
				t.Errorf("%s: %v, want %v", r.name, r.err, sojourn.ErrUnavailable)
			}
		case <-late:
			proxy.Cut()
			t.Fatalf("%d calls wait for ever: %v", len(calls), slices.Sorted(maps.Keys(calls)))
		}
	}
	began := time.Now()
	must(t, store.Close())
	if took := time.Since(began); took > 5*2*short { // on a slow machine
		t.Errorf("Close took %v", took)
	}
}

// The engine takes the connection and is never heard of again. Nobody waits for
// that connection any more, and it does not stand for one of MaxConns.
func TestConnectionThatFallsSilentWhileItIsSetUpIsGivenUp(t *testing.T) {
	t.Parallel()
	direct := testserver.Postgres(t)
	var silent atomic.Bool
	over := make(chan struct{})
	proxy := testserver.NewProxy(t, hostOf(t, direct), func(_ net.Conn, p []byte) {
		if bytes.Contains(p, []byte("set_config")) && silent.Load() {
			<-over
		}
	})
	t.Cleanup(func() { close(over) })
	store := open(t, through(t, direct, proxy), postgres.Timeout(short), postgres.MaxConns(1))
	silent.Store(true)
	proxy.Cut()
	if _, err := store.Session(t.Context(), newSession("ada", 0).Key); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Session: %v, want %v", err, sojourn.ErrUnavailable)
	}
	silent.Store(false)
	await(t, "another connection", func() bool {
		_, err := store.Session(t.Context(), newSession("ada", 0).Key)
		return errors.Is(err, sojourn.ErrNotFound)
	})
}

// A read that was not answered had no effect; of a write nobody knows.
func TestWriteWithoutAnswerIsNotSaidToHaveHadNoEffect(t *testing.T) {
	t.Parallel()
	direct := testserver.Postgres(t)
	proxy := testserver.NewProxy(t, hostOf(t, direct), nil)
	store := open(t, through(t, direct, proxy), postgres.Timeout(short))
	s := newSession("ada", 0)
	_, err := store.CreateSession(t.Context(), s, 0)
	must(t, err)
	proxy.Hold()
	whenSent(t, proxy, func(ctx context.Context) {
		_, err := store.CreateSession(ctx, newSession("ada", 1), 0)
		if !errors.Is(err, sojourn.ErrUnavailable) || errors.Is(err, context.Canceled) {
			t.Errorf("CreateSession: %v, want %v", err, sojourn.ErrUnavailable)
		}
	}, func() {})
	proxy.Release()
	await(t, "an answer", func() bool {
		_, err = store.Session(t.Context(), s.Key)
		return err == nil
	})
	proxy.Hold()
	whenSent(t, proxy, func(ctx context.Context) {
		if _, err := store.Session(ctx, s.Key); !errors.Is(err, context.Canceled) {
			t.Errorf("Session: %v, want %v", err, context.Canceled)
		}
	}, func() {})
}

// whenSent calls f, and when what it sends is held back its caller goes away,
// and then something happens.
func whenSent(t *testing.T, p *testserver.Proxy, f func(ctx context.Context), then func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		f(ctx)
	}()
	await(t, "something to be sent", p.HoldsBack)
	cancel()
	then()
	<-over
}

func TestWriteIsReportedAsDoneAlsoWhenItsCallerHasGone(t *testing.T) {
	t.Parallel()
	direct := testserver.Postgres(t)
	proxy := testserver.NewProxy(t, hostOf(t, direct), nil)
	store := open(t, through(t, direct, proxy), postgres.MaxConns(1))
	_, err := store.CreateSession(t.Context(), newSession("ada", 0), 0)
	must(t, err)
	proxy.Hold()
	s := newSession("ada", 1)
	whenSent(t, proxy, func(ctx context.Context) {
		if _, err := store.CreateSession(ctx, s, 0); err != nil {
			t.Errorf("CreateSession: %v", err)
		}
	}, func() { time.AfterFunc(500*time.Millisecond, proxy.Release) })
	if _, err := store.Session(t.Context(), s.Key); err != nil {
		t.Errorf("Session: %v", err)
	}
}

func TestStoreIsNotFreshUnlessAskedTo(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	strict, stale := open(t, url), open(t, url, postgres.MaxStaleness(time.Minute))
	if d := stale.Fresh(); d != 0 {
		t.Errorf("Fresh is %v before Changes is called", d)
	}
	changesOf(t, strict, stale)
	if d := strict.Fresh(); d != 0 {
		t.Errorf("Fresh is %v without MaxStaleness", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- stale.Changes(ctx, func(sojourn.Change) {}) }()
	await(t, "the store to be certain", func() bool { return stale.Fresh() == time.Minute })
	cancel()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Errorf("Changes returned %v, want %v", err, context.Canceled)
	}
	if d := stale.Fresh(); d != 0 {
		t.Errorf("Fresh is %v after Changes returned", d)
	}
}

func TestCloseEndsChanges(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	a, b := open(t, url), open(t, url, postgres.MaxStaleness(time.Minute))
	_, returned := changesOf(t, b, a)
	must(t, b.Close())
	if err := <-returned; err == nil {
		t.Error("Changes returned no error")
	}
	if d := b.Fresh(); d != 0 {
		t.Errorf("Fresh is %v after Close", d)
	}
}

func TestOperationsAreOneRoundTrip(t *testing.T) {
	t.Parallel()
	direct := testserver.Postgres(t)
	count := syncs{}
	proxy := testserver.NewProxy(t, hostOf(t, direct), count.sent)
	store := open(t, through(t, direct, proxy), postgres.MaxConns(1))
	ctx := t.Context()
	b := sojourn.StoredBrowser{Key: newKey("ada"), LastSeen: epoch, Deadline: epoch.Add(time.Hour)}
	created := func(limit int) sojourn.StoredSession {
		s := newSession("ada", 0)
		if _, err := store.CreateSession(ctx, s, limit); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := created(0)
	key := sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}, Tab: "tab", Name: "a"}
	for _, op := range []struct {
		name string
		run  func() error
	}{
		{"Session", func() error { _, err := store.Session(ctx, s.Key); return err }},
		{"Sessions", func() error { _, err := store.Sessions(ctx, "ada"); return err }},
		{"SetValue", func() error {
			_, err := store.SetValue(ctx, key, sojourn.Write{Data: []byte("1"), Version: sojourn.AnyVersion, Session: s.Key})
			return err
		}},
		{"Value", func() error { _, err := store.Value(ctx, key); return err }},
		{"Tabs", func() error { _, err := store.Tabs(ctx, key.Owner); return err }},
		{"DropValues", func() error { return store.DropValues(ctx, key.Owner, "tab", s.Key) }},
		{"Touch", func() error {
			return store.Touch(ctx, []sojourn.Touch{{Owner: key.Owner, LastSeen: epoch}, {Owner: key.Owner, Tab: "tab"}, {Owner: sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key}}})
		}},
		{"CreateSession with an eviction", func() error { created(1); return nil }},
		{"EndSession", func() error { _, _, err := store.EndSession(ctx, s.Key, sojourn.EndRevoked); return err }},
		{"EndUser", func() error {
			created(0)
			created(0)
			_, err := store.EndUser(ctx, "ada", sojourn.EndRevoked)
			return err
		}},
		{"CreateBrowser", func() error { _, err := store.CreateBrowser(ctx, b, 1); return err }},
		{"Browser", func() error { _, err := store.Browser(ctx, b.Key); return err }},
		{"EndBrowsers", func() error { return store.EndBrowsers(ctx, b.Key, newKey("bob")) }},
		{"Publish", func() error { return store.Publish(ctx, []byte("hello")) }},
	} {
		want := 1
		if op.name == "EndUser" {
			want = 3
		}
		must(t, op.run()) // the first time its statement is prepared
		before := count.total()
		must(t, op.run())
		if n := count.total() - before; n != want {
			t.Errorf("%s: %d round trips, want %d", op.name, n, want)
		}
	}
}

// syncs counts the messages after which a client waits for an answer: Sync and
// Query.
type syncs struct {
	mu    sync.Mutex
	n     int
	conns map[net.Conn]*[]byte
}

func (s *syncs) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *syncs) sent(c net.Conn, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[net.Conn]*[]byte)
	}
	rest := s.conns[c]
	header := 1
	if rest == nil {
		rest = new([]byte)
		s.conns[c] = rest
		header = 0 // the first message has no type
	}
	*rest = append(*rest, p...)
	for len(*rest) >= header+4 {
		size := header + int(binary.BigEndian.Uint32((*rest)[header:]))
		if len(*rest) < size {
			return
		}
		if kind := (*rest)[0]; header == 1 && (kind == 'S' || kind == 'Q') {
			s.n++
		}
		*rest = (*rest)[size:]
		header = 1
	}
}
