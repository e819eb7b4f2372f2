package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// The invariant "Fail closed": when the store or the groups cannot be asked,
// the request fails with an error; it is never treated as anonymous, and never
// overwrites state.

// guards are the six ways to guard, with whether nobody is let in.
var guards = []struct {
	name    string
	connect bool
	guard   func(a *app, f func(ctx context.Context, user sojourn.UserID), opts ...sojourn.GuardOption) http.Handler
}{
	{"Connected", true, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return a.site.Connected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			f(r.Context(), user)
			return nil
		}, opts...)
	}},
	{"OptConnected", false, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return a.site.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			f(r.Context(), user)
			return nil
		}, opts...)
	}},
	{"Wrap", false, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return a.site.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			user, err := a.site.CurrentUser(r.Context())
			a.must(err)
			f(r.Context(), user)
		}), opts...)
	}},
	{"ConnectedRPC", true, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return called(a, sojourn.ConnectedRPC(a.site, func(ctx context.Context, user sojourn.UserID, _ int) (int, error) {
			f(ctx, user)
			return 0, nil
		}, opts...))
	}},
	{"OptConnectedRPC", false, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return called(a, sojourn.OptConnectedRPC(a.site, func(ctx context.Context, user sojourn.UserID, _ int) (int, error) {
			f(ctx, user)
			return 0, nil
		}, opts...))
	}},
	{"ConnectedWrapper", false, func(a *app, f func(context.Context, sojourn.UserID), opts ...sojourn.GuardOption) http.Handler {
		return called(a, sojourn.ConnectedWrapper(a.site, func(ctx context.Context, _ int) (int, error) {
			user, err := a.site.CurrentUser(ctx)
			a.must(err)
			f(ctx, user)
			return 0, nil
		}, opts...))
	}},
}

