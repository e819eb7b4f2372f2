package redis_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
)

// Connections that break under questions, which are asked again on others, are
// no harm: under the race detector, nothing of a question that a broken
// connection may still be sending is used for another.
func TestQuestionsSurviveBrokenConnections(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	p := newProxy(t, server.Addr())
	s := open(t, p.url())
	n := newSession("ada")
	create(t, s, n)
	set(t, s, cartOf(n), "1")
	var over atomic.Bool
	var asked atomic.Int64
	var askers sync.WaitGroup
	for i := range 8 {
		askers.Go(func() {
			for !over.Load() {
				if i == 0 { // many questions at once
					if n, err := s.Count(t.Context()); err != nil && !errors.Is(err, sojourn.ErrUnavailable) || err == nil && n.Values != 1 {
						t.Errorf("Count: %+v, %v", n, err)
					}
				}
				if got, err := s.Session(t.Context(), n.Key); err != nil && !errors.Is(err, sojourn.ErrUnavailable) || err == nil && got.User != "ada" {
					t.Errorf("Session: %+v, %v", got, err)
				}
				asked.Add(1)
			}
		})
	}
	for range 200 {
		before := asked.Load()
		await(t, "questions", func() bool { return asked.Load() > before+8 })
		p.cut()
	}
	over.Store(true)
	askers.Wait()
}
