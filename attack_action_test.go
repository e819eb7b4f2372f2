package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// An action that disconnects a user, such as one who is banned, keeps the
// handler from running as that user.
func TestHandlerDoesNotRunForAUserWhomAnActionDisconnected(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"request", "start-tab", "connected-request", "open-session"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			store := sharedStore{sojourn.NewMemoryStore()}
			before := newAttacked(t, sojourn.Config{Store: store})
			b := before.browser()
			before.connect(b, "1")

			a := newAttacked(t, sojourn.Config{Store: store}) // it has not opened the session yet
			before.Handler = a.Handler
			kick := func(ctx context.Context, user sojourn.UserID) error {
				if user == "1" {
					return a.Disconnect(ctx)
				}
				return nil
			}
			switch kind {
			case "request":
				a.OnRequest(kick)
			case "start-tab":
				a.OnStartTab(kick)
			case "connected-request":
				a.OnConnectedRequest(kick)
			case "open-session":
				a.OnOpenSession(kick)
			}
			var ran []sojourn.UserID
			path := a.serve(a.Connected(func(_ http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
				ran = append(ran, user)
				return nil
			}))
			if r := b.Get(path); r.StatusCode != http.StatusUnauthorized || len(ran) != 0 {
				t.Errorf("status %d, and the handler ran for %q", r.StatusCode, ran)
			}
			a.page(b, func(_ context.Context, user sojourn.UserID) {
				if user != sojourn.Nobody {
					t.Errorf("the user is still %q", user)
				}
			})
		})
	}
}

// An action that runs when a session opens may close it again.
func TestConnectSurvivesAnActionThatDisconnects(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	a.OnOpenSession(func(ctx context.Context, _ sojourn.UserID) error { return a.Disconnect(ctx) })
	b := a.browser()
	a.bare(b, func(ctx context.Context) {
		if err := a.Connect(ctx, "1"); !errors.Is(err, sojourn.ErrSessionEnded) {
			t.Errorf("Connect: %v, want ErrSessionEnded", err)
		}
		if user, err := a.CurrentUser(ctx); user != sojourn.Nobody || err != nil {
			t.Errorf("the user is %q, error %v", user, err)
		}
	})
	a.is(b, sojourn.Nobody)
}

// When an action fails in Connect because the context ran out, nobody is
// connected all the same.
func TestConnectThatRanOutOfTimeConnectsNobody(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	b := a.browser()
	a.bare(b, func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		a.OnOpenSession(func(ctx context.Context, _ sojourn.UserID) error {
			cancel()
			return ctx.Err()
		})
		if err := a.Connect(ctx, "1"); !errors.Is(err, context.Canceled) {
			t.Errorf("Connect: %v", err)
		}
	})
	a.is(b, sojourn.Nobody)
	if sessions, err := a.Sessions(t.Context(), "1"); err != nil || len(sessions) != 0 {
		t.Errorf("%d sessions, error %v", len(sessions), err)
	}
}

// What other servers could not be told does not undo a Connect.
func TestConnectIsNotUndoneByAMessageThatWasNotSent(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Store: sharedStore{sojourn.NewMemoryStore()}}
	a := newAttacked(t, sojourn.Config{Store: store})
	b := a.browser()
	store.failing("Publish", false)
	a.connect(b, "1")
	a.is(b, "1")
}

// A session that has ended is told, whatever the store answers next.
func TestEndIsAnnouncedWhenTheStoreFailsAfterIt(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Store: sojourn.NewMemoryStore()}
	a := newAttacked(t, sojourn.Config{Store: store})
	var ended []sojourn.EndReason
	a.OnSessionEnd(func(_ context.Context, _ sojourn.SessionInfo, reason sojourn.EndReason) {
		ended = append(ended, reason)
	})
	closed := 0
	a.OnPostCloseSession(func(context.Context) error { closed++; return nil })
	b := a.browser()
	a.connect(b, "1")
	closed = 0
	store.failing("Browser", false)
	a.bare(b, func(ctx context.Context) { attackOK(t, a.Disconnect(ctx)) })
	if len(ended) != 1 || closed != 1 {
		t.Errorf("OnSessionEnd was told %q, post-close ran %d times", ended, closed)
	}
}
