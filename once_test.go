package sojourn_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// actionKinds register an action that a guard runs before its handler.
var actionKinds = map[string]func(s *sojourn.Site, f func(ctx context.Context) error){
	"OnOpenSession": func(s *sojourn.Site, f func(ctx context.Context) error) {
		s.OnOpenSession(func(ctx context.Context, _ sojourn.UserID) error { return f(ctx) })
	},
	"OnStartTab": func(s *sojourn.Site, f func(ctx context.Context) error) {
		s.OnStartTab(func(ctx context.Context, _ sojourn.UserID) error { return f(ctx) })
	},
	"OnRequest": func(s *sojourn.Site, f func(ctx context.Context) error) {
		s.OnRequest(func(ctx context.Context, _ sojourn.UserID) error { return f(ctx) })
	},
	"OnConnectedRequest": func(s *sojourn.Site, f func(ctx context.Context) error) {
		s.OnConnectedRequest(func(ctx context.Context, _ sojourn.UserID) error { return f(ctx) })
	},
}

// onActionKinds tests with a site whose user anna connected before it was
// started, so that her session has yet to be opened here.
func onActionKinds(t *testing.T, test func(t *testing.T, a *app, b *sojourntest.Browser, register func(f func(ctx context.Context) error))) {
	for name, register := range actionKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, memoryKind)
				b := a.browser()
				a.connect(b, "anna")
				a.restart()
				test(t, a, b, func(f func(ctx context.Context) error) { register(a.site, f) })
			})
		})
	}
}

// A guard beside the one that runs an action waits for it; one inside the
// action does not.
func TestGuardsOfOneRequestWaitForItsActions(t *testing.T) {
	onActionKinds(t, func(t *testing.T, a *app, b *sojourntest.Browser, register func(f func(ctx context.Context) error)) {
		goOn := make(chan struct{})
		var runs, entered, within atomic.Int32
		call := func(ctx context.Context, entered *atomic.Int32) {
			f := sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, int) (int, error) {
				entered.Add(1)
				return 0, nil
			})
			if _, err := f(ctx, 0); err != nil {
				t.Error(err)
			}
		}
		register(func(ctx context.Context) error {
			runs.Add(1)
			call(ctx, &within)
			<-goOn
			return nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.bare(b, func(ctx context.Context) {
				for range 2 {
					go call(ctx, &entered)
				}
				synctest.Wait()
				if n := entered.Load(); n != 0 {
					t.Errorf("%d guards have let somebody in while the action runs", n)
				}
				close(goOn)
				synctest.Wait()
			})
		}()
		<-done
		if runs.Load() != 1 || entered.Load() != 2 || within.Load() != 1 {
			t.Errorf("the action ran %d times; %d guards beside it and %d within let somebody in, want 1, 2 and 1", runs.Load(), entered.Load(), within.Load())
		}
	})
}

// After an action panicked no guard of the request lets anybody in, whoever
// caught the panic.
func TestPanicOfAnActionKeepsTheRequestOut(t *testing.T) {
	onActionKinds(t, func(t *testing.T, a *app, b *sojourntest.Browser, register func(f func(ctx context.Context) error)) {
		register(func(context.Context) error { panic("as it happens") })
		a.bare(b, func(ctx context.Context) {
			f := sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, int) (int, error) {
				t.Error("somebody was let in")
				return 0, nil
			})
			for range 2 {
				func() {
					defer func() { _ = recover() }()
					if _, err := f(ctx, 0); err == nil {
						t.Error("there is no error")
					}
				}()
			}
		})
	})
}

// What comes after the post-close actions happens when one of them panics.
func TestPanicAfterTheEndLeavesNothingUndone(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]func(s *sojourn.Site, ctx context.Context) error{
			"Disconnect":    (*sojourn.Site).Disconnect,
			"DisconnectAll": func(s *sojourn.Site, ctx context.Context) error { return s.DisconnectAll(ctx) },
		} {
			var ended []sojourn.EndReason
			a := newApp(t, kind)
			a.site.OnSessionEnd(func(_ context.Context, _ sojourn.SessionInfo, reason sojourn.EndReason) {
				ended = append(ended, reason)
			})
			b := a.browser()
			a.connect(b.NewTab(), "anna")
			a.site.OnPostCloseSession(func(context.Context) error { panic("as it happens") })
			ended = nil
			a.set(b, "isession!", "x")
			live := b.NewTab().Live()
			live.Next()
			a.bare(b, func(ctx context.Context) {
				defer func() { _ = recover() }()
				err := end(a.site, ctx)
				t.Errorf("%s has caught the panic: %v", name, err)
			})
			if m := live.Next(); m.Reason == "" {
				t.Errorf("%s: the open tab is told %+v", name, m)
			}
			if len(ended) != 1 {
				t.Errorf("%s: OnSessionEnd ran %d times, want once", name, len(ended))
			}
			a.is(b, sojourn.Nobody)
			want := "x"
			if name == "DisconnectAll" {
				want = ""
			}
			a.has(b, "isession!", want)
		}
	})
}

// Who asks to be signed out and goes away at once is signed out.
func TestEndGoesOnWhenItsClientHasGone(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]func(a *app, ctx context.Context) error{
			"Disconnect":    func(a *app, ctx context.Context) error { return a.site.Disconnect(ctx) },
			"DisconnectAll": func(a *app, ctx context.Context) error { return a.site.DisconnectAll(ctx) },
			"EndSession": func(a *app, ctx context.Context) error {
				return a.site.EndSession(ctx, "anna", a.sessions("anna")[0].ID)
			},
		} {
			a := newApp(t, kind)
			b := a.browser()
			a.connect(b, "anna")
			a.set(b, "isession!", "x")
			v := a.browser()
			for _, c := range b.Cookies() {
				v.SetCookie(c)
			}
			a.handle(v, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				if err := end(a, ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}))
			a.is(b, sojourn.Nobody)
			if n := len(a.sessions("anna")); n != 0 {
				t.Errorf("%s: %d sessions are left", name, n)
			}
			want := "x"
			if name == "DisconnectAll" {
				want = ""
			}
			a.has(b, "isession!", want)
		}
	})
}

// Tabs learn soon that their session has ended though the store said it failed.
func TestTabsAreToldOfAnEndOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, call := range []string{"EndUser", "EndSession"} {
			f := new(faults)
			a := newApp(t, memoryKind, f.option())
			b := a.browser()
			a.connect(b, "anna")
			live := b.NewTab().Live()
			live.Next()
			f.set(call, fault{times: 1, after: true})
			var err error
			if call == "EndUser" {
				err = a.site.DisconnectAll(t.Context(), sojourn.OfUser("anna"))
			} else {
				err = a.site.EndSession(t.Context(), "anna", a.sessions("anna")[0].ID)
			}
			wants(t, call, err, errFault)
			before := time.Now()
			if m := live.Next(); m.Type != protocol.LiveChanged {
				t.Errorf("%s: the tab is told %+v", call, m)
			}
			if took := time.Since(before); took > time.Second {
				t.Errorf("%s: the tab was told after %v", call, took)
			}
		}
	})
}
