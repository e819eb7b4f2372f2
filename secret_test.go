package sojourn_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

// The invariant "The token is nowhere": stores, logs, errors, String and JSON
// hold a hash or the public SessionID only.

// spilled looks for secrets, in every form they can be written down in.
type spilled struct {
	testing.TB
	forms map[string]string // form -> what it is
}

func (s *spilled) add(what, token string) {
	s.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 34 {
		s.Fatalf("%s is not a token: %q", what, token)
	}
	if s.forms == nil {
		s.forms = make(map[string]string)
	}
	s.forms[token] = what
	// The first two bytes are no secret: they are the user's shard.
	secret := raw[2:]
	for how, form := range map[string]string{
		"raw":     string(secret),
		"hex":     hex.EncodeToString(secret),
		"HEX":     strings.ToUpper(hex.EncodeToString(secret)),
		"base64":  base64.StdEncoding.EncodeToString(raw),
		"numbers": strings.Trim(fmt.Sprint(secret), "[]"),
		"half":    token[len(token)/2:],
		"another": token[:len(token)/2],
	} {
		s.forms[form] = what + " as " + how
	}
}

func (s *spilled) in(where string, data []byte) {
	s.Helper()
	for form, what := range s.forms {
		if bytes.Contains(data, []byte(form)) {
			s.Errorf("%s holds %s", where, what)
		}
	}
}

// printed is everything that fmt and JSON make of a value.
func printed(v any) []byte {
	var all []byte
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all = fmt.Appendf(all, verb+"\n", v)
	}
	data, _ := json.Marshal(v)
	all = append(all, data...)
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("value", "v", v)
	}
	return append(all, log.Bytes()...)
}

// lockedBuffer is a log that many goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func TestTokenIsNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kind := storeKind{keep: func(t testing.TB) func() sojourn.Store {
		return func() sojourn.Store {
			store, err := sqlite.Open(filepath.Join(dir, "sojourn.db"))
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
	}}
	var log lockedBuffer
	var calls lockedBuffer // everything that the store was given
	f := new(faults)
	a := newApp(t, kind, withConfig(sojourn.Config{
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
		Timeouts: sojourn.Timeouts{Idle: day, Tab: hour},
	}), withWrap(func(s sojourn.Store) sojourn.Store {
		f.Store = noted{s, &calls}
		return f
	}))
	spill := &spilled{TB: t}
	b := a.browser()
	tab := b.NewTab()
	keep := func(what string, names ...string) {
		for _, name := range names {
			if c := b.Cookie(name); c != nil {
				spill.add(what+" "+name, c.Value)
			} else {
				t.Fatalf("%s: there is no cookie %s", what, name)
			}
		}
	}
	print := func(what string, v any) { spill.in(what, printed(v)) }

	a.set(tab, "session!", "x")
	a.set(tab, "tab!", "x")
	a.set(tab, "osession!", "x")
	keep("anonymous", sessionCookie, browserCookie, otherCookie)
	a.connect(tab, "anna")
	keep("connected", sessionCookie)
	var ids []string
	values := map[string]any{}
	for name, scope := range refScopes {
		if name == "request" {
			continue
		}
		for _, ref := range []string{name, name + "!"} {
			a.set(tab, ref, "x")
			values["the reference "+ref] = a.refs[ref]
		}
		a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
			st, err := a.site.CurrentState(ctx, scope)
			a.must(err)
			values["the state of "+name] = st
			values["a pointer to the state of "+name] = &st
			return nil
		})
	}
	a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
		print("the request's context", ctx)
		print("a context below the request's", context.WithValue(ctx, cancelKey{}, 1))
		return nil
	})
	for _, s := range a.sessions("anna") {
		ids = append(ids, string(s.ID))
		values["SessionInfo"] = s
	}
	values["the sessions"] = a.sessions("anna")
	stored, err := a.store.Sessions(t.Context(), "anna")
	a.must(err)
	values["the stored sessions"] = stored
	values["the scope"] = sojourn.TabScope

	// Everything that can go wrong, for the log and the errors.
	f.failAll()
	a.visit(tab.Browser().NewTab(), func(ctx context.Context, _ sojourn.UserID) error {
		print("the error of Connect", a.site.Connect(ctx, "berta"))
		print("the error of Disconnect", a.site.Disconnect(ctx))
		print("the error of DisconnectAll", a.site.DisconnectAll(ctx))
		for name, r := range a.refs {
			_, err := r.Get(ctx)
			print("the error of "+name, errorsJoined(err, r.Set(ctx, "y"), r.Unset(ctx)))
		}
		_, err := a.site.Sessions(ctx, "anna")
		print("the error of Sessions", err)
		return errFault
	})
	f.heal()
	b.Do(crossSite("POST", "/", "Origin", "https://evil.example"))
	thief := b.Clone()
	for _, c := range thief.Cookies() {
		c.Value += "x"
		thief.SetCookie(c)
	}
	a.is(thief, sojourn.Nobody)
	a.connect(tab, "anna")
	keep("connected again", sessionCookie)
	a.restart()
	a.is(tab, "anna")
	a.disconnect(tab)
	a.connect(tab, "anna")
	keep("connected at last", sessionCookie)
	a.disconnectAll(tab)
	a.connect(tab, "anna")
	keep("connected after all", sessionCookie, browserCookie)

	sawID, id := false, []byte(a.sessions("anna")[0].ID)
	files := func(when string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		a.must(err)
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			a.must(err)
			spill.in(when+" the file "+e.Name(), data)
			sawID = sawID || bytes.Contains(data, id)
		}
		if len(entries) < 2 {
			t.Errorf("%s there are only the files %v", when, entries)
		}
	}
	files("while the site is open")
	a.must(a.site.Close())
	files = func(when string) {
		entries, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, name := range entries {
			data, err := os.ReadFile(name)
			a.must(err)
			spill.in(when+" the file "+name, data)
		}
	}
	files("after Close")
	if !sawID {
		t.Error("the public id is in no file: the search finds nothing")
	}
	for what, v := range values {
		print(what, v)
	}
	print("the site", a.site)
	print("the site's struct", *a.running)
	spill.in("the log", log.b.Bytes())
	spill.in("what the store was given", calls.b.Bytes())
	for what, in := range map[string][]byte{"refused": log.b.Bytes(), "request failed": log.b.Bytes(), ids[0]: calls.b.Bytes()} {
		if !bytes.Contains(in, []byte(what)) {
			t.Errorf("%q is not where it was to be searched", what)
		}
	}
}

