package sojourn

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/internal/token"
	"github.com/sojourn-go/sojourn/protocol"
)

// liveConn is one open tab: its live connection. One goroutine reads; another
// writes while there is something to write.
type liveConn struct {
	out liveQueue

	// Set before the connection is registered.
	subnet netip.Prefix

	// Guarded by hub.mu.
	browsers []Key    // what its cookies name, of every hierarchy; UserIndependent's first
	former   []Key    // what they named, some of it
	session  Key      // zero: nobody is connected
	user     UserID   // of the session
	tab      string   // the id the client says, or is about to
	oldTab   string   // the one it said before
	known    *tab     // the tab, if this server knows it
	phase    int      // when its heartbeats are due
	counted  bool     // in hub.bySubnet
	greeted  bool     // the client has said hello
	missed   []func() // what it could not be told yet
	welcomed bool     // it was told whose it is
}

// What a client may cost.
const (
	liveReadLimit   = 4 << 10          // bytes of one message of a client
	liveHelloWithin = 10 * time.Second // of the first message
	liveHellos      = 100              // a client may say hello, in one connection

	liveGrace = 400 * time.Millisecond // for whoever ended a session to tell its tabs
)

var (
	liveHeartbeat = []byte(`{"type":"` + protocol.LiveHeartbeat + `"}`)

	errOrigin  error = &protocol.Error{Code: protocol.CodeCrossOrigin, Message: "sojourn: a live connection from another origin"}
	errUpgrade error = &protocol.Error{Code: protocol.CodeUpgrade, Message: "sojourn: a live connection is a WebSocket"}
)

// serveLive upgrades to a live connection. It is no request of the session: it
// does not count as a use, and fires nothing.
func (s *Site) serveLive(w http.ResponseWriter, r *http.Request) {
	q, err := s.request(r.Context())
	if err == nil {
		err = s.openLive(w, q)
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

func (s *Site) openLive(w http.ResponseWriter, q *request) error {
	if !strings.EqualFold(q.r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		return errUpgrade
	}
	if !s.liveOrigin(q) {
		return errOrigin
	}
	q.quiet = true
	s.hub.remember()
	sess, err := q.identify(q)
	if err != nil {
		return err
	}
	c := &liveConn{subnet: subnet(q.remoteAddr())}
	if sess != nil {
		c.session, c.user = sess.key, sess.user
		c.browsers = append(c.browsers, sess.browser)
	}
	if c.browsers, err = s.liveBrowsers(q, c.session, c.browsers); err != nil {
		return err
	}
	ws, err := websocket.Accept(smallBuffers(w), q.r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocol.LiveProtocol},
		InsecureSkipVerify: true, // liveOrigin is stricter
	})
	if err != nil {
		s.log.DebugContext(q, "sojourn: no live connection", "error", err)
		return nil // Accept has answered
	}
	ws.SetReadLimit(liveReadLimit)
	c.out.ws = ws
	// The handler returns, so that the server's memory for the request is free.
	if code := s.hub.join(c, &s.limits); code != 0 {
		go ws.Close(code, "")
		return nil
	}
	go s.readLive(c)
	return nil
}

// liveBuffer is how many bytes a live connection reads and writes at a time:
// most of its messages are small, and net/http's buffers would be most of its
// memory.
const liveBuffer = 512

// smallBuffers is w with small buffers for who hijacks it.
func smallBuffers(w http.ResponseWriter) http.ResponseWriter {
	if _, ok := w.(http.Hijacker); !ok {
		return w
	}
	return smallHijacker{w}
}

type smallHijacker struct{ http.ResponseWriter }

func (w smallHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, big, err := w.ResponseWriter.(http.Hijacker).Hijack()
	if err != nil {
		return conn, big, err
	}
	n := big.Reader.Buffered() // what the client has said already
	r := bufio.NewReaderSize(io.MultiReader(io.LimitReader(big.Reader, int64(n)), conn), max(n, liveBuffer))
	if _, err := r.Peek(n); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, bufio.NewReadWriter(r, bufio.NewWriterSize(conn, liveBuffer)), nil
}

