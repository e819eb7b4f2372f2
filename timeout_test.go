package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

func now() time.Time { return time.Now() }

// after lets time pass until so long after since, and everything be done that
// was to be done by then.
func after(d time.Duration, since time.Time) {
	time.Sleep(time.Until(since.Add(d)))
	synctest.Wait()
}

// timeoutTest runs f with a clock of its own on the stores that can.
func timeoutTest(t *testing.T, cfg sojourn.Config, f func(t *testing.T, a *app, f *faults)) {
	t.Parallel()
	for _, kind := range storeKinds {
		if !kind.bubble {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := new(faults)
				f(t, newApp(t, kind, withConfig(cfg), x.option()), x)
			})
		})
	}
}

// keepCookies makes a browser keep the cookies it has for longer than it
// should: that a session ends is not left to its client.
func keepCookies(b *sojourntest.Browser) {
	for _, c := range b.Cookies() {
		c.MaxAge, c.Expires = 0, time.Time{}
		b.SetCookie(c)
	}
}

// shortTimeouts are all different, so that none can be taken for another.
var shortTimeouts = sojourn.Timeouts{Idle: 20 * time.Minute, Absolute: 50 * time.Minute, Tab: 10 * time.Minute, Browser: 30 * time.Minute}

// exactTest runs f on the memory store, with a clock of its own: a server that
// shares its store cannot know to the millisecond when a session was used.
func exactTest(t *testing.T, f func(t *testing.T, a *app, d *diary, opened time.Time)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		f(t, newApp(t, memoryKind, withConfig(sojourn.Config{Timeouts: shortTimeouts}), d.ends()), d, now())
	})
}

func TestIdleSessionEndsToTheMillisecond(t *testing.T) {
	exactTest(t, func(t *testing.T, a *app, d *diary, opened time.Time) {
		early, late := a.browser(), a.browser()
		a.connect(early, "anna")
		a.connect(late, "berta")
		after(20*time.Minute-time.Millisecond, opened)
		a.is(early, "anna") // which keeps it
		if n := len(a.sessions("berta")); n != 1 {
			t.Errorf("a millisecond before its end the list has %d sessions", n)
		}
		d.tells(t)
		time.Sleep(time.Millisecond)
		if n := len(a.sessions("berta")); n != 0 {
			t.Errorf("at its end the list has %d sessions", n)
		}
		a.is(late, sojourn.Nobody)
		d.tells(t, "berta expired")
		a.is(early, "anna")
		a.is(late, sojourn.Nobody)
		after(hour, opened)
		d.tells(t, "anna expired")
	})
}

func TestAbsoluteEndComesWhateverHappens(t *testing.T) {
	exactTest(t, func(t *testing.T, a *app, d *diary, opened time.Time) {
		b := a.browser()
		a.connect(b, "anna")
		keepCookies(b)
		for min := 10; min < 50; min += 10 {
			after(time.Duration(min)*time.Minute, opened)
			a.is(b, "anna")
		}
		if s := a.sessions("anna")[0]; !s.ExpiresAt.Equal(opened.Add(50*time.Minute)) || !s.OpenedAt.Equal(opened) || !s.LastSeen.Equal(opened.Add(40*time.Minute)) {
			t.Errorf("the session says %+v", s)
		}
		after(50*time.Minute-time.Millisecond, opened)
		a.is(b, "anna")
		d.tells(t)
		time.Sleep(time.Millisecond)
		if n := len(a.sessions("anna")); n != 0 {
			t.Errorf("at its end the list has %d sessions", n)
		}
		a.is(b, sojourn.Nobody)
		d.tells(t, "anna expired")
	})
}

// Idle and absolute ends are known after a restart, too.
func TestEndComesWhileTheServerIsDown(t *testing.T) {
	for name, tc := range map[string]struct {
		down time.Duration
		want sojourn.UserID
	}{
		"idle, alive":     {20*time.Minute - time.Millisecond, "anna"},
		"idle, ended":     {20 * time.Minute, sojourn.Nobody},
		"absolute, ended": {50 * time.Minute, sojourn.Nobody},
	} {
		t.Run(name, func(t *testing.T) {
			exactTest(t, func(t *testing.T, a *app, d *diary, opened time.Time) {
				b := a.browser()
				a.connect(b, "anna")
				keepCookies(b)
				a.must(a.site.Close())
				time.Sleep(tc.down)
				a.start()
				a.is(b, tc.want)
				if tc.want == sojourn.Nobody {
					d.tells(t, "anna expired")
				}
			})
		})
	}
}