func errorsJoined(errs ...error) string {
	var all []string
	for _, err := range errs {
		all = append(all, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
	return strings.Join(all, "\n")
}

// noted writes down everything that the store is given.
type noted struct {
	sojourn.Store
	to *lockedBuffer
}

func (n noted) note(args ...any) {
	for _, arg := range args {
		n.to.Write(printed(arg))
	}
}

func (n noted) CreateSession(ctx context.Context, s sojourn.StoredSession, limit int) ([]sojourn.StoredSession, error) {
	n.note(s, s.Key[:], s.Browser[:])
	return n.Store.CreateSession(ctx, s, limit)
}

func (n noted) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) ([]sojourn.Key, error) {
	n.note(b, b.Key[:])
	return n.Store.CreateBrowser(ctx, b, limit)
}

func (n noted) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (int64, error) {
	n.note(key, w)
	return n.Store.SetValue(ctx, key, w)
}

func (n noted) Touch(ctx context.Context, touches []sojourn.Touch) error {
	n.note(touches)
	return n.Store.Touch(ctx, touches)
}

// What is shown of a session is no use as a cookie.
func TestSessionIDIsNoToken(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		b := a.browser()
		a.connect(b, "anna")
		stored, err := a.store.Sessions(t.Context(), "anna")
		a.must(err)
		s := stored[0]
		seen := map[string]bool{}
		for _, value := range []string{
			string(s.ID), string(s.ID) + string(s.ID),
			base64.RawURLEncoding.EncodeToString(s.Key[:]),
			base64.RawURLEncoding.EncodeToString(append(s.Key[:], 0, 0)),
			base64.RawURLEncoding.EncodeToString(append(s.Key[:2:2], s.Key[:]...)),
			hex.EncodeToString(s.Key[:]),
		} {
			thief := a.browser()
			thief.SetCookie(&http.Cookie{Name: sessionCookie, Value: value, Secure: true})
			a.is(thief, sojourn.Nobody)
			seen[value] = true
		}
		for range 20 {
			a.connect(a.browser(), "berta")
		}
		for _, s := range a.sessions("berta") {
			if seen[string(s.ID)] || len(s.ID) != 22 {
				t.Errorf("the id %q is not new, or not of 22 characters", s.ID)
			}
			seen[string(s.ID)] = true
		}
	})
}

