package sojourn_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// The invariant "Only issued ids": an unknown, malformed, foreign or duplicated
// cookie is nobody, creates nothing, and is never adopted.

// target is a site with a connected user, for requests that are not a browser's.
type target struct {
	*app
	tab             visitor
	session, browse string // the tokens of the user's cookies
	anonymous       string // the token of an anonymous browser with state
	tabID           string
	before          sojourn.Counts
}

const (
	sessionCookie = "__Host-sojourn"
	browserCookie = "__Host-sojourn-browser"
	otherCookie   = "__Host-sojourn-other"
)

func newTarget(t testing.TB, cfg sojourn.Config) *target {
	a := newApp(t, memoryKind, withConfig(cfg))
	b := a.browser()
	tab := b.NewTab()
	a.connect(tab, "anna")
	for _, ref := range []string{"session", "session!", "tab", "tab!", "isession", "itab!", "user!"} {
		a.set(tab, ref, "secret")
	}
	nobody := a.browser()
	a.set(nobody, "session", "secret")
	x := &target{
		app: a, tab: tab, tabID: tab.ID(),
		session: b.Cookie(sessionCookie).Value, browse: b.Cookie(browserCookie).Value,
		anonymous: nobody.Cookie(sessionCookie).Value,
	}
	x.before = x.counts()
	return x
}

func (x *target) counts() sojourn.Counts {
	c, err := x.store.Count(context.Background())
	x.must(err)
	return c
}

// look sends a request that reads everything, and tells who was found, and
// which references had a value. It fails if the request left any trace.
func (x *target) look(t *testing.T, header http.Header) (user sojourn.UserID, found []string) {
	t.Helper()
	x.TB = t
	page := func(ctx context.Context) {
		var err error
		if user, err = x.site.CurrentUser(ctx); err != nil {
			t.Errorf("CurrentUser: %v", err)
		}
		found = nil
		for name, r := range x.refs {
			v, err := r.Get(ctx)
			if err != nil && !(user == sojourn.Nobody && strings.HasPrefix(name, "user")) {
				t.Errorf("Get of %s: %v", name, err)
			}
			if v != "" {
				found = append(found, name)
			}
		}
		slices.Sort(found)
	}
	for _, guarded := range []bool{false, true} {
		r := httptest.NewRequest("GET", "/", nil)
		for name, values := range header {
			r.Header[name] = values
		}
		h := http.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { page(r.Context()) }))
		if guarded {
			h = x.site.Wrap(h)
		}
		w := httptest.NewRecorder()
		x.site.Middleware(h).ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("the status is %d", w.Code)
		}
		if w.Header()["Set-Cookie"] != nil {
			t.Errorf("a read sets the cookies %q", w.Header()["Set-Cookie"])
		}
		if id := w.Header().Get(protocol.TabHeader); guarded && id != "" && slices.Contains(header[protocol.TabHeader], id) && id != x.tabID {
			t.Errorf("the tab id %q was adopted", id)
		}
	}
	if got := x.counts(); got != x.before {
		t.Errorf("the store holds %+v, before it held %+v", got, x.before)
	}
	return user, found
}

// fill puts the real tokens where a fuzzed text has their names.
func (x *target) fill(text string) string {
	return strings.NewReplacer("SESSION", x.session, "BROWSER", x.browse, "ANONYMOUS", x.anonymous, "TABID", x.tabID).Replace(text)
}

// cookieValue is the only value of a cookie in Cookie lines, or "".
func cookieValue(lines []string, name string) (value string) {
	n := 0
	for _, line := range lines {
		for _, part := range strings.Split(line, ";") {
			if v, ok := strings.CutPrefix(strings.TrimLeft(part, " \t"), name+"="); ok {
				value = strings.TrimRight(v, " \t")
				n++
			}
		}
	}
	if n != 1 {
		return ""
	}
	return value
}

var cookieSeeds = []string{
	"", "=", ";", "a=b", "__Host-sojourn", "__Host-sojourn=", "__Host-sojourn=x",
	"__Host-sojourn=SESSION",
	"__Host-sojourn=SESSION; __Host-sojourn-browser=BROWSER",
	"__Host-sojourn=SESSION; __Host-sojourn=SESSION",
	"__Host-sojourn=SESSION; __Host-sojourn=x",
	"__Host-sojourn=x; __Host-sojourn=SESSION",
	"__Host-sojourn=\"SESSION\"",
	"__Host-sojourn=SESSION ; a=b", "a=b;__Host-sojourn=SESSION",
	"__Host-sojourn =SESSION", " __Host-sojourn=SESSION", "__host-sojourn=SESSION",
	"__Host-sojourn=SESSIONA", "__Host-sojourn=ASESSION", "__Host-sojourn=SESSION=", "__Host-sojourn=%53SESSION",
	"__Host-sojourn=BROWSER", "__Host-sojourn-browser=SESSION", "__Host-sojourn-browser=ANONYMOUS",
	"__Host-sojourn=ANONYMOUS", "__Host-sojourn-other=BROWSER; __Host-sojourn-other=ANONYMOUS",
	"sojourn=SESSION", "__Secure-sojourn=SESSION", "__Host-sojourn=SESSION,a=b",
	"__Host-sojourn=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; __Host-sojourn-browser=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"__Host-sojourn=\xff\xfe\x00", strings.Repeat("__Host-sojourn=x; ", 500), "\n__Host-sojourn=SESSION",
	"__Host-sojourn=SESSION\n", "__Host-sojourn=;__Host-sojourn=SESSION",
}