func TestNegativeTimeoutsMeanNever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, memoryKind, withConfig(sojourn.Config{Timeouts: sojourn.Timeouts{Idle: -1, Absolute: -1, Browser: 1000 * day}}))
		b := a.browser()
		a.connect(b, "anna")
		a.set(b, "session!", "kept")
		if s := a.sessions("anna")[0]; !s.ExpiresAt.IsZero() {
			t.Errorf("ExpiresAt is %v, want never", s.ExpiresAt)
		}
		if err := a.site.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(399 * day) // no browser keeps a cookie for longer than 400
		a.start()
		a.is(b, "anna")
		after(5*time.Minute, now())
		a.has(b, "session!", "kept")
	})
}

func TestDefaultTimeoutsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		after time.Duration
		use   bool // every ten days
		want  sojourn.UserID
	}{
		{"idle, alive", 14*day - time.Millisecond, false, "anna"},
		{"idle, ended", 14 * day, false, sojourn.Nobody},
		{"absolute, alive", 90*day - time.Second - time.Millisecond, true, "anna"},
		{"absolute, ended", 90 * day, true, sojourn.Nobody},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newApp(t, memoryKind)
			opened := now()
			b := a.browser()
			a.connect(b, "anna")
			down := func(d time.Duration) {
				a.must(a.site.Close())
				time.Sleep(time.Until(opened.Add(d)))
				a.start()
			}
			for d := 10 * day; tc.use && d < tc.after; d += 10 * day {
				down(d)
				a.is(b, "anna")
			}
			down(tc.after)
			if got := a.user(b); got != tc.want {
				t.Errorf("%s: the user is %q", tc.name, got)
			}
		})
	}
}

func TestManyRequestsAtTheEndTellOfItOnce(t *testing.T) {
	exactTest(t, func(t *testing.T, a *app, d *diary, opened time.Time) {
		b := a.browser()
		a.connect(b, "anna")
		path := a.put(a.site.Connected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error {
			t.Error("a request at the end was let in")
			return nil
		}))
		after(20*time.Minute, opened)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { status(t, b.Get(path), http.StatusUnauthorized) })
		}
		all.Wait()
		d.tells(t, "anna expired")
		after(hour, opened)
		d.tells(t)
	})
}

// What expires unasked is freed all the same: the rows, and the memory.
func TestSweepFreesRowsAndMemory(t *testing.T) {
	timeoutTest(t, sojourn.Config{Timeouts: shortTimeouts}, func(t *testing.T, a *app, f *faults) {
		opened := now()
		var ended []string
		a.site.OnSessionEnd(func(_ context.Context, s sojourn.SessionInfo, reason sojourn.EndReason) {
			ended = append(ended, fmt.Sprint(s.User, " ", reason))
		})
		var held []weak.Pointer[[1 << 10]byte]
		refs := map[string]*sojourn.Ref[*[1 << 10]byte]{}
		for name, scope := range refScopes {
			if name != "request" && name != "site" {
				refs[name] = sojourn.NewRef[*[1 << 10]byte](a.site, scope, nil)
			}
		}
		fill := func(v visitor, connected bool) {
			a.visit(v, func(ctx context.Context, _ sojourn.UserID) error {
				for name, r := range refs {
					if name == "user" && !connected {
						continue
					}
					p := new([1 << 10]byte)
					held = append(held, weak.Make(p))
					a.must(r.Set(ctx, p))
				}
				for name, r := range a.refs {
					if name[len(name)-1] == '!' && name != "site!" && name != "user!" {
						a.must(r.Set(ctx, "x"))
					}
				}
				return nil
			})
		}
		anna := a.browser().NewTab()
		a.connect(anna, "anna")
		fill(anna, true)
		fill(a.browser().NewTab(), false)
		alive := func() (n int) {
			runtime.GC()
			for _, p := range held {
				if p.Value() != nil {
					n++
				}
			}
			return n
		}
		if n := alive(); n != len(held) {
			t.Errorf("%d of %d values are alive", n, len(held))
		}
		a.holds(sojourn.Counts{Sessions: 1, Browsers: 5, Values: 12})
		// Nobody comes again. Tabs go after 10 minutes, sessions after 20, and
		// browsers after 30; a little later when nobody asks.
		after(11*time.Minute, opened)
		if n := alive(); n != len(held)-6 {
			t.Errorf("when the tabs have gone %d of %d values are alive, want 6 less", n, len(held))
		}
		a.holds(sojourn.Counts{Sessions: 1, Browsers: 5, Values: 6})
		after(22*time.Minute, opened)
		if n := alive(); n != 4 {
			t.Errorf("when the sessions have gone %d values are alive, want 4", n)
		}
		a.holds(sojourn.Counts{Browsers: 4, Values: 4})
		if !slices.Equal(ended, []string{"anna expired"}) {
			t.Errorf("the ends are %q", ended)
		}
		after(32*time.Minute, opened)
		if n := alive(); n != 0 {
			t.Errorf("in the end %d values are alive", n)
		}
		a.holds(sojourn.Counts{})
		runtime.KeepAlive(refs)
	})
}

