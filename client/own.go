//go:build !js

package client

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/sojourn-go/sojourn/protocol"
)

// Times in milliseconds.
const (
	firstBound = 500    // of the random time before a reconnection
	lastBound  = 30_000 // it doubles up to here
	silence    = 2 * protocol.HeartbeatSeconds * 1000
	shown      = 2000 // a changed connection, before the restart
	patience   = 1000 // of a call, for the tab's id and that the server knows it
)

// own is the client's own live connection, and its calls.
//
// What happens to the connection comes in by opened, message and closed, one
// at a time for one socket. Events of a socket that is not c.sock any more are
// passed over.
type own struct {
	t       transport
	restart func()

	calls queue

	mu       sync.Mutex
	userID   protocol.UserID
	mark     string
	knows    bool // the mark
	tab      string
	issued   bool          // the server made tab
	first    chan struct{} // closed when the first call is done; nil: there was none
	changed  func(reason string)
	events   map[string][]func([]byte)
	sock     *socket
	timer    timer // of the reconnection, or of the silence
	bound    int
	stopped  bool            // changed, or closed, or told to stay away
	shut     bool            // closed
	ready    func(error)     // told when the client is welcome, or why not; nil: nobody waits
	answers  []chan struct{} // closed when a hello is answered, or cannot be
	helloing sync.Mutex
}

func newOwn(t transport) *own {
	return &own{t: t, bound: firstBound, tab: madeUp()}
}

// madeUp is the id of a tab as long as the server gave none: by it the server
// tells that calls and live connection are of one client.
func madeUp() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	id := make([]byte, 22)
	for i := range id {
		id[i] = letters[rand.N(len(letters))]
	}
	return string(id)
}

func (c *own) user() protocol.UserID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.userID
}

func (c *own) onChanged(f func(reason string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = f
}

func (c *own) onEvent(event string, f func(data []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = make(map[string][]func([]byte))
	}
	c.events[event] = append(c.events[event], f)
}

// connect opens the live connection.
func (c *own) connect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.sock != nil {
		return
	}
	c.sock = c.t.open(c)
	c.watch()
}

// watch takes the connection for broken if nothing is heard; c.mu is held.
func (c *own) watch() {
	s := c.sock
	c.setTimer(silence, func() { c.closed(s, 0, errSilence) })
}

func (c *own) setTimer(ms int, f func()) {
	c.timer.stop()
	c.timer = after(ms, f)
}

// opened is told that a socket is open.
func (c *own) opened(s *socket) { c.hello(s, true) }

// hello says which tab this is, and first of all of which session.
func (c *own) hello(s *socket, first bool) {
	c.helloing.Lock() // so that the last one said is the one that holds
	defer c.helloing.Unlock()
	c.mu.Lock()
	current, tab, mark, knows := c.sock == s, c.tab, c.mark, c.knows
	c.mu.Unlock()
	if !current {
		return
	}
	m := struct {
		Type string  `json:"type"`
		Tab  string  `json:"tab"`
		Mark *string `json:"mark,omitempty"`
	}{Type: protocol.LiveHello, Tab: tab}
	if first && knows {
		m.Mark = &mark
	}
	if data, err := json.Marshal(m); err == nil {
		s.send(data)
	}
}

// message is told what a socket brought.
func (c *own) message(s *socket, data []byte) {
	var m struct {
		Type, Mark, Reason, Event string
		User                      protocol.UserID
		Data                      json.RawMessage
	}
	if json.Unmarshal(data, &m) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock != s {
		return
	}
	c.watch()
	switch m.Type {
	case protocol.LiveWelcome:
		c.userID, c.mark, c.knows = m.User, m.Mark, true
		c.bound = firstBound
		c.tell(nil)
		c.answer()
	case protocol.LiveChanged:
		c.change(understood(m.Reason))
	case protocol.LiveEvent:
		for _, f := range c.events[m.Event] {
			c.calls.add(func() { f(m.Data) })
		}
	}
}

// understood is a reason that this version knows.
func understood(reason string) string {
	switch reason {
	case protocol.ReasonConnected, "disconnect", "disconnect-all", "revoked", "expired", "evicted", "replaced", "user-gone":
		return reason
	}
	return protocol.ReasonChanged
}

// closed is told that a socket has closed, with which code.
func (c *own) closed(s *socket, code int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock != s {
		return
	}
	c.drop()
	switch code {
	case protocol.CloseChanged:
		c.change(protocol.ReasonChanged)
	case protocol.CloseTooMany, protocol.CloseProtocol:
		c.stopped = true
	default:
		c.setTimer(rand.N(c.bound), c.connect)
		c.bound = min(2*c.bound, lastBound)
	}
	c.tell(err)
}

