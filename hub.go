package sojourn

import (
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/protocol"
)

// hub knows the open tabs of this server: whose they are, and how to reach
// them. It never waits for one.
type hub struct {
	mu        sync.Mutex
	conns     map[*liveConn]struct{}
	recent    map[Key]recentNotice           // what tabs that are just opening may have missed; nil: no tab ever opened
	fading    []fadingNotice                 // the keys of recent, oldest first
	byKey     map[Key]map[*liveConn]struct{} // of sessions and browsers
	byUser    map[UserID]map[*liveConn]struct{}
	bySession map[Key]int              // of open tabs
	bySubnet  map[netip.Prefix]int     // of connections in which nobody is connected when they open
	acting    map[liveExcept]int       // tabs that are changing the connection here
	expected  map[liveExcept]time.Time // tabs that are doing so on another server
	expecting []fadingExcept           // the same, those that were expected first before the others
	joined    int
	closed    bool
	some      chan struct{}  // there is a connection
	reading   sync.WaitGroup // of connections that have joined and not left
}

func (h *hub) init() {
	h.conns = make(map[*liveConn]struct{})
	h.byKey = make(map[Key]map[*liveConn]struct{})
	h.bySession = make(map[Key]int)
	h.byUser = make(map[UserID]map[*liveConn]struct{})
	h.bySubnet = make(map[netip.Prefix]int)
	h.acting = make(map[liveExcept]int)
	h.expected = make(map[liveExcept]time.Time)
	h.some = make(chan struct{}, 1)
}

func index[K comparable](m map[K]map[*liveConn]struct{}, k K, c *liveConn) {
	if m[k] == nil {
		m[k] = make(map[*liveConn]struct{}, 1)
	}
	m[k][c] = struct{}{}
}

func unindex[K comparable](m map[K]map[*liveConn]struct{}, k K, c *liveConn) {
	delete(m[k], c)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// join registers a connection. It answers the code to close it with if there
// is no room for it.
func (h *hub) join(c *liveConn, l *Limits) websocket.StatusCode {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return protocol.CloseRestart
	case len(h.byKey[c.browsers[0]]) >= l.TabsPerBrowser,
		c.session == (Key{}) && h.bySubnet[c.subnet] >= l.AnonymousPerSubnet:
		return protocol.CloseTooMany
	}
	if c.session == (Key{}) {
		h.bySubnet[c.subnet]++
		c.counted = true
	}
	h.joined++
	c.phase = h.joined
	h.conns[c] = struct{}{}
	h.reading.Add(1) // not after closeAll
	for _, k := range c.browsers {
		index(h.byKey, k, c)
	}
	session, user := c.session, c.user
	c.session, c.user = Key{}, Nobody
	h.setSession(c, session, user)
	h.tellRecent(c)
	select {
	case h.some <- struct{}{}:
	default:
	}
	return 0
}

// setSession makes a connection one of another session; h.mu is held.
func (h *hub) setSession(c *liveConn, session Key, user UserID) {
	if c.session != (Key{}) {
		if !c.has(c.session) {
			unindex(h.byKey, c.session, c)
		}
		if h.bySession[c.session]--; h.bySession[c.session] == 0 {
			delete(h.bySession, c.session)
		}
	}
	if c.user != Nobody {
		unindex(h.byUser, c.user, c)
	}
	c.session, c.user = session, user
	if session != (Key{}) {
		index(h.byKey, session, c)
		h.bySession[session]++
	}
	if user != Nobody {
		index(h.byUser, user, c)
	}
}

// rename is told that a browser's cookie was replaced: its open tabs can be
// reached by both from now on.
func (h *hub) rename(from, to Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.byKey[from] {
		h.renameOf(c, from, to)
	}
	h.note(from, func(r *recentNotice) { r.renamed = to })
}

func (h *hub) renameOf(c *liveConn, from, to Key) {
	const most = 4 // such cookies of one connection, for a client that keeps none of them
	if c.has(to) {
		return
	}
	former := to // of two that were issued for one cookie nobody knows which is kept
	if i := slices.Index(c.browsers, from); i >= 0 {
		c.browsers[i], former = to, from
	}
	index(h.byKey, to, c)
	if c.former = append(c.former, former); len(c.former) > most {
		unindex(h.byKey, c.former[0], c)
		c.former = slices.Delete(c.former, 0, 1)
	}
}

