package sojourn_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// bus is a store in memory that several servers share: each hears of the ends
// on the others, at once, late or not at all.
type bus struct {
	store sojourn.Store
	mu    sync.Mutex
	ears  []*ear
}

// ear is the bus as one server has it.
type ear struct {
	sojourn.Store
	bus *bus

	asking sync.Mutex
	asked  int // how often Sessions was called

	mu    sync.Mutex
	f     func(sojourn.Change)
	held  bool
	deaf  bool
	queue []sojourn.Change
}

func (*ear) Fresh() time.Duration { return 0 }
func (*ear) Close() error         { return nil }

func (e *ear) Changes(ctx context.Context, f func(sojourn.Change)) error {
	f(sojourn.Change{})
	e.mu.Lock()
	e.f = f
	e.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// hold makes everything come late from now on.
func (e *ear) hold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = true
}

// miss makes everything be lost from now on, without a word.
func (e *ear) miss() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deaf = true
}

// release lets through what was held.
func (e *ear) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = false
	for _, c := range e.queue {
		e.f(c)
	}
	e.queue = nil
}

func (e *ear) hear(c sojourn.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.deaf || e.f == nil:
	case e.held:
		e.queue = append(e.queue, c)
	default:
		e.f(c)
	}
}

// ends runs what may end sessions, and tells the others.
func (e *ear) ends(ctx context.Context, reason sojourn.EndReason, f func() []sojourn.StoredSession) {
	e.bus.mu.Lock()
	defer e.bus.mu.Unlock()
	for _, s := range f() {
		left, _ := e.bus.store.Sessions(ctx, s.User) // of a store in memory: it does not fail
		for _, other := range e.bus.ears {
			if other != e {
				other.hear(sojourn.Change{Ended: &s, Reason: reason, Left: len(left)})
			}
		}
	}
}

func (e *ear) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	e.ends(ctx, reason, func() []sojourn.StoredSession {
		ended, left, err = e.Store.EndSession(ctx, key, reason)
		return ended
	})
	return ended, left, err
}

func (e *ear) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) (ended []sojourn.StoredSession, err error) {
	e.ends(ctx, reason, func() []sojourn.StoredSession {
		ended, err = e.Store.EndUser(ctx, user, reason, keep...)
		return ended
	})
	return ended, err
}

func (e *ear) Expire(ctx context.Context, now time.Time, most int) (ended []sojourn.StoredSession, more bool, err error) {
	e.ends(ctx, sojourn.EndExpired, func() []sojourn.StoredSession {
		ended, more, err = e.Store.Expire(ctx, now, most)
		return ended
	})
	return ended, more, err
}

func (e *ear) Sessions(ctx context.Context, user sojourn.UserID) ([]sojourn.StoredSession, error) {
	e.asking.Lock()
	e.asked++
	e.asking.Unlock()
	return e.Store.Sessions(ctx, user)
}

// takeAsked is how often Sessions was called since the last time.
func (e *ear) takeAsked() int {
	e.asking.Lock()
	defer e.asking.Unlock()
	n := e.asked
	e.asked = 0
	return n
}

// onBus is one of the servers of a site.
type onBus struct {
	*attacked
	ear  *ear
	user *sojourn.Ref[string] // volatile, of the user
}

// newBus starts a site of so many servers, in a bubble. Browsers of door send their next
// request where the door leads.
func newBus(t *testing.T, n int, cfg sojourn.Config) (door *attacked, servers []*onBus) {
	t.Helper()
	b := &bus{store: sojourn.NewMemoryStore()}
	t.Cleanup(func() { _ = b.store.Close() })
	for range n {
		e := &ear{Store: b.store, bus: b}
		b.ears = append(b.ears, e)
		cfg.Store = e
		a := newAttacked(t, cfg)
		servers = append(servers, &onBus{a, e, sojourn.NewRef[string](a.Site, sojourn.UserScope, nil)})
	}
	synctest.Wait() // until they hear of one another
	return &attacked{t: t}, servers
}

// at runs f in a request to one of the servers.
func (s *onBus) at(door *attacked, b *sojourntest.Browser, f func(ctx context.Context)) {
	s.t.Helper()
	door.Handler = s.Handler
	ran := false
	s.bare(b, func(ctx context.Context) {
		ran = true
		f(ctx)
	})
	if !ran {
		s.t.Error("the page did not run")
	}
}

func (s *onBus) connectAt(door *attacked, b *sojourntest.Browser, user sojourn.UserID) {
	s.t.Helper()
	s.at(door, b, func(ctx context.Context) { attackOK(s.t, s.Connect(ctx, user)) })
}

func (s *onBus) set(door *attacked, b *sojourntest.Browser, v string) {
	s.t.Helper()
	s.at(door, b, func(ctx context.Context) { attackOK(s.t, s.user.Set(ctx, v)) })
}

func (s *onBus) has(door *attacked, b *sojourntest.Browser, want string) {
	s.t.Helper()
	s.at(door, b, func(ctx context.Context) { attackValue(s.t, s.user, ctx, want) })
}

func (s *onBus) disconnectAt(door *attacked, b *sojourntest.Browser) {
	s.t.Helper()
	s.at(door, b, func(ctx context.Context) { attackOK(s.t, s.Disconnect(ctx)) })
}
