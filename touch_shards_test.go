package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// shardCounter counts what touches cost a store of 256 shards, which writes to
// each with a call of its own.
type shardCounter struct {
	sharedStore
	mu      sync.Mutex
	calls   int
	touched int
}

func (c *shardCounter) Touch(ctx context.Context, touches []sojourn.Touch) error {
	shards := make(map[byte]bool)
	for _, t := range touches {
		shards[t.Owner.Shard()[0]] = true
	}
	c.mu.Lock()
	c.calls += len(shards)
	c.touched += len(touches)
	c.mu.Unlock()
	return c.sharedStore.Touch(ctx, touches)
}

func (c *shardCounter) take() (calls, touched int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls, touched = c.calls, c.touched
	c.calls, c.touched = 0, 0
	return calls, touched
}

// However many sessions are active, a store of many shards gets a few writes a
// second, and each session is written as often as it must be.
func TestTouchesOfManyShardsAreAFewWritesASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions = 1500
		store := &shardCounter{sharedStore: sharedStore{sojourn.NewMemoryStore()}}
		a := newAttacked(t, sojourn.Config{Store: store})
		page := a.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := a.CurrentUser(r.Context()); err != nil {
				t.Error(err)
			}
		}))
		var all []*sojourntest.Browser
		for i := range sessions {
			b := a.browser()
			a.connect(b, sojourn.UserID(fmt.Sprint(i)))
			all = append(all, b)
			time.Sleep(time.Minute / sessions) // they are spread over time
		}
		minutes := func(n int) {
			for range n * 3 {
				for _, b := range all {
					b.Get(page)
					time.Sleep(20 * time.Second / sessions)
				}
			}
		}
		minutes(3)
		store.take()
		minutes(3)
		calls, touched := store.take()
		if perSecond := float64(calls) / 180; calls == 0 || perSecond > 8 {
			t.Errorf("%.1f writes a second, want a few", perSecond)
		}
		if least := sessions * 180 / 60; touched < least || touched > 2*least {
			t.Errorf("%d touches, want %d to %d: one of a session in 30 to 60 seconds", touched, least, 2*least)
		}
		t.Logf("%.1f writes a second with %d touches in all", float64(calls)/180, touched)
		list, err := a.Sessions(t.Context(), "7")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		stored, err := store.Sessions(t.Context(), "7")
		if lag := time.Since(stored[0].LastSeen); err != nil || lag > time.Minute+20*time.Second {
			t.Errorf("the store knows of a use %v ago, error %v", lag, err)
		}
	})
}
