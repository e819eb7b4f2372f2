package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// The ways in which servers can break the contract of a shared store.
var waysToBreakShared = map[string]string{
	"own ends are reported":        "Changes calls f for what other servers do",
	"own messages are reported":    "Changes calls f for what other servers do",
	"ends are reported twice":      "Changes calls f for what other servers do",
	"the reason is another":        "Changes calls f for what other servers do",
	"left counts the ended ones":   "Changes calls f for what other servers do",
	"evictions are not reported":   "Changes calls f for what other servers do",
	"messages are told last first": "Publish sends a message to every other server of the site",
	"two calls at a time":          "one at a time",
	"it is not said who hears":     "It calls f with the zero Change first",
	"what hears is said too early": "It calls f with the zero Change first",
}

func TestRunSharedPassesAStoreThatKeepsTheContract(t *testing.T) {
	t.Parallel()
	RunShared(t, func(t *testing.T) (a, b sojourn.Store) { return newServers("") })
}

// bus carries changes between the servers of one plain store.
type bus struct {
	mu      sync.Mutex
	hearers []*hearer
}

// hearer is one call of Changes.
type hearer struct {
	server *server
	mu     sync.Mutex
	queue  []sojourn.Change
	news   chan struct{}
}

// server is one handle of a plain store that several have.
type server struct {
	*plainStore
	bus *bus
	how string // it is broken
}

func newServers(how string) (a, b sojourn.Store) {
	store, bus := newPlainStore(), &bus{}
	return &server{store, bus, how}, &server{store, bus, how}
}

func (s *server) Fresh() time.Duration { return 0 }

// Close leaves the store to the other server.
func (s *server) Close() error { return nil }

func (s *server) tell(c sojourn.Change) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for _, h := range s.bus.hearers {
		own := s.how == "own ends are reported" && c.Ended != nil || s.how == "own messages are reported" && c.Ended == nil
		if h.server == s && !own {
			continue
		}
		h.mu.Lock()
		h.queue = append(h.queue, c)
		if s.how == "messages are told last first" && c.Ended == nil && len(h.queue) > 1 {
			slices.Reverse(h.queue)
		}
		h.mu.Unlock()
		select {
		case h.news <- struct{}{}:
		default:
		}
	}
}

func (s *server) tellEnded(ended []sojourn.StoredSession, reason sojourn.EndReason) {
	for _, e := range ended {
		list, _ := s.plainStore.Sessions(context.Background(), e.User)
		c := sojourn.Change{Ended: &e, Reason: reason, Left: len(list)}
		switch s.how {
		case "the reason is another":
			c.Reason = sojourn.EndUserGone
		case "left counts the ended ones":
			c.Left += len(ended)
		case "evictions are not reported":
			if reason == sojourn.EndEvicted {
				continue
			}
		case "ends are reported twice":
			s.tell(c)
		}
		s.tell(c)
	}
}

func (s *server) CreateSession(ctx context.Context, n sojourn.StoredSession, limit int) ([]sojourn.StoredSession, error) {
	evicted, err := s.plainStore.CreateSession(ctx, n, limit)
	s.tellEnded(evicted, sojourn.EndEvicted)
	return evicted, err
}

func (s *server) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) ([]sojourn.StoredSession, int, error) {
	ended, left, err := s.plainStore.EndSession(ctx, key, reason)
	s.tellEnded(ended, reason)
	return ended, left, err
}

func (s *server) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) ([]sojourn.StoredSession, error) {
	ended, err := s.plainStore.EndUser(ctx, user, reason, keep...)
	s.tellEnded(ended, reason)
	return ended, err
}

func (s *server) Expire(ctx context.Context, now time.Time, max int) ([]sojourn.StoredSession, bool, error) {
	ended, more, err := s.plainStore.Expire(ctx, now, max)
	s.tellEnded(ended, sojourn.EndExpired)
	return ended, more, err
}

func (s *server) Publish(ctx context.Context, message []byte) error {
	s.tell(sojourn.Change{Message: message})
	return ctx.Err()
}

func (s *server) Changes(ctx context.Context, f func(sojourn.Change)) error {
	h := &hearer{server: s, news: make(chan struct{}, 1)}
	if s.how == "what hears is said too early" {
		f(sojourn.Change{})
		time.Sleep(50 * time.Millisecond)
	}
	s.bus.mu.Lock()
	s.bus.hearers = append(s.bus.hearers, h)
	s.bus.mu.Unlock()
	var calls sync.WaitGroup
	defer calls.Wait()
	switch s.how {
	case "what hears is said too early":
	case "it is not said who hears":
		f(sojourn.Change{Message: []byte("I hear")})
	default:
		f(sojourn.Change{})
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.news:
		}
		h.mu.Lock()
		queue := h.queue
		h.queue = nil
		h.mu.Unlock()
		for _, c := range queue {
			if s.how == "two calls at a time" {
				calls.Go(func() { f(c) })
				calls.Go(func() { f(sojourn.Change{Message: []byte("again")}) })
				continue
			}
			f(c)
		}
	}
}