// liveBrowsers are the browsers that the request's cookies name. A browser that
// names none gets a cookie; one that is not known is good enough to be told.
func (s *Site) liveBrowsers(q *request, session Key, keys []Key) ([]Key, error) {
	for _, h := range append([]string{independentHierarchy, anonymousHierarchy}, s.refs.hierarchies()...) {
		key, ok := token.Parse(cookie.Find(q.r.Header["Cookie"], s.names.of(h)))
		if !ok && h == independentHierarchy && len(keys) == 0 {
			var err error
			if key, err = q.issueBrowser(h, Key{}); err != nil {
				return nil, err
			}
			ok = true
		}
		if ok && key != session && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// liveOrigin reports whether the request comes from a page of the site: every
// GET passes CrossOriginProtection, and browsers let any page open a WebSocket.
func (s *Site) liveOrigin(q *request) bool {
	origins := q.r.Header["Origin"]
	if len(origins) == 0 { // not a browser; then it is to say where it belongs if it has a session
		for _, h := range append([]string{anonymousHierarchy, independentHierarchy}, s.refs.hierarchies()...) {
			if cookie.Has(q.r.Header["Cookie"], s.names.of(h)) {
				return false
			}
		}
		return true
	}
	if len(origins) > 1 {
		return false
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || !strings.EqualFold(origins[0], u.Scheme+"://"+u.Host) {
		return false
	}
	if strings.EqualFold(u.Scheme, q.scheme()) && strings.EqualFold(withPort(u.Scheme, u.Host), withPort(u.Scheme, q.r.Host)) {
		return true
	}
	for _, trusted := range s.cfg.TrustedOrigins {
		if trusted == origins[0] {
			return true
		}
	}
	return false
}

// withPort is a host with its port, said or not.
func withPort(scheme, host string) string {
	u := url.URL{Host: host}
	if u.Port() != "" {
		return host
	}
	if strings.EqualFold(scheme, "https") {
		return u.Hostname() + ":443"
	}
	return u.Hostname() + ":80"
}

// readLive reads what the tab says until it goes.
func (s *Site) readLive(c *liveConn) {
	defer s.hub.reading.Done()
	defer func() {
		if t := s.hub.leave(c); t != nil {
			s.touches.tab(t)
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, liveHelloWithin)
	err := s.readHello(ctx, c)
	cancel()
	for n := 1; err == nil && n < liveHellos; n++ {
		err = s.readHello(s.ctx, c)
	}
	switch {
	case err == nil || errors.Is(err, errHello):
		c.out.close(protocol.CloseProtocol)
	case s.ctx.Err() != nil: // closeAll says why
	default:
		c.out.ws.CloseNow()
	}
}

var errHello = errors.New("not a hello")

// readHello reads one message and answers it. The answer is worked out in a
// goroutine of its own: this one waits for most of its life, and what it waits
// on should be a small stack.
func (s *Site) readHello(ctx context.Context, c *liveConn) error {
	kind, data, err := c.out.ws.Read(ctx)
	if err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() { answered <- s.answerHello(ctx, c, kind, data) }()
	return <-answered
}

// answerHello answers a hello: with what the tab is now, or that it is not what
// its page thinks.
func (s *Site) answerHello(ctx context.Context, c *liveConn, kind websocket.MessageType, data []byte) error {
	var hello struct {
		Type, Tab string
		Mark      *string
	}
	if kind != websocket.MessageText || json.Unmarshal(data, &hello) != nil || hello.Type != protocol.LiveHello {
		return errHello
	}
	if !validTabID(hello.Tab) {
		hello.Tab = ""
	}
	browsers, session, first := s.hub.greet(c, hello.Tab)
	if err := s.keepTab(ctx, c, hello.Tab, browsers, session); err != nil {
		return err
	}
	if first { // it is registered; only now is its session looked at, so that no end is missed
		if alive, err := s.liveAlive(ctx, session); err != nil {
			return err
		} else if !alive {
			s.tellEnded(ctx, []Key{session})
			return nil
		}
	}
	s.hub.answer(c, hello.Mark)
	return nil
}

// keepTab keeps the tab's state as long as the connection is open, if this
// server started the tab or the store has state of it. The first of browsers is
// that of the tab.
func (s *Site) keepTab(ctx context.Context, c *liveConn, id string, browsers []Key, session Key) error {
	if id == "" {
		return nil
	}
	now := nowMillis()
	b, err := s.lookupBrowser(ctx, browsers[0], independentHierarchy, session != Key{}, now)
	if b == nil || err != nil {
		return err
	}
	t, gone := b.find(id, now, s.timeouts.tab)
	switch {
	case t != nil:
		s.touches.tab(t)
	case gone:
	case s.startedHere(new(tabScratch), id, b, b.key, now):
		t = s.joinTab(b, id, now, true)
	default:
		var owners []Owner
		if session != (Key{}) {
			owners = append(owners, Owner{Kind: OwnerSession, Key: session})
		}
		for _, key := range browsers {
			owners = append(owners, Owner{Kind: OwnerBrowser, Key: key})
		}
		if t, err = s.adoptTab(ctx, b, id, owners, now); err != nil {
			return err
		}
	}
	s.hub.keep(c, t)
	return nil
}

// mark is what a page may know of its session: enough to tell it from another.
// "" stands for nobody's.
func mark(session Key) string {
	if session == (Key{}) {
		return ""
	}
	sum := sha256.Sum256(append([]byte("sojourn page "), session[:]...))
	return tabEncoding.EncodeToString(sum[:12])
}

// except is the tab that makes the request.
func (q *request) except() liveExcept {
	key, _ := token.Parse(cookie.Find(q.r.Header["Cookie"], q.site.names.browser))
	return liveExcept{key, q.tabHeader()}
}

// liveTarget is whom a message of the application is for; nobody in
// particular: every open tab.
type liveTarget struct {
	Key  []byte `json:",omitempty"` // of a session or browser
	User UserID `json:",omitempty"`
	Tab  string `json:",omitempty"`
}

// Notify sends a message of the application to every open tab of a state, on
// every server: of a user, a session, a browser, a tab, or of the site. The
// client's OnEvent functions get data, as JSON. It does not wait for the tabs,
// and a tab that is not open does not get it. In a request or outside; an
// event's name is any string. It returns ErrWrongScope for a State of another
// site, an error if data cannot be JSON, or the store's: then the tabs on this
// server may have it all the same. It is in the place of Eliom_notif.
func (s *Site) Notify(ctx context.Context, st State, event string, data any) error {
	if st.site != s {
		return ErrWrongScope
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return wrap("the data of a message", err)
	}
	t := liveTarget{Tab: st.tab}
	switch st.owner.Kind {
	case OwnerUser:
		if t.User = st.owner.User; t.User == Nobody {
			return nil
		}
	case OwnerSession, OwnerBrowser:
		t.Key = st.owner.Key[:]
	}
	message := jsonMessage(struct {
		Type  string          `json:"type"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{protocol.LiveEvent, event, raw})
	s.hub.send(t, message)
	return s.publish(ctx, siteMessage{Kind: messageEvent, Target: t, Message: message})
}
