package sojourntest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/protocol"
)

// A Live is the live connection of a Tab: what a page with the tag of
// Site.ClientScript, or a client, has open. It says hello when it opens and
// when the tab's id changes, and takes in what the server says. It neither
// restarts nor reconnects. The server's answer to a hello but the first is left
// out of its messages.
type Live struct {
	tab      *Tab
	ws       *websocket.Conn
	messages chan Message
	ended    chan struct{}
	code     int
	helloing sync.Mutex
	again    atomic.Int32 // hellos but the first that are not answered yet
	beat     atomic.Pointer[func()]
}

// Message is what the server told a tab. Heartbeats are left out.
type Message struct {
	Type   string          // protocol.LiveWelcome, LiveChanged or LiveEvent
	User   protocol.UserID // of a welcome
	Mark   string          // of a welcome: what tells the session from any other
	Reason string          // of a change: why
	Event  string          // of an event: its name
	Data   json.RawMessage // of an event
}

// liveBuffer is how many messages a Live takes in that nobody reads; then it
// is a slow client.
const liveBuffer = 1024

// Live opens the tab's live connection at protocol.DefaultPath and says hello,
// with the mark of the last page of the tab that has the tag of
// Site.ClientScript; without such a page the tab is welcomed whatever it is. It
// fails the test when the server refuses the connection. It is closed when the
// test ends.
func (t *Tab) Live() *Live {
	t.b.t.Helper()
	l, resp := t.OpenLive(nil)
	if l == nil {
		t.b.t.Fatalf("sojourntest: the live connection is answered %s %s", resp.Status, resp.Text())
	}
	return l
}

// OpenLive is Live with a request of its own: for another path, or another
// Origin than the site's. When the server refuses the connection the Live is
// nil. A nil r asks as a page of the site does.
func (t *Tab) OpenLive(r *http.Request) (*Live, *Response) {
	t.b.t.Helper()
	if r == nil {
		r = t.b.request(http.MethodGet, protocol.DefaultPath+protocol.LivePath, "", nil)
	}
	out := t.b.outgoing(r)
	if _, ok := out.header["Origin"]; !ok {
		out.header.Set("Origin", out.url.Scheme+"://"+out.url.Host)
	}
	d := &dialer{b: t.b, out: out}
	ws, _, err := websocket.Dial(r.Context(), out.url.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: d}, HTTPHeader: out.header, Host: out.host,
		Subprotocols: []string{protocol.LiveProtocol},
	})
	if err != nil {
		if d.resp == nil || d.resp.StatusCode == http.StatusSwitchingProtocols {
			t.b.t.Fatalf("sojourntest: opening a live connection: %v", err)
		}
		return nil, d.resp
	}
	ws.SetReadLimit(-1)
	l := &Live{tab: t, ws: ws, messages: make(chan Message, liveBuffer), ended: make(chan struct{})}
	mark := t.join(l)
	go l.read()
	t.b.t.Cleanup(l.Close)
	l.hello(mark)
	return l, d.resp
}

// Messages is what the server says, in order. It is closed when the connection
// has.
func (l *Live) Messages() <-chan Message { return l.messages }

// Next waits for a message. It fails the test if the connection closes instead.
func (l *Live) Next() Message {
	l.tab.b.t.Helper()
	m, ok := <-l.messages
	if !ok {
		l.tab.b.t.Fatalf("sojourntest: the live connection closed with code %d; a message was expected", l.code)
	}
	return m
}

// OnHeartbeat calls f with each heartbeat; Messages leaves them out.
func (l *Live) OnHeartbeat(f func()) { l.beat.Store(&f) }

// Code waits until the connection closes, passing over what the server still
// says, and returns the code that the server closed it with: one of protocol's,
// or 0 if it said none.
func (l *Live) Code() int {
	<-l.ended
	return l.code
}

// Close closes the connection, as a tab does that goes away, and waits until
// it is closed.
func (l *Live) Close() {
	_ = l.ws.CloseNow()
	<-l.ended
}

