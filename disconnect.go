package sojourn

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/protocol"
)

// Disconnect closes the session of this browser: it runs the pre-close
// actions, ends the session with the state of the session, its tabs and this
// request, and runs the post-close actions. User-independent state stays. With
// nobody connected the anonymous state goes and the actions run all the same.
// The other tabs of the browser are told.
//
// When it returned nil no later request, on any server, is of this session. It
// works after the response has started, too, and goes on when the client has
// gone away: a context that is done does not stop it, though an action may
// fail because of it. It returns ErrNoRequest, the error of the store (then the
// session may be open still), of a pre-close action (nothing was changed) or of
// a post-close action (the session has ended). When a post-close action panics,
// the tabs are told and OnSessionEnd runs all the same. It carries over
// disconnect.
func (s *Site) Disconnect(ctx context.Context) error {
	q, err := s.request(ctx)
	if err != nil {
		return err
	}
	some, err := q.someSession(ctx)
	if err != nil {
		return err
	}
	if some { // else nobody is going to be told
		done, err := s.expect(ctx, q)
		if err != nil {
			return err
		}
		defer done()
	}
	_, err = q.close(ctx, EndDisconnect)
	return err
}

// someSession reports whether there is a session that close would end.
func (q *request) someSession(ctx context.Context) (bool, error) {
	sess, err := q.identify(context.WithoutCancel(ctx))
	q.mu.Lock()
	defer q.mu.Unlock()
	return sess != nil || q.gone != nil, err
}

// close is Disconnect. It answers what it ended, also with the error of a
// post-close action. When the session is replaced, Connect tells the tabs.
func (q *request) close(ctx context.Context, reason EndReason) (ended []StoredSession, err error) {
	if _, err := q.identify(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	if err := runPlain(&q.site.actions.preClose, ctx); err != nil {
		return nil, err
	}
	if ended, err = q.end(ctx, reason); err != nil {
		return nil, err
	}
	defer func() { // also when an action panics
		if reason == EndReplaced {
			q.site.ended(ctx, ended, reason)
		} else {
			q.site.announce(ctx, ended, reason)
		}
	}()
	return ended, runPlain(&q.site.actions.postClose, ctx)
}

// end ends the request's session, or the anonymous state of its browser, and
// makes the request nobody's.
func (q *request) end(ctx context.Context, reason EndReason) (ended []StoredSession, err error) {
	q.mu.Lock()
	sess := q.sess.Load()
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
	if err != nil {
		return nil, err
	}
	replaced := q.site.browsers.wasDropped(presented)
	if anonymous != nil {
		err = q.site.dropBrowsers(ctx, anonymous.key)
	}
	q.becomeNobody(!replaced)
	return nil, err
}

// becomeNobody makes the request nobody's: its session has ended.
func (q *request) becomeNobody(deleteCookie bool) {
	q.vals.reset()
	q.mu.Lock()
	q.belongs(nil)
	q.gone = nil
	q.loose = nil
	*q.slot(anonymousHierarchy) = requestBrowser{hierarchy: anonymousHierarchy, asked: true}
	q.mu.Unlock()
	if deleteCookie {
		q.deleteCookie(q.site.names.session)
	}
}

// endSession ends one session, in the store first, then here. An end goes on
// when the client that asked for it has gone away.
func (s *Site) endSession(ctx context.Context, key Key, user UserID, reason EndReason) ([]StoredSession, error) {
	defer s.endings.begin(user)()
	mark := s.users.mark(user)
	ended, left, err := s.store.EndSession(context.WithoutCancel(ctx), key, reason)
	if err != nil {
		s.doubt.Add(1)
		return nil, wrap("ending the session", err)
	}
	if e := s.sessions.remove(&key); e != nil && reason == EndReplaced {
		e.state.Or(stateReplaced)
	}
	if len(ended) > 0 && left == 0 {
		s.users.drop(user, mark, stateEnded)
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
// With nobody connected and no OfUser it does nothing and returns nil. When
// somebody else ended the session since the request began it ends nothing and
// returns ErrSessionEnded, but not with OfUser. Other errors are those of
// Disconnect; like it, it goes on when the client has gone away, and through a
// panic of a post-close action. It carries over disconnect_all.
func (s *Site) DisconnectAll(ctx context.Context, opts ...DisconnectAllOption) (err error) {
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
		if own, err = q.identify(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	if !o.hasUser {
		if own == nil || q.isForced() {
			return nil
		}
		user = own.user
		if err := s.stillOpen(ctx, own); err != nil {
			return err
		}
		if err := runPlain(&s.actions.preClose, ctx); err != nil {
			return err
		}
		if err := s.stillOpen(ctx, own); err != nil { // the actions may have taken their time
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
	defer func() { // also when an action panics
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
		if ownEnded && !o.withoutRestart {
			q.w.edit(func(h http.Header) { h.Set(protocol.RestartHeader, "1") })
		}
	}()
	if !o.hasUser {
		return runPlain(&s.actions.postClose, ctx)
	}
	return nil
}

// stillOpen returns ErrSessionEnded when a request's session has ended: then
// the request does not speak for its user any more, who may have others now.
func (s *Site) stillOpen(ctx context.Context, own *session) error {
	if own.ended() {
		return ErrSessionEnded
	}
	return s.confirm(context.WithoutCancel(ctx), &place{sess: own})
}

// endUser ends all sessions of a user.
func (s *Site) endUser(ctx context.Context, user UserID) ([]StoredSession, error) {
	defer s.endings.begin(user)()
	mark := s.users.mark(user)
	ended, err := s.store.EndUser(context.WithoutCancel(ctx), user, EndDisconnectAll)
	if err != nil {
		s.doubt.Add(1)
		return nil, wrap("ending the user's sessions", err)
	}
	for i := range ended {
		s.sessions.remove(&ended[i].Key)
	}
	if s.endings.of(user) > 1 && s.store.Fresh() > 0 { // what another one has ended in the store may still be here
		s.doubt.Add(1)
	}
	s.users.drop(user, mark, stateEnded)
	return ended, nil
}

// endings counts what is ending a user's sessions in the store, or has and not
// yet here. What ends sessions of any user is counted as Nobody's.
type endings struct {
	mu sync.Mutex
	m  map[UserID]int
}

func (e *endings) begin(user UserID) (done func()) {
	e.add(user, 1)
	return func() { e.add(user, -1) }
}

func (e *endings) add(user UserID, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.m == nil {
		e.m = make(map[UserID]int)
	}
	if e.m[user] += n; e.m[user] == 0 {
		delete(e.m, user)
	}
}

// of is how many may be ending sessions of a user.
func (e *endings) of(user UserID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.m[user] + e.m[Nobody]
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
