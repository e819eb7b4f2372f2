package sojourn

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"unique"
)

// memOwner is what has values: its places are the owner itself, with tab "",
// and its tabs. Owners without values are not kept.
type memOwner struct {
	owner  Owner
	places []memPlace
	next   *memOwner
}

type memPlace struct {
	tab      string
	deadline memTime
	values   []memValue // by name
}

type memValue struct {
	name    unique.Handle[string]
	version int64
	data    []byte // never written to
}

type memOwnerByOwner struct{}

func (memOwnerByOwner) hash(o *memOwner) uint64     { return maphash.Comparable(memSeed, o.owner) }
func (memOwnerByOwner) next(o *memOwner) **memOwner { return &o.next }

func (m *memoryStore) Value(ctx context.Context, key ValueKey) (StoredValue, error) {
	if err := m.ready(ctx); err != nil {
		return StoredValue{}, err
	}
	owner := memOwnerOf(key.Owner)
	sh := &m.shards[m.ownerShard(owner)]
	sh.Lock()
	var found memValue
	if o := sh.owner(owner); o != nil {
		if p := o.place(key.Tab); p != nil {
			if i, ok := p.find(key.Name); ok {
				found = p.values[i]
			}
		}
	}
	sh.Unlock()
	return StoredValue{Data: bytes.Clone(found.data), Version: found.version}, nil
}

func (m *memoryStore) SetValue(ctx context.Context, key ValueKey, w Write) (int64, error) {
	if err := m.ready(ctx); err != nil {
		return 0, err
	}
	owner := memOwnerOf(key.Owner)
	home := m.ownerShard(owner)
	witness := m.witnessShard(home, w.Session)
	data := bytes.Clone(w.Data)
	m.lockBoth(home, witness)
	defer m.unlockBoth(home, witness)

	sh := &m.shards[home]
	if !sh.exists(owner) {
		return 0, ErrNotFound
	}
	if w.Session != (Key{}) {
		s := m.shards[witness].session(w.Session)
		if s == nil || owner.Kind == OwnerUser && s.user != owner.User {
			return 0, ErrNotFound
		}
	}
	o := sh.owner(owner)
	var p *memPlace
	var i int
	var there bool
	var version int64
	if o != nil {
		if p = o.place(key.Tab); p != nil {
			if i, there = p.find(key.Name); there {
				version = p.values[i].version
			}
		}
	}
	if w.Version != AnyVersion && w.Version != version {
		return 0, ErrConflict
	}
	if data == nil {
		if there {
			p.values = slices.Delete(p.values, i, i+1)
			sh.values--
			sh.tidy(o)
		}
		return 0, nil
	}
	var deadline memTime // an owner's own values have none
	if key.Tab != "" {
		deadline = memTimeOf(w.Deadline)
	}
	if o == nil {
		owner.User = memCloneUser(owner.User)
		o = &memOwner{owner: owner}
		sh.owners.add(o)
	}
	if p == nil {
		p = o.addPlace(memPlace{tab: strings.Clone(key.Tab), deadline: deadline})
	}
	p.deadline = p.deadline.later(deadline)
	sh.soonestTab = min(sh.soonestTab, p.deadline.due())
	version = m.version.Add(1)
	if there {
		p.values[i].data, p.values[i].version = data, version
		return version, nil
	}
	p.values = slices.Insert(p.values, i, memValue{name: unique.Make(key.Name), version: version, data: data})
	sh.values++
	return version, nil
}

func (m *memoryStore) DropValues(ctx context.Context, owner Owner, tab string, session Key) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	owner = memOwnerOf(owner)
	home := m.ownerShard(owner)
	witness := m.witnessShard(home, session)
	m.lockBoth(home, witness)
	defer m.unlockBoth(home, witness)
	if session != (Key{}) && m.shards[witness].session(session) == nil {
		return ErrNotFound
	}
	sh := &m.shards[home]
	if o := sh.owner(owner); o != nil {
		if p := o.place(tab); p != nil {
			sh.values -= len(p.values)
			p.values = nil
			sh.tidy(o)
		}
	}
	return nil
}

