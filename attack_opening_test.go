package sojourn_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sojourn-go/sojourn"
)

// A guard beside a Connect in the same request waits for what opens the
// session: it neither runs it a second time, nor lets anybody into a session
// whose opening fails.
func TestGuardBesideAConnectWaitsForTheOpening(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"which succeeds": false, "which fails": true} {
		for action, register := range map[string]func(s *sojourn.Site, f func() error){
			"OnOpenSession": func(s *sojourn.Site, f func() error) {
				s.OnOpenSession(func(context.Context, sojourn.UserID) error { return f() })
			},
			"OnStartConnectedTab": func(s *sojourn.Site, f func() error) {
				s.OnStartConnectedTab(func(context.Context, sojourn.UserID) error { return f() })
			},
		} {
			t.Run(action+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a := newAttacked(t, sojourn.Config{})
					goOn, runs := make(chan struct{}), 0
					register(a.Site, func() error {
						runs++
						<-goOn
						if fails {
							return errBroken
						}
						return nil
					})
					entered := sojourn.Nobody
					secret := sojourn.ConnectedRPC(a.Site, func(_ context.Context, user sojourn.UserID, _ int) (int, error) {
						entered = user
						return 0, nil
					})
					a.bare(a.browser(), func(ctx context.Context) {
						connected, passed := make(chan error, 1), make(chan error, 1)
						go func() { connected <- a.Connect(ctx, "1") }()
						synctest.Wait()
						go func() { _, err := secret(ctx, 0); passed <- err }()
						synctest.Wait()
						if entered != sojourn.Nobody || runs != 1 {
							t.Errorf("while it opens, the guard has let %q in, and the actions ran %d times", entered, runs)
						}
						close(goOn)
						if err := <-connected; errors.Is(err, errBroken) != fails {
							t.Errorf("Connect: %v", err)
						}
						if err := <-passed; (err != nil) != fails || (entered != sojourn.Nobody) == fails {
							t.Errorf("the guard: %v, for %q", err, entered)
						}
						if runs != 1 {
							t.Errorf("the actions ran %d times", runs)
						}
					})
				})
			})
		}
	}
}
