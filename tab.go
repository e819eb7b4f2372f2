package sojourn

import (
	"slices"
	"sync"
	"sync/atomic"
)

// tab is what this server knows of one tab of a browser: one that came back,
// or that holds state.
type tab struct {
	id      string
	browser *browser
	started bool        // its start actions have run on this server
	holds   bool        // it has state, or is about to
	gone    atomic.Bool // it was taken out: its state is no more
	seen    int64
	live    int        // open live connections
	told    int64      // while there are some: when the store last had to hear of it
	states  []tabState // one per hierarchy and session
}

// tabState is the state of a tab in one session or browser.
type tabState struct {
	owner  Owner
	sess   *session // the owner, as far as it is known here
	brow   *browser // likewise
	vals   *values
	stored bool // the store has values of it
}

// over reports whether the owner is no more.
func (st *tabState) over() bool {
	return st.sess != nil && st.sess.ended() || st.brow != nil && st.brow.ended.Load()
}

// tabSet holds the tabs of a browser.
type tabSet struct {
	mu      sync.Mutex
	dead    bool
	m       map[string]*tab
	evicted map[string]int64 // tabs whose state had to go, and when: they are new tabs now
}

// state is the tab's state below the owner of p, made if need be; nil when it
// is not there or the browser was dropped.
func (t *tab) state(p *place, make bool) *values {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	for i := range t.states {
		if st := &t.states[i]; st.owner == p.owner {
			if !p.ended() {
				st.sess, st.brow = p.sess, p.brow
			}
			return st.vals
		}
	}
	if !make || set.dead {
		return nil
	}
	t.forgetStates()
	v := new(values)
	t.states = append(t.states, tabState{owner: p.owner, sess: p.sess, brow: p.brow, vals: v})
	return v
}

// forgetStates frees the tab's states in sessions and browsers that have
// ended; the set's lock is held. A tab may outlive any number of them.
func (t *tab) forgetStates() {
	t.states = slices.DeleteFunc(t.states, func(st tabState) bool {
		over := st.over()
		if over {
			st.vals.kill()
		}
		return over
	})
}

// noteStored notes that the store has values of the tab below owner.
func (t *tab) noteStored(owner Owner) {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	t.holds = true
	for i := range t.states {
		if t.states[i].owner == owner {
			t.states[i].stored = true
			return
		}
	}
	t.states = append(t.states, tabState{owner: owner, vals: new(values), stored: true})
}

// stores reports whether the store has values of the tab.
func (t *tab) stores() bool {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	for i := range t.states {
		if t.states[i].stored {
			return true
		}
	}
	return false
}

// storedOwners are the owners below which the store has values of the tab.
func (t *tab) storedOwners() (owners []Owner) {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	for i := range t.states {
		if t.states[i].stored {
			owners = append(owners, t.states[i].owner)
		}
	}
	return owners
}

// find is the tab of an id if it is still there at now, and marks it used. gone
// reports that there was one whose state has gone.
func (b *browser) find(id string, now, timeout int64) (t *tab, gone bool) {
	set := &b.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	t = set.m[id]
	if t == nil {
		_, gone = set.evicted[id]
		return nil, gone
	}
	if t.expired(now, timeout) {
		return nil, true
	}
	t.seen = max(t.seen, now)
	return t, false
}

func (t *tab) expired(now, timeout int64) bool { return t.live == 0 && now >= t.seen+timeout }

// peek is the tab of an id if it is still there at now; that is no use of it.
func (b *browser) peek(id string, now, timeout int64) (t *tab, gone bool) {
	set := &b.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	if t = set.m[id]; t != nil && !t.expired(now, timeout) {
		return t, false
	}
	_, evicted := set.evicted[id]
	return nil, t != nil || evicted
}

// join makes an id a tab of the browser. limit is how many of its tabs that
// hold nothing are kept in mind; the least recently used others are returned, of
// those that run.
func (b *browser) join(id string, now int64, limit int) (t *tab, forgotten []*tab) {
	set := &b.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	if t = set.m[id]; t != nil {
		t.seen = max(t.seen, now)
		return t, nil
	}
	t = &tab{id: id, browser: b, seen: now}
	if set.dead {
		return t, nil
	}
	if set.m == nil {
		set.m = make(map[string]*tab)
	}
	for {
		oldest, n := set.oldest(t, false)
		if n < limit {
			break
		}
		set.takeOut(oldest)
		if oldest.started {
			forgotten = append(forgotten, oldest)
		}
	}
	set.m[id] = t
	return t, forgotten
}

