package sojourn_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// When the answer of the store is lost, what it evicted has ended all the same.
func TestEvictedSessionIsOverWhenTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Store: sojourn.NewMemoryStore()}
	a := newAttacked(t, sojourn.Config{Store: store, Limits: sojourn.Limits{SessionsPerUser: 1}})
	first, second := a.browser(), a.browser()
	a.connect(first, "1")
	store.failing("CreateSession", true)
	a.bare(second, func(ctx context.Context) {
		if err := a.Connect(ctx, "1"); !errors.Is(err, errBroken) {
			t.Errorf("Connect: %v", err)
		}
	})
	store.failing("", false)
	a.is(first, sojourn.Nobody)
	a.is(second, sojourn.Nobody)
}
