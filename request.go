package sojourn

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
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

	// Everything asks for these, so they are read without mu.
	forced     atomic.Int32            // how many guards with ForceUnconnected we are in
	identified atomic.Bool             // sess is known
	sess       atomic.Pointer[session] // the session, if a user is connected
	fired      atomic.Uint32           // which request-level actions have

	mu       sync.Mutex // guards what follows; never held during I/O or callbacks
	quiet    bool       // it is no use of the session; set before anybody asks
	time     int64      // when somebody first asked, in Unix milliseconds
	gone     *session   // a session whose user is no more, not closed yet
	browsers []requestBrowser
	first    [1]requestBrowser // room for the first of browsers
	vals     values            // of RequestScope
	loose    map[Scope]*values // of scopes that have nothing to hold on to in this request
	tab      requestTab
	scratch  tabScratch
	runs     map[uint32]*actionRun // of request-level actions, by the bit of fired
	tabLine  [1]string             // the response's header
}

// requestTab is the tab of a request.
type requestTab struct {
	asked    bool
	started  bool // its start actions have run: before, or in this request
	announce bool // the response has to carry the id
	id       string
	t        *tab // nil as long as the browser is not known
}

func (q *request) isForced() bool { return q.forced.Load() > 0 }

// belongs makes the request one of sess, or nobody's; q.mu is held.
func (q *request) belongs(sess *session) {
	q.sess.Store(sess)
	q.identified.Store(true)
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
	if q.identified.Load() {
		return q.sess.Load(), nil
	}
	sess, gone, err := q.lookup(ctx, q.now())
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.identified.Load() {
		q.belongs(sess)
		q.gone = gone
	}
	return q.sess.Load(), nil
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
		doubt := s.doubt.Load()
		at, old := int64(0), false
		if s.shared {
			at = s.clock()
			old = e != nil && at >= e.asked.Load()+s.store.Fresh().Milliseconds()
		}
		if e == nil || old || e.trust.Load() != doubt {
			st, err := s.store.Session(ctx, key)
			switch {
			case errors.Is(err, ErrNotFound):
				if e != nil {
					s.hasEnded(e)
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
			e.confirm(&st, at, doubt)
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

// confirm notes what the store answered when it was asked for the session.
func (e *session) confirm(st *StoredSession, at int64, doubt uint32) {
	see(&e.seen, st.LastSeen.UnixMilli())
	see(&e.saved, st.LastSeen.UnixMilli())
	e.asked.Store(at)
	e.trust.Store(doubt)
}

// hasEnded removes a session that the store does not have any more: nobody has
// said so, nor whether it was the user's last.
func (s *Site) hasEnded(e *session) {
	s.sessions.remove(&e.key)
	s.users.suspect(e.user)
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
	if s.shared {
		idle += s.timeouts.touch // another server may have seen it that much later
	}
	return now < e.seen.Load()+idle
}

// deadline is when a session that was seen then ends, unless it is seen again.
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

// dropped reports whether a session has ended and its browser's state was
// dropped, so that it vouches for the browser no more.
func (s *Site) dropped(sess *session) bool {
	return sess.ended() && s.browsers.wasDropped(sess.browser)
}

// tabHeader is the id that the client says its tab has; "" if it is none.
func (q *request) tabHeader() string {
	if lines := q.r.Header[protocol.TabHeader]; len(lines) == 1 && validTabID(lines[0]) {
		return lines[0]
	}
	return ""
}
