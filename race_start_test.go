package sojourn_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// together sends n requests at once and returns how many were answered with 200.
func together(v visitor, path string, n int) (fine int64) {
	var all sync.WaitGroup
	var ok atomic.Int64
	for range n {
		all.Go(func() {
			if v.Get(path).StatusCode == http.StatusOK {
				ok.Add(1)
			}
		})
	}
	all.Wait()
	return ok.Load()
}

// After a restart many requests find the session, and the tab, at once: its
// opening actions run once, before any handler.
func TestOpeningActionsRunOnceUnderParallelRequests(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var opens, starts, running atomic.Int64
		a := newApp(t, kind, withInit(func(a *app) {
			a.site.OnOpenSession(func(context.Context, sojourn.UserID) error {
				if running.Add(1) != 1 {
					t.Error("open-session runs twice at once")
				}
				defer running.Add(-1)
				opens.Add(1)
				return nil
			})
			a.site.OnStartTab(func(ctx context.Context, _ sojourn.UserID) error {
				if opens.Load() == 0 {
					t.Error("start-tab runs before open-session")
				}
				starts.Add(1)
				return a.refs["tab"].Set(ctx, "started")
			})
		}))
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		a.set(tab, "tab!", "x")
		for range 5 {
			a.restart()
			opens.Store(0)
			starts.Store(0)
			path := a.put(a.site.Connected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
				if opens.Load() != 1 || starts.Load() != 1 {
					t.Errorf("the handler runs after %d openings and %d starts", opens.Load(), starts.Load())
				}
				if v, err := a.refs["tab"].Get(r.Context()); v != "started" || err != nil {
					t.Errorf("the tab's value is %q, %v", v, err)
				}
				return nil
			}))
			if fine := together(tab, path, 12); fine != 12 || opens.Load() != 1 || starts.Load() != 1 {
				t.Errorf("%d of 12 requests were answered, after %d openings and %d starts", fine, opens.Load(), starts.Load())
			}
		}
	})
}

// The opening actions fail in the first of them: that one fails, the next one
// runs the whole queue again, and the others wait for it.
func TestOpeningThatFailsIsRunAgainByTheNext(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, which := range []string{"open", "start"} {
			var first, second atomic.Int64
			a := newApp(t, kind, withInit(func(a *app) {
				queue := func(user sojourn.UserID) error { first.Add(1); return nil }
				fails := func(user sojourn.UserID) error {
					if second.Add(1) <= 3 {
						return errFault
					}
					return nil
				}
				if which == "open" {
					a.site.OnOpenSession(func(_ context.Context, u sojourn.UserID) error { return queue(u) })
					a.site.OnOpenSession(func(_ context.Context, u sojourn.UserID) error { return fails(u) })
				} else {
					a.site.OnStartTab(func(_ context.Context, u sojourn.UserID) error { return queue(u) })
					a.site.OnStartConnectedTab(func(_ context.Context, u sojourn.UserID) error { return fails(u) })
				}
			}))
			second.Store(10)
			tab := a.browser().NewTab()
			a.connect(tab, "anna")
			a.set(tab, "tab!", "x")
			a.restart()
			first.Store(0)
			second.Store(0)
			path := a.put(a.site.Connected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error {
				if second.Load() < 4 {
					t.Errorf("%s: the handler runs after %d failures", which, second.Load())
				}
				return nil
			}))
			if fine := together(tab, path, 12); fine != 9 || first.Load() != 4 || second.Load() != 4 {
				t.Errorf("%s: %d of 12 requests were answered, the queue ran %d and %d times; want 9, 4 and 4", which, fine, first.Load(), second.Load())
			}
		}
	})
}

// A panic in an action is the server's to report; the next request runs it.
func TestOpeningThatPanicsIsRunAgain(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	a.restart()
	n := 0
	a.site.OnOpenSession(func(context.Context, sojourn.UserID) error {
		if n++; n == 1 {
			panic("action")
		}
		return nil
	})
	func() {
		defer func() {
			if p := recover(); p != "action" {
				t.Errorf("the panic is %v", p)
			}
		}()
		a.visit(b, func(context.Context, sojourn.UserID) error { return nil })
	}()
	for range 2 {
		status(t, a.visit(b, func(context.Context, sojourn.UserID) error { return nil }), http.StatusOK)
	}
	if n != 2 {
		t.Errorf("open-session ran %d times, want 2", n)
	}
}

// Who waits for another's actions gives up when the client does.
func TestWaitingForAnOpeningCanBeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, memoryKind)
		b := a.browser()
		a.connect(b, "anna")
		a.restart()
		release := make(chan struct{})
		a.site.OnOpenSession(func(context.Context, sojourn.UserID) error { <-release; return nil })
		path := a.put(a.site.Connected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil }))
		var all sync.WaitGroup
		all.Go(func() { status(t, b.Get(path), http.StatusOK) })
		synctest.Wait()
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			resp := b.Do(from(path, "192.0.2.1:1").WithContext(ctx))
			if resp.StatusCode == http.StatusOK || ctx.Err() == nil {
				t.Errorf("a request that was given up is answered %s", resp.Status)
			}
		})
		time.Sleep(2 * time.Minute)
		close(release)
		all.Wait()
	})
}

// Uses that are written late do not bring a session back, nor keep it.
func TestTouchMeetsTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, when := range []string{"before", "after"} {
			f := new(faults)
			a := newApp(t, memoryKind, f.option())
			b := a.browser()
			a.connect(b, "anna")
			thief := b.Clone()
			met := 0
			meet := func(_ context.Context, called string) {
				if called == "Touch" {
					met++
					a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
				}
			}
			if when == "before" {
				f.onCall(meet)
			} else {
				f.afterCall(meet)
			}
			time.Sleep(2 * time.Minute)
			a.is(b, "anna")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if met == 0 {
				t.Error("the use was not written")
			}
			a.is(thief, sojourn.Nobody)
			a.holds(sojourn.Counts{})
			a.restart()
			a.is(thief, sojourn.Nobody)
		}
	})
}
