package sojourn

import (
	"context"
	"slices"
	"time"
)

// memExpireAtOnce bounds what Expire does under one lock: a request waits
// until it has looked through a shard, which is quick, and ended this many
// sessions there, which is not.
const memExpireAtOnce = 64

func (m *memoryStore) Expire(ctx context.Context, now time.Time, max int) (ended []StoredSession, more bool, err error) {
	if err := m.ready(ctx); err != nil {
		return nil, false, err
	}
	at := memTimeOf(now).ms()
	all := [3]*memQuota{{left: max}, {left: max}, {left: max}}
	sessions, browsers, tabs := all[0], all[1], all[2]
	for again := true; again; {
		for home := range m.shards {
			if ctx.Err() != nil {
				return ended, true, nil // what has ended has to be reported
			}
			for _, q := range all {
				q.taken = 0
			}
			// What goes with its owner is not to be found by a later step.
			ended = append(ended, m.expireSessions(home, at, sessions)...)
			m.expireBrowsers(home, at, browsers)
			m.expireTabs(home, at, tabs)
		}
		again = false
		for _, q := range all {
			again = again || q.again
			q.again = false
		}
	}
	return ended, sessions.over || browsers.over || tabs.over, nil
}

// expireSessions ends the sessions of a shard that are due.
func (m *memoryStore) expireSessions(home int, now uint64, quota *memQuota) []StoredSession {
	sh := &m.shards[home]
	sh.Lock()
	if quota.over || sh.soonestSession > now {
		sh.Unlock()
		return nil
	}
	sh.soonestSession = memNever
	var ended []*memSession
	for _, s := range sh.sessions.buckets {
		for ; s != nil; s = s.nextByKey {
			due := s.deadline.due()
			if due <= now && quota.take() {
				ended = append(ended, s)
			} else {
				sh.soonestSession = min(sh.soonestSession, due)
			}
		}
	}
	for _, s := range ended {
		m.end(home, s)
	}
	sh.Unlock()
	return memStored(ended)
}

// expireBrowsers removes the browsers of a shard that are due.
func (m *memoryStore) expireBrowsers(home int, now uint64, quota *memQuota) {
	sh := &m.shards[home]
	sh.Lock()
	if quota.over || sh.soonestBrowser > now {
		sh.Unlock()
		return
	}
	sh.soonestBrowser = memNever
	var gone []Key
	for _, b := range sh.browsers.buckets {
		for ; b != nil; b = b.next {
			due := b.deadline.due()
			if due <= now && quota.take() {
				gone = append(gone, b.key)
			}
			sh.soonestBrowser = min(sh.soonestBrowser, due) // it is still there
		}
	}
	sh.Unlock()
	for _, key := range gone {
		m.endBrowser(key, func(b *memBrowser) bool { return b.deadline.due() <= now })
	}
}

// expireTabs removes the values of the tabs of a shard that are due.
func (m *memoryStore) expireTabs(home int, now uint64, quota *memQuota) {
	sh := &m.shards[home]
	sh.Lock()
	defer sh.Unlock()
	if quota.over || sh.soonestTab > now {
		return
	}
	sh.soonestTab = memNever
	var empty []*memOwner
	for _, o := range sh.owners.buckets {
		for ; o != nil; o = o.next {
			o.places = slices.DeleteFunc(o.places, func(p memPlace) bool {
				due := p.deadline.due()
				if due <= now && quota.take() {
					sh.values -= len(p.values)
					return true
				}
				sh.soonestTab = min(sh.soonestTab, due)
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
}

// memQuota is how much of one kind Expire may still take away.
type memQuota struct {
	left  int
	taken int  // under the lock held now
	again bool // some were left for the next round
	over  bool // some were left for the next call
}

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
