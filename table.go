package sojourn

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// session is this server's part of one session: whose it is, when it was last
// used, and its volatile state. Millions of them may be here, so it is small,
// and what every request needs comes first: it is one or two cache lines.
type session struct {
	key     Key
	next    *session
	expires int64        // when it ends whatever happens; 0: never
	seen    atomic.Int64 // its last request
	state   atomic.Uint32
	trust   atomic.Uint32 // Site.doubt when the store answered
	user    UserID
	browser Key
	saved   atomic.Int64 // the last request that the store knows of
	asked   atomic.Int64 // when the store was last asked for it, by Site.clock
	vals    atomic.Pointer[values]
}

// Bits of session.state.
const (
	stateEnded    = 1 << iota // it is no more
	stateOpened               // open-session has run on this server
	statePending              // its last use is to be written
	stateReplaced             // it ended because somebody connected in its browser
	stateTold                 // it ended on another server, which said so
)

func (e *session) ended() bool  { return e.state.Load()&stateEnded != 0 }
func (e *session) opened() bool { return e.state.Load()&stateOpened != 0 }

// values is the session's state, made if need be.
func (e *session) values() *values { return valuesOf(&e.vals) }

func valuesOf(p *atomic.Pointer[values]) *values {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(values))
	return p.Load()
}

// see moves the last use forward.
func see(seen *atomic.Int64, now int64) {
	for {
		old := seen.Load()
		if old >= now || seen.CompareAndSwap(old, now) {
			return
		}
	}
}

const sessionShards = 64

// sessionTable holds the sessions that this server serves. It is the volatile
// part of the site: what is not here but in the store is opened again.
type sessionTable [sessionShards]sessionShard

type sessionShard struct {
	mu      sync.Mutex
	buckets []*session // chains; their number is a power of two
	n       int
	epoch   uint64 // counts removals, so that a slow load cannot bring one back
	_       [16]byte
}

// hash is of the random part of the key.
func (k *Key) hash() uint64 { return binary.LittleEndian.Uint64(k[2:10]) }

func (t *sessionTable) shard(key *Key) *sessionShard { return &t[key.hash()%sessionShards] }

func (sh *sessionShard) bucket(key *Key) **session {
	return &sh.buckets[key.hash()/sessionShards&uint64(len(sh.buckets)-1)]
}

// get is the session of key, or nil; epoch is for add.
func (t *sessionTable) get(key *Key) (e *session, epoch uint64) {
	sh := t.shard(key)
	sh.mu.Lock()
	if sh.n > 0 {
		for e = *sh.bucket(key); e != nil && e.key != *key; e = e.next {
		}
	}
	epoch = sh.epoch
	sh.mu.Unlock()
	return e, epoch
}

