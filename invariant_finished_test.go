package sojourn_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// The invariant "Finished means finished": once an end returned nil, no request
// that starts afterwards is that session's user; no request in flight, crash,
// restart or late write brings it back.

// ending is a way in which anna's session in a browser ends.
type ending struct {
	name   string
	reason sojourn.EndReason
	own    bool // by a request of the session itself
	end    func(a *app, v visitor)
	next   sojourn.UserID // who is connected then
}

var endings = []ending{
	{
		name: "Disconnect", reason: sojourn.EndDisconnect, own: true,
		end: func(a *app, v visitor) { a.disconnect(v) },
	},
	{
		name: "Disconnect after the response has started", reason: sojourn.EndDisconnect, own: true,
		end: func(a *app, v visitor) {
			a.handle(v, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				a.must(a.site.Disconnect(r.Context()))
			}))
		},
	},
	{
		name: "the endpoint disconnect", reason: sojourn.EndDisconnect, own: true,
		end: func(a *app, v visitor) {
			status(a, post(v, disconnectPath, "application/json", "{}"), http.StatusNoContent)
		},
	},
	{
		name: "DisconnectAll", reason: sojourn.EndDisconnectAll, own: true,
		end: func(a *app, v visitor) { a.disconnectAll(v) },
	},
	{
		name: "DisconnectAll that keeps and does not restart", reason: sojourn.EndDisconnectAll, own: true,
		end: func(a *app, v visitor) {
			a.disconnectAll(v, sojourn.KeepUserIndependent(), sojourn.WithoutRestart())
		},
	},
	{
		name: "DisconnectAll from elsewhere", reason: sojourn.EndDisconnectAll,
		end: func(a *app, _ visitor) {
			a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
		},
	},
	{
		name: "EndSession", reason: sojourn.EndRevoked,
		end: func(a *app, _ visitor) {
			a.must(a.site.EndSession(context.Background(), "anna", a.sessions("anna")[0].ID))
		},
	},
	{
		name: "EndSession of its own", reason: sojourn.EndDisconnect, own: true,
		end: func(a *app, v visitor) {
			a.bare(v, func(ctx context.Context) { a.must(a.site.EndSession(ctx, "anna", a.sessions("anna")[0].ID)) })
		},
	},
	{
		name: "Connect as another", reason: sojourn.EndReplaced, own: true, next: "berta",
		end: func(a *app, v visitor) { a.connect(v, "berta") },
	},
	{
		name: "Connect as the same", reason: sojourn.EndReplaced, own: true, next: "anna",
		end: func(a *app, v visitor) { a.connect(v, "anna") },
	},
	{
		name: "eviction", reason: sojourn.EndEvicted,
		end: func(a *app, _ visitor) {
			for range 3 {
				nextMilli() // which session was used last is known to the millisecond
				a.connect(a.browser(), "anna")
			}
			a.must(a.site.EndSession(context.Background(), "anna", a.sessions("anna")[0].ID))
		},
	},
	{
		name: "the user is no more", reason: sojourn.EndUserGone, own: true,
		end: func(a *app, v visitor) {
			a.gone.Store(true)
			a.visit(v, func(context.Context, sojourn.UserID) error { return nil })
			a.gone.Store(false)
		},
	},
}

// withUsers makes an app ask whether its users exist.
func withUsers() appOption {
	return func(a *app) {
		a.gone = new(atomic.Bool)
		a.cfg.Limits.SessionsPerUser = 3
		a.cfg.Users = func(_ context.Context, user sojourn.UserID) (bool, error) {
			return user != "anna" || !a.gone.Load(), nil
		}
	}
}

func onEndings(t *testing.T, f func(t *testing.T, kind storeKind, e ending)) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, e := range endings {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				f(t, kind, e)
			})
		}
	})
}

func TestEndedSessionIsNeverRevived(t *testing.T) {
	onEndings(t, func(t *testing.T, kind storeKind, e ending) {
		var d diary
		a := newApp(t, kind, withUsers(), d.ends())
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range []string{"tab", "tab!", "session", "session!"} {
			a.set(tab, ref, "old")
		}
		id := a.sessions("anna")[0].ID
		thief := tab.Browser().Clone()
		a.is(thief, "anna")
		other := a.browser()
		a.connect(other, "carla")

		e.end(a, tab)
		if got := d.take(); len(got) == 0 || got[0] != "anna "+string(e.reason) {
			t.Errorf("the ends are %q, want %s first", got, e.reason)
		}
		finished := func(when string) {
			t.Helper()
			if got := a.user(thief); got != sojourn.Nobody {
				t.Errorf("%s: with the old cookie the user is %q", when, got)
			}
			status(t, a.handle(thief, a.site.Connected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil })), http.StatusUnauthorized)
			a.is(tab, e.next)
			a.is(other, "carla")
			for _, ref := range []string{"tab", "tab!", "session", "session!"} {
				a.has(tab, ref, "")
				a.has(thief, ref, "")
			}
			if slices.ContainsFunc(a.sessions("anna"), func(s sojourn.SessionInfo) bool { return s.ID == id }) {
				t.Errorf("%s: the session is listed", when)
			}
			wants(t, when+": EndSession again", a.site.EndSession(context.Background(), "anna", id), sojourn.ErrNoSuchSession)
		}
		finished("at once")
		a.restart() // which writes what it knows of last uses
		finished("after a restart")
		a.restart()
		finished("after another one")
	})
}

