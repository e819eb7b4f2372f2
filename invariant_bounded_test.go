package sojourn_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// The invariant "Bounded": each user, browser and subnet can hold only so much
// (limits_test.go); ended sessions free their memory and rows; and a page that
// asks nothing costs next to nothing.

// nullWriter is a ResponseWriter that costs nothing.
type nullWriter struct{ header http.Header }

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// cost is how often the handler allocates for one request: the least of some
// measurements, since what a store does in the background is counted as well.
func cost(h http.Handler, header http.Header) float64 {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = header
	w := &nullWriter{http.Header{}}
	least := math.Inf(1)
	for range 5 {
		least = min(least, testing.AllocsPerRun(500, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}))
	}
	return least
}

// These two are not parallel, so that nothing else is counted.

func TestPageThatAsksNothingPaysNextToNothing(t *testing.T) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			a := newApp(t, kind)
			bare := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			b := a.browser()
			a.connect(b, "anna")
			for name, header := range map[string]http.Header{
				"of nobody":           {},
				"of a connected user": {"Cookie": {cookieHeader(b)}},
			} {
				if n := cost(a.site.Middleware(bare), header) - cost(bare, header); n > 2 {
					t.Errorf("Middleware around a page %s that asks nothing allocates %v times, want at most 2", name, n)
				}
			}
		})
	}
}

func TestWarmConnectedRequestIsCheap(t *testing.T) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			f := new(faults)
			a := newApp(t, kind, f.option())
			if a.store.Fresh() != sojourn.Forever {
				return // it asks the store, as it must
			}
			testWarmRequest(t, a, f)
		})
	}
}

func testWarmRequest(t *testing.T, a *app, f *faults) {
	tab := a.browser().NewTab()
	a.connect(tab, "anna")
	for _, ref := range []string{"session", "session!"} {
		a.set(tab, ref, "x")
	}
	bare := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	header := http.Header{"Cookie": {cookieHeader(tab.Browser())}, protocol.TabHeader: {tab.ID()}}
	guarded := func(do func(ctx context.Context)) http.Handler {
		return a.site.Middleware(a.site.Connected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			if user != "anna" {
				t.Errorf("the user is %q", user)
			}
			do(r.Context())
			return nil
		}))
	}
	base := cost(bare, header)
	f.mu.Lock()
	clear(f.calls)
	f.mu.Unlock()
	if n := cost(guarded(func(context.Context) {}), header) - base; n > 6 {
		t.Errorf("a warm connected request allocates %v times more than a bare one, want at most 6", n)
	}
	for _, ref := range []string{"session", "session!"} {
		with := cost(guarded(func(ctx context.Context) {
			if v, err := a.refs[ref].Get(ctx); v != "x" || err != nil {
				t.Errorf("%s is %q, %v", ref, v, err)
			}
		}), header) - base
		if with > 6 {
			t.Errorf("with a read of %s it allocates %v times more, want no more for the read", ref, with)
		}
	}
	if n := f.count("Session", "Sessions", "Value", "Browser", "Tabs"); n != 0 {
		t.Errorf("warm requests have asked the store %d times", n)
	}
}

// cookieHeader is what a browser sends.
func cookieHeader(b *sojourntest.Browser) (line string) {
	for _, c := range b.Cookies() {
		if line != "" {
			line += "; "
		}
		line += c.Name + "=" + c.Value
	}
	return line
}

// Anonymous views that store nothing leave nothing: no row, no cookie, no
// memory.
func TestAnonymousViewsLeaveNothing(t *testing.T) {
	const views = 100_000
	a := newApp(t, memoryKind, withConfig(sojourn.Config{Timeouts: sojourn.Timeouts{Tab: day}}))
	h := a.site.Middleware(a.site.OptConnected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		if user != sojourn.Nobody {
			t.Errorf("the user is %q", user)
		}
		for _, ref := range []string{"tab", "session", "session!", "isession", "isession!", "osession!"} {
			if v, err := a.refs[ref].Get(r.Context()); v != "" || err != nil {
				t.Errorf("%s is %q, %v", ref, v, err)
			}
		}
		return nil
	}))
	forged := "__Host-sojourn=%046d; __Host-sojourn-browser=%046d; __Host-sojourn-other=%046d"
	look := func(n int) {
		for i := range n {
			r := httptest.NewRequest("GET", "/", nil)
			if i%2 == 1 { // well-formed, and never issued
				r.Header.Set("Cookie", fmt.Sprintf(forged, i*16, i*16, i*16))
				r.Header.Set(protocol.TabHeader, fmt.Sprintf("%038d", i*16))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK || w.Header()["Set-Cookie"] != nil {
				t.Fatalf("a view is answered %d with the cookies %q", w.Code, w.Header()["Set-Cookie"])
			}
		}
	}
	look(1000)
	before := heapInUse()
	look(views)
	if grown := int64(heapInUse()) - int64(before); grown > views {
		t.Errorf("%d views have left %d bytes", views, grown)
	}
	a.holds(sojourn.Counts{})
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Sessions that have ended, of users who will never come again, leave nothing.
func TestEndedSessionsLeaveNothing(t *testing.T) {
	const rounds = 1500
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, memoryKind)
		last := 0
		use := func() {
			last++
			user := sojourn.UserID(fmt.Sprint("user-", last))
			b := a.browser()
			tab := b.NewTab()
			a.connect(tab, user)
			for _, ref := range []string{"tab", "tab!", "session", "session!", "user", "isession", "isession!", "itab"} {
				a.set(tab, ref, "some value")
			}
			switch last % 3 {
			case 0:
				a.disconnectAll(tab)
			case 1:
				a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser(user)))
			default:
				a.disconnect(tab)
				a.connect(tab, user)
				a.disconnectAll(tab)
			}
		}
		// What happened a moment ago is known for a while: of dropped browsers as
		// long as Timeouts.Tab, of connects until there are others.
		rest := func() uint64 {
			for range 3 {
				time.Sleep(11 * time.Minute)
				synctest.Wait()
				use()
			}
			return heapInUse()
		}
		for range rounds { // maps keep the room for what was in them once
			use()
		}
		before := rest()
		for range rounds {
			use()
		}
		if grown := int64(rest()) - int64(before); grown > 20*rounds {
			t.Errorf("%d users have left %d bytes", rounds, grown)
		}
		a.holds(sojourn.Counts{})
	})
}