// add puts a session in that the store had when get answered epoch. It answers
// the one that is there already, or false if one was removed since: then the
// store has to be asked again.
func (t *sessionTable) add(e *session, epoch uint64) (*session, bool) {
	sh := t.shard(&e.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.epoch != epoch {
		return nil, false
	}
	if sh.n >= len(sh.buckets) {
		sh.resize(max(8, 2*len(sh.buckets)))
	}
	b := sh.bucket(&e.key)
	for old := *b; old != nil; old = old.next {
		if old.key == e.key {
			return old, true
		}
	}
	e.next, *b = *b, e
	sh.n++
	return e, true
}

// remove ends the session of key on this server; nil if it was not here.
// Either way no load that began before can add it any more.
func (t *sessionTable) remove(key *Key) *session {
	sh := t.shard(key)
	sh.mu.Lock()
	sh.epoch++
	var e *session
	if sh.n > 0 {
		for b := sh.bucket(key); *b != nil; b = &(*b).next {
			if (*b).key == *key {
				e = *b
				*b = e.next
				e.next = nil
				sh.n--
				break
			}
		}
		if len(sh.buckets) > 8 && sh.n < len(sh.buckets)/8 {
			sh.resize(len(sh.buckets) / 4)
		}
	}
	sh.mu.Unlock()
	if e != nil {
		e.state.Or(stateEnded)
		if v := e.vals.Load(); v != nil {
			v.kill()
		}
	}
	return e
}

// scan calls f for every session that is here all the while. f is called with
// no lock held.
func (t *sessionTable) scan(f func(e *session)) {
	const atOnce = 64 // chains, which have about one session each
	var some []*session
	for i := range t {
		sh := &t[i]
		for at, more := 0, true; more; at += atOnce {
			some = some[:0]
			sh.mu.Lock()
			for _, e := range sh.buckets[min(at, len(sh.buckets)):min(at+atOnce, len(sh.buckets))] {
				for ; e != nil; e = e.next {
					some = append(some, e)
				}
			}
			more = at+atOnce < len(sh.buckets)
			sh.mu.Unlock()
			for _, e := range some {
				f(e)
			}
		}
	}
}

// suspect makes the store be asked for a session again.
func (t *sessionTable) suspect(key *Key) {
	if e, _ := t.get(key); e != nil {
		e.asked.Store(math.MinInt64 / 2)
	}
}

func (sh *sessionShard) resize(n int) {
	old := sh.buckets
	sh.buckets = make([]*session, n)
	for _, e := range old {
		for e != nil {
			next := e.next
			b := sh.bucket(&e.key)
			e.next, *b = *b, e
			e = next
		}
	}
}

// browser is this server's part of one browser that holds state or may: one
// cookie of one hierarchy. For UserIndependent it knows the browser's tabs.
type browser struct {
	key       Key
	hierarchy string
	ended     atomic.Bool
	forgotten atomic.Bool // it is no more in the table, and may be there anew
	stored    atomic.Bool // the store has a record of it
	seen      atomic.Int64
	saved     atomic.Int64
	pending   atomic.Bool
	vals      atomic.Pointer[values]
	tabs      tabSet
}

func (b *browser) values() *values { return valuesOf(&b.vals) }

// browserTable holds the browsers that this server has seen of late, and for a
// while those whose state was dropped.
type browserTable struct {
	mu      sync.Mutex
	m       map[Key]*browser
	dropped map[Key]drop
	epoch   uint64
}

// drop says when a browser's state was dropped: its tabs of before are new tabs.
type drop struct {
	seq  uint64 // the last tab id issued before
	when int64
}

func (t *browserTable) get(key Key) (b *browser, epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[key], t.epoch
}

// add puts a browser in, as sessionTable.add does.
func (t *browserTable) add(b *browser, epoch uint64) (*browser, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return nil, false
	}
	if old := t.m[b.key]; old != nil {
		return old, true
	}
	if t.m == nil {
		t.m = make(map[Key]*browser)
	}
	t.m[b.key] = b
	return b, true
}

// remove ends a browser's state on this server. seq is the last tab id issued.
func (t *browserTable) remove(key Key, seq uint64, now int64) {
	t.mu.Lock()
	b := t.m[key]
	delete(t.m, key)
	t.epoch++
	t.noteDropped(key, drop{seq, now})
	t.mu.Unlock()
	if b != nil {
		b.ended.Store(true)
		if v := b.vals.Load(); v != nil {
			v.kill()
		}
		b.tabs.killAll()
	}
}

// inherit makes a browser that is issued in place of another one take over
// which of its tabs are gone.
func (t *browserTable) inherit(from, to Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.dropped[from]; ok {
		t.noteDropped(to, d)
	}
}

// maxDropped is how many browsers whose state was dropped are remembered. A tab
// of one that had to go may be taken for one that is running still.
const maxDropped = 1 << 14

// noteDropped remembers a browser whose state was dropped; t.mu is held.
func (t *browserTable) noteDropped(key Key, d drop) {
	if t.dropped == nil {
		t.dropped = make(map[Key]drop)
	}
	if _, ok := t.dropped[key]; !ok && len(t.dropped) >= maxDropped {
		for some := range t.dropped {
			delete(t.dropped, some)
			break
		}
	}
	t.dropped[key] = d
}

// droppedAt is the last tab id issued before the browser of key was dropped.
func (t *browserTable) droppedAt(key Key) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped[key].seq
}

// wasDropped reports whether the browser's state was dropped of late.
func (t *browserTable) wasDropped(key Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.dropped[key]
	return ok
}

// all is every browser that is known.
func (t *browserTable) all() []*browser {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.m))
}

// forget takes a browser out of memory whose state, if any, is in the store. A
// request that still has it in hand looks for it again.
func (t *browserTable) forget(b *browser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b.forgotten.Store(true)
	if t.m[b.key] == b {
		delete(t.m, b.key)
	}
}

// forgetDropped ends the memory of browsers dropped before then: their tabs
// have expired.
func (t *browserTable) forgetDropped(then int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, d := range t.dropped {
		if d.when < then {
			delete(t.dropped, key)
		}
	}
}