func TestTabEndsToTheMillisecond(t *testing.T) {
	for _, ref := range []string{"tab", "tab!", "itab", "itab!", "otab!", "none"} {
		for _, connected := range []bool{false, true} {
			t.Run(fmt.Sprint(ref, connected), func(t *testing.T) {
				exactTest(t, func(t *testing.T, a *app, _ *diary, _ time.Time) {
					var d diary
					b := a.browser()
					early, late := b.NewTab(), b.NewTab()
					if connected {
						a.connect(b, "anna")
					}
					a.site.OnStartTab(func(context.Context, sojourn.UserID) error { d.add("start"); return nil })
					look := func(tab *sojourntest.Tab, want string) {
						t.Helper()
						if ref == "none" {
							a.visit(tab, func(context.Context, sojourn.UserID) error { return nil })
							return
						}
						a.has(tab, ref, want)
					}
					for _, tab := range []*sojourntest.Tab{early, late} {
						if ref != "none" {
							a.set(tab, ref, "kept")
						}
						look(tab, "kept")
					}
					last := now()
					d.tells(t, "start", "start")
					after(10*time.Minute-time.Millisecond, last)
					look(early, "kept")
					d.tells(t)
					after(10*time.Minute, last)
					look(late, "")
					d.tells(t, "start")
					// The other one lives on from its own last use.
					after(20*time.Minute-time.Millisecond-time.Millisecond, last)
					look(early, "kept")
					d.tells(t)
				})
			})
		}
	}
}

func TestBrowserStateEndsToTheMillisecond(t *testing.T) {
	for _, ref := range []string{"isession", "isession!", "osession", "osession!"} {
		t.Run(ref, func(t *testing.T) {
			exactTest(t, func(t *testing.T, a *app, _ *diary, opened time.Time) {
				early, late := a.browser(), a.browser()
				a.set(early, ref, "kept")
				a.set(late, ref, "kept")
				after(30*time.Minute-time.Millisecond, opened)
				a.has(early, ref, "kept")
				after(30*time.Minute, opened)
				a.has(late, ref, "")
				after(60*time.Minute-2*time.Millisecond, opened)
				a.has(early, ref, "kept")
				for range 5 { // as long as it is used
					time.Sleep(29 * time.Minute)
					a.has(early, ref, "kept")
				}
			})
		})
	}
}

// An anonymous session lives as long as a session does.
func TestAnonymousStateEndsToTheMillisecond(t *testing.T) {
	for _, ref := range []string{"session", "session!"} {
		t.Run(ref, func(t *testing.T) {
			exactTest(t, func(t *testing.T, a *app, _ *diary, opened time.Time) {
				early, late := a.browser(), a.browser()
				a.set(early, ref, "kept")
				a.set(late, ref, "kept")
				after(20*time.Minute-time.Millisecond, opened)
				a.has(early, ref, "kept")
				after(20*time.Minute, opened)
				a.has(late, ref, "")
			})
		})
	}
}

func TestUserStateEndsWithTheLastSession(t *testing.T) {
	exactTest(t, func(t *testing.T, a *app, d *diary, opened time.Time) {
		one, two := a.browser(), a.browser()
		a.connect(one, "anna")
		a.connect(two, "anna")
		a.set(one, "user", "kept")
		a.set(one, "user!", "kept")
		after(10*time.Minute, opened)
		a.is(two, "anna")
		after(25*time.Minute, opened)
		d.tells(t, "anna expired")
		a.has(two, "user", "kept")
		after(46*time.Minute, opened)
		d.tells(t, "anna expired")
		a.connect(one, "anna")
		a.has(one, "user", "")
		a.has(one, "user!", "kept")
	})
}

