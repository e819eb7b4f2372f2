package sojourn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/internal/token"
	"github.com/sojourn-go/sojourn/protocol"
)

// A ConnectOption changes what Connect does.
type ConnectOption func(*connectOptions)

type connectOptions struct{ atBrowserExit bool }

// ExpireAtBrowserExit makes the session's cookie go when the browser exits: it
// has neither Max-Age nor Expires. Without it the cookie lasts until the
// session's absolute end, at most 400 days. It carries over ~expire:true.
func ExpireAtBrowserExit() ConnectOption { return func(o *connectOptions) { o.atBrowserExit = true } }

// A DisconnectAllOption changes what DisconnectAll does.
type DisconnectAllOption func(*disconnectAllOptions)

type disconnectAllOptions struct {
	user            UserID
	hasUser         bool
	keepIndependent bool
	withoutRestart  bool
}

// OfUser ends the sessions of this user instead of the current user's; no
// action at closing fires. Of Nobody there are none: nothing happens. It
// carries over ~userid.
func OfUser(user UserID) DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.user, o.hasUser = user, true }
}

// KeepUserIndependent leaves the user-independent state of the browsers
// concerned. It carries over ~user_indep:false.
func KeepUserIndependent() DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.keepIndependent = true }
}

// WithoutRestart does not restart this client: the response has no header
// Sojourn-Restart. It carries over ~with_restart:false.
func WithoutRestart() DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.withoutRestart = true }
}

// Connect makes user the user of this browser: it closes the session that is
// open, if any, as Disconnect does, and opens a new one under a new id. The
// cookie goes with the response, so Connect comes before the response starts.
// If the user has Limits.SessionsPerUser sessions already, the least recently
// used one ends.
//
// When Connect returned nil the session is stored: with a durable store it
// survives a crash. Nothing was changed when it returns ErrNoRequest,
// ErrHeadersSent, ErrNoSuchUser (also for Nobody), the error of Config.Users or
// of a pre-close action, or the store's before it ended the old session. With
// any other error, of the store, of a later action, or ErrSessionEnded when an
// action ended the new session, nobody is connected. A handler that fails
// after Connect has connected all the same.
//
// It carries over connect.
func (s *Site) Connect(ctx context.Context, user UserID, opts ...ConnectOption) error {
	q, err := s.request(ctx)
	if err != nil {
		return err
	}
	var o connectOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := s.mayConnect(ctx, q, user); err != nil {
		return err
	}
	done, err := s.expect(ctx, q)
	if err != nil {
		return err
	}
	defer done()
	if _, _, err := q.browserOf(ctx, independentHierarchy); err != nil { // while its session vouches for it
		return err
	}
	ended, err := q.close(ctx, EndReplaced)
	if err == nil {
		var sess *session
		opened := func() {}
		defer func() { opened() }() // also when an action panics
		if sess, err = q.open(ctx, user, o, &opened); err == nil {
			if err = q.openActions(ctx, sess, user); err != nil {
				err = errors.Join(err, q.abandon(ctx))
			}
		}
	}
	s.tellConnected(ctx, q, ended, err == nil)
	return err
}

// tellConnected tells the other tabs of the browser that somebody connected,
// or, if that failed, that the session that was open has ended. That other
// servers cannot be told undoes neither: they will find out by themselves.
func (s *Site) tellConnected(ctx context.Context, q *request, ended []StoredSession, connected bool) {
	n := liveNotice{keys: ownKeys(ended), reason: string(EndDisconnect), except: q.except()}
	if sess := q.sess.Load(); connected && sess != nil {
		n.reason = protocol.ReasonConnected
		n.keys = append(n.keys, sess.browser)
		if n.except.browser != (Key{}) && n.except.browser != sess.browser { // a cookie that had to be replaced
			n.keys = append(n.keys, n.except.browser)
		}
		n.session, n.user = sess.key, sess.user
	}
	if len(n.keys) == 0 {
		return
	}
	if err := s.tell(ctx, n); err != nil {
		s.log.WarnContext(ctx, "sojourn: telling the tabs on other servers", "error", err)
	}
}

// ownKeys are the keys under which the tabs of sessions can be told.
func ownKeys(sessions []StoredSession) (keys []Key) {
	for i := range sessions {
		keys = append(keys, sessions[i].Key, sessions[i].Browser)
	}
	return keys
}

func (s *Site) mayConnect(ctx context.Context, q *request, user UserID) error {
	if user == Nobody {
		return fmt.Errorf("%w: the id is empty", ErrNoSuchUser)
	}
	if q.w.started() {
		return ErrHeadersSent
	}
	if s.cfg.Users == nil {
		return nil
	}
	exists, err := s.cfg.Users(ctx, user)
	if err != nil {
		return wrap("asking Config.Users", err)
	}
	if !exists {
		return ErrNoSuchUser
	}
	return nil
}

