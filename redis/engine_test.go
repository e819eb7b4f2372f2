package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
)

func TestAnEndedSessionStaysEndedWhenTheEngineRestarts(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, "--appendonly", "yes")
	s := open(t, server.URL(), redis.Timeout(3*time.Second))
	kept, gone := newSession("ada"), newSession("ada")
	create(t, s, kept, gone)
	cart := cartOf(kept)
	first := set(t, s, cart, "1")
	if _, _, err := s.EndSession(t.Context(), gone.Key, sojourn.EndRevoked); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := s.Session(t.Context(), kept.Key); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("without the engine: %v, want %v", err, sojourn.ErrUnavailable)
	}
	server.Start()
	awaitAnswer(t, s)
	if _, err := s.Session(t.Context(), gone.Key); !errors.Is(err, sojourn.ErrNotFound) {
		t.Errorf("the session that ended: %v", err)
	}
	if _, err := s.Session(t.Context(), kept.Key); err != nil {
		t.Errorf("the session that did not end: %v", err)
	}
	if second := set(t, s, cart, "2"); second <= first {
		t.Errorf("version %d after %d", second, first)
	}
}

func TestWhatWasAnsweredSurvivesTheEnginesDeath(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := open(t, server.URL())
	for range 3 {
		kept, gone := newSession("ada"), newSession("ada")
		create(t, s, kept, gone)
		if _, err := s.EndUser(t.Context(), "ada", sojourn.EndDisconnectAll, kept.Key); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		server.Start()
		awaitAnswer(t, s)
		if _, err := s.Session(t.Context(), gone.Key); !errors.Is(err, sojourn.ErrNotFound) {
			t.Errorf("the session whose end was answered: %v", err)
		}
		if _, err := s.Session(t.Context(), kept.Key); err != nil {
			t.Errorf("the session whose creation was answered: %v", err)
		}
	}
}

func TestWithoutTheEngineEverythingIsUnavailableAndResumesByItself(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	for _, away := range []struct {
		name     string
		goes     func(p *proxy)
		comeBack func(p *proxy)
	}{
		{
			"cut", func(p *proxy) { p.set(func() { p.refuses = true }); p.cut() },
			func(p *proxy) { p.set(func() { p.refuses = false }) },
		},
		{
			"half-open", func(p *proxy) { p.set(func() { p.frozen = true }) },
			func(p *proxy) { p.set(func() { p.frozen = false }) },
		},
	} {
		t.Run(away.name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, server.Addr())
			s := open(t, p.url(), redis.Timeout(time.Second))
			n := newSession("ada")
			awaitAnswer(t, s)
			for {
				if _, err := s.CreateSession(t.Context(), n, 0); err == nil {
					break
				}
				n = newSession("ada")
			}
			away.goes(p)
			for name, call := range calls(s, n) {
				if err := call(t.Context()); !errors.Is(err, sojourn.ErrUnavailable) {
					t.Errorf("%s: %v, want %v", name, err, sojourn.ErrUnavailable)
				}
			}
			away.comeBack(p)
			awaitAnswer(t, s)
			await(t, "the session", func() bool {
				_, err := s.Session(t.Context(), n.Key)
				return err == nil
			})
		})
	}
}