func (l *Live) read() {
	defer close(l.ended)
	defer close(l.messages)
	defer l.tab.part(l)
	defer func() { _ = l.ws.CloseNow() }()
	for {
		_, data, err := l.ws.Read(context.Background())
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			l.code = int(closed.Code)
		}
		if err != nil {
			return
		}
		var m Message
		if err := json.Unmarshal(data, &m); err != nil {
			l.tab.b.t.Errorf("sojourntest: the server said %q: %v", data, err)
			return
		}
		switch m.Type {
		case protocol.LiveHeartbeat:
			if f := l.beat.Load(); f != nil {
				(*f)()
			}
			continue
		case protocol.LiveWelcome: // two of one user may cross; it does not matter which is left out
			if l.again.Load() > 0 {
				l.again.Add(-1)
				continue
			}
		}
		l.messages <- m
	}
}

// hello says which tab this is; mark nil: of whatever page.
func (l *Live) hello(mark *string) {
	l.helloing.Lock() // so that the last one said is the one that holds
	defer l.helloing.Unlock()
	data, err := json.Marshal(struct {
		Type string  `json:"type"`
		Tab  string  `json:"tab"`
		Mark *string `json:"mark,omitempty"`
	}{protocol.LiveHello, l.tab.ID(), mark})
	if err != nil {
		l.tab.b.t.Errorf("sojourntest: %v", err)
	}
	_ = l.ws.Write(context.Background(), websocket.MessageText, data) // if it is closed, Code says why
}

// join makes l a live connection of the tab, and gives the tab an id of its own
// making if the server gave none: by it the server tells that the connection
// and the calls are of one tab.
func (t *Tab) join(l *Live) (mark *string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.id == "" {
		t.id = fmt.Sprintf("made-up-%016x", rand.Uint64())
	}
	t.live = append(t.live, l)
	return t.mark
}

func (t *Tab) part(l *Live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.live {
		if t.live[i] == l {
			t.live = append(t.live[:i:i], t.live[i+1:]...)
			return
		}
	}
}

var (
	scriptTag = regexp.MustCompile(`<script [^>]*data-sojourn=[^>]*>`)
	attribute = regexp.MustCompile(`data-(mark|tab)="([^"]*)"`)
)

// load takes in the tag of Site.ClientScript of a page.
func (t *Tab) load(page []byte) {
	tag := scriptTag.Find(page)
	if tag == nil {
		return
	}
	for _, m := range attribute.FindAllSubmatch(tag, -1) {
		value := html.UnescapeString(string(m[2]))
		switch {
		case string(m[1]) == "mark":
			t.mu.Lock()
			t.mark = &value
			t.mu.Unlock()
		case value != "":
			t.setID(value)
		}
	}
}

// dialer is an http.RoundTripper that asks the browser's handler.
type dialer struct {
	b    *Browser
	out  *outgoing
	resp *Response
}

func (d *dialer) RoundTrip(r *http.Request) (*http.Response, error) {
	header := r.Header.Clone()
	site := siteOf(header.Get("Origin"), d.out.url)
	setDefault(header, "User-Agent", userAgent)
	if d.out.url.Scheme == "https" || isLoopback(d.out.url.Hostname()) {
		setDefault(header, "Sec-Fetch-Site", site)
		setDefault(header, "Sec-Fetch-Mode", "websocket")
		setDefault(header, "Sec-Fetch-Dest", "empty")
	}
	d.b.addCookies(header, d.out.url, site, false)
	ours, theirs := net.Pipe()
	w := &upgradeWriter{responseWriter: newResponseWriter(d.out.method), conn: theirs}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	d.b.h.ServeHTTP(w, d.b.incoming(ctx, d.out, header))
	w.finish()
	sent := &http.Request{Method: d.out.method, URL: d.out.url, Host: d.out.host, Header: header}
	d.resp = w.response(d.b.t, sent.WithContext(r.Context()))
	d.b.keep(d.out.url, d.resp.Header)
	if w.status != http.StatusSwitchingProtocols || !w.hijacked {
		_ = ours.Close()
		_ = theirs.Close()
		return d.resp.Response, nil
	}
	upgraded := *d.resp.Response
	upgraded.Body = ours
	return &upgraded, nil
}

// upgradeWriter is a responseWriter of a connection that can be taken over.
type upgradeWriter struct {
	*responseWriter
	conn     net.Conn
	hijacked bool
}

func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked || w.done {
		return nil, nil, http.ErrHijacked
	}
	w.hijacked = true
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}
