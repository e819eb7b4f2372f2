package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestLeastRecentlyUsedSessionEndsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		a := newApp(t, memoryKind, d.ends(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 3}}))
		bs := make([]*sojourntest.Browser, 5)
		for i := range bs {
			bs[i] = a.browser()
		}
		for _, b := range bs[:3] {
			a.connect(b, "anna")
			time.Sleep(time.Second)
		}
		other := a.browser()
		a.connect(other, "berta") // whose sessions are her own
		// The first is used a moment ago: much too late for the store to know.
		for _, b := range []*sojourntest.Browser{bs[1], bs[0]} {
			time.Sleep(time.Second)
			a.is(b, "anna")
		}
		time.Sleep(time.Second)
		a.connect(bs[3], "anna")
		d.tells(t, "anna evicted")
		a.is(bs[2], sojourn.Nobody)
		time.Sleep(time.Second)
		a.is(bs[3], "anna")
		time.Sleep(time.Second)
		a.connect(bs[4], "anna")
		d.tells(t, "anna evicted")
		a.is(bs[1], sojourn.Nobody)
		for _, b := range []*sojourntest.Browser{bs[0], bs[3], bs[4]} {
			a.is(b, "anna")
		}
		a.is(other, "berta")
		if n := len(a.sessions("anna")); n != 3 {
			t.Errorf("anna has %d sessions, want 3", n)
		}
	})
}

func TestParallelConnectsStayUnderTheLimit(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		const limit, callers = 3, 24
		var d diary
		a := newApp(t, kind, d.ends(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: limit}}))
		browsers := make([]*sojourntest.Browser, callers)
		var all sync.WaitGroup
		for i := range browsers {
			browsers[i] = a.browser()
			all.Go(func() {
				path := a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					// Evicted at once by the others: that is no failure of Connect.
					if err := a.site.Connect(r.Context(), "anna"); err != nil {
						wants(t, "Connect", err, sojourn.ErrSessionEnded)
					}
				}))
				browsers[i].Get(path)
			})
		}
		all.Wait()
		alive := 0
		for _, b := range browsers {
			if a.user(b) == "anna" {
				alive++
			}
		}
		if n := len(a.sessions("anna")); n != limit || alive != limit {
			t.Errorf("anna has %d sessions and is connected in %d browsers, want %d", n, alive, limit)
		}
		if n := len(d.take()); n != callers-limit {
			t.Errorf("OnSessionEnd fired %d times, want %d", n, callers-limit)
		}
	})
}

// A Connect whose own session is ended at once has evicted others all the same.
func TestEvictedSessionsAreToldOfWhenTheNewOneIsEndedAtOnce(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var d diary
		f := new(faults)
		a := newApp(t, kind, d.ends(), f.option(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 1}}))
		a.connect(a.browser(), "anna")
		f.afterCall(func(_ context.Context, called string) {
			if called == "CreateSession" {
				a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
			}
		})
		a.bare(a.browser(), func(ctx context.Context) {
			wants(t, "Connect", a.site.Connect(ctx, "anna"), sojourn.ErrSessionEnded)
		})
		d.tells(t, "anna disconnect-all", "anna evicted")
	})
}

func TestNoLimitMeansNone(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: -1}}))
	for range 60 {
		a.connect(a.browser(), "anna")
	}
	if n := len(a.sessions("anna")); n != 60 {
		t.Errorf("anna has %d sessions, want 60", n)
	}
}

func TestDefaultLimitIsFiftySessions(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for range 60 {
		a.connect(a.browser(), "anna")
	}
	if n := len(a.sessions("anna")); n != 50 {
		t.Errorf("anna has %d sessions, want 50", n)
	}
}

func TestNegativeLimitsAreRefusedAtNew(t *testing.T) {
	t.Parallel()
	for _, limits := range []sojourn.Limits{{TabsPerBrowser: -1}, {AnonymousPerSubnet: -1}} {
		site, err := sojourn.New(sojourn.Config{Limits: limits})
		if err == nil {
			site.Close()
			t.Errorf("New accepts %+v", limits)
		}
	}
	for _, timeouts := range []sojourn.Timeouts{{Tab: -1}, {Browser: -1}, {Idle: 1}, {Absolute: 999 * time.Microsecond}} {
		site, err := sojourn.New(sojourn.Config{Timeouts: timeouts})
		if err == nil {
			site.Close()
			t.Errorf("New accepts %+v", timeouts)
		}
	}
}

