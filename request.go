package sojourn

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/internal/token"
	"github.com/sojourn-go/sojourn/protocol"
)

// request is the state of one HTTP request of one site. It is lazy: nothing is
// looked up before somebody asks. It is the request's context.
type request struct {
	context.Context
	site *Site
	r    *http.Request
	w    writer

	mu         sync.Mutex // guards what follows; never held during I/O or callbacks
	time       int64      // when somebody first asked, in Unix milliseconds
	quiet      bool       // it is no use of the session; set before anybody asks
	forced     int        // how many guards with ForceUnconnected we are in
	identified bool
	sess       *session // the session, if a user is connected
	gone       *session // a session whose user is no more, not closed yet
	browsers   []requestBrowser
	first      [1]requestBrowser // room for the first of browsers
	vals       values            // of RequestScope
	loose      map[Scope]*values // of scopes that have nothing to hold on to in this request
	tab        requestTab
	scratch    tabScratch
	fired      firedActions
	opening    bool      // open-session actions are running
	starting   bool      // start actions of the tab are running
	tabLine    [1]string // the response's header
}

// requestBrowser is what a request knows of one hierarchy's browser.
type requestBrowser struct {
	hierarchy string
	asked     bool
	issued    bool // the response brings the cookie
	presented Key  // what the cookie names, whether it is known or not
	b         *browser
}

// requestTab is the tab of a request.
type requestTab struct {
	asked    bool
	started  bool // its start actions have run: before, or in this request
	announce bool // the response has to carry the id
	id       string
	t        *tab // nil as long as the browser is not known
}

// firedActions says which request-level actions have fired; stage stands for
// connected-request or unconnected-request.
type firedActions struct{ request, stage, denied fired }

type fired struct {
	yes bool
	err *error // how it failed
}

func (q *request) isForced() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.forced > 0
}

// now is the time of the request.
func (q *request) now() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.nowLocked()
}

func (q *request) nowLocked() int64 {
	if q.time == 0 {
		q.time = time.Now().UnixMilli()
	}
	return q.time
}

// identify finds out whose request this is: once, at the first question. A
// session whose user is no more counts as none, until somebody closes it.
func (q *request) identify(ctx context.Context) (sess *session, err error) {
	q.mu.Lock()
	if q.identified {
		defer q.mu.Unlock()
		return q.sess, nil
	}
	now := q.nowLocked()
	q.mu.Unlock()

	sess, gone, err := q.lookup(ctx, now)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.identified {
		q.identified, q.sess, q.gone = true, sess, gone
	}
	return q.sess, nil
}

// lookup is the session that the request's cookie names.
func (q *request) lookup(ctx context.Context, now int64) (sess, gone *session, err error) {
	s := q.site
	key, ok := token.Parse(cookie.Find(q.r.Header["Cookie"], s.names.session))
	if !ok {
		return nil, nil, nil
	}
	if q.quiet {
		sess, err = s.load(ctx, Key(key), now)
	} else {
		sess, err = s.lookup(ctx, Key(key), now)
	}
	if sess == nil || err != nil || s.cfg.Users == nil {
		return sess, nil, err
	}
	exists, err := s.cfg.Users(ctx, sess.user)
	if err != nil {
		return nil, nil, wrap("asking Config.Users", err)
	}
	if !exists {
		return nil, sess, nil
	}
	return sess, nil, nil
}

// current is the session of the request as its handler may use it: none under
// ForceUnconnected, ErrSessionEnded when somebody else ended it meanwhile.
func (q *request) current(ctx context.Context) (*session, error) {
	if q.isForced() {
		return nil, nil
	}
	sess, err := q.identify(ctx)
	if err == nil && sess != nil && sess.ended() {
		return nil, ErrSessionEnded
	}
	return sess, err
}

// lookup is load for a request of the session: it counts as a use.
func (s *Site) lookup(ctx context.Context, key Key, now int64) (*session, error) {
	e, err := s.load(ctx, key, now)
	if e != nil {
		s.touches.session(e, now)
	}
	return e, err
}