// A request in flight whose session ends meanwhile gets ErrSessionEnded, and
// nothing it writes reaches the next session, on this server or another.
func TestRequestInFlightIsOfNoSessionAnyMore(t *testing.T) {
	onEndings(t, func(t *testing.T, kind storeKind, e ending) {
		a := newApp(t, kind, withUsers())
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		refs := []string{"tab", "tab!", "session", "session!", "user", "user!"}
		for _, ref := range refs {
			a.set(tab, ref, "old")
		}
		q := a.hold(tab, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
			_, err := a.site.CurrentUser(ctx)
			wants(t, "CurrentUser", err, sojourn.ErrSessionEnded)
			for _, ref := range refs {
				r := a.refs[ref]
				_, err := r.Get(ctx)
				wants(t, "Get of "+ref, err, sojourn.ErrSessionEnded)
				wants(t, "Set of "+ref, r.Set(ctx, "late"), sojourn.ErrSessionEnded)
				wants(t, "Unset of "+ref, r.Unset(ctx), sojourn.ErrSessionEnded)
				err = r.Modify(ctx, func(string) (string, error) { return "late", nil })
				wants(t, "Modify of "+ref, err, sojourn.ErrSessionEnded)
			}
			rpc := sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, int) (int, error) {
				t.Error("a guard let the call in")
				return 0, nil
			})
			_, err = rpc(ctx, 0)
			wants(t, "a guarded call", err, sojourn.ErrSessionEnded)
		})
		thief := tab.Browser().Clone()
		e.end(a, tab)
		status(t, q.release(), http.StatusOK)
		a.is(thief, sojourn.Nobody)
		a.is(tab, e.next)
		tab.Browser().ClearCookies()
		a.connect(tab, "anna")
		for _, ref := range refs {
			want := ""
			if ref == "user!" {
				want = "old" // the user's data stays
			} else if ref == "user" && e.reason == sojourn.EndEvicted {
				want = "old" // there was a session all the time
			}
			a.has(tab, ref, want)
		}
	})
}

// The same when another server ends it: then this one knows when it asks.
func TestSessionEndedByAnotherServerIsNotWritten(t *testing.T) {
	t.Parallel()
	open := strictKind.keep(t)
	shared := storeKind{name: "shared", keep: func(testing.TB) func() sojourn.Store { return open }}
	a, b := newApp(t, shared), newApp(t, shared)
	tab := a.browser().NewTab()
	a.connect(tab, "anna")
	persistent := []string{"tab!", "session!", "user!"}
	for _, ref := range persistent {
		a.set(tab, ref, "old")
	}
	q := a.hold(tab, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
		for _, ref := range persistent {
			wants(t, "Set of "+ref, a.refs[ref].Set(ctx, "late"), sojourn.ErrSessionEnded)
			err := a.refs[ref].Modify(ctx, func(string) (string, error) { return "late", nil })
			wants(t, "Modify of "+ref, err, sojourn.ErrSessionEnded)
		}
	})
	a.must(b.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
	q.release()
	a.is(tab, sojourn.Nobody)
	a.connect(tab, "anna")
	for _, ref := range persistent {
		want := ""
		if ref == "user!" {
			want = "old"
		}
		a.has(tab, ref, want)
	}
}

// A tab outlives its session, unless DisconnectAll takes the browser's state:
// it is not started again, whoever opened the session, and wherever it ended.
func TestTabGoesOnWhenItsSessionEnds(t *testing.T) {
	onEndings(t, func(t *testing.T, kind storeKind, e ending) {
		for _, opener := range []string{"the same tab", "another tab", "a page without a guard"} {
			var d diary
			a := newApp(t, kind, withUsers(), withInit(func(a *app) {
				a.site.OnStartTab(func(_ context.Context, user sojourn.UserID) error { d.add("start %s", user); return nil })
			}))
			b := a.browser()
			tab := b.NewTab()
			connect := func(ctx context.Context, _ sojourn.UserID) error { return a.site.Connect(ctx, "anna") }
			nothing := func(context.Context, sojourn.UserID) error { return nil }
			switch opener {
			case "the same tab":
				a.visit(tab, connect)
			case "another tab":
				a.visit(b.NewTab(), connect)
			default:
				a.connect(b, "anna")
			}
			a.visit(tab, nothing)
			id := tab.ID()
			e.end(a, tab)
			d.take()
			a.visit(tab, nothing)
			if fresh := e.reason == sojourn.EndDisconnectAll && !strings.Contains(e.name, "keeps"); fresh {
				d.tells(t, "start ")
			} else if d.tells(t); tab.ID() != id {
				t.Errorf("opened by %s, the tab has become another one", opener)
			}
			a.set(tab, "itab!", "x")
			a.set(tab, "tab", "x")
			a.has(tab, "itab!", "x")
			a.has(tab, "tab", "x")
		}
	})
}