// tell tells who waits for the first welcome; c.mu is held.
func (c *own) tell(err error) {
	if c.ready != nil {
		c.ready(err)
		c.ready = nil
	}
}

// answer tells who waits for the answer to a hello; c.mu is held.
func (c *own) answer() {
	for _, answered := range c.answers {
		close(answered)
	}
	c.answers = nil
}

// drop closes the socket; c.mu is held.
func (c *own) drop() {
	c.timer.stop()
	c.answer()
	if c.sock != nil {
		c.sock.close()
		c.sock = nil
	}
}

// change is told that the session is not the client's any more; c.mu is held.
func (c *own) change(reason string) {
	c.drop()
	c.stopped = true
	if c.ready != nil { // nobody has begun to work with that session
		c.setTimer(rand.N(firstBound), c.anew)
		return
	}
	if f := c.changed; f != nil {
		c.calls.add(func() {
			f(reason)
			c.anew()
		})
		return
	}
	c.setTimer(shown, func() { c.calls.add(c.startAgain) })
}

// startAgain restarts the program.
func (c *own) startAgain() {
	c.restart()
	c.anew()
}

// anew begins again as another tab.
func (c *own) anew() {
	c.mu.Lock()
	c.drop()
	c.stopped, c.knows, c.issued, c.first = c.shut, false, false, nil
	c.tab = madeUp()
	if !c.stopped { // not all clients at once, and not before their new cookies are there
		c.setTimer(rand.N(firstBound), c.connect)
	}
	c.mu.Unlock()
}

func (c *own) close() {
	c.mu.Lock()
	c.stopped, c.shut = true, true
	c.drop()
	c.tell(errClosed)
	c.mu.Unlock()
	c.calls.close()
	c.t.wait()
}

// post calls the server.
func (c *own) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.shut {
		c.mu.Unlock()
		return nil, errClosed
	}
	first, mine := c.first, false
	if first == nil {
		first, mine = make(chan struct{}), true
		c.first = first
	}
	issued := c.issued
	c.mu.Unlock()
	if mine {
		defer close(first)
	} else if !issued { // only one call starts the tab
		await(ctx, first)
	}
	c.mu.Lock()
	tab := c.tab
	c.mu.Unlock()
	resp, err := c.t.post(ctx, path, body, tab)
	if err != nil {
		return nil, err
	}
	c.adopt(ctx, &resp)
	return resp.body, resp.err()
}

// await waits for ch, but not for ever.
func await(ctx context.Context, ch chan struct{}) {
	late := make(chan struct{})
	t := after(patience, func() { close(late) })
	defer t.stop()
	select {
	case <-ch:
	case <-late:
	case <-ctx.Done():
	}
}

// adopt does what the header of a response says.
func (c *own) adopt(ctx context.Context, r *response) {
	c.mu.Lock()
	s := c.sock
	news := r.tab != "" && r.tab != c.tab
	if r.tab != "" {
		c.tab, c.issued = r.tab, true
	}
	if r.restart {
		c.stopped = true
		c.drop()
		c.calls.add(c.startAgain)
	}
	if !news || r.restart || s == nil || !s.open() {
		c.mu.Unlock()
		return
	}
	answered := make(chan struct{})
	c.answers = append(c.answers, answered)
	c.mu.Unlock()
	c.hello(s, false)
	await(ctx, answered) // else the next call could be told what it did itself
}

// leave is Disconnect or DisconnectAll.
func (c *own) leave(ctx context.Context, path string, keepUserIndependent bool) error {
	body := `{}`
	if keepUserIndependent {
		body = `{"keepUserIndependent":true}`
	}
	if _, err := c.post(ctx, path, []byte(body)); err != nil {
		return failed("calling "+path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.userID, c.mark = protocol.Nobody, ""
	return nil
}

// response is what the server answered.
type response struct {
	status  int
	isJSON  bool // as far as its type says
	tab     string
	restart bool
	body    []byte
}

// err is the error that the response says.
func (r *response) err() error {
	if r.status == http.StatusOK && r.isJSON || r.status == http.StatusNoContent {
		return nil
	}
	var m struct{ Error protocol.Error }
	if r.isJSON && json.Unmarshal(r.body, &m) == nil && m.Error.Code != "" {
		return &m.Error
	}
	return noJSON(r.status)
}
