package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	live "github.com/coder/websocket"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// What the documents say in passing, and no other test would miss.

// docs/tabs.md: behind a proxy that speaks HTTPS the page's origin is https,
// which the server believes of a trusted proxy only.
func TestSchemeOfAPageIsThatOfItsTrustedProxy(t *testing.T) {
	t.Parallel()
	trusting := sojourn.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, tc := range []struct {
		name          string
		cfg           sojourn.Config
		proto, scheme string
		open          bool
	}{
		{"a trusted proxy says https", trusting, "https", "https", true},
		{"the page is another", trusting, "https", "http", false},
		{"a trusted proxy says http", trusting, "http", "http", true},
		{"a trusted proxy says nothing", trusting, "", "http", true},
		{"somebody says https", sojourn.Config{}, "https", "https", false},
		{"somebody says https of a page of ours", sojourn.Config{}, "https", "http", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := listen(t, newLiveSite(t, tc.cfg).h)
			header := http.Header{"Origin": {tc.scheme + "://" + strings.TrimPrefix(srv.URL, "http://")}}
			if tc.proto != "" {
				header.Set("X-Forwarded-Proto", tc.proto)
			}
			ws, resp, err := live.Dial(t.Context(), srv.URL+livePath, &live.DialOptions{
				HTTPClient: srv.Client(), HTTPHeader: header, Subprotocols: []string{protocol.LiveProtocol},
			})
			if err == nil {
				ws.CloseNow()
			}
			if (err == nil) != tc.open || !tc.open && resp.StatusCode != http.StatusForbidden {
				t.Errorf("the connection is answered %s, error %v, want open: %t", resp.Status, err, tc.open)
			}
		})
	}
}

// docs/tabs.md: ClientScript makes a page no-store, unless it is something else.
func TestScriptTagLeavesTheCacheControlOfItsPage(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for _, said := range []string{"", "private, max-age=5"} {
		resp := a.handle(a.browser(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if said != "" {
				w.Header().Set("Cache-Control", said)
			}
			_, err := a.site.ClientScript(r.Context())
			wants(t, "ClientScript", err, nil)
		}))
		want := said
		if want == "" {
			want = "no-store"
		}
		if got := resp.Header.Get("Cache-Control"); got != want {
			t.Errorf("the Cache-Control of a page that says %q is %q, want %q", said, got, want)
		}
	}
}

// docs/security.md: the browser's cookie is sent again at each Connect, that of
// a hierarchy of the application's own is not.
func TestConnectRenewsTheBrowsersCookieOnly(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	a.set(b, "isession", "x")
	a.set(b, "osession", "x")
	before := map[string]string{}
	for _, c := range b.Cookies() {
		before[c.Name] = c.Value
	}
	if len(before) != 3 {
		t.Fatalf("the browser has the cookies %v, want three", before)
	}
	resp := a.bare(b, func(ctx context.Context) { a.must(a.site.Connect(ctx, "berta")) })
	sent := map[string]string{}
	for _, c := range resp.Cookies() {
		sent[c.Name] = c.Value
	}
	if len(sent) != 2 || sent["__Host-sojourn-browser"] != before["__Host-sojourn-browser"] ||
		sent["__Host-sojourn"] == "" || sent["__Host-sojourn"] == before["__Host-sojourn"] {
		t.Errorf("Connect sends the cookies %v, want a new session and the browser %v again", sent, before)
	}
	a.has(b, "osession", "x")
	a.has(b, "isession", "x")
}

// docs/protocol.md: a live connection brings a browser its cookie, unless a
// session tells which one it is.
func TestLiveConnectionBringsAStrangerTheBrowsersCookie(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	stranger := sojourntest.NewBrowser(t, s.h)
	stranger.NewTab().Live().Next()
	if stranger.Cookie("__Host-sojourn-browser") == nil {
		t.Errorf("a stranger has the cookies %v", stranger.Cookies())
	}
	known := sojourntest.NewBrowser(t, s.h)
	must(t, known.Post("/login", asUser("ann")))
	session := known.Cookie("__Host-sojourn")
	known.ClearCookies()
	known.SetCookie(session)
	known.NewTab().Live().Next()
	if n := len(known.Cookies()); n != 1 {
		t.Errorf("a browser with a session alone has %d cookies now, want that of its session", n)
	}
}

// docs/security.md has these bounds.
func TestDefaultBoundsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	t.Run("live connections of a browser", func(t *testing.T) {
		t.Parallel()
		s := newLiveSite(t, sojourn.Config{})
		b := sojourntest.NewBrowser(t, s.h)
		must(t, b.Post("/login", asUser("ann")))
		for range 50 {
			welcomed(t, b.NewTab(), "ann")
		}
		last := b.NewTab().Live()
		if m, ok := <-last.Messages(); ok {
			t.Errorf("the 51st live connection is told %+v", m)
		} else if last.Code() != protocol.CloseTooMany {
			t.Errorf("the 51st live connection is closed with %d, want %d", last.Code(), protocol.CloseTooMany)
		}
	})
	t.Run("tabs of a browser", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, memoryKind)
		b := a.browser()
		a.connect(b, "anna")
		tabs := make([]*sojourntest.Tab, 51)
		for i := range tabs {
			tabs[i] = b.NewTab()
			a.set(tabs[i], "tab", fmt.Sprint(i))
			nextMilli()
		}
		a.has(tabs[0], "tab", "")
		a.has(tabs[1], "tab", "1")
	})
	t.Run("browsers of a subnet", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, memoryKind)
		page := a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			a.must(a.refs["isession!"].Set(r.Context(), "x"))
		}))
		for i := range 10_001 {
			b := a.browser()
			r, err := http.NewRequest(http.MethodGet, page, nil)
			a.must(err)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1234", i%256)
			b.Do(r)
		}
		a.holds(sojourn.Counts{Browsers: 10_000, Values: 10_000})
	})
}

// docs/protocol.md: a store that cannot be asked is 503, to be tried again.
func TestStoreThatCannotBeReachedIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	a := newApp(t, strictKind, withWrap(func(s sojourn.Store) sojourn.Store { return awayStore{s} }))
	b := a.browser()
	b.SetCookie(&http.Cookie{Name: "__Host-sojourn", Value: strings.Repeat("A", 46), Path: "/", Secure: true})
	resp := a.visit(b, func(context.Context, sojourn.UserID) error { return nil })
	status(t, resp, http.StatusServiceUnavailable)
	if got := resp.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q, want 1", got)
	}
}

// awayStore cannot be reached.
type awayStore struct{ sojourn.Store }

func (awayStore) Session(context.Context, sojourn.Key) (sojourn.StoredSession, error) {
	return sojourn.StoredSession{}, fmt.Errorf("dialling: %w", sojourn.ErrUnavailable)
}
