package sojourn

import (
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/protocol"
)

// liveNotice says that the connection of tabs has changed.
type liveNotice struct {
	keys    []Key // of the sessions and browsers concerned
	reason  string
	except  liveExcept
	session Key    // what the tab excepted is of now
	user    UserID // likewise
}

// liveExcept is the tab that changed the connection itself, and so knows.
type liveExcept struct {
	browser Key
	tab     string
}

// recentNotice is the last that tabs of a key were told. A tab that opened its
// connection before its browser got the cookies of it comes too late to be
// told; then it is told as it joins.
type recentNotice struct {
	told    *liveNotice
	renamed Key // the cookie that replaced it; zero: none did
	when    time.Time
}

type fadingNotice struct {
	key  Key
	when time.Time
}

type fadingExcept struct {
	liveExcept
	until time.Time
}

// liveOpening is how long a request for a live connection may take to arrive.
const liveOpening = 5 * time.Second

// remember has recent notices remembered: tabs are opening.
func (h *hub) remember() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.recent == nil {
		h.recent = make(map[Key]recentNotice)
	}
}

// note remembers what the tabs of a key were told; h.mu is held.
func (h *hub) note(key Key, change func(*recentNotice)) {
	if h.recent == nil {
		return
	}
	now := time.Now()
	h.forget(now)
	r := h.recent[key]
	change(&r)
	r.when = now
	h.recent[key] = r
	h.fading = append(h.fading, fadingNotice{key, now})
}

// forget forgets what is not recent any more; h.mu is held.
func (h *hub) forget(now time.Time) {
	for len(h.fading) > 0 && now.Sub(h.fading[0].when) > liveOpening {
		if f := h.fading[0]; h.recent[f.key].when.Equal(f.when) {
			delete(h.recent, f.key)
		}
		h.fading = h.fading[1:]
	}
}

// tellRecent tells a connection that joins what it missed; h.mu is held.
func (h *hub) tellRecent(c *liveConn) {
	h.forget(time.Now())
	for _, k := range append(slices.Clone(c.browsers), c.session) {
		r := h.recent[k]
		if r.renamed != (Key{}) {
			h.renameOf(c, k, r.renamed)
		}
		if n := r.told; n != nil && n.session != c.session { // else it knows
			h.tellOne(c, n, changedMessage(n.reason))
		}
	}
}

// catchUp tells a connection what it could not be told before; h.mu is held.
func (h *hub) catchUp(c *liveConn) {
	missed := c.missed
	c.missed = nil
	for _, f := range missed {
		f()
	}
}

func changedMessage(reason string) []byte {
	return jsonMessage(struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}{protocol.LiveChanged, reason})
}

// tell tells the tabs concerned that their connection has changed, and closes
// theirs. The one excepted is what the notice says now.
func (h *hub) tell(n liveNotice) {
	message := changedMessage(n.reason)
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.among(n.keys) {
		h.tellOne(c, &n, message)
	}
	for _, k := range n.keys {
		h.note(k, func(r *recentNotice) { r.told = &n })
	}
}

func (h *hub) tellOne(c *liveConn, n *liveNotice, message []byte) {
	switch {
	case c.session != (Key{}) && (c.session == n.session || n.session == (Key{}) && !slices.Contains(n.keys, c.session)):
		// it is of the next session already
	case h.isExpected(c) || c.is(n.except):
		h.setSession(c, n.session, n.user)
		c.out.push(welcomeMessage(c))
	case !c.greeted && n.except.tab != "": // it may be the one
		c.missed = append(c.missed, func() { h.tellOne(c, n, message) })
	default:
		c.out.push(message)
		c.out.close(protocol.CloseChanged)
	}
}

// among are the connections of any of the keys; h.mu is held.
func (h *hub) among(keys []Key) map[*liveConn]struct{} {
	if len(keys) == 1 {
		return h.byKey[keys[0]]
	}
	all := make(map[*liveConn]struct{})
	for _, k := range keys {
		for c := range h.byKey[k] {
			all[c] = struct{}{}
		}
	}
	return all
}

func (c *liveConn) is(e liveExcept) bool {
	return e.tab != "" && (c.tab == e.tab || c.oldTab == e.tab) && c.has(e.browser)
}

// act counts what a tab is doing here.
func (h *hub) act(e liveExcept, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acting[e] += n; h.acting[e] == 0 {
		delete(h.acting, e)
	}
}

// expect excepts a tab from the next that another server says, which is soon.
func (h *hub) expect(e liveExcept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.forgetExpected(now)
	until := now.Add(10 * time.Second)
	h.expected[e] = until
	h.expecting = append(h.expecting, fadingExcept{e, until})
}

// forgetExpected forgets the tabs that did not come; h.mu is held.
func (h *hub) forgetExpected(now time.Time) {
	for len(h.expecting) > 0 && now.After(h.expecting[0].until) {
		if f := h.expecting[0]; h.expected[f.liveExcept].Equal(f.until) {
			delete(h.expected, f.liveExcept)
		}
		h.expecting = h.expecting[1:]
	}
}

// isExpected is for a tab that changes the connection itself; h.mu is held.
func (h *hub) isExpected(c *liveConn) bool {
	if c.tab == "" || len(h.acting)+len(h.expected) == 0 {
		return false
	}
	for _, b := range slices.Concat(c.browsers, c.former) {
		for _, tab := range [...]string{c.tab, c.oldTab} {
			e := liveExcept{b, tab}
			if h.acting[e] > 0 {
				return true
			}
			if until, ok := h.expected[e]; ok {
				delete(h.expected, e)
				return time.Now().Before(until)
			}
		}
	}
	return false
}
