package sojourn

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// memoryStore is the Store of a site without one: it holds everything in
// memory, at some 200 bytes a session.
//
// A session, its values, its user's other sessions and that user's values are
// all in the shard of the user, so that one lock makes an operation atomic.
// That shard is found from the session's key, whose first bits say it; keys
// that do not carry their user's shard are looked up in strays.
//
// Locks are taken in this order: subnetsMu, shards by rising index, straysMu.
type memoryStore struct {
	shards  [1 << memShardBits]memShard
	version atomic.Int64 // of the value written last

	straysMu   sync.RWMutex
	strays     map[Key]uint16 // the shards of sessions whose Key is not their user's
	strayCount atomic.Int64   // len(strays), for who does not want to lock

	subnetsMu sync.Mutex // also for every change of a browser
	subnets   memTable[memSubnet, memSubnetByPrefix]

	closing sync.Once
	closed  chan struct{}
}

// memShardBits gives 1,024 shards: at a million sessions one is looked through
// in less than a tenth of a millisecond.
const memShardBits = 10

// memShard is a part of a memoryStore with its lock.
type memShard struct {
	sync.Mutex
	sessions memTable[memSession, memByKey]
	users    memTable[memSession, memByUser] // the same sessions
	browsers memTable[memBrowser, memBrowserByKey]
	owners   memTable[memOwner, memOwnerByOwner]
	values   int // how many all owners have

	// No deadline comes before these, which are as memTime.due has them.
	soonestSession, soonestBrowser, soonestTab uint64
}

var _ Store = (*memoryStore)(nil)

var (
	errMemoryClosed   = errors.New("sojourn: the store is closed")
	errMemoryKeyInUse = errors.New("sojourn: there is a session of this key already")
)

func newMemoryStore() *memoryStore {
	m := &memoryStore{strays: make(map[Key]uint16), closed: make(chan struct{})}
	for i := range m.shards {
		sh := &m.shards[i]
		sh.soonestSession, sh.soonestBrowser, sh.soonestTab = memNever, memNever, memNever
	}
	return m
}

func (m *memoryStore) CreateSession(ctx context.Context, s StoredSession, limit int) ([]StoredSession, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	added := newMemSession(&s)
	home := memShardOf(s.User)
	if known := m.sessionShard(s.Key); known != home {
		if m.has(known, s.Key) {
			return nil, errMemoryKeyInUse
		}
	}
	sh := &m.shards[home]
	sh.Lock()
	if sh.session(s.Key) != nil {
		sh.Unlock()
		return nil, errMemoryKeyInUse
	}
	others := sh.sessionsOf(s.User)
	if len(others) > 0 {
		added.user = others[0].user
	} else {
		added.user = memCloneUser(s.User)
	}
	var evicted []*memSession
	if n := len(others) + 1 - limit; limit > 0 && n > 0 {
		slices.Reverse(others) // of two seen at once, the first opened goes
		slices.SortStableFunc(others, func(a, b *memSession) int {
			return cmp.Or(cmp.Compare(a.lastSeen.ms(), b.lastSeen.ms()), cmp.Compare(a.openedAt.ms(), b.openedAt.ms()))
		})
		evicted = others[:n]
		for _, e := range evicted {
			m.end(home, e)
		}
	}
	sh.sessions.add(added)
	sh.users.add(added)
	sh.soonestSession = min(sh.soonestSession, added.deadline.due())
	if memShardIndex(s.Key[:]) != home {
		m.addStray(s.Key, home)
	}
	sh.Unlock()
	return memStored(evicted), nil
}

func (m *memoryStore) Session(ctx context.Context, key Key) (StoredSession, error) {
	if err := m.ready(ctx); err != nil {
		return StoredSession{}, err
	}
	sh := &m.shards[m.sessionShard(key)]
	sh.Lock()
	s := sh.session(key)
	if s == nil {
		sh.Unlock()
		return StoredSession{}, ErrNotFound
	}
	found := *s
	sh.Unlock()
	return found.stored(), nil
}

func (m *memoryStore) Sessions(ctx context.Context, user UserID) ([]StoredSession, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	sh := &m.shards[memShardOf(user)]
	sh.Lock()
	found := sh.sessionsOf(user)
	for i, s := range found {
		c := *s
		found[i] = &c
	}
	sh.Unlock()
	slices.SortStableFunc(found, func(a, b *memSession) int {
		return cmp.Compare(b.openedAt.ms(), a.openedAt.ms())
	})
	return memStored(found), nil
}

func (m *memoryStore) EndSession(ctx context.Context, key Key, _ EndReason) ([]StoredSession, int, error) {
	if err := m.ready(ctx); err != nil {
		return nil, 0, err
	}
	home := m.sessionShard(key)
	sh := &m.shards[home]
	sh.Lock()
	s := sh.session(key)
	if s == nil {
		sh.Unlock()
		return nil, 0, nil
	}
	m.end(home, s)
	left := sh.countOf(s.user)
	sh.Unlock()
	return []StoredSession{s.stored()}, left, nil
}