// Every cookie of ours is out of reach of scripts, other sites and plain HTTP,
// and no shared cache keeps a response that sets one.
func TestCookiesAreOutOfReach(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg   sojourn.CookieConfig
		stem  string
		same  http.SameSite
		plain bool
	}{
		"default":  {sojourn.CookieConfig{}, "__Host-sojourn", http.SameSiteLaxMode, false},
		"named":    {sojourn.CookieConfig{Name: "id"}, "__Host-id", http.SameSiteLaxMode, false},
		"strict":   {sojourn.CookieConfig{SameSite: http.SameSiteStrictMode}, "__Host-sojourn", http.SameSiteStrictMode, false},
		"none":     {sojourn.CookieConfig{SameSite: http.SameSiteNoneMode}, "__Host-sojourn", http.SameSiteNoneMode, false},
		"insecure": {sojourn.CookieConfig{Insecure: true}, "sojourn", http.SameSiteLaxMode, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, memoryKind, withConfig(sojourn.Config{Cookie: tc.cfg}))
			b := a.browser()
			if tc.plain {
				b.Insecure()
			}
			names := map[string]bool{}
			for _, do := range []func(ctx context.Context) error{
				func(ctx context.Context) error { return a.refs["session"].Set(ctx, "x") },
				func(ctx context.Context) error { return a.refs["isession"].Set(ctx, "x") },
				func(ctx context.Context) error { return a.refs["osession"].Set(ctx, "x") },
				func(ctx context.Context) error { return a.site.Connect(ctx, "anna") },
				func(ctx context.Context) error { return a.site.Disconnect(ctx) },
			} {
				resp := a.bare(b, func(ctx context.Context) { a.must(do(ctx)) })
				if got := resp.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("a response with cookies has the Cache-Control %q", got)
				}
				if len(resp.Cookies()) == 0 {
					t.Error("no cookie was set")
				}
				for _, c := range resp.Cookies() {
					names[c.Name] = true
					if !c.HttpOnly || c.Secure == tc.plain || c.SameSite != tc.same || c.Path != "/" || c.Domain != "" {
						t.Errorf("the cookie is %v", c)
					}
				}
			}
			for _, suffix := range []string{"", "-browser", "-other"} {
				if !names[tc.stem+suffix] {
					t.Errorf("the cookies are %v, without %s", names, tc.stem+suffix)
				}
			}
		})
	}
}

func TestCookieConfigThatBrowsersRefuseIsRefusedAtNew(t *testing.T) {
	t.Parallel()
	for _, cfg := range []sojourn.CookieConfig{
		{Name: "a b"},
		{Name: "a;b"},
		{Name: "é"},
		{Name: "a=b"},
		{Name: strings.Repeat("a", 100)},
		{SameSite: 17},
		{SameSite: -1},
		{SameSite: http.SameSiteNoneMode, Insecure: true},
	} {
		site, err := sojourn.New(sojourn.Config{Cookie: cfg})
		if err == nil {
			site.Close()
			t.Errorf("New accepts %+v", cfg)
		}
	}
}

func TestInsecureCookiesAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, insecure := range []bool{false, true} {
		var log bytes.Buffer
		site, err := sojourn.New(sojourn.Config{
			Cookie: sojourn.CookieConfig{Insecure: insecure}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		site.Close()
		if warned := strings.Contains(log.String(), "level=WARN"); warned != insecure {
			t.Errorf("Insecure is %v, and the log says %q", insecure, log.String())
		}
	}
}