// calls are calls of all methods that ask the engine.
func calls(s *redis.Store, n sojourn.StoredSession) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"CreateSession": func(ctx context.Context) error {
			_, err := s.CreateSession(ctx, newSession("bob"), 1)
			return err
		},
		"Session":  func(ctx context.Context) error { _, err := s.Session(ctx, n.Key); return err },
		"Sessions": func(ctx context.Context) error { _, err := s.Sessions(ctx, n.User); return err },
		"EndSession": func(ctx context.Context) error {
			_, _, err := s.EndSession(ctx, newSession("bob").Key, sojourn.EndRevoked)
			return err
		},
		"EndUser": func(ctx context.Context) error {
			_, err := s.EndUser(ctx, "bob", sojourn.EndRevoked)
			return err
		},
		"CreateBrowser": func(ctx context.Context) error {
			_, err := s.CreateBrowser(ctx, sojourn.StoredBrowser{Key: newSession("bob").Key}, 1)
			return err
		},
		"Browser":     func(ctx context.Context) error { _, err := s.Browser(ctx, n.Key); return err },
		"EndBrowsers": func(ctx context.Context) error { return s.EndBrowsers(ctx, n.Key) },
		"Value":       func(ctx context.Context) error { _, err := s.Value(ctx, cartOf(n)); return err },
		"SetValue": func(ctx context.Context) error {
			_, err := s.SetValue(ctx, cartOf(n), sojourn.Write{Data: []byte("1")})
			return err
		},
		"DropValues": func(ctx context.Context) error { return s.DropValues(ctx, cartOf(n).Owner, "", sojourn.Key{}) },
		"Tabs":       func(ctx context.Context) error { _, err := s.Tabs(ctx, cartOf(n).Owner); return err },
		"Touch": func(ctx context.Context) error {
			return s.Touch(ctx, []sojourn.Touch{{Owner: cartOf(n).Owner, LastSeen: time.Now()}})
		},
		"Expire":  func(ctx context.Context) error { _, _, err := s.Expire(ctx, time.Unix(0, 0), 10); return err },
		"Count":   func(ctx context.Context) error { _, err := s.Count(ctx); return err },
		"Publish": func(ctx context.Context) error { return s.Publish(ctx, []byte("hello")) },
		"Changes": func(ctx context.Context) error { return s.Changes(ctx, func(sojourn.Change) {}) },
	}
}

func TestAWriteWithoutAnswerIsNotSentTwice(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	p := newProxy(t, server.Addr())
	here, there := openPrefix(t, p.url(), "site"), openPrefix(t, server.URL(), "site")
	h := hear(t, there)
	if err := here.Publish(t.Context(), []byte("before")); err != nil { // now the engine knows the script
		t.Fatal(err)
	}
	for range 100 { // now all its connections are open
		here.Session(t.Context(), newSession("ada").Key)
	}
	p.set(func() { p.silent = true })
	returned := make(chan error)
	go func() { returned <- here.Publish(t.Context(), []byte("first")) }()
	await(t, "the message", func() bool { return len(h.all()) == 3 })
	p.cut()
	p.set(func() { p.silent = false })
	if err := <-returned; !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("without an answer: %v, want %v", err, sojourn.ErrUnavailable)
	}
	awaitAnswer(t, here)
	if err := there.Publish(t.Context(), []byte("not heard")); err != nil {
		t.Fatal(err)
	}
	if err := here.Publish(t.Context(), []byte("last")); err != nil {
		t.Fatal(err)
	}
	await(t, "the last message", func() bool { return string(h.all()[len(h.all())-1].Message) == "last" })
	if c := h.all(); len(c) != 4 {
		t.Errorf("heard %+v", c)
	}
}

func TestAFullEngineGoesOnWithTheSessionsThereAre(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := open(t, server.URL())
	other, n := newSession("ada"), newSession("ada")
	create(t, s, other, n)
	set(t, s, cartOf(n), "1")
	b := sojourn.StoredBrowser{Key: n.Key, LastSeen: n.LastSeen, Deadline: n.Deadline}
	if _, err := s.CreateBrowser(t.Context(), b, 10); err != nil {
		t.Fatal(err)
	}
	limit := func(memory string) {
		if _, err := server.Command("CONFIG", "SET", "maxmemory", memory); err != nil {
			t.Fatal(err)
		}
	}
	limit("100kb")
	if _, err := s.SetValue(t.Context(), cartOf(n), sojourn.Write{Version: sojourn.AnyVersion, Data: []byte("2")}); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("a write to a full engine: %v, want %v", err, sojourn.ErrUnavailable)
	}
	if _, err := s.CreateSession(t.Context(), newSession("bob"), 0); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("a creation in a full engine: %v, want %v", err, sojourn.ErrUnavailable)
	}
	n.LastSeen, n.Deadline = n.LastSeen.Add(time.Hour), n.Deadline.Add(time.Hour)
	browser := sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key}
	if err := s.Touch(t.Context(), []sojourn.Touch{
		{Owner: cartOf(n).Owner, LastSeen: n.LastSeen, Deadline: n.Deadline},
		{Owner: browser, LastSeen: n.LastSeen, Deadline: n.Deadline},
	}); err != nil {
		t.Errorf("Touch: %v", err)
	}
	if used, err := s.Session(t.Context(), n.Key); err != nil || !used.Deadline.Equal(n.Deadline) {
		t.Errorf("after it was used the session is %+v, %v", used, err)
	}
	if err := s.Publish(t.Context(), []byte("hello")); err != nil {
		t.Errorf("Publish: %v", err)
	}
	if ended, left, err := s.EndSession(t.Context(), other.Key, sojourn.EndRevoked); err != nil || len(ended) != 1 || left != 1 {
		t.Errorf("EndSession returned %v, %d, %v", ended, left, err)
	}
	if ended, err := s.EndUser(t.Context(), "ada", sojourn.EndRevoked); err != nil || len(ended) != 1 {
		t.Errorf("EndUser returned %v, %v", ended, err)
	}
	if err := s.EndBrowsers(t.Context(), b.Key); err != nil {
		t.Errorf("EndBrowsers: %v", err)
	}
	limit("0")
	create(t, s, newSession("bob"))
	if n, err := s.Count(t.Context()); err != nil || n != (sojourn.Counts{Sessions: 1}) {
		t.Errorf("Count returned %+v, %v", n, err)
	}
}

