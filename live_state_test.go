package sojourn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// What a tab has stored lives in the store, too, as long as its live
// connection, and Timeouts.Tab longer: whatever the tab was connected to when
// it stored it.
func TestStoredStateOfAnOpenTabStays(t *testing.T) {
	t.Parallel()
	for _, kind := range []storeKind{memoryKind, strictKind} {
		for _, user := range []sojourn.UserID{sojourn.Nobody, "anna"} {
			for _, restarted := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					a := newApp(t, kind, withConfig(sojourn.Config{Timeouts: sojourn.Timeouts{Tab: time.Minute}}))
					tab := a.browser().NewTab()
					if user != sojourn.Nobody {
						a.connect(tab, user)
					}
					refs := []string{"tab!", "itab!", "otab!"}
					for _, ref := range refs {
						a.set(tab, ref, "x")
					}
					if restarted {
						a.restart()
					}
					live := tab.Live()
					live.Next()
					time.Sleep(10 * time.Minute)
					live.Close()
					synctest.Wait()
					time.Sleep(59 * time.Second)
					for _, ref := range refs {
						a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
							return a.refs[ref].Modify(ctx, func(v string) (string, error) { return v + "y", nil })
						})
						if got := a.get(tab, ref); got != "xy" {
							t.Errorf("%s, user %q, restarted %v: %s is %q, want xy", kind.name, user, restarted, ref, got)
						}
					}
					time.Sleep(61 * time.Second)
					a.has(tab, "tab!", "")
				})
			}
		}
	}
}

// The first request of a tab elsewhere is a use of it like any other.
func TestStoredStateOfATabThatMovedStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, memoryKind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		a.set(tab, "tab!", "x")
		time.Sleep(9 * time.Minute)
		a.restart()
		for range 2 {
			a.has(tab, "tab!", "x")
			time.Sleep(9 * time.Minute)
		}
		a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
			return a.refs["tab!"].Modify(ctx, func(v string) (string, error) { return v + "y", nil })
		})
		a.has(tab, "tab!", "xy")
	})
}