// renameTab is told that the tab of a request gets another id. It will say so
// over its live connection, but perhaps later than it sends the next request.
func (h *hub) renameTab(old liveExcept, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.byKey[old.browser] {
		if c.is(old) && c.tab != id {
			c.tab, c.oldTab = id, old.tab
		}
	}
}

// has reports whether a browser's key is the connection's; hub.mu is held.
func (c *liveConn) has(browser Key) bool {
	return slices.Contains(c.browsers, browser) || slices.Contains(c.former, browser)
}

// leave forgets a connection. The state of its tab, which is returned if it is
// known, has Timeouts.Tab to live from now.
func (h *hub) leave(c *liveConn) (t *tab) {
	h.mu.Lock()
	t = c.known
	if _, ok := h.conns[c]; ok {
		delete(h.conns, c)
		h.setSession(c, Key{}, Nobody)
		for _, k := range slices.Concat(c.browsers, c.former) {
			unindex(h.byKey, k, c)
		}
		if c.counted {
			if h.bySubnet[c.subnet]--; h.bySubnet[c.subnet] == 0 {
				delete(h.bySubnet, c.subnet)
			}
		}
	}
	h.mu.Unlock()
	h.keep(c, nil)
	return t
}

// greet notes what the client says its tab is, and whether it is the first time.
func (h *hub) greet(c *liveConn, tab string) (browsers []Key, session Key, first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = !c.greeted
	c.greeted, c.tab = true, tab
	h.catchUp(c)
	return slices.Clone(c.browsers), c.session, first
}

// keep makes t the tab whose state the connection keeps; nil: none.
func (h *hub) keep(c *liveConn, t *tab) {
	h.mu.Lock()
	old := c.known
	if _, ok := h.conns[c]; !ok {
		t = nil
	}
	c.known = t
	h.mu.Unlock()
	if t == old {
		return
	}
	if t != nil {
		t.open(1)
	}
	if old != nil {
		old.open(-1)
	}
}

// open counts the live connections of a tab.
func (t *tab) open(n int) {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	t.live += n
	t.seen = max(t.seen, nowMillis())
}

// answer tells a tab what it is, or, if its page was made for another session,
// that this has changed. No mark: there is no page. Once it was told, what it
// was told counts: the welcome that follows a call of its own and its next
// hello may cross.
func (h *hub) answer(c *liveConn, pageMark *string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !c.welcomed && pageMark != nil && *pageMark != mark(c.session) {
		c.out.push(changedMessage(protocol.ReasonChanged))
		c.out.close(protocol.CloseChanged)
		return
	}
	c.welcome()
}

// welcome tells a tab whose it is; h.mu is held.
func (c *liveConn) welcome() {
	c.welcomed = true
	c.out.push(welcomeMessage(c))
}

func welcomeMessage(c *liveConn) []byte {
	return jsonMessage(struct {
		Type string `json:"type"`
		User UserID `json:"user"`
		Mark string `json:"mark"`
	}{protocol.LiveWelcome, c.user, mark(c.session)})
}

func jsonMessage(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("sojourn: " + err.Error()) // strings and JSON only
	}
	return data
}

// send sends a message to the connections that a target means.
func (h *hub) send(t liveTarget, message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	conns := h.conns
	switch {
	case t.User != Nobody:
		conns = h.byUser[t.User]
	case t.Key != nil:
		conns = h.byKey[Key(t.Key)]
	}
	for c := range conns {
		if c.greeted && (t.Tab == "" || c.tab == t.Tab) {
			c.out.push(message)
		}
	}
}

// sessions are the sessions of the open tabs.
func (h *hub) sessions() []Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Key, 0, len(h.bySession))
	for key := range h.bySession {
		list = append(list, key)
	}
	return list
}

// open is how many tabs of a session are open.
func (h *hub) open(session Key) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byKey[session])
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// heartbeat sends a heartbeat to the connections for which it is time at a
// tick; every tab has its turn once in so many ticks.
func (h *hub) heartbeat(tick, ticks int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if (tick+c.phase)%ticks == 0 {
			c.out.push(liveHeartbeat)
		}
	}
	now := time.Now()
	h.forget(now)
	h.forgetExpected(now)
}

// closeAll closes every connection: the server is going down.
func (h *hub) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.conns {
		c.out.close(protocol.CloseRestart)
	}
}