func TestAFullEngineGoesOnExpiring(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := open(t, server.URL())
	// Many sessions were used since their deadlines were noted: there is
	// nothing to end in their lists, and only one session has expired.
	var used []sojourn.Touch
	now := time.Now()
	for range 200 {
		n := newSession(sojourn.UserID(rand.Text()))
		n.Deadline = now.Add(time.Minute)
		create(t, s, n)
		used = append(used, sojourn.Touch{Owner: cartOf(n).Owner, LastSeen: now, Deadline: now.Add(time.Hour)})
	}
	if err := s.Touch(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	gone := newSession("ada")
	gone.Deadline = now.Add(2 * time.Minute)
	create(t, s, gone)
	if _, err := server.Command("CONFIG", "SET", "maxmemory", "100kb"); err != nil {
		t.Fatal(err)
	}
	ended, more, err := s.Expire(t.Context(), now.Add(2*time.Minute), 10)
	if err != nil || more || len(ended) != 1 || ended[0].Key != gone.Key {
		t.Errorf("Expire of a full engine returned %v, %t, %v", ended, more, err)
	}
}

func TestWhatNobodySweepsTheEngineFrees(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := openPrefix(t, server.URL(), "site")
	n := newSession("ada")
	b := sojourn.StoredBrowser{Key: n.Key, LastSeen: n.LastSeen, Deadline: n.Deadline}
	create(t, s, n)
	if _, err := s.CreateBrowser(t.Context(), b, 10); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []sojourn.Owner{{Kind: sojourn.OwnerSession, Key: n.Key}, {Kind: sojourn.OwnerBrowser, Key: n.Key}} {
		set(t, s, sojourn.ValueKey{Owner: owner, Name: "cart"}, "1")
		set(t, s, sojourn.ValueKey{Owner: owner, Tab: "tab", Name: "cart"}, "1")
	}
	later := n.Deadline.Add(time.Hour)
	if err := s.Touch(t.Context(), []sojourn.Touch{
		{Owner: cartOf(n).Owner, LastSeen: n.LastSeen, Deadline: later},
		{Owner: sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: b.Key}, LastSeen: n.LastSeen.Add(time.Second), Deadline: later},
	}); err != nil {
		t.Fatal(err)
	}
	c := client(t, server.URL())
	kinds := map[string]int{}
	for _, key := range keys(t, c, "*") {
		_, kind, _ := strings.Cut(key, "}")
		at, err := c.Do(t.Context(), c.B().Pexpiretime().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		kinds[kind[:1]]++
		switch kind[:1] {
		case "c", "q": // as large as ever
		case "d", "e": // tabs have deadlines of their own
			if at < 0 {
				t.Errorf("%q is kept for ever", key)
			}
		default:
			if at < later.UnixMilli() {
				t.Errorf("%q is freed at %v, its deadline is %v", key, time.UnixMilli(at), later)
			}
		}
	}
	if len(kinds) < 8 {
		t.Errorf("not all was looked at: %v", kinds)
	}
}

func TestWhatTheEngineHasFreedIsForgotten(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := openPrefix(t, server.URL(), "site")
	a, b, d := newSession("ada"), newSession("ada"), newSession("bob")
	create(t, s, a, b, d)
	c := client(t, server.URL())
	for _, n := range []sojourn.StoredSession{a, d} {
		for _, key := range keys(t, c, "*") {
			if strings.HasSuffix(key, "s"+string(n.Key[:])) {
				c.Do(t.Context(), c.B().Del().Key(key).Build())
			}
		}
	}
	if list, err := s.Sessions(t.Context(), "ada"); err != nil || len(list) != 1 {
		t.Errorf("Sessions returned %v, %v", list, err)
	}
	if evicted, err := s.CreateSession(t.Context(), newSession("ada"), 2); err != nil || len(evicted) != 0 {
		t.Errorf("with two of two sessions, CreateSession evicted %v, %v", evicted, err)
	}
	if ended, err := s.EndUser(t.Context(), "ada", sojourn.EndRevoked); err != nil || len(ended) != 2 {
		t.Errorf("EndUser returned %v, %v", ended, err)
	}
	if ended, more, err := s.Expire(t.Context(), d.Deadline, 10); err != nil || len(ended) != 0 || more {
		t.Errorf("Expire returned %v, %t, %v", ended, more, err)
	}
	if n, err := s.Count(t.Context()); err != nil || n != (sojourn.Counts{}) {
		t.Errorf("Count returned %+v, %v", n, err)
	}
}

func TestARequestCostsOneCommand(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := open(t, server.URL())
	n := newSession("ada")
	create(t, s, n)
	set(t, s, cartOf(n), "1")
	if _, err := server.Command("CONFIG", "RESETSTAT"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := s.Session(t.Context(), n.Key); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Value(t.Context(), cartOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := server.Command("INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stats) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
		switch {
		case name == "get" || name == "hget":
			if !strings.HasPrefix(rest, "calls=10,") {
				t.Errorf("of 10 requests: %s", line)
			}
		case name == "ping" || name == "client" || name == "hello" || name == "config|resetstat" || strings.HasPrefix(name, "#") || name == "" || strings.HasPrefix(name, "client|"):
		default:
			t.Errorf("beside them: %s", line)
		}
	}
	if !strings.Contains(stats, "cmdstat_get:") || !strings.Contains(stats, "cmdstat_hget:") {
		t.Errorf("the statistics are %s", stats)
	}
}

func TestSitesWithDifferentPrefixesShareNothing(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t).URL()
	a, b := openPrefix(t, url, "a"), openPrefix(t, url, "b")
	n := newSession("ada")
	create(t, a, n)
	if _, err := b.Session(t.Context(), n.Key); !errors.Is(err, sojourn.ErrNotFound) {
		t.Errorf("another site's session: %v", err)
	}
	if n, err := b.Count(t.Context()); err != nil || n != (sojourn.Counts{}) {
		t.Errorf("another site's Count: %+v, %v", n, err)
	}
}

// awaitAnswer returns when the engine answers.
func awaitAnswer(t *testing.T, s *redis.Store) {
	t.Helper()
	await(t, "the engine's answer", func() bool {
		_, err := s.Count(t.Context())
		return err == nil
	})
}

// await returns when something is the case.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func newSession(user sojourn.UserID) sojourn.StoredSession {
	now := time.Now().Truncate(time.Millisecond)
	return sojourn.StoredSession{
		Key: keyOf(user), User: user, ID: "0123456789abcdefghijkl", OpenedAt: now, LastSeen: now, Deadline: now.Add(time.Hour),
	}
}

func create(t *testing.T, s *redis.Store, sessions ...sojourn.StoredSession) {
	t.Helper()
	for _, n := range sessions {
		if _, err := s.CreateSession(t.Context(), n, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func cartOf(n sojourn.StoredSession) sojourn.ValueKey {
	return sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSession, Key: n.Key}, Name: "cart"}
}

func set(t *testing.T, s *redis.Store, key sojourn.ValueKey, data string) (version int64) {
	t.Helper()
	w := sojourn.Write{Data: []byte(data), Version: sojourn.AnyVersion}
	if key.Tab != "" {
		w.Deadline = time.Now().Add(time.Hour)
	}
	version, err := s.SetValue(t.Context(), key, w)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// client is a bare one.
func client(t *testing.T, url string) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.MustParseURL(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func keys(t *testing.T, c rueidis.Client, pattern string) []string {
	t.Helper()
	found, err := c.Do(t.Context(), c.B().Keys().Pattern(pattern).Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	return found
}
