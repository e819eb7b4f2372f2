package sojourn

import (
	"container/heap"
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"unique"
)

// memBrowser is a StoredBrowser in 80 bytes.
type memBrowser struct {
	key       Key
	hierarchy unique.Handle[string]
	subnet    *memSubnet
	lastSeen  memTime
	deadline  memTime
	place     int32 // in subnet.browsers
	next      *memBrowser
}

// memSubnet is the browsers that come from one subnet, as a heap: the least
// recently seen is the first.
type memSubnet struct {
	prefix   netip.Prefix
	browsers []*memBrowser
	next     *memSubnet
}

type (
	memBrowserByKey   struct{}
	memSubnetByPrefix struct{}
)

func (memBrowserByKey) hash(b *memBrowser) uint64       { return memHashKey(&b.key) }
func (memBrowserByKey) next(b *memBrowser) **memBrowser { return &b.next }

func (memSubnetByPrefix) hash(s *memSubnet) uint64      { return maphash.Comparable(memSeed, s.prefix) }
func (memSubnetByPrefix) next(s *memSubnet) **memSubnet { return &s.next }

func (m *memoryStore) CreateBrowser(ctx context.Context, b StoredBrowser, limit int) (evicted []Key, err error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	m.subnetsMu.Lock()
	defer m.subnetsMu.Unlock()
	sh := m.browserShard(b.Key)
	sh.Lock()
	there := sh.browser(b.Key) != nil
	sh.Unlock()
	if there {
		return nil, nil
	}
	subnet := m.subnet(b.Subnet)
	for limit > 0 && len(subnet.browsers) >= limit {
		least := subnet.browsers[0]
		m.removeBrowser(least)
		evicted = append(evicted, least.key)
	}
	if len(subnet.browsers) == 0 {
		m.subnets.add(subnet)
	}
	added := &memBrowser{
		key:       b.Key,
		hierarchy: unique.Make(b.Hierarchy),
		subnet:    subnet,
		lastSeen:  memTimeOf(b.LastSeen),
		deadline:  memTimeOf(b.Deadline),
	}
	heap.Push(subnet, added)
	sh.Lock()
	defer sh.Unlock()
	sh.browsers.add(added)
	sh.soonestBrowser = min(sh.soonestBrowser, added.deadline.due())
	return evicted, nil
}

func (m *memoryStore) Browser(ctx context.Context, key Key) (StoredBrowser, error) {
	if err := m.ready(ctx); err != nil {
		return StoredBrowser{}, err
	}
	sh := m.browserShard(key)
	sh.Lock()
	defer sh.Unlock()
	b := sh.browser(key)
	if b == nil {
		return StoredBrowser{}, ErrNotFound
	}
	return StoredBrowser{
		Key:       b.key,
		Hierarchy: b.hierarchy.Value(),
		Subnet:    b.subnet.prefix,
		LastSeen:  b.lastSeen.time(),
		Deadline:  b.deadline.time(),
	}, nil
}

func (m *memoryStore) EndBrowsers(ctx context.Context, keys ...Key) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	for _, key := range keys {
		m.endBrowser(key, func(*memBrowser) bool { return true })
	}
	return nil
}

// endBrowser removes a browser if there is one and it is as expected.
func (m *memoryStore) endBrowser(key Key, expected func(*memBrowser) bool) (ended bool) {
	m.subnetsMu.Lock()
	defer m.subnetsMu.Unlock()
	sh := m.browserShard(key)
	sh.Lock()
	b := sh.browser(key)
	sh.Unlock()
	if b == nil || !expected(b) {
		return false
	}
	m.removeBrowser(b)
	return true
}

func (m *memoryStore) touchBrowser(key Key, lastSeen, deadline memTime) {
	m.subnetsMu.Lock()
	defer m.subnetsMu.Unlock()
	sh := m.browserShard(key)
	sh.Lock()
	defer sh.Unlock()
	b := sh.browser(key)
	if b == nil {
		return
	}
	b.deadline = b.deadline.later(deadline)
	if lastSeen.ms() > b.lastSeen.ms() {
		b.lastSeen = lastSeen
		heap.Fix(b.subnet, int(b.place))
	}
}

// removeBrowser removes a browser that is there, with its values. The caller
// holds subnetsMu and no shard.
func (m *memoryStore) removeBrowser(b *memBrowser) {
	sh := m.browserShard(b.key)
	sh.Lock()
	sh.browsers.remove(b)
	sh.dropOwner(Owner{Kind: OwnerBrowser, Key: b.key})
	sh.Unlock()
	heap.Remove(b.subnet, int(b.place))
	if len(b.subnet.browsers) == 0 {
		m.subnets.remove(b.subnet)
	}
}

// subnet is the subnet of a prefix; one from which no browser comes is new and
// not in m.subnets.
func (m *memoryStore) subnet(prefix netip.Prefix) *memSubnet {
	for s := m.subnets.first(maphash.Comparable(memSeed, prefix)); s != nil; s = s.next {
		if s.prefix == prefix {
			return s
		}
	}
	return &memSubnet{prefix: prefix}
}

func (m *memoryStore) browserShard(key Key) *memShard { return &m.shards[memShardIndex(key[:])] }

// browser is the browser of key, or nil.
func (sh *memShard) browser(key Key) *memBrowser {
	for b := sh.browsers.first(memHashKey(&key)); b != nil; b = b.next {
		if b.key == key {
			return b
		}
	}
	return nil
}

// The methods of heap.Interface.

func (s *memSubnet) Len() int { return len(s.browsers) }

func (s *memSubnet) Less(i, j int) bool {
	return s.browsers[i].lastSeen.ms() < s.browsers[j].lastSeen.ms()
}

func (s *memSubnet) Swap(i, j int) {
	b := s.browsers
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = int32(i), int32(j)
}

func (s *memSubnet) Push(x any) {
	b := x.(*memBrowser)
	b.place = int32(len(s.browsers))
	s.browsers = append(s.browsers, b)
}

func (s *memSubnet) Pop() any {
	last := len(s.browsers) - 1
	b := s.browsers[last]
	s.browsers[last] = nil
	s.browsers = s.browsers[:last]
	if cap(s.browsers) > 16 && cap(s.browsers) > 4*last {
		s.browsers = slices.Clone(s.browsers)
	}
	return b
}
