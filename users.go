package sojourn

import (
	"context"
	"slices"
	"sync"
)

// userTable holds the volatile state of users.
//
// A user's state goes with the user's last session. Where that one ended is
// mostly another server, so the news may be late: it must not take what was
// written since the user connected anew. What is dropped at once is therefore
// what is older for certain; of the rest the store is asked. It is asked now and
// then also of users who have not been seen for long, since of an end that was
// missed nobody tells.
type userTable struct {
	mu    sync.Mutex
	m     map[UserID]*group
	order group // of all groups: a ring, the one to be looked at next first
	wake  chan struct{}
}

func (t *userTable) init() {
	t.m = make(map[UserID]*group)
	t.order.next, t.order.prev = &t.order, &t.order
	t.wake = make(chan struct{}, 1)
}

// group is the state of a user on this server, kept while the user has a
// session.
type group struct {
	values
	user       UserID
	next, prev *group // in userTable.order
	due        int64  // when it is to be looked at, by Site.clock
}

// get is the user's state; nil if there is none and make is false.
func (t *userTable) get(user UserID, make_ bool) *group {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.m[user]
	if g == nil && make_ {
		g = &group{user: user}
		t.m[user] = g
		t.enqueue(g, t.order.prev)
	}
	return g
}

// enqueue puts a group into the order; t.mu is held.
func (t *userTable) enqueue(g, after *group) {
	g.prev, g.next = after, after.next
	g.prev.next, g.next.prev = g, g
}

func (g *group) dequeue() {
	g.prev.next, g.next.prev = g.next, g.prev
	g.prev, g.next = nil, nil
}

// groupMark is what was written before a moment.
type groupMark struct {
	g   *group
	seq int64
}

// mark is taken before the user's last session may end.
func (t *userTable) mark(user UserID) groupMark {
	g := t.get(user, false)
	if g == nil {
		return groupMark{}
	}
	_, seq := g.writers()
	return groupMark{g, seq}
}

// drop drops what the user's state had at the mark, and what sessions wrote to
// it whose state has one of bits: the user had no session then. What is left
// was written by somebody who may have connected since, and is looked at soon.
func (t *userTable) drop(user UserID, m groupMark, bits uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.m[user]
	if g == nil {
		return
	}
	if g != m.g {
		m.seq = 0
	}
	if g.dropOld(m.seq, bits) {
		t.forget(g)
		return
	}
	t.hasten(g)
}

// told is told that a session has ended on another server, when the user had
// left others. Ends are told in their order, so what sessions wrote whose ends
// were told before the last one's is older than that; the user may have
// connected anew since.
func (t *userTable) told(ended *StoredSession, left int) {
	g := t.get(ended.User, false)
	if g == nil {
		return
	}
	writers, _ := g.writers()
	for _, e := range writers {
		if e.key == ended.Key {
			e.state.Or(stateTold)
		}
	}
	if left == 0 {
		t.drop(ended.User, groupMark{}, stateTold)
	}
}

// forget takes out a state that is no more; t.mu is held.
func (t *userTable) forget(g *group) {
	delete(t.m, g.user)
	g.dequeue()
}

// suspect has the user's state looked at soon: a session has ended, and nobody
// said whether it was the last.
func (t *userTable) suspect(user UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.m[user]; g != nil {
		t.hasten(g)
	}
}

// hasten makes a group the next to be looked at; t.mu is held.
func (t *userTable) hasten(g *group) {
	g.due = doubtful
	g.dequeue()
	t.enqueue(g, &t.order)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// doubtful is when a group is due of which the store has to be asked at once.
const doubtful = -1

// pop is the next group to be looked at, if it is due by then, and whether it is
// for being in doubt. It comes last from now on, and is due again at next.
func (t *userTable) pop(then, next int64) (g *group, doubt bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.m) == 0 || t.order.next.due > then {
		return nil, false
	}
	g = t.order.next
	doubt = g.due == doubtful
	g.due = next
	g.dequeue()
	t.enqueue(g, t.order.prev)
	return g, doubt
}

// postpone has a group looked at with the next sweep: the store failed.
func (t *userTable) postpone(g *group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[g.user] == g {
		g.due = 0
		g.dequeue()
		t.enqueue(g, &t.order)
	}
}

// forgetEmpty takes out a state that holds nothing volatile.
func (t *userTable) forgetEmpty(g *group) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[g.user] != g || !g.killEmpty() {
		return false
	}
	t.forget(g)
	return true
}

// keepUsers looks at users in doubt as soon as there are any.
func (s *Site) keepUsers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.users.wake:
		}
		if err := s.lookAtUsers(ctx, doubtful); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sojourn: looking whether users have sessions", "error", err)
		}
	}
}

// mostUsers is for how many users who have not been seen for long the store is
// asked in one sweep.
const mostUsers = 500

// lookAtUsers removes the volatile state of users who have no session, of those
// that are due by then. A user whose state was set by a session that is in use
// here is not asked for. With the default timeouts others are asked for every 20
// minutes, and no more than 1,000 in a minute.
func (s *Site) lookAtUsers(ctx context.Context, then int64) error {
	now, every := s.clock(), 40*s.sweepEvery().Milliseconds()
	for asked := 0; asked < mostUsers; {
		g, doubt := s.users.pop(then, now+every)
		if g == nil {
			break
		}
		if s.shared && s.users.forgetEmpty(g) {
			continue
		}
		writers, seq := g.writers()
		if !doubt {
			if slices.ContainsFunc(writers, func(e *session) bool { return s.confirmed(e, now-every) }) {
				continue
			}
			asked++
		}
		stored, err := s.store.Sessions(ctx, g.user)
		if err != nil {
			s.users.postpone(g)
			return wrap("listing a user's sessions", err)
		}
		if len(stored) == 0 {
			s.users.drop(g.user, groupMark{g, seq}, 0)
		}
	}
	return nil
}

// confirmed reports whether the store had the session after then, by Site.clock.
func (s *Site) confirmed(e *session, then int64) bool {
	if e.ended() || e.trust.Load() != s.doubt.Load() {
		return false
	}
	return !s.shared || e.asked.Load() > then
}