func TestLeastRecentlyUsedTabLosesItsState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		a := newApp(t, memoryKind, withConfig(sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 2}}), withInit(func(a *app) {
			a.site.OnStartTab(func(context.Context, sojourn.UserID) error { d.add("start"); return nil })
		}))
		b := a.browser()
		a.connect(b, "anna")
		d.take()
		tabs := []*sojourntest.Tab{b.NewTab(), b.NewTab(), b.NewTab()}
		for _, tab := range tabs[:2] {
			a.set(tab, "tab", "kept")
			a.set(tab, "tab!", "kept")
			time.Sleep(time.Second)
		}
		a.has(tabs[0], "tab", "kept")
		time.Sleep(time.Second)
		a.set(tabs[2], "tab!", "kept")
		d.tells(t, "start", "start", "start")
		a.holds(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 2})
		a.has(tabs[0], "tab", "kept")
		a.has(tabs[0], "tab!", "kept")
		a.has(tabs[2], "tab!", "kept")
		d.tells(t)
		a.has(tabs[1], "tab", "")
		a.has(tabs[1], "tab!", "")
		d.tells(t, "start") // its state has gone: it is a new tab
	})
}

// Limits.TabsPerBrowser is about state: tabs without any take nobody's place.
func TestTabsWithoutStatePushNobodyOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, memoryKind, withConfig(sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 2}}))
		b := a.browser()
		a.connect(b, "anna")
		holders := []*sojourntest.Tab{b.NewTab(), b.NewTab()}
		a.set(holders[0], "tab", "kept")
		a.set(holders[1], "tab!", "kept")
		for range 5 {
			time.Sleep(time.Second)
			other := b.NewTab()
			for range 2 {
				a.has(other, "tab", "")
				a.has(other, "tab!", "")
			}
		}
		a.has(holders[0], "tab", "kept")
		a.has(holders[1], "tab!", "kept")
	})
}

// A tab that held nothing is forgotten when many others come by, and is itself
// again when it comes back, or writes while it was forgotten.
func TestForgottenTabIsStillItself(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, withConfig(sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 2}}))
	b := a.browser()
	a.connect(b, "anna")
	tab := b.NewTab()
	for range 2 {
		a.has(tab, "tab", "")
	}
	id := tab.ID()
	q := a.hold(tab, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
		a.must(a.refs["tab"].Set(ctx, "late"))
		a.must(a.refs["tab!"].Set(ctx, "late"))
	})
	for range 5 {
		other := b.NewTab()
		for range 2 {
			a.has(other, "tab", "")
		}
	}
	q.release()
	a.has(tab, "tab", "late")
	a.has(tab, "tab!", "late")
	if tab.ID() != id {
		t.Error("the tab has become another one")
	}
}

// What a request of a tab that had to go writes does not come back.
func TestEvictedTabIsNotWritten(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, withConfig(sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 1}}))
	b := a.browser()
	a.connect(b, "anna")
	tab := b.NewTab()
	a.set(tab, "tab", "x")
	a.set(tab, "tab!", "x")
	q := a.hold(tab, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
		for _, ref := range []string{"tab", "tab!"} {
			_, err := a.refs[ref].Get(ctx)
			wants(t, "Get of "+ref, err, sojourn.ErrSessionEnded)
			wants(t, "Set of "+ref, a.refs[ref].Set(ctx, "late"), sojourn.ErrSessionEnded)
		}
	})
	a.set(b.NewTab(), "tab!", "y")
	q.release()
	a.has(tab, "tab", "")
	a.has(tab, "tab!", "")
	a.holds(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 1})
}

// from is a request from an address.
func from(path, addr string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = addr
	return r
}

func TestSubnetHoldsOnlySoManyAnonymousBrowsers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		inside    string // %d: the browser
		elsewhere string
	}{
		{"IPv4", "198.51.100.%d:1000", "198.51.101.1:1000"},
		{"IPv6", "[2001:db8:0:aa%02d::1]:1000", "[2001:db8:0:bb00::1]:1000"},
	} {
		for _, ref := range []string{"session", "session!", "isession", "isession!", "osession!"} {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, memoryKind, withConfig(sojourn.Config{
					Limits:   sojourn.Limits{AnonymousPerSubnet: 2},
					Timeouts: sojourn.Timeouts{Browser: 20 * time.Minute},
				}))
				set := a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { a.must(a.refs[ref].Set(r.Context(), "kept")) }))
				elsewhere := a.browser()
				elsewhere.Do(from(set, tc.elsewhere))
				bs := []*sojourntest.Browser{a.browser(), a.browser(), a.browser()}
				for i, b := range bs[:2] {
					time.Sleep(time.Second)
					b.Do(from(set, fmt.Sprintf(tc.inside, i)))
				}
				time.Sleep(2 * time.Minute)
				a.has(bs[0], ref, "kept")
				time.Sleep(2 * time.Minute) // until the store knows
				bs[2].Do(from(set, fmt.Sprintf(tc.inside, 2)))
				for i, want := range []string{"kept", "", "kept"} {
					if got := a.get(bs[i], ref); got != want {
						t.Errorf("%s, %s: browser %d has %q, want %q", tc.name, ref, i, got, want)
					}
				}
				a.has(elsewhere, ref, "kept")
			})
		}
	}
}
