package sojourn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/internal/token"
	"github.com/sojourn-go/sojourn/protocol"
)

// A ConnectOption changes what Connect does.
type ConnectOption func(*connectOptions)

type connectOptions struct{ atBrowserExit bool }

// ExpireAtBrowserExit makes the session's cookie go when the browser exits.
// It carries over ~expire:true.
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
// action at closing fires. It carries over ~userid.
func OfUser(user UserID) DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.user, o.hasUser = user, true }
}

// KeepUserIndependent leaves the user-independent state of the browsers
// concerned. It carries over ~user_indep:false.
func KeepUserIndependent() DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.keepIndependent = true }
}

// WithoutRestart does not restart this client. It carries over
// ~with_restart:false.
func WithoutRestart() DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.withoutRestart = true }
}

// Connect makes user the user of this browser: it closes the session that is
// open, if any, as Disconnect does, and opens a new one under a new id. The
// cookie goes with the response, so Connect comes before the response starts.
// If the user has Limits.SessionsPerUser sessions already, the least recently
// used one ends.
//
// When Connect returned nil the session is stored: it survives a crash. It
// returns ErrHeadersSent, ErrNoSuchUser or ErrNoRequest when nothing was
// changed; the error of an action, and then nobody is connected unless a
// pre-close action failed: then nothing was changed.
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
		err = q.open(ctx, user, o)
	}
	if err == nil {
		if err = q.openActions(ctx, user); err != nil {
			err = errors.Join(err, q.abandon(ctx))
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
	q.mu.Lock()
	if sess := q.sess; connected && sess != nil {
		n.reason = protocol.ReasonConnected
		n.keys = append(n.keys, sess.browser)
		if n.except.browser != (Key{}) && n.except.browser != sess.browser { // a cookie that had to be replaced
			n.keys = append(n.keys, n.except.browser)
		}
		n.session, n.user = sess.key, sess.user
	}
	q.mu.Unlock()
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
	if q.w.started {
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

// open makes the session, in the store first.
func (q *request) open(ctx context.Context, user UserID, o connectOptions) error {
	s := q.site
	b, presented, err := q.browserOf(ctx, independentHierarchy)
	if err != nil {
		return err
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
			return err
		}
	} else if !q.issued(independentHierarchy) { // the cookie may stay as long again
		name := s.names.browser
		s.setCookie(q.w.Header(), name, cookie.Find(q.r.Header["Cookie"], name), 0)
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
	if err := s.saveUses(ctx, user); err != nil {
		return err
	}
	_, epoch := s.sessions.get((*Key)(&key))
	evicted, err := s.store.CreateSession(ctx, st, s.limits.SessionsPerUser)
	if err != nil {
		s.doubt.Add(1) // it may have evicted others all the same
		return wrap("storing the session", err)
	}
	s.users.connected(user)
	for i := range evicted {
		s.sessions.remove(&evicted[i].Key)
	}
	defer s.announce(ctx, evicted, EndEvicted)
	e := newSession(&st)
	e.asked.Store(now)
	e.trust.Store(s.doubt.Load())
	if _, ok := s.sessions.add(e, epoch); !ok { // something ended meanwhile: was it this one?
		if e, err = s.lookup(ctx, key, now); err != nil {
			return err
		}
		if e == nil {
			return ErrSessionEnded
		}
	}
	q.mu.Lock()
	q.identified, q.sess, q.gone = true, e, nil
	q.mu.Unlock()
	keep := s.timeouts.absolute
	if o.atBrowserExit {
		keep = -1
	}
	s.setCookie(q.w.Header(), s.names.session, tok, keep)
	return nil
}

// openActions runs what runs when a session has opened.
func (q *request) openActions(ctx context.Context, user UserID) error {
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
	if err := q.site.actions.startTab(ctx, user); err != nil {
		return err
	}
	q.tabStarted(tab.id)
	q.mu.Lock()
	sess, guarded := q.sess, q.fired.request.yes
	q.mu.Unlock()
	if sess == nil {
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

// Disconnect closes the session of this browser: it runs the pre-close
// actions, ends the session with the state of the session, its tabs and this
// request, and runs the post-close actions. User-independent state stays. With
// nobody connected the anonymous state goes and the actions run all the same.
// The other tabs of the browser are told.
//
// When it returned nil no later request, on any server, is of this session. It
// works after the response has started, too. It returns ErrNoRequest, the
// error of the store (then the session may be open still), of a pre-close
// action (nothing was changed) or of a post-close action (the session has
// ended). It carries over disconnect.
func (s *Site) Disconnect(ctx context.Context) error {
	q, err := s.request(ctx)
	if err != nil {
		return err
	}
	done, err := s.expect(ctx, q)
	if err != nil {
		return err
	}
	defer done()
	_, err = q.close(ctx, EndDisconnect)
	return err
}

// close is Disconnect. It answers what it ended, also with the error of a
// post-close action. When the session is replaced, Connect tells the tabs.
func (q *request) close(ctx context.Context, reason EndReason) (ended []StoredSession, err error) {
	if _, err := q.identify(ctx); err != nil {
		return nil, err
	}
	if err := runPlain(&q.site.actions.preClose, ctx); err != nil {
		return nil, err
	}
	if ended, err = q.end(ctx, reason); err != nil {
		return nil, err
	}
	err = runPlain(&q.site.actions.postClose, ctx)
	if reason == EndReplaced {
		q.site.ended(ctx, ended, reason)
	} else {
		q.site.announce(ctx, ended, reason)
	}
	return ended, err
}

// end ends the request's session, or the anonymous state of its browser, and
// makes the request nobody's.
func (q *request) end(ctx context.Context, reason EndReason) (ended []StoredSession, err error) {
	q.mu.Lock()
	sess := q.sess
	if sess == nil {
		sess = q.gone
	}
	q.mu.Unlock()
	if sess != nil {
		if ended, err = q.site.endSession(ctx, sess.key, sess.user, reason); err != nil {
			return nil, err
		}
		// The cookie named the session, so there is no anonymous state. If
		// somebody connected in the browser meanwhile, it has another one now.
		replaced := len(ended) == 0 && sess.state.Load()&stateReplaced != 0
		q.becomeNobody(!replaced)
		return ended, nil
	}
	anonymous, presented, err := q.browserOf(ctx, anonymousHierarchy)
	replaced := q.site.browsers.wasDropped(presented)
	if err == nil && anonymous != nil {
		err = q.site.dropBrowsers(ctx, anonymous.key)
	}
	q.becomeNobody(!replaced)
	return nil, err
}

// becomeNobody makes the request nobody's: its session has ended.
func (q *request) becomeNobody(deleteCookie bool) {
	s := q.site
	q.vals.clear()
	q.mu.Lock()
	q.identified, q.sess, q.gone = true, nil, nil
	q.loose = nil
	*q.slot(anonymousHierarchy) = requestBrowser{hierarchy: anonymousHierarchy, asked: true}
	q.mu.Unlock()
	name := s.names.session
	if deleteCookie && !q.w.started && (cookie.Has(q.r.Header["Cookie"], name) || cookie.Has(q.w.Header()["Set-Cookie"], name)) {
		s.deleteCookie(q.w.Header(), name)
	}
}

// endSession ends one session, in the store first, then here.
func (s *Site) endSession(ctx context.Context, key Key, user UserID, reason EndReason) ([]StoredSession, error) {
	mark := s.users.mark(user)
	ended, left, err := s.store.EndSession(ctx, key, reason)
	if err != nil {
		s.doubt.Add(1)
		return nil, wrap("ending the session", err)
	}
	if e := s.sessions.remove(&key); e != nil && reason == EndReplaced {
		e.state.Or(stateReplaced)
	}
	if len(ended) > 0 && left == 0 {
		s.users.drop(user, mark)
	}
	return ended, nil
}

// DisconnectAll closes all sessions of the current user, on every browser, or
// with OfUser those of another one. It runs the pre-close actions once, ends
// the sessions, runs the post-close actions once, tells every tab concerned,
// removes the user-independent state of the browsers and their tabs unless
// KeepUserIndependent, and restarts this client unless WithoutRestart. With
// OfUser no action runs, and this client restarts only if its own session
// ended. The user's own persistent state stays: it is the user's data.
//
// Outside a request it works with OfUser, and returns ErrNoRequest without.
// With nobody connected and no OfUser it does nothing and returns nil. Errors
// are those of Disconnect. It carries over disconnect_all.
func (s *Site) DisconnectAll(ctx context.Context, opts ...DisconnectAllOption) error {
	var o disconnectAllOptions
	for _, opt := range opts {
		opt(&o)
	}
	q, err := s.request(ctx)
	if err != nil && !o.hasUser {
		return err
	}
	user := o.user
	var own *session
	if q != nil {
		if own, err = q.identify(ctx); err != nil {
			return err
		}
	}
	if !o.hasUser {
		if own == nil || q.isForced() {
			return nil
		}
		user = own.user
		if err := runPlain(&s.actions.preClose, ctx); err != nil {
			return err
		}
	}
	if user == Nobody {
		return nil
	}
	done, err := s.expect(ctx, q)
	if err != nil {
		return err
	}
	defer done()
	ended, err := s.endUser(ctx, user)
	if err != nil {
		return err
	}
	ownEnded := own != nil && (!o.hasUser || slices.ContainsFunc(ended, func(e StoredSession) bool { return e.Key == own.key }))
	if ownEnded {
		q.becomeNobody(own.state.Load()&stateReplaced == 0)
	}
	if !o.hasUser {
		err = runPlain(&s.actions.postClose, ctx)
	}
	s.announce(ctx, ended, EndDisconnectAll)
	if !o.keepIndependent {
		keys := make([]Key, 0, len(ended))
		for i := range ended {
			keys = append(keys, ended[i].Browser)
		}
		err = errors.Join(err, s.dropBrowsers(ctx, keys...))
		if ownEnded {
			q.forgetBrowser(own.browser)
		}
	}
	if ownEnded && !o.withoutRestart && !q.w.started {
		q.w.Header().Set(protocol.RestartHeader, "1")
	}
	return err
}

// endUser ends all sessions of a user.
func (s *Site) endUser(ctx context.Context, user UserID) ([]StoredSession, error) {
	mark := s.users.mark(user)
	ended, err := s.store.EndUser(ctx, user, EndDisconnectAll)
	if err != nil {
		s.doubt.Add(1)
		return nil, wrap("ending the user's sessions", err)
	}
	for i := range ended {
		s.sessions.remove(&ended[i].Key)
	}
	s.users.drop(user, mark)
	return ended, nil
}

// forgetBrowser makes the request's browser a new one: its state was dropped.
func (q *request) forgetBrowser(dropped Key) {
	q.mu.Lock()
	*q.slot(independentHierarchy) = requestBrowser{hierarchy: independentHierarchy, asked: true, presented: dropped}
	q.mu.Unlock()
	q.forgetTab()
}

// announce tells that sessions have ended: the open tabs, and the actions of
// OnSessionEnd. What another server has open hears of it through the store.
func (s *Site) announce(ctx context.Context, ended []StoredSession, reason EndReason) {
	if len(ended) == 0 {
		return
	}
	n := liveNotice{keys: ownKeys(ended), reason: string(reason)}
	if q, err := s.request(ctx); err == nil {
		n.except = q.except()
	}
	s.hub.tell(n) // first: an action may take its time
	s.ended(ctx, ended, reason)
}

// ended runs the actions of OnSessionEnd.
func (s *Site) ended(ctx context.Context, ended []StoredSession, reason EndReason) {
	for i := range ended {
		for _, f := range s.actions.end.all() {
			f(ctx, info(&ended[i]), reason)
		}
	}
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