func FuzzCookieHeader(f *testing.F) {
	for _, seed := range cookieSeeds {
		f.Add(seed, "")
		f.Add(seed, seed)
	}
	f.Add("__Host-sojourn=SESSION", "__Host-sojourn-browser=BROWSER")
	x := newTarget(f, sojourn.Config{})
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{x.fill(first)}
		if second != "" {
			lines = append(lines, x.fill(second))
		}
		user, found := x.look(t, http.Header{"Cookie": lines})
		session, browse := cookieValue(lines, sessionCookie), cookieValue(lines, browserCookie)
		var wantUser sojourn.UserID
		var want []string
		if browse == x.browse {
			want = append(want, "isession")
		}
		switch session {
		case x.session:
			wantUser = "anna"
			want = append(want, "session", "session!", "user!")
		case x.anonymous:
			want = append(want, "session")
		}
		if user != wantUser || !slices.Equal(found, want) {
			t.Errorf("with %q the user is %q and finds %q, want %q and %q", lines, user, found, wantUser, want)
		}
	})
}

func FuzzTabHeader(f *testing.F) {
	for _, seed := range []string{
		"", "TABID", "TABIDA", "ATABID", " TABID", "tabid", "x", strings.Repeat("A", 22), strings.Repeat("A", 38),
		strings.Repeat("A", 64), strings.Repeat("A", 65), strings.Repeat("-", 38), strings.Repeat("_", 22) + "=", "\x00", "TABID,TABID",
	} {
		f.Add(seed, "", true)
		f.Add(seed, "", false)
		f.Add(seed, seed, true)
	}
	x := newTarget(f, sojourn.Config{})
	f.Fuzz(func(t *testing.T, first, second string, own bool) {
		ids := []string{x.fill(first)}
		if second != "" {
			ids = append(ids, x.fill(second))
		}
		h := http.Header{protocol.TabHeader: ids}
		var want []string
		if own {
			h["Cookie"] = []string{x.fill("__Host-sojourn=SESSION; __Host-sojourn-browser=BROWSER")}
			want = []string{"isession", "session", "session!", "user!"}
			if len(ids) == 1 && ids[0] == x.tabID {
				want = []string{"isession", "itab!", "session", "session!", "tab", "tab!", "user!"}
			}
		}
		if _, found := x.look(t, h); !slices.Equal(found, want) {
			t.Errorf("with the tab %q, own cookies %v, a request finds %q, want %q", ids, own, found, want)
		}
	})
}

// A token is taken as it was issued, not as it can be read.
func FuzzToken(f *testing.F) {
	x := newTarget(f, sojourn.Config{})
	f.Add([]byte{}, 0)
	for i := range 46 {
		f.Add([]byte{1}, i)
		f.Add([]byte{0x20}, i)
	}
	f.Add([]byte("\n"), 5)
	f.Add([]byte(strings.Repeat("\x01", 46)), 0)
	f.Fuzz(func(t *testing.T, change []byte, at int) {
		for _, token := range []string{x.session, x.browse, x.anonymous} {
			forged := []byte(token)
			for i, c := range change {
				forged[uint(at+i)%uint(len(forged))] ^= c
			}
			if strings.ContainsAny(string(forged), "; \t") || string(forged) == token {
				continue
			}
			user, found := x.look(t, http.Header{"Cookie": {sessionCookie + "=" + string(forged) + "; " + browserCookie + "=" + string(forged)}})
			if user != sojourn.Nobody || len(found) != 0 {
				t.Errorf("with the token %q instead of %q the user is %q and finds %q", forged, token, user, found)
			}
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{
		"", ",", "198.51.100.7", "198.51.100.7, 10.0.0.2", "10.0.0.2", "unknown", "198.51.100.7:1234", "[2001:db8::1]",
		"2001:db8::1", "::ffff:198.51.100.7", "fe80::1%eth0", "198.51.100.7,", ", 198.51.100.7", "evil, 198.51.100.7, 10.0.0.2",
		"198.51.100.7, evil, 10.0.0.2", strings.Repeat("10.0.0.2,", 1000), "\x00", "0", "198.51.100.007",
	} {
		f.Add(seed, "", true)
		f.Add(seed, "10.0.0.3", true)
		f.Add(seed, "", false)
	}
	trusted := netip.MustParsePrefix("10.0.0.0/8")
	a := newApp(f, memoryKind, withConfig(sojourn.Config{
		TrustedProxies: []netip.Prefix{trusted}, Limits: sojourn.Limits{SessionsPerUser: 1},
	}))
	f.Fuzz(func(t *testing.T, first, second string, proxied bool) {
		a.TB = t
		peer := "203.0.113.9"
		if proxied {
			peer = "10.1.2.3"
		}
		r := from("/", peer+":1000")
		r.Header["X-Forwarded-For"] = []string{first}
		if second != "" {
			r.Header["X-Forwarded-For"] = append(r.Header["X-Forwarded-For"], second)
		}
		w := httptest.NewRecorder()
		a.site.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := a.site.Connect(r.Context(), "anna"); err != nil {
				t.Errorf("Connect: %v", err)
			}
		})).ServeHTTP(w, r)
		got := a.sessions("anna")[0].RemoteAddr
		if got.Zone() != "" || got.Is4In6() || !got.IsValid() {
			t.Errorf("the address is %v", got)
		}
		// The nearest hop that no proxy of ours vouches for; what is further
		// away can be made up.
		want := netip.MustParseAddr(peer)
		hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		for i := len(hops) - 1; i >= 0 && trusted.Contains(want); i-- {
			text := strings.TrimSpace(hops[i])
			hop, err := netip.ParseAddr(text)
			if port, portErr := netip.ParseAddrPort(text); portErr == nil {
				hop, err = port.Addr(), nil
			}
			if err != nil {
				break
			}
			want = hop.Unmap().WithZone("")
		}
		if got != want {
			t.Errorf("for %q from %s the address is %v, want %v", r.Header["X-Forwarded-For"], peer, got, want)
		}
	})
}
