package sojourn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// An action of OnSessionEnd that panics does not take the server down when it
// is an open tab that finds the end of its session; and the tab is told.
func TestPanicAtTheEndOfAnOpenTabsSessionIsNotTheServers(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]bool{"idle": true, "absolute": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				timeouts := sojourn.Timeouts{Absolute: time.Hour}
				if idle {
					timeouts = sojourn.Timeouts{Idle: time.Hour}
				}
				a := newAttacked(t, sojourn.Config{Timeouts: timeouts})
				ran := 0
				a.OnSessionEnd(func(context.Context, sojourn.SessionInfo, sojourn.EndReason) {
					ran++
					panic("as it happens")
				})
				tab := a.browser().NewTab()
				a.connect(tab, "1")
				live := tab.Live()
				live.Next()
				time.Sleep(time.Hour + 2*time.Second)
				synctest.Wait()
				if m := live.Next(); m.Type != protocol.LiveChanged {
					t.Errorf("the tab is told %+v", m)
				}
				if ran != 1 {
					t.Errorf("OnSessionEnd ran %d times", ran)
				}
				a.is(tab, sojourn.Nobody)
			})
		})
	}
}