// The end of a session and the request that loads it from the store meet.
func TestEndOvertakesALoad(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, method := range []string{"EndSession", "DisconnectAll"} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			b := a.browser()
			a.connect(b, "anna")
			a.restart()
			var once atomic.Bool
			f.afterCall(func(ctx context.Context, called string) {
				if called != "Session" || once.Swap(true) {
					return
				}
				// The request has its answer, and has not made use of it.
				if method == "EndSession" {
					a.must(a.site.EndSession(context.Background(), "anna", a.sessions("anna")[0].ID))
				} else {
					a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
				}
			})
			a.bare(b, func(ctx context.Context) {
				user, err := a.site.CurrentUser(ctx)
				if user != sojourn.Nobody {
					t.Errorf("%s: a request under way found %q, %v", method, user, err)
				}
			})
			if !once.Load() {
				t.Error("the store was not asked")
			}
			a.is(b, sojourn.Nobody)
		}
	})
}

// DisconnectAll ends a session that is being opened, or comes before it: in no
// case is Connect told that all is well with a session that has ended.
func TestDisconnectAllMeetsConnect(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, after := range []bool{false, true} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			var once atomic.Bool
			meet := func(_ context.Context, called string) {
				if called == "CreateSession" && !once.Swap(true) {
					a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
				}
			}
			want := sojourn.UserID("anna")
			if after {
				want = sojourn.Nobody
				f.afterCall(meet)
			} else {
				f.onCall(meet)
			}
			b := a.browser()
			a.bare(b, func(ctx context.Context) {
				err := a.site.Connect(ctx, "anna")
				if after {
					wants(t, "Connect", err, sojourn.ErrSessionEnded)
				} else {
					a.must(err)
				}
				if user, _ := a.site.CurrentUser(ctx); user != want {
					t.Errorf("in the request the user is %q, want %q", user, want)
				}
			})
			a.is(b, want)
		}
	})
}

// A second end of one session is none of the user's other sessions' business.
func TestEndingAnEndedSessionLeavesTheOthersAlone(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var d diary
		a := newApp(t, kind, d.ends())
		b, other := a.browser(), a.browser()
		a.connect(b, "anna")
		a.connect(other, "anna")
		a.set(other, "user", "kept")
		a.set(other, "session", "kept")
		q := a.hold(b, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
			a.must(a.site.Disconnect(ctx))
		})
		a.disconnect(b.Clone())
		q.release()
		d.tells(t, "anna disconnect")
		a.is(other, "anna")
		a.has(other, "user", "kept")
		a.has(other, "session", "kept")
	})
}

// The last session of a user ends while another request of it writes to the
// user's volatile state, for the first time: the next session starts afresh.
func TestUserStateWrittenDuringTheEndIsGone(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]func(a *app, v visitor){
			"EndSession": func(a *app, v visitor) { a.disconnect(v) },
			"EndUser":    func(a *app, v visitor) { a.disconnectAll(v) },
		} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			b := a.browser()
			a.connect(b, "anna")
			other := b.Clone()
			wrote := false
			f.onCall(func(_ context.Context, called string) {
				if called == name && !wrote {
					wrote = true
					a.set(other, "user", "late")
				}
			})
			end(a, b)
			if !wrote {
				t.Fatalf("%s was not called", name)
			}
			a.connect(b, "anna")
			a.has(b, "user", "")
		}
	})
}

// When the store does not say whether an end took effect, this server does not
// rely on what it knew before.
func TestEndOfUnknownOutcomeIsNotOverlooked(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]struct {
			method string
			do     func(a *app, v visitor) error
		}{
			"Disconnect": {"EndSession", func(a *app, v visitor) (err error) {
				a.bare(v, func(ctx context.Context) { err = a.site.Disconnect(ctx) })
				return err
			}},
			"EndSession": {"EndSession", func(a *app, v visitor) (err error) {
				return a.site.EndSession(context.Background(), "anna", a.sessions("anna")[0].ID)
			}},
			"DisconnectAll": {"EndUser", func(a *app, v visitor) (err error) {
				a.bare(v, func(ctx context.Context) { err = a.site.DisconnectAll(ctx) })
				return err
			}},
			"eviction": {"CreateSession", func(a *app, v visitor) (err error) {
				a.bare(a.browser(), func(ctx context.Context) { err = a.site.Connect(ctx, "anna") })
				return err
			}},
		} {
			for _, effect := range []bool{true, false} {
				f := new(faults)
				a := newApp(t, kind, f.option(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 1}}))
				b := a.browser()
				a.connect(b, "anna")
				a.set(b, "session", "kept")
				thief := b.Clone()
				f.set(end.method, fault{times: 1, after: effect})
				wants(t, name, end.do(a, b), errFault)
				want, value := sojourn.UserID("anna"), "kept"
				if effect {
					want, value = sojourn.Nobody, ""
				}
				if got := a.user(thief); got != want {
					t.Errorf("%s, with effect %v: the user is %q, want %q", name, effect, got, want)
				}
				a.has(thief, "session", value)
			}
		}
	})
}