// On another server a use is known after the smaller of one minute and a tenth
// of Timeouts.Idle; on this one at once.
func TestLastSeenLagsOnlySoMuch(t *testing.T) {
	t.Parallel()
	for idle, most := range map[time.Duration]time.Duration{
		5 * time.Second:  500 * time.Millisecond,
		20 * time.Minute: time.Minute,
		14 * day:         time.Minute,
		-1:               time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			open := strictKind.keep(t)
			shared := storeKind{keep: func(testing.TB) func() sojourn.Store { return open }}
			cfg := sojourn.Config{Timeouts: sojourn.Timeouts{Idle: idle}}
			a, other := newApp(t, shared, withConfig(cfg)), newApp(t, shared, withConfig(cfg))
			b := a.browser()
			a.connect(b, "anna")
			var uses []time.Time
			lagged := false
			look := func() {
				got := other.sessions("anna")[0].LastSeen
				lagged = lagged || got.Before(uses[len(uses)-1])
				for i := len(uses) - 1; i >= 0; i-- {
					if use := uses[i]; now().Sub(use) >= most {
						if got.Before(use) {
							t.Fatalf("with Timeouts.Idle %v a use %v ago is not known, only one %v ago", idle, now().Sub(use), now().Sub(got))
						}
						break
					}
				}
			}
			for i := range 120 {
				time.Sleep((most / time.Duration(1+i%37)).Truncate(time.Millisecond))
				a.is(b, "anna")
				uses = append(uses, now())
				if s := a.sessions("anna")[0]; !s.LastSeen.Equal(now()) {
					t.Fatalf("here LastSeen lags by %v", now().Sub(s.LastSeen))
				}
				look()
				time.Sleep(time.Duration(i) * time.Millisecond)
				look()
			}
			if !lagged {
				t.Error("every use is written at once")
			}
		})
	}
}

// The same when the server is busy writing the uses of others.
func TestLastSeenLagsNoMoreBesideOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := strictKind.keep(t)
		shared := storeKind{keep: func(testing.TB) func() sojourn.Store { return open }}
		a, other := newApp(t, shared), newApp(t, shared)
		for range 3 {
			b, busy := a.browser(), a.browser()
			a.connect(busy, "berta")
			time.Sleep(100 * time.Millisecond)
			a.is(busy, "berta")
			time.Sleep(58100 * time.Millisecond)
			a.connect(b, "anna")
			time.Sleep(time.Millisecond)
			a.is(b, "anna")
			used := now()
			time.Sleep(time.Minute)
			if got := other.sessions("anna")[0].LastSeen; got.Before(used) {
				t.Fatalf("a use %v ago is not known", now().Sub(used))
			}
			a.disconnect(b)
			a.disconnect(busy)
			time.Sleep(37 * time.Millisecond)
		}
	})
}

// A session in use on one server does not end on another that has not seen it.
func TestSessionUsedElsewhereLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := strictKind.keep(t)
		shared := storeKind{keep: func(testing.TB) func() sojourn.Store { return open }}
		cfg := sojourn.Config{Timeouts: shortTimeouts}
		a, other := newApp(t, shared, withConfig(cfg)), newApp(t, shared, withConfig(cfg))
		b := a.browser()
		a.connect(b, "anna")
		elsewhere := sojourntest.NewBrowser(t, other)
		for _, c := range b.Cookies() {
			elsewhere.SetCookie(c)
		}
		other.is(elsewhere, "anna")
		opened := now()
		for min := 5; min < 45; min += 5 {
			after(time.Duration(min)*time.Minute, opened)
			a.is(b, "anna")
			a.set(b, "session!", "x")
		}
		other.is(elsewhere, "anna")
		other.has(elsewhere, "session!", "x")
	})
}

func TestCookiesLiveAsLongAsTheirSessions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timeouts        sojourn.Timeouts
		opts            []sojourn.ConnectOption
		session, browse int // Max-Age; 0: none
	}{
		"default":        {sojourn.Timeouts{}, nil, 90 * 86400, 400 * 86400},
		"short":          {shortTimeouts, nil, 50 * 60, 400 * 86400},
		"never":          {sojourn.Timeouts{Absolute: -1}, nil, 400 * 86400, 400 * 86400},
		"very long":      {sojourn.Timeouts{Absolute: 1000 * day}, nil, 400 * 86400, 400 * 86400},
		"a millisecond":  {sojourn.Timeouts{Absolute: time.Millisecond}, nil, 1, 400 * 86400},
		"a bit over 1 s": {sojourn.Timeouts{Absolute: 1001 * time.Millisecond}, nil, 2, 400 * 86400},
		"browser exit":   {sojourn.Timeouts{}, []sojourn.ConnectOption{sojourn.ExpireAtBrowserExit()}, 0, 400 * 86400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, memoryKind, withConfig(sojourn.Config{Timeouts: tc.timeouts}))
			resp := a.bare(a.browser(), func(ctx context.Context) { a.must(a.site.Connect(ctx, "anna", tc.opts...)) })
			want := map[string]int{"__Host-sojourn": tc.session, "__Host-sojourn-browser": tc.browse}
			for _, c := range resp.Cookies() {
				if c.MaxAge != want[c.Name] || !c.Expires.IsZero() {
					t.Errorf("%s: Max-Age is %d, Expires is %q, want %d and none", c.Name, c.MaxAge, c.RawExpires, want[c.Name])
				}
				delete(want, c.Name)
			}
			if len(want) != 0 {
				t.Errorf("the cookies %v were not set", want)
			}
		})
	}
}