// called is a page that calls a function, and answers as a guard would.
func called(a *app, f func(context.Context, int) (int, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := f(r.Context(), 0)
		switch {
		case errors.Is(err, sojourn.ErrNotConnected):
			w.WriteHeader(http.StatusUnauthorized)
		case errors.Is(err, sojourn.ErrPermissionDenied):
			w.WriteHeader(http.StatusForbidden)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

// A browser with a cookie is not taken for an anonymous one when the store
// cannot say whose it is.
func TestStoreThatFailsFailsTheRequest(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		f := new(faults)
		var fired diary
		a := newApp(t, kind, f.option(), withInit(func(a *app) {
			a.site.OnRequest(func(_ context.Context, user sojourn.UserID) error { fired.add("request %s", user); return nil })
			a.site.OnStartTab(func(_ context.Context, user sojourn.UserID) error { fired.add("start %s", user); return nil })
			a.site.OnUnconnectedRequest(func(context.Context) error { fired.add("unconnected"); return nil })
			a.site.OnPreCloseSession(func(context.Context) error { fired.add("close"); return nil })
		}))
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range []string{"session!", "tab!", "user!", "isession!"} {
			a.set(tab, ref, "kept")
		}
		a.restart() // so that the store has to be asked
		fired.take()
		cookies := tab.Browser().Cookies()

		f.failAll()
		for _, g := range guards {
			resp := a.handle(tab, g.guard(a, func(context.Context, sojourn.UserID) { t.Errorf("%s let the request in", g.name) }))
			status(t, resp, http.StatusInternalServerError)
			if resp.Header["Set-Cookie"] != nil {
				t.Errorf("%s: the failed request sets cookies: %v", g.name, resp.Header["Set-Cookie"])
			}
		}
		a.bare(tab, func(ctx context.Context) {
			user, err := a.site.CurrentUser(ctx)
			wants(t, "CurrentUser", err, errFault)
			if user != sojourn.Nobody {
				t.Errorf("with an error the user is %q", user)
			}
			wants(t, "Connect", a.site.Connect(ctx, "berta"), errFault)
			wants(t, "Disconnect", a.site.Disconnect(ctx), errFault)
			wants(t, "DisconnectAll", a.site.DisconnectAll(ctx), errFault)
			wants(t, "DisconnectAll of a user", a.site.DisconnectAll(ctx, sojourn.OfUser("anna")), errFault)
			_, err = a.site.Sessions(ctx, "anna")
			wants(t, "Sessions", err, errFault)
			wants(t, "EndSession", a.site.EndSession(ctx, "anna", "x"), errFault)
			for name, scope := range refScopes {
				if name == "request" || name == "site" {
					continue
				}
				_, err = a.site.CurrentState(ctx, scope)
				wants(t, "CurrentState of "+name, err, errFault)
				for _, ref := range []string{name, name + "!"} {
					r := a.refs[ref]
					v, err := r.Get(ctx)
					wants(t, "Get of "+ref, err, errFault)
					if v != "" {
						t.Errorf("with an error Get of %s gives %q", ref, v)
					}
					wants(t, "Set of "+ref, r.Set(ctx, "overwritten"), errFault)
					wants(t, "Modify of "+ref, r.Modify(ctx, func(string) (string, error) { return "overwritten", nil }), errFault)
					wants(t, "Unset of "+ref, r.Unset(ctx), errFault)
				}
			}
		})
		fired.tells(t)

		f.heal()
		if got := tab.Browser().Cookies(); len(got) != len(cookies) || got[0].Value != cookies[0].Value || got[1].Value != cookies[1].Value {
			t.Error("a failed request has changed the cookies")
		}
		a.is(tab, "anna")
		for _, ref := range []string{"session!", "tab!", "user!", "isession!"} {
			a.has(tab, ref, "kept")
		}
	})
}

// Each call of the store that a request makes fails in its turn: the request
// fails, or what failed did not matter to it; it is never nobody's, nor does
// it read or write what is not there.
func TestEachCallOfTheStoreFailsClosed(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		f := new(faults)
		a := newApp(t, kind, f.option())
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		persistent := []string{"session!", "tab!", "user!", "isession!", "itab!", "osession!", "otab!", "site!"}
		for _, ref := range persistent {
			a.set(tab, ref, "kept")
		}
		for _, method := range []string{"Session", "Browser", "Tabs", "Value", "SetValue"} {
			for skip := 0; ; skip++ {
				a.restart()
				f.set(method, fault{times: 1, skip: skip})
				before := f.count(method)
				var failed error
				resp := a.visit(tab, func(ctx context.Context, user sojourn.UserID) error {
					if user != "anna" {
						t.Errorf("%s fails at call %d: the user is %q", method, skip, user)
					}
					for _, ref := range persistent {
						v, err := a.refs[ref].Get(ctx)
						if err == nil && v != "kept" {
							t.Errorf("%s fails at call %d: %s is %q", method, skip, ref, v)
						}
						failed = errors.Join(failed, err)
						if err = a.refs[ref].Set(ctx, "kept"); err != nil && !errors.Is(err, errFault) {
							t.Errorf("%s fails at call %d: Set of %s: %v", method, skip, ref, err)
						}
						failed = errors.Join(failed, err)
					}
					return failed
				})
				hit := f.count(method)-before > skip
				f.heal()
				if hit != (resp.StatusCode == http.StatusInternalServerError) {
					t.Errorf("%s fails at call %d (%v): the status is %s", method, skip, hit, resp.Status)
				}
				for _, ref := range persistent {
					a.has(tab, ref, "kept")
				}
				if !hit {
					if skip == 0 && (method == "Session" || method == "Value") {
						t.Errorf("%s was not called", method)
					}
					break
				}
			}
		}
	})
}