// open makes the session, in the store first. Guards beside wait until opened
// is called: none of them is to open it, too.
func (q *request) open(ctx context.Context, user UserID, o connectOptions, opened *func()) (*session, error) {
	s := q.site
	b, presented, err := q.browserOf(ctx, independentHierarchy)
	if err != nil {
		return nil, err
	}
	if b != nil && b.ended.Load() { // somebody dropped its state since the request began
		q.forgetBrowser(presented)
		b = nil
	}
	browser := presented
	if b == nil {
		q.mu.Lock()
		tab, at := q.tab, q.nowLocked()
		q.mu.Unlock()
		if tab.started && !s.startedHere(new(tabScratch), tab.id, nil, presented, at) {
			q.forgetTab() // it was one of a browser that is no more
		}
		if browser, err = q.issueBrowser(independentHierarchy, presented); err != nil {
			return nil, err
		}
	} else if !q.issued(independentHierarchy) { // the cookie may stay as long again
		name := s.names.browser
		tok := cookie.Find(q.r.Header["Cookie"], name)
		s.setCookie(&q.w, name, tok, 0)
	}
	now := time.Now().UnixMilli() // the actions at closing may have taken their time
	expires := int64(0)
	if s.timeouts.absolute != 0 {
		expires = now + s.timeouts.absolute
	}
	tok, key := token.New(ShardOf(user))
	st := StoredSession{
		Key: key, ID: SessionID(token.NewID()), User: user, Browser: browser,
		OpenedAt: fromMillis(now), LastSeen: fromMillis(now),
		ExpiresAt: fromMillis(expires), Deadline: s.timeouts.deadline(now, expires),
		UserAgent: clip(q.r.UserAgent(), 512), RemoteAddr: q.remoteAddr(),
	}
	if err := s.expectSession(ctx, user); err != nil {
		return nil, err
	}
	_, epoch := s.sessions.get((*Key)(&key))
	at, doubt := s.clock(), s.doubt.Load()
	evicted, err := s.createSession(ctx, st)
	if err != nil {
		return nil, err
	}
	e := newSession(&st)
	defer func() { s.announce(within(ctx, e), evicted, EndEvicted) }()
	e.asked.Store(at)
	e.trust.Store(doubt)
	if _, ok := s.sessions.add(e, epoch); !ok { // something ended meanwhile: was it this one?
		if e, err = s.lookup(ctx, key, now); err != nil {
			return nil, err
		}
		if e == nil {
			return nil, ErrSessionEnded
		}
	}
	_, *opened = s.opening.begin(e) // nobody else knows it
	q.mu.Lock()
	q.belongs(e)
	q.gone = nil
	q.mu.Unlock()
	keep := s.timeouts.absolute
	if o.atBrowserExit {
		keep = -1
	}
	if !s.setCookie(&q.w, s.names.session, tok, keep) {
		return nil, errors.Join(ErrHeadersSent, q.abandon(ctx)) // it has started since Connect began
	}
	return e, nil
}

// createSession makes a session in the store; what that evicts is over here, too.
func (s *Site) createSession(ctx context.Context, st StoredSession) (evicted []StoredSession, err error) {
	defer s.endings.begin(st.User)()
	if evicted, err = s.store.CreateSession(ctx, st, s.limits.SessionsPerUser); err != nil {
		s.doubt.Add(1) // it may have evicted others all the same
		return nil, wrap("storing the session", err)
	}
	for i := range evicted {
		s.sessions.remove(&evicted[i].Key)
	}
	return evicted, nil
}

// openActions runs what runs when a session has opened.
func (q *request) openActions(ctx context.Context, sess *session, user UserID) error {
	ctx = within(ctx, sess)
	if err := runUser(&q.site.actions.open, ctx, user); err != nil {
		return err
	}
	tab, err := q.currentTab(ctx)
	if err == nil && tab.id == "" {
		tab, err = q.newTab(ctx)
	}
	if err != nil {
		return err
	}
	if err := q.site.actions.startTab(within(ctx, startOf{q}), user); err != nil {
		return err
	}
	q.tabStarted(tab.id)
	guarded := q.fired.Load()&(firedRequest|firedForcedRequest) != 0
	if q.sess.Load() == nil {
		return ErrSessionEnded // an action ended it
	}
	sess.state.Or(stateOpened)
	if guarded { // whose response carries the id; it may be another one since its state was dropped
		q.announceTab()
	}
	return nil
}

// abandon ends a session whose opening failed, perhaps because the context is
// done. If the store fails, too, its token is at least not sent.
func (q *request) abandon(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	ended, err := q.end(ctx, EndDisconnect)
	if err != nil {
		q.becomeNobody(true)
	}
	q.site.announce(ctx, ended, EndDisconnect)
	return err
}

// clip is the beginning of what a client sent, as valid UTF-8.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}

// wrap adds what was being done to an error; nil stays nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sojourn: %s: %w", doing, err)
}

// CurrentUser is the user of this request, or Nobody. It works without a guard
// too. It returns ErrSessionEnded when somebody else ended the session since
// the request began, and the store's error when it cannot be asked: never
// Nobody for want of an answer. It carries over Os_current_user.
func (s *Site) CurrentUser(ctx context.Context) (UserID, error) {
	q, err := s.request(ctx)
	if err != nil {
		return Nobody, err
	}
	sess, err := q.current(ctx)
	if err != nil || sess == nil {
		return Nobody, err
	}
	return sess.user, nil
}
