package sojourn_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// deafStore is a shared store that brings no messages.
type deafStore struct{ muteStore }

func (deafStore) Changes(context.Context, func(sojourn.Change)) error {
	return errors.New("nothing to be heard")
}

// While the store does not answer, heartbeats come as ever: live connections
// stay.
func TestHeartbeatsComeWhileTheStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := sojourn.NewMemoryStore()
		t.Cleanup(func() { _ = store.Close() })
		f := new(faults)
		a := newApp(t, storeKind{name: "deaf", keep: func(testing.TB) func() sojourn.Store {
			return func() sojourn.Store { return deafStore{muteStore{store}} }
		}}, f.option())
		var beats [20]atomic.Int32
		for i := range beats {
			b := a.browser()
			a.connect(b, "anna")
			live := b.NewTab().Live()
			live.Next()
			live.OnHeartbeat(func() { beats[i].Add(1) })
		}
		f.fail("Session")
		f.onCall(func(ctx context.Context, method string) {
			if method == "Session" {
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
				}
			}
		})
		time.Sleep(101 * time.Second)
		f.onCall(nil)
		f.heal()
		for i := range beats {
			if n := beats[i].Load(); n < 4 {
				t.Errorf("a tab heard %d heartbeats in 100 seconds, want 4", n)
			}
		}
	})
}
