package sojourn_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// Who had a session, and should no longer have it, cannot end the sessions
// that the user has opened since, with a request that was kept back: not on
// this server, and not on another one that has not heard of the end.
func TestRequestOfAnEndedSessionEndsNoOther(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one server", "two servers"} {
		for ending, end := range map[string]func(ctx context.Context, s *sojourn.Site) error{
			"DisconnectAll": func(ctx context.Context, s *sojourn.Site) error { return s.DisconnectAll(ctx) },
			"KeepUserIndependent": func(ctx context.Context, s *sojourn.Site) error {
				return s.DisconnectAll(ctx, sojourn.KeepUserIndependent())
			},
		} {
			t.Run(name+"/"+ending, func(t *testing.T) {
				t.Parallel()
				one, two := twoServers(t, sojourn.Config{})
				if name == "one server" {
					two = one
				}
				closed := 0
				two.OnPostCloseSession(func(context.Context) error { closed++; return nil })
				thief, owner := two.browser(), one.browser()
				two.connect(thief, "1")
				closed = 0
				finish := two.hold(thief,
					func(ctx context.Context) { _, _ = two.CurrentUser(ctx) },
					func(ctx context.Context) {
						if err := end(ctx, two.Site); !errors.Is(err, sojourn.ErrSessionEnded) {
							t.Errorf("the late DisconnectAll: %v", err)
						}
					})
				attackOK(t, one.DisconnectAll(context.Background(), sojourn.OfUser("1")))
				one.connect(owner, "1")
				closed = 0
				finish()
				one.is(owner, "1")
				if closed != 0 {
					t.Errorf("it ran the actions of an end %d times", closed)
				}
			})
		}
	}
}
