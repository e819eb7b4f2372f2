package sojourn

import (
	"context"
	"slices"
	"time"
)

// memExpireAtOnce bounds what Expire does under one lock: a request waits
// until it has looked through a shard, which is quick, and ended this many
// sessions there, which is not.
const memExpireAtOnce = 256

func (m *memoryStore) Expire(ctx context.Context, now time.Time, max int) (ended []StoredSession, more bool, err error) {
	if err := m.ready(ctx); err != nil {
		return nil, false, err
	}
	at := memTimeOf(now).ms()
	all := [3]*memQuota{{left: max}, {left: max}, {left: max}}
	sessions, browsers, tabs := all[0], all[1], all[2]
	for home := range m.shards {
		for again := true; again; {
			if ctx.Err() != nil {
				return ended, true, nil // what has ended has to be reported
			}
			for _, q := range all {
				q.begin()
			}
			// The browsers' tabs go with them, so tabs come last.
			ended = append(ended, m.expireSessions(home, at, sessions, browsers)...)
			m.expireTabs(home, at, tabs)
			again = sessions.again || browsers.again || tabs.again
		}
	}
	return ended, sessions.over || browsers.over || tabs.over, nil
}

// expireSessions ends the sessions and removes the browsers of a shard that
// are due.
func (m *memoryStore) expireSessions(home int, now uint64, sessions, browsers *memQuota) []StoredSession {
	sh := &m.shards[home]
	sh.Lock()
	if sh.soonest > now {
		sh.Unlock()
		return nil
	}
	soonest := uint64(memNever)
	var ended []*memSession
	for _, s := range sh.sessions.buckets {
		for ; s != nil; s = s.nextByKey {
			due := s.deadline.due()
			if due <= now && sessions.take() {
				ended = append(ended, s)
			} else {
				soonest = min(soonest, due)
			}
		}
	}
	for _, s := range ended {
		m.end(home, s)
	}
	var gone []Key
	for _, b := range sh.browsers.buckets {
		for ; b != nil; b = b.next {
			due := b.deadline.due()
			if due <= now && browsers.take() {
				gone = append(gone, b.key)
			}
			soonest = min(soonest, due) // it is there until endBrowser
		}
	}
	sh.soonest = soonest
	sh.Unlock()

	for _, key := range gone {
		m.endBrowser(key, func(b *memBrowser) bool { return b.deadline.due() <= now })
	}
	return memStored(ended)
}

// expireTabs removes the values of the tabs of a shard that are due.
func (m *memoryStore) expireTabs(home int, now uint64, tabs *memQuota) {
	sh := &m.shards[home]
	sh.Lock()
	defer sh.Unlock()
	if sh.soonestTab > now {
		return
	}
	soonest := uint64(memNever)
	var empty []*memOwner
	for _, o := range sh.owners.buckets {
		for ; o != nil; o = o.next {
			o.places = slices.DeleteFunc(o.places, func(p memPlace) bool {
				due := p.deadline.due()
				if due <= now && tabs.take() {
					sh.values -= len(p.values)
					return true
				}
				soonest = min(soonest, due)
				return false
			})
			if len(o.places) == 0 {
				empty = append(empty, o)
			}
		}
	}
	for _, o := range empty {
		sh.owners.remove(o)
	}
	sh.soonestTab = soonest
}

// memQuota is how much of one kind Expire may still take away.
type memQuota struct {
	left  int
	taken int  // under the lock held now
	again bool // some were left for the next lock
	over  bool // some were left for the next call
}

func (q *memQuota) begin() { q.taken, q.again = 0, false }

func (q *memQuota) take() bool {
	switch {
	case q.left <= 0:
		q.over = true
		return false
	case q.taken == memExpireAtOnce:
		q.again = true
		return false
	}
	q.left--
	q.taken++
	return true
}