// Connect that cannot be stored leaves nobody connected, here or elsewhere.
func TestConnectThatFailsConnectsNobody(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, fail := range map[string]func(f *faults, a *app){
			"CreateSession":              func(f *faults, a *app) { f.set("CreateSession", fault{times: 1}) },
			"CreateSession after effect": func(f *faults, a *app) { f.set("CreateSession", fault{times: 1, after: true}) },
			"open": func(_ *faults, a *app) {
				a.site.OnOpenSession(func(context.Context, sojourn.UserID) error { return errFault })
			},
			"start tab": func(_ *faults, a *app) {
				a.site.OnStartTab(func(context.Context, sojourn.UserID) error { return errFault })
			},
			"start connected tab": func(_ *faults, a *app) {
				a.site.OnStartConnectedTab(func(context.Context, sojourn.UserID) error { return errFault })
			},
			"post-close": func(_ *faults, a *app) { a.site.OnPostCloseSession(func(context.Context) error { return errFault }) },
			"open, and the session cannot be ended": func(f *faults, a *app) {
				a.site.OnOpenSession(func(context.Context, sojourn.UserID) error {
					f.fail("EndSession", "EndBrowsers", "Browser")
					return errFault
				})
			},
			"open, and the client has gone": func(_ *faults, a *app) {
				a.site.OnOpenSession(func(ctx context.Context, _ sojourn.UserID) error {
					cancelOf(ctx)()
					return errFault
				})
			},
		} {
			for _, before := range []sojourn.UserID{sojourn.Nobody, "berta"} {
				t.Run(name+" before "+string(before), func(t *testing.T) {
					f := new(faults)
					a := newApp(t, kind, f.option())
					b := a.browser()
					if before != sojourn.Nobody {
						a.connect(b, before)
					}
					fail(f, a)
					a.bare(b, func(ctx context.Context) {
						ctx, cancel := context.WithCancel(ctx)
						defer cancel()
						ctx = context.WithValue(ctx, cancelKey{}, cancel)
						wants(t, "Connect", a.site.Connect(ctx, "anna"), errFault)
						if user, err := a.site.CurrentUser(context.WithoutCancel(ctx)); user != sojourn.Nobody || err != nil {
							t.Errorf("in the request the user is %q, %v", user, err)
						}
					})
					f.heal()
					a.is(b, sojourn.Nobody)
					a.restart()
					a.is(b, sojourn.Nobody)
				})
			}
		}
	})
}

type cancelKey struct{}

func cancelOf(ctx context.Context) context.CancelFunc {
	return ctx.Value(cancelKey{}).(context.CancelFunc)
}

// A pre-close action that fails is asked before anything is changed.
func TestPreCloseThatFailsChangesNothing(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		fail := false
		a := newApp(t, kind, withInit(func(a *app) {
			a.site.OnPreCloseSession(func(context.Context) error {
				if fail {
					return errFault
				}
				return nil
			})
		}))
		b := a.browser()
		a.connect(b, "anna")
		a.set(b, "session", "kept")
		fail = true
		a.bare(b, func(ctx context.Context) {
			wants(t, "Connect", a.site.Connect(ctx, "berta"), errFault)
			wants(t, "Disconnect", a.site.Disconnect(ctx), errFault)
			wants(t, "DisconnectAll", a.site.DisconnectAll(ctx), errFault)
			user, err := a.site.CurrentUser(ctx)
			if user != "anna" || err != nil {
				t.Errorf("in the request the user is %q, %v", user, err)
			}
		})
		a.is(b, "anna")
		a.has(b, "session", "kept")
	})
}

// Groups and users that cannot be asked let nobody in, and end no session.
func TestGroupsAndUsersThatFailFailTheRequest(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var users, groups error
		a := newApp(t, kind, withConfig(sojourn.Config{
			Users: func(context.Context, sojourn.UserID) (bool, error) { return users == nil, users },
			Groups: func(_ context.Context, _ sojourn.UserID, g sojourn.Group) (bool, error) {
				return g == "in", groups
			},
		}))
		b := a.browser()
		a.connect(b, "anna")
		options := [][]sojourn.GuardOption{
			{sojourn.Allow("in")},
			{sojourn.Deny("out")},
			{sojourn.Allow("in"), sojourn.Deny("out")},
			{sojourn.Allow("out", "in")},
		}
		ask := func(opts []sojourn.GuardOption, want int) {
			t.Helper()
			for _, g := range guards {
				ran := false
				resp := a.handle(b, g.guard(a, func(context.Context, sojourn.UserID) { ran = true }, opts...))
				if resp.StatusCode != want || ran != (want == http.StatusOK) {
					t.Errorf("%s: %s, and the handler ran: %v", g.name, resp.Status, ran)
				}
			}
		}
		for _, opts := range options {
			ask(opts, http.StatusOK)
		}
		groups = errFault
		ask(nil, http.StatusOK)
		for _, opts := range options {
			ask(opts, http.StatusInternalServerError)
		}
		// A deny function is for those who are denied, not for failures.
		resp := a.handle(b, a.site.Connected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil },
			sojourn.Allow("in"), sojourn.DenyHandler(func(http.ResponseWriter, *http.Request, sojourn.UserID) error {
				t.Error("the deny function ran")
				return nil
			})))
		status(t, resp, http.StatusInternalServerError)
		groups, users = nil, errFault
		ask(nil, http.StatusInternalServerError)
		a.bare(b, func(ctx context.Context) {
			_, err := a.site.CurrentUser(ctx)
			wants(t, "CurrentUser", err, errFault)
			wants(t, "Connect", a.site.Connect(ctx, "berta"), errFault)
		})
		users = nil
		a.is(b, "anna")
	})
}