func (m *memoryStore) EndUser(ctx context.Context, user UserID, _ EndReason, keep ...Key) ([]StoredSession, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	home := memShardOf(user)
	sh := &m.shards[home]
	sh.Lock()
	ended := sh.sessionsOf(user)
	if len(keep) > 0 {
		ended = slices.DeleteFunc(ended, func(s *memSession) bool { return slices.Contains(keep, s.key) })
	}
	for _, s := range ended {
		m.end(home, s)
	}
	sh.Unlock()
	return memStored(ended), nil
}

func (m *memoryStore) Touch(ctx context.Context, touches []Touch) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	for i := range touches {
		t := &touches[i]
		lastSeen, deadline := memTimeOf(t.LastSeen), memTimeOf(t.Deadline)
		switch {
		case t.Tab != "":
			m.touchTab(t.Owner, t.Tab, deadline)
		case t.Owner.Kind == OwnerSession:
			sh := &m.shards[m.sessionShard(t.Owner.Key)]
			sh.Lock()
			if s := sh.session(t.Owner.Key); s != nil {
				s.touch(lastSeen, deadline)
			}
			sh.Unlock()
		case t.Owner.Kind == OwnerBrowser:
			m.touchBrowser(t.Owner.Key, lastSeen, deadline)
		}
	}
	return nil
}

func (m *memoryStore) Count(ctx context.Context) (Counts, error) {
	if err := m.ready(ctx); err != nil {
		return Counts{}, err
	}
	var c Counts
	for i := range m.shards {
		sh := &m.shards[i]
		sh.Lock()
		c.Sessions += int64(sh.sessions.count)
		c.Browsers += int64(sh.browsers.count)
		c.Values += int64(sh.values)
		sh.Unlock()
	}
	return c, nil
}

func (m *memoryStore) Publish(ctx context.Context, _ []byte) error { return m.ready(ctx) }

func (m *memoryStore) Changes(ctx context.Context, _ func(Change)) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.closed:
		return errMemoryClosed
	}
}

func (m *memoryStore) Fresh() time.Duration { return Forever }

func (m *memoryStore) Close() error {
	err := errMemoryClosed
	m.closing.Do(func() {
		close(m.closed)
		err = nil
	})
	return err
}

// ready is the error with which an operation must not begin.
func (m *memoryStore) ready(ctx context.Context) error {
	select {
	case <-m.closed:
		return errMemoryClosed
	default:
		return ctx.Err()
	}
}

// end takes a session out of its shard, which is locked, with its values.
func (m *memoryStore) end(home int, s *memSession) {
	sh := &m.shards[home]
	sh.sessions.remove(s)
	sh.users.remove(s)
	sh.dropOwner(Owner{Kind: OwnerSession, Key: s.key})
	if memShardIndex(s.key[:]) != home {
		m.removeStray(s.key)
	}
}

// memShardOf is the index of the shard of a user and of the user's sessions.
func memShardOf(user UserID) int {
	shard := ShardOf(user)
	return memShardIndex(shard[:])
}

// memShardIndex takes the first bits of a Key, or of a shard.
func memShardIndex(b []byte) int {
	return int(binary.BigEndian.Uint16(b) >> (16 - memShardBits))
}

// sessionShard is the index of the shard in which a session is, if it is.
func (m *memoryStore) sessionShard(key Key) int {
	if m.strayCount.Load() > 0 {
		m.straysMu.RLock()
		defer m.straysMu.RUnlock()
		if home, ok := m.strays[key]; ok {
			return int(home)
		}
	}
	return memShardIndex(key[:])
}

func (m *memoryStore) addStray(key Key, home int) {
	m.straysMu.Lock()
	defer m.straysMu.Unlock()
	m.strays[key] = uint16(home)
	m.strayCount.Store(int64(len(m.strays)))
}

func (m *memoryStore) removeStray(key Key) {
	m.straysMu.Lock()
	defer m.straysMu.Unlock()
	delete(m.strays, key)
	if len(m.strays) == 0 {
		m.strays = make(map[Key]uint16) // a map that was emptied keeps its size
	}
	m.strayCount.Store(int64(len(m.strays)))
}

func (m *memoryStore) has(home int, key Key) bool {
	sh := &m.shards[home]
	sh.Lock()
	defer sh.Unlock()
	return sh.session(key) != nil
}

// session is the session of key, or nil.
func (sh *memShard) session(key Key) *memSession {
	for s := sh.sessions.first(memHashKey(&key)); s != nil; s = s.nextByKey {
		if s.key == key {
			return s
		}
	}
	return nil
}

// sessionsOf is a user's sessions, the last created first.
func (sh *memShard) sessionsOf(user UserID) (found []*memSession) {
	for s := sh.users.first(memHashUser(user)); s != nil; s = s.nextByUser {
		if s.user == user {
			found = append(found, s)
		}
	}
	return found
}

func (sh *memShard) countOf(user UserID) (n int) {
	for s := sh.users.first(memHashUser(user)); s != nil; s = s.nextByUser {
		if s.user == user {
			n++
		}
	}
	return n
}

// memStored unpacks sessions that no longer change.
func memStored(sessions []*memSession) []StoredSession {
	if len(sessions) == 0 {
		return nil
	}
	stored := make([]StoredSession, len(sessions))
	for i, s := range sessions {
		stored[i] = s.stored()
	}
	return stored
}