// claim is to be called before state of the tab is stored. limit is how many
// tabs of the browser may hold state; the least recently used others of those
// are taken out and returned: their state is to be removed.
func (t *tab) claim(now int64, limit int) (evicted []*tab) {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	if t.holds || set.m[t.id] != t {
		return nil
	}
	t.holds = true
	for {
		oldest, n := set.oldest(t, true)
		if n < limit {
			return evicted
		}
		set.takeOut(oldest)
		set.noteEvicted(oldest.id, now, limit)
		evicted = append(evicted, oldest)
	}
}

// oldest is the least recently used of the tabs, besides t, that hold state or
// do not, and their number; the set's lock is held. One that is open and holds
// nothing does not count: Limits has a say about open ones elsewhere.
func (set *tabSet) oldest(t *tab, holds bool) (oldest *tab, n int) {
	for _, o := range set.m {
		if o == t || o.holds != holds || !holds && o.live > 0 {
			continue
		}
		n++
		if oldest == nil || o.seen < oldest.seen {
			oldest = o
		}
	}
	return oldest, n
}

func (set *tabSet) takeOut(t *tab) {
	delete(set.m, t.id)
	t.kill()
}

// noteEvicted remembers that a tab's state had to go, of as many tabs as may
// hold state; the set's lock is held.
func (set *tabSet) noteEvicted(id string, now int64, limit int) {
	if set.evicted == nil {
		set.evicted = make(map[string]int64)
	}
	if len(set.evicted) >= limit {
		oldest := id
		for o, when := range set.evicted {
			if oldest == id || when < set.evicted[oldest] {
				oldest = o
			}
		}
		delete(set.evicted, oldest)
	}
	set.evicted[id] = now
}

// kill ends the tab's state on this server; the set's lock is held.
func (t *tab) kill() {
	t.gone.Store(true)
	for i := range t.states {
		t.states[i].vals.kill()
	}
}

// forgotten reports whether the tab was taken out when it held nothing: it is
// still the same tab when it is known again.
func (t *tab) forgotten() bool {
	if !t.gone.Load() {
		return false
	}
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	return !t.holds && !set.dead
}

// killAll ends all tabs of a browser whose state was dropped.
func (set *tabSet) killAll() {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, t := range set.m {
		t.kill()
	}
	set.dead, set.m = true, nil
}

// takeExpired takes out the tabs that were not used for timeout, and reports
// whether any are left. open are those with a live connection of which the
// store is to hear: half of a timeout has gone by since the last time.
func (set *tabSet) takeExpired(now, timeout int64) (expired, open []*tab, left bool) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for id, t := range set.m {
		if t.expired(now, timeout) {
			delete(set.m, id)
			t.kill()
			expired = append(expired, t)
			continue
		}
		if t.live > 0 && now >= t.told+timeout/2 {
			t.told = now
			open = append(open, t)
		}
		t.forgetStates()
	}
	for id, when := range set.evicted {
		if now >= when+timeout {
			delete(set.evicted, id)
		}
	}
	return expired, open, len(set.m)+len(set.evicted) > 0
}

// list is the tabs of which owner has state on this server.
func (set *tabSet) list(owner Owner) (ids []string) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for id, t := range set.m {
		for i := range t.states {
			if t.states[i].owner == owner {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// strays are tabs of browsers that are not known because they hold nothing:
// when they were last seen. There is room for a fixed number; one that has to
// go may be taken for a new tab sooner than it should.
type strays struct {
	mu sync.Mutex
	m  map[string]int64
}

const maxStrays = 1 << 16

// seen is when the tab was seen last, or 0.
func (s *strays) seen(id string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[id]
}

func (s *strays) see(id string, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string]int64)
	}
	if _, ok := s.m[id]; !ok && len(s.m) >= maxStrays {
		for some := range s.m {
			delete(s.m, some)
			break
		}
	}
	s.m[id] = now
}

func (s *strays) expire(now, timeout int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, seen := range s.m {
		if now >= seen+timeout {
			delete(s.m, id)
		}
	}
	if len(s.m) == 0 {
		s.m = nil
	}
}