// Unasked groups are as good as none: a failure counts whatever the others say.
func TestFailingGroupCountsWhateverTheOthersSay(t *testing.T) {
	t.Parallel()
	var asked []sojourn.Group
	a := newApp(t, memoryKind, withConfig(sojourn.Config{
		Groups: func(_ context.Context, _ sojourn.UserID, g sojourn.Group) (bool, error) {
			asked = append(asked, g)
			if g == "broken" {
				return false, errFault
			}
			return g == "in", nil
		},
	}))
	b := a.browser()
	a.connect(b, "anna")
	for _, opts := range [][]sojourn.GuardOption{
		{sojourn.Allow("in", "broken")},
		{sojourn.Allow("broken", "in")},
		{sojourn.Deny("in", "broken")},
		{sojourn.Allow("in"), sojourn.Deny("broken")},
	} {
		status(t, a.visit(b, func(context.Context, sojourn.UserID) error { return nil }, opts...), http.StatusInternalServerError)
	}
	asked = nil
	a.visit(b, func(context.Context, sojourn.UserID) error { return nil }, sojourn.Allow("in", "out"), sojourn.Deny("out", "more"))
	if slices.Sort(asked); !slices.Equal(asked, []sojourn.Group{"in", "more", "out"}) {
		t.Errorf("the groups asked are %q, want each once", asked)
	}
}

// A context that is done makes the request fail, not anonymous.
func TestRequestThatIsGivenUpFails(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		b := a.browser()
		a.connect(b, "anna")
		a.restart()
		a.bare(b, func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			user, err := a.site.CurrentUser(ctx)
			if user != sojourn.Nobody || !errors.Is(err, context.Canceled) {
				t.Errorf("CurrentUser: %q, %v", user, err)
			}
			wants(t, "Connect", a.site.Connect(ctx, "berta"), context.Canceled)
		})
		a.is(b, "anna")
	})
}

// What was in use but could not be written is written when the store is well
// again: a session is not swept away for it.
func TestFailedTouchesAreTriedAgain(t *testing.T) {
	cfg := sojourn.Config{Timeouts: sojourn.Timeouts{Idle: 20 * time.Minute, Browser: 20 * time.Minute, Tab: 20 * time.Minute}}
	timeoutTest(t, cfg, func(t *testing.T, a *app, f *faults) {
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		a.set(tab, "isession!", "kept")
		a.set(tab, "tab!", "kept")
		opened := now()
		after(15*time.Minute, opened)
		f.fail("Touch")
		a.is(tab, "anna")
		a.has(tab, "isession!", "kept")
		after(17*time.Minute, opened)
		if f.count("Touch") == 0 {
			t.Error("nothing was to be written")
		}
		f.heal()
		after(30*time.Minute, opened)
		if n := len(a.sessions("anna")); n != 1 {
			t.Errorf("anna has %d sessions, want 1", n)
		}
		a.restart()
		a.is(tab, "anna")
		a.has(tab, "isession!", "kept")
		a.has(tab, "tab!", "kept")
	})
}