// load is the session of key if it is alive: from the table, or from the
// store, as often as the store wants to be asked.
func (s *Site) load(ctx context.Context, key Key, now int64) (*session, error) {
	for {
		e, epoch := s.sessions.get(&key)
		fresh := s.store.Fresh()
		doubt := s.doubt.Load()
		if e == nil || e.trust.Load() != doubt ||
			fresh != Forever && now >= e.asked.Load()+fresh.Milliseconds() {
			st, err := s.store.Session(ctx, key)
			switch {
			case errors.Is(err, ErrNotFound):
				if e != nil {
					s.sessions.remove(&key)
				}
				return nil, nil
			case err != nil:
				return nil, wrap("asking the store for the session", err)
			}
			if e == nil {
				var ok bool
				if e, ok = s.sessions.add(newSession(&st), epoch); !ok {
					continue
				}
			}
			see(&e.seen, st.LastSeen.UnixMilli())
			see(&e.saved, st.LastSeen.UnixMilli())
			e.asked.Store(now)
			e.trust.Store(doubt)
		}
		if !s.alive(e, now) {
			return nil, s.expire(ctx, e)
		}
		if !e.ended() { // else it was removed since get
			return e, nil
		}
	}
}

func newSession(st *StoredSession) *session {
	e := &session{key: st.Key, browser: st.Browser, user: st.User}
	if !st.ExpiresAt.IsZero() {
		e.expires = st.ExpiresAt.UnixMilli()
	}
	e.seen.Store(st.LastSeen.UnixMilli())
	e.saved.Store(st.LastSeen.UnixMilli())
	return e
}

// alive reports whether the session's time has not come.
func (s *Site) alive(e *session, now int64) bool {
	if e.expires != 0 && now >= e.expires {
		return false
	}
	idle := s.timeouts.idle
	if idle == 0 {
		return true
	}
	if s.store.Fresh() != Forever {
		idle += s.timeouts.touch // another server may have seen it that much later
	}
	return now < e.seen.Load()+idle
}

// deadline is when a session or an anonymous one that was seen then ends.
func (t *millis) deadline(seen, expires int64) time.Time {
	end := expires
	if t.idle != 0 && (end == 0 || seen+t.idle < end) {
		end = seen + t.idle
	}
	return fromMillis(end)
}

// fromMillis is the time of Unix milliseconds; 0 is never, the zero time.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// slot is the request's memory of a hierarchy's browser; q.mu is held.
func (q *request) slot(hierarchy string) *requestBrowser {
	for i := range q.browsers {
		if q.browsers[i].hierarchy == hierarchy {
			return &q.browsers[i]
		}
	}
	if q.browsers == nil {
		q.browsers = q.first[:0]
	}
	q.browsers = append(q.browsers, requestBrowser{hierarchy: hierarchy})
	return &q.browsers[len(q.browsers)-1]
}

