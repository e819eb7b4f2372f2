package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// attackEnds are the ways a session ends while a request of it is running, and
// whether the browser's user-independent state stays.
var attackEnds = []struct {
	name string
	keep bool
	end  func(ctx context.Context, a *attacked) error
}{
	{"Disconnect", true, func(ctx context.Context, a *attacked) error { return a.Disconnect(ctx) }},
	{"Connect", true, func(ctx context.Context, a *attacked) error { return a.Connect(ctx, "2") }},
	{"DisconnectAll", false, func(ctx context.Context, a *attacked) error { return a.DisconnectAll(ctx) }},
	{"DisconnectAll keeping", true, func(ctx context.Context, a *attacked) error {
		return a.DisconnectAll(ctx, sojourn.KeepUserIndependent())
	}},
	{"EndSession", true, func(ctx context.Context, a *attacked) error {
		sessions, err := a.Sessions(ctx, "1")
		if err != nil || len(sessions) != 1 {
			return fmt.Errorf("%d sessions, error %w", len(sessions), err)
		}
		return a.EndSession(context.Background(), "1", sessions[0].ID)
	}},
}

// The end of a session takes the session's state, not the browser's: what a
// request that is still running writes there is kept.
func TestRequestInFlightWritesItsBrowsersStateAfterTheSessionsEnd(t *testing.T) {
	t.Parallel()
	own := sojourn.NewHierarchy("kept")
	for _, end := range attackEnds {
		for _, scope := range []sojourn.Scope{sojourn.UserIndependentSessionScope, own.Session()} {
			for _, persistent := range []bool{false, true} {
				t.Run(fmt.Sprint(end.name, "/", scope, "/", persistent), func(t *testing.T) {
					t.Parallel()
					a := newAttacked(t, sojourn.Config{})
					var ref *sojourn.Ref[string]
					if persistent {
						ref = sojourn.NewPersistentRef[string](a.Site, scope, "x", nil)
					} else {
						ref = sojourn.NewRef[string](a.Site, scope, nil)
					}
					b := a.browser()
					a.connect(b, "1")
					want := error(nil)
					if scope == sojourn.UserIndependentSessionScope && !end.keep {
						want = sojourn.ErrSessionEnded
					}
					finish := a.hold(b,
						func(ctx context.Context) {
							if _, err := a.CurrentUser(ctx); err != nil {
								t.Error(err)
							}
						},
						func(ctx context.Context) {
							if err := ref.Set(ctx, "late"); !errors.Is(err, want) {
								t.Errorf("Set: %v, want %v", err, want)
							}
						})
					a.bare(b, func(ctx context.Context) { attackOK(t, end.end(ctx, a)) })
					finish()
					value := "late"
					if want != nil {
						value = ""
					}
					a.bare(b, func(ctx context.Context) { attackValue(t, ref, ctx, value) })
				})
			}
		}
	}
}

// A request of the old session that disconnects late does not take the cookie
// of the one that was opened in another tab meanwhile.
func TestLateDisconnectLeavesTheNewSession(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	b := a.browser()
	a.connect(b, "1")
	finish := a.hold(b, func(ctx context.Context) { _, _ = a.CurrentUser(ctx) },
		func(ctx context.Context) { attackOK(t, a.Disconnect(ctx)) })
	a.connect(b, "2")
	finish()
	a.is(b, "2")
}

// Two goroutines of one request that both write for the first time write to
// one browser.
func TestParallelFirstWritesOfARequestShareABrowser(t *testing.T) {
	t.Parallel()
	for range 50 {
		a := newAttacked(t, sojourn.Config{})
		refs := make([]*sojourn.Ref[int], 8)
		for i := range refs {
			refs[i] = sojourn.NewRef[int](a.Site, sojourn.SessionScope, nil)
		}
		b := a.browser()
		a.bare(b, func(ctx context.Context) {
			var wg sync.WaitGroup
			for i, ref := range refs {
				wg.Go(func() { attackOK(t, ref.Set(ctx, i+1)) })
			}
			wg.Wait()
		})
		a.bare(b, func(ctx context.Context) {
			for i, ref := range refs {
				attackValue(t, ref, ctx, i+1)
			}
		})
	}
}

// DisconnectAll(OfUser) restarts a client only if it closed its session: not if
// somebody else had.
func TestDisconnectAllOfUserRestartsOnlyWhomItClosed(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		a := newAttacked(t, sojourn.Config{})
		b := a.browser()
		a.connect(b, "1")
		r := a.bare(b, func(ctx context.Context) {
			if _, err := a.CurrentUser(ctx); err != nil {
				t.Error(err)
			}
			if early {
				attackOK(t, a.DisconnectAll(context.Background(), sojourn.OfUser("1")))
			}
			attackOK(t, a.DisconnectAll(ctx, sojourn.OfUser("1")))
		})
		if r.Restart() == early {
			t.Errorf("closed before: %v, and the client restarts: %v", early, r.Restart())
		}
	}
}

// A request whose browser was dropped while it ran can connect: as a new
// browser, with a new tab that is started once.
func TestConnectAfterDisconnectAllIsANewBrowser(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		a := newAttacked(t, sojourn.Config{})
		theme := sojourn.NewPersistentRef[string](a.Site, sojourn.UserIndependentSessionScope, "theme", nil)
		starts := 0
		a.OnStartTab(func(context.Context, sojourn.UserID) error { starts++; return nil })
		b := a.browser()
		tab := b.NewTab()
		a.connect(tab, "1")
		a.page(tab, func(context.Context, sojourn.UserID) {})
		starts = 0
		a.page(tab, func(ctx context.Context, _ sojourn.UserID) {
			if own {
				attackOK(t, a.DisconnectAll(ctx, sojourn.WithoutRestart()))
			} else {
				attackOK(t, a.DisconnectAll(context.Background(), sojourn.OfUser("1")))
			}
			attackOK(t, a.Connect(ctx, "1"))
			attackOK(t, theme.Set(ctx, "dark"))
		})
		a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackValue(t, theme, ctx, "dark") })
		if starts != 1 {
			t.Errorf("own %v: the tab was started %d times", own, starts)
		}
	}
}