func (m *memoryStore) Tabs(ctx context.Context, owner Owner) ([]StoredTab, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	owner = memOwnerOf(owner)
	sh := &m.shards[m.ownerShard(owner)]
	sh.Lock()
	var tabs []memPlace
	if o := sh.owner(owner); o != nil {
		tabs = slices.DeleteFunc(slices.Clone(o.places), func(p memPlace) bool { return p.tab == "" })
	}
	sh.Unlock()
	slices.SortFunc(tabs, func(a, b memPlace) int {
		return cmp.Or(cmp.Compare(a.deadline.due(), b.deadline.due()), cmp.Compare(a.tab, b.tab))
	})
	var stored []StoredTab
	for _, p := range tabs {
		stored = append(stored, StoredTab{ID: p.tab, Deadline: p.deadline.time()})
	}
	return stored, nil
}

func (m *memoryStore) touchTab(owner Owner, tab string, deadline memTime) {
	owner = memOwnerOf(owner)
	sh := &m.shards[m.ownerShard(owner)]
	sh.Lock()
	defer sh.Unlock()
	if o := sh.owner(owner); o != nil {
		if p := o.place(tab); p != nil {
			p.deadline = p.deadline.later(deadline)
		}
	}
}

// memOwnerOf is the owner without the fields that say nothing for its kind.
func memOwnerOf(o Owner) Owner {
	switch o.Kind {
	case OwnerUser:
		o.Key = Key{}
	case OwnerSession, OwnerBrowser:
		o.User = ""
	default:
		o.Key, o.User = Key{}, ""
	}
	return o
}

// ownerShard is the index of the shard in which an owner's values are.
func (m *memoryStore) ownerShard(o Owner) int {
	if o.Kind == OwnerSession {
		return m.sessionShard(o.Key)
	}
	shard := o.Shard()
	return memShardIndex(shard[:])
}

// witnessShard is the index of the shard of the session that has to exist for
// a write to happen, or home if no session has to.
func (m *memoryStore) witnessShard(home int, session Key) int {
	if session == (Key{}) {
		return home
	}
	return m.sessionShard(session)
}

func (m *memoryStore) lockBoth(a, b int) {
	m.shards[min(a, b)].Lock()
	if a != b {
		m.shards[max(a, b)].Lock()
	}
}

func (m *memoryStore) unlockBoth(a, b int) {
	m.shards[a].Unlock()
	if a != b {
		m.shards[b].Unlock()
	}
}

// exists says whether there is a session or browser, or what always exists.
func (sh *memShard) exists(o Owner) bool {
	switch o.Kind {
	case OwnerSite, OwnerUser:
		return true
	case OwnerSession:
		return sh.session(o.Key) != nil
	case OwnerBrowser:
		return sh.browser(o.Key) != nil
	default:
		return false
	}
}

// owner is what an owner has, or nil if it has nothing.
func (sh *memShard) owner(owner Owner) *memOwner {
	if sh.owners.count == 0 {
		return nil
	}
	for o := sh.owners.first(maphash.Comparable(memSeed, owner)); o != nil; o = o.next {
		if o.owner == owner {
			return o
		}
	}
	return nil
}

// dropOwner removes all values of an owner and of its tabs.
func (sh *memShard) dropOwner(owner Owner) {
	if o := sh.owner(owner); o != nil {
		for i := range o.places {
			sh.values -= len(o.places[i].values)
		}
		sh.owners.remove(o)
	}
}

// tidy removes what has no values any more.
func (sh *memShard) tidy(o *memOwner) {
	o.places = slices.DeleteFunc(o.places, func(p memPlace) bool { return len(p.values) == 0 })
	if len(o.places) == 0 {
		sh.owners.remove(o)
	}
}

func (o *memOwner) addPlace(p memPlace) *memPlace {
	o.places = append(o.places, p)
	return &o.places[len(o.places)-1]
}

// place is one of an owner's, or nil.
func (o *memOwner) place(tab string) *memPlace {
	for i := range o.places {
		if o.places[i].tab == tab {
			return &o.places[i]
		}
	}
	return nil
}

// find is the index of the value of a name, or where it would be.
func (p *memPlace) find(name string) (int, bool) {
	return slices.BinarySearchFunc(p.values, name, func(v memValue, name string) int {
		return cmp.Compare(v.name.Value(), name)
	})
}