// browserOf is the browser that the hierarchy's cookie names; nil when there is
// none that the site issued and still knows. For UserIndependent the session,
// too, knows its browser. presented is what the cookie names, known or not.
func (q *request) browserOf(ctx context.Context, hierarchy string) (b *browser, presented Key, err error) {
	sess, err := q.identify(ctx)
	if err != nil {
		return nil, Key{}, err
	}
	q.mu.Lock()
	if m := q.slot(hierarchy); m.asked && (m.b == nil || !m.b.forgotten.Load()) {
		defer q.mu.Unlock()
		return m.b, m.presented, nil
	}
	key, attested := q.slot(hierarchy).presented, q.slot(hierarchy).issued
	now := q.nowLocked()
	q.mu.Unlock()

	ok := attested
	if !ok {
		key, ok = token.Parse(cookie.Find(q.r.Header["Cookie"], q.site.names.of(hierarchy)))
		attested = hierarchy == independentHierarchy && sess != nil && sess.browser == key && !q.site.dropped(sess)
	}
	if ok {
		if b, err = q.site.lookupBrowser(ctx, key, hierarchy, attested, now); err != nil {
			return nil, Key{}, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.slot(hierarchy)
	if !m.asked || m.b != nil && m.b.forgotten.Load() {
		m.asked, m.b, m.presented = true, b, key
	}
	return m.b, m.presented, nil
}

// issued reports whether the hierarchy's cookie goes with this response.
func (q *request) issued(hierarchy string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.slot(hierarchy).issued
}

// dropped reports whether a session has ended and its browser's state was
// dropped, so that it vouches for the browser no more.
func (s *Site) dropped(sess *session) bool {
	return sess.ended() && s.browsers.wasDropped(sess.browser)
}

// lookupBrowser is the browser of key if it holds state, or if a session
// attests that it was issued.
func (s *Site) lookupBrowser(ctx context.Context, key Key, hierarchy string, attested bool, now int64) (*browser, error) {
	for {
		b, epoch := s.browsers.get(key)
		if b == nil {
			b = &browser{key: key, hierarchy: hierarchy}
			b.seen.Store(now)
			if !attested {
				st, err := s.store.Browser(ctx, key)
				switch {
				case errors.Is(err, ErrNotFound):
					return nil, nil
				case err != nil:
					return nil, wrap("asking the store for the browser", err)
				case st.Hierarchy != hierarchy:
					return nil, nil
				case !st.Deadline.IsZero() && now >= st.Deadline.UnixMilli():
					return nil, nil
				}
				b.stored.Store(true)
				b.seen.Store(st.LastSeen.UnixMilli())
				b.saved.Store(st.LastSeen.UnixMilli())
			}
			var ok bool
			if b, ok = s.browsers.add(b, epoch); !ok {
				continue
			}
		}
		if b.hierarchy != hierarchy {
			return nil, nil
		}
		silent, err := s.silent(ctx, b, now)
		if err != nil {
			return nil, err
		}
		if silent {
			if err := s.dropBrowsers(ctx, key); err != nil || !attested {
				return nil, err
			}
			continue // the session goes on, so the browser stays the one that it knows
		}
		s.touches.browser(b, now)
		return b, nil
	}
}

// silent reports whether a browser has sent nothing for as long as its state is
// kept. Another server may have seen it since this one did.
func (s *Site) silent(ctx context.Context, b *browser, now int64) (bool, error) {
	keep := s.browserTimeout(b.hierarchy)
	if now < b.seen.Load()+keep {
		return false, nil
	}
	if !s.shared() {
		return true, nil
	}
	st, err := s.store.Browser(ctx, b.key)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, wrap("asking the store for the browser", err)
	}
	see(&b.seen, st.LastSeen.UnixMilli())
	return now >= b.seen.Load()+keep+s.touchBrowser(b.hierarchy), nil
}

// browserTimeout is how long a browser's state is kept: an anonymous session
// as long as a session.
func (s *Site) browserTimeout(hierarchy string) int64 {
	if hierarchy == anonymousHierarchy && s.timeouts.idle != 0 {
		return s.timeouts.idle
	}
	return s.timeouts.browser
}

// makeBrowser is browserOf for a write: it makes the browser known, with a new
// cookie if need be, and recorded in the store.
func (q *request) makeBrowser(ctx context.Context, hierarchy string) (*browser, error) {
	b, presented, err := q.browserOf(ctx, hierarchy)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if sess, err := q.identify(ctx); err != nil {
			return nil, err
		} else if sess != nil && sess.browser == presented && q.site.dropped(sess) {
			return nil, ErrSessionEnded
		}
		if _, err = q.issueBrowser(hierarchy, presented); err != nil {
			return nil, err
		}
		if b, _, err = q.browserOf(ctx, hierarchy); err != nil {
			return nil, err
		}
	}
	return b, q.site.record(ctx, q, b)
}

// issueBrowser names a browser and sends its cookie. Nothing is stored, here or
// in the store, before the browser holds something.
func (q *request) issueBrowser(hierarchy string, presented Key) (Key, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.slot(hierarchy)
	if m.issued { // another goroutine of the request was first
		return m.presented, nil
	}
	s := q.site
	tok, key := token.New(token.Anywhere())
	keep := int64(0) // Timeouts.Browser begins anew with every request, the cookie's age does not
	if hierarchy == anonymousHierarchy {
		keep = s.timeouts.absolute
	}
	if !q.w.edit(func(h http.Header) { s.setCookie(h, s.names.of(hierarchy), tok, keep) }) {
		return Key{}, ErrHeadersSent
	}
	s.browsers.inherit(presented, key)
	*m = requestBrowser{hierarchy: hierarchy, issued: true, presented: key}
	return key, nil
}

// record makes sure that the store has the browser, before state is stored.
func (s *Site) record(ctx context.Context, q *request, b *browser) error {
	if b.ended.Load() {
		return ErrSessionEnded
	}
	if b.stored.Load() {
		return nil
	}
	sess, err := q.identify(ctx)
	if err != nil {
		return err
	}
	// Of a browser that its session vouches for nobody has asked the store yet.
	attested := b.hierarchy == independentHierarchy && sess != nil && sess.browser == b.key
	there := false
	if attested {
		_, err := s.store.Browser(ctx, b.key)
		if there = err == nil; !there && !errors.Is(err, ErrNotFound) {
			return wrap("asking the store for the browser", err)
		}
	}
	if !there {
		if err := s.createBrowser(ctx, q, b); err != nil {
			return err
		}
	}
	// DisconnectAll ends the session, then drops the browser's state. If that
	// happened before the record was made, nobody else will remove it. Of an
	// end on another server we cannot tell in time whether it was one.
	unsure := false
	if attested && !there && s.shared() {
		if _, err := s.store.Session(ctx, sess.key); errors.Is(err, ErrNotFound) {
			s.sessions.remove(&sess.key)
			unsure = true
		} else if err != nil {
			return wrap("asking the store for the session", err)
		}
	}
	if b.ended.Load() || attested && sess.ended() && (unsure || s.browsers.wasDropped(b.key)) {
		return errors.Join(ErrSessionEnded, s.dropBrowsers(ctx, b.key))
	}
	b.stored.Store(true)
	return nil
}

// createBrowser makes the store's record of a browser.
func (s *Site) createBrowser(ctx context.Context, q *request, b *browser) error {
	now := q.now()
	evicted, err := s.store.CreateBrowser(ctx, StoredBrowser{
		Key: b.key, Hierarchy: b.hierarchy, Subnet: subnet(q.remoteAddr()),
		LastSeen: fromMillis(now), Deadline: fromMillis(s.browserDeadline(b.hierarchy, now)),
	}, s.limits.AnonymousPerSubnet)
	if err != nil {
		return wrap("storing the browser", err)
	}
	for _, key := range evicted {
		s.browsers.remove(key, s.tabs.seq.Load(), now)
	}
	b.saved.Store(now)
	return nil
}

func (s *Site) browserDeadline(hierarchy string, seen int64) int64 {
	if hierarchy == anonymousHierarchy {
		if s.timeouts.idle != 0 {
			return seen + s.timeouts.idle
		}
	}
	return seen + s.timeouts.browser
}

// dropBrowsers removes the state of browsers and of their tabs: here first, so
// that requests under way notice, then in the store.
func (s *Site) dropBrowsers(ctx context.Context, keys ...Key) error {
	if len(keys) == 0 {
		return nil
	}
	now := nowMillis()
	m := siteMessage{Kind: messageDropped}
	for _, key := range keys {
		s.browsers.remove(key, s.tabs.seq.Load(), now)
		m.Keys = append(m.Keys, key[:])
	}
	if err := s.store.EndBrowsers(ctx, keys...); err != nil {
		return wrap("removing the browser's state", err)
	}
	return s.publish(ctx, m)
}

// setCookie adds a cookie that holds a token; keep is in milliseconds: 0 stands
// for as long as browsers keep cookies, less than 0 for until the browser exits.
func (s *Site) setCookie(h http.Header, name, tok string, keep int64) {
	const most = 400 * 24 * 60 * 60 // browsers keep no cookie longer
	c := s.newCookie(name, tok)
	switch {
	case keep == 0:
		c.MaxAge = most
	case keep > 0:
		c.MaxAge = int(max(1, min(most, (keep+999)/1000)))
	}
	cookie.Set(h, c)
}

// deleteCookie makes the browser forget a cookie.
func (s *Site) deleteCookie(h http.Header, name string) {
	c := s.newCookie(name, "")
	c.MaxAge = -1
	cookie.Set(h, c)
}

func (s *Site) newCookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/",
		HttpOnly: true, Secure: !s.cfg.Cookie.Insecure, SameSite: s.cfg.Cookie.SameSite,
	}
}

// remoteAddr is the client's address: the connection's, or what the trusted
// proxies in front of us say. The zero Addr if it cannot be told.
func (q *request) remoteAddr() netip.Addr {
	port, err := netip.ParseAddrPort(q.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap()
	if !q.trusted(addr) {
		return addr.WithZone("")
	}
	hops := strings.Split(strings.Join(q.r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
		if !q.trusted(addr) {
			break
		}
	}
	return addr.WithZone("")
}

func (q *request) trusted(addr netip.Addr) bool {
	for _, p := range q.site.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// subnet is what one holder of addresses has: a /24 or a /56.
func subnet(addr netip.Addr) netip.Prefix {
	bits := 24
	if addr.Is6() {
		bits = 56
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// scheme is the client's: the connection's, or what a trusted proxy says.
func (q *request) scheme() string {
	if port, err := netip.ParseAddrPort(q.r.RemoteAddr); err == nil && q.trusted(port.Addr().Unmap()) {
		if proto := q.r.Header.Get("X-Forwarded-Proto"); proto != "" {
			return proto
		}
	}
	if q.r.TLS != nil {
		return "https"
	}
	return "http"
}

// tabHeader is the id that the client says its tab has; "" if it is none.
func (q *request) tabHeader() string {
	if lines := q.r.Header[protocol.TabHeader]; len(lines) == 1 && validTabID(lines[0]) {
		return lines[0]
	}
	return ""
}
