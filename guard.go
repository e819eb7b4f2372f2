package sojourn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
)

// HandlerFunc is an http handler that knows the user and can fail. An error it
// returns is answered by Config.ErrorHandler; ErrPermissionDenied makes the
// request a denied one. After the response has started there is no answer any
// more: without a Config.ErrorHandler the error is logged only.
type HandlerFunc func(w http.ResponseWriter, r *http.Request, user UserID) error

// A GuardOption says who may come in, or what happens to those who may not.
type GuardOption func(*guard)

// guard is what stands before a handler or function.
type guard struct {
	site        *Site
	mustConnect bool // Connected, ConnectedRPC
	hasAllow    bool
	allow, deny []Group
	denyHandler HandlerFunc
	denyFunc    any // func(context.Context, UserID) (Out, error)
	force       bool
}

// Allow lets in only users in one of these groups; Allow() admits nobody. With
// nobody connected the request is denied, and its error is both
// ErrPermissionDenied and ErrNotConnected. It carries over ~allow.
func Allow(groups ...Group) GuardOption {
	return func(g *guard) { g.hasAllow, g.allow = true, append(g.allow, groups...) }
}

// Deny keeps users in any of these groups out; it wins over Allow, and does
// not concern requests in which nobody is connected. It carries over ~deny.
func Deny(groups ...Group) GuardOption {
	return func(g *guard) { g.deny = append(g.deny, groups...) }
}

// DenyHandler answers denied requests of an http.Handler, instead of
// ErrPermissionDenied; user may be Nobody. The guard of a function panics when
// it is built with one. It carries over ~deny_fun.
func DenyHandler(h HandlerFunc) GuardOption { return func(g *guard) { g.denyHandler = h } }

// DenyFunc answers denied calls of a function, instead of ErrPermissionDenied;
// user may be Nobody. Out is that of the function; with another one, or on an
// http.Handler, the guard panics when it is built. It carries over ~deny_fun.
func DenyFunc[Out any](f func(context.Context, UserID) (Out, error)) GuardOption {
	return func(g *guard) { g.denyFunc = f }
}

// ForceUnconnected makes the whole request nobody's: no session is looked up,
// no tab started, no cookie set. It carries over ~force_unconnected.
func ForceUnconnected() GuardOption { return func(g *guard) { g.force = true } }

// Connected guards h: it runs for connected users only; for nobody the error
// is ErrNotConnected. Errors go to Config.ErrorHandler: also
// ErrPermissionDenied, that of an action, of Config.Users or Config.Groups, the
// store's, ErrSessionEnded, and ErrNoRequest without Middleware. It carries
// over connected_fun.
//
// Guards of one HTTP request share its actions: the first runs them, others
// wait until they have ended, but for those inside an action. When an action
// failed or panicked no guard of the request lets anybody in.
func (s *Site) Connected(h HandlerFunc, opts ...GuardOption) http.Handler {
	return s.handler(h, true, opts)
}

// OptConnected guards h, which runs connected or not: user may be Nobody.
// Errors are those of Connected, without ErrNotConnected. It carries over
// Opt.connected_fun.
func (s *Site) OptConnected(h HandlerFunc, opts ...GuardOption) http.Handler {
	return s.handler(h, false, opts)
}

// Wrap guards a plain http.Handler, which runs connected or not; CurrentUser
// tells it who that is. What h answers is its own affair: it cannot make the
// request a denied one. Errors are those of OptConnected. It carries over
// connected_wrapper.
func (s *Site) Wrap(h http.Handler, opts ...GuardOption) http.Handler {
	return s.handler(func(w http.ResponseWriter, r *http.Request, _ UserID) error {
		h.ServeHTTP(w, r)
		return nil
	}, false, opts)
}

func (s *Site) handler(h HandlerFunc, mustConnect bool, opts []GuardOption) http.Handler {
	g := s.newGuard(mustConnect, opts)
	if g.denyFunc != nil {
		panic(fmt.Sprintf("sojourn: a guard of an http.Handler was given a DenyFunc (%T): use DenyHandler", g.denyFunc))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.serve(w, r, h); err != nil {
			s.fail(w, r, err)
		}
	})
}

func (g *guard) serve(w http.ResponseWriter, r *http.Request, h HandlerFunc) error {
	ctx := r.Context()
	q, err := g.site.request(ctx)
	if err != nil {
		return err
	}
	if g.force {
		defer q.force()()
	}
	user, err := g.enter(ctx, q)
	if err == nil {
		if err = h(w, r, user); err == nil {
			return nil
		}
		if errors.Is(err, ErrPermissionDenied) {
			err = q.deny(ctx, err)
		}
	}
	var denied *denied
	if g.denyHandler == nil || !errors.As(err, &denied) {
		return plain(err)
	}
	return g.denyHandler(w, r, denied.user)
}

// ConnectedRPC guards a function: it runs for connected users only; for nobody
// the error is ErrNotConnected. The context is that of a request, and errors
// are those of Connected, returned. It carries over connected_rpc.
func ConnectedRPC[In, Out any](s *Site, f func(context.Context, UserID, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	return function(s, f, true, opts)
}

// OptConnectedRPC guards a function, which runs connected or not: the user may
// be Nobody. It carries over Opt.connected_rpc.
func OptConnectedRPC[In, Out any](s *Site, f func(context.Context, UserID, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	return function(s, f, false, opts)
}

// ConnectedWrapper guards a function that does not ask for the user, and runs
// connected or not. It carries over connected_wrapper.
func ConnectedWrapper[In, Out any](s *Site, f func(context.Context, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	return function(s, func(ctx context.Context, _ UserID, in In) (Out, error) { return f(ctx, in) }, false, opts)
}

func function[In, Out any](s *Site, f func(context.Context, UserID, In) (Out, error), mustConnect bool, opts []GuardOption) func(context.Context, In) (Out, error) {
	g := s.newGuard(mustConnect, opts)
	if g.denyHandler != nil {
		panic("sojourn: a guard of a function was given a DenyHandler: use DenyFunc")
	}
	denyFunc, ok := g.denyFunc.(func(context.Context, UserID) (Out, error))
	if g.denyFunc != nil && !ok {
		panic(fmt.Sprintf("sojourn: a guard of a function that returns %v was given a DenyFunc that returns %v",
			reflect.TypeFor[Out](), reflect.TypeOf(g.denyFunc).Out(0)))
	}
	return func(ctx context.Context, in In) (out Out, err error) {
		q, err := g.site.request(ctx)
		if err != nil {
			return out, err
		}
		if g.force {
			defer q.force()()
		}
		user, err := g.enter(ctx, q)
		if err == nil {
			if out, err = f(ctx, user, in); err == nil {
				return out, nil
			}
			if errors.Is(err, ErrPermissionDenied) {
				err = q.deny(ctx, err)
			}
		}
		var denied *denied
		if denyFunc == nil || !errors.As(err, &denied) {
			return out, plain(err)
		}
		return denyFunc(ctx, denied.user)
	}
}

func (s *Site) newGuard(mustConnect bool, opts []GuardOption) *guard {
	g := &guard{site: s, mustConnect: mustConnect}
	for _, opt := range opts {
		opt(g)
	}
	return g
}

// denied is the error of a denied request whose denied-request actions have
// run well: what is left is the deny function.
type denied struct {
	user UserID
	err  error
}

func (d *denied) Error() string { return d.err.Error() }
func (d *denied) Unwrap() error { return d.err }

// plain is err without our mark.
func plain(err error) error {
	if d, ok := err.(*denied); ok {
		return d.err
	}
	return err
}

// force makes the request nobody's until the function it returns is called.
func (q *request) force() (undo func()) {
	q.forced.Add(1)
	return func() { q.forced.Add(-1) }
}

// enter runs what comes before a guarded handler, in the order that
// docs/guarantees.md gives, and tells who may come in.
func (g *guard) enter(ctx context.Context, q *request) (UserID, error) {
	for {
		user, err := g.pass(ctx, q)
		if err != nil || !q.unseen(user) {
			return user, err
		}
		// It was nobody's for a while, because of a guard beside this one.
	}
}

func (g *guard) pass(ctx context.Context, q *request) (UserID, error) {
	s := g.site
	user, err := q.user(ctx)
	if err != nil {
		return Nobody, err
	}
	if err := q.once(ctx, q.firing(firedRequest, user), s.actions.request.any(), func(ctx context.Context) error { return runUser(&s.actions.request, ctx, user) }); err != nil {
		return Nobody, err
	}
	if user, err = q.user(ctx); err != nil { // an action may connect or disconnect
		return Nobody, err
	}
	if !q.isForced() {
		if err := q.startTab(ctx, user); err != nil {
			return Nobody, err
		}
		if user, err = q.user(ctx); err != nil {
			return Nobody, err
		}
	}
	if err := g.admit(ctx, q, user); err != nil {
		return Nobody, err
	}
	err = q.once(ctx, q.firing(firedStage, user), s.actions.connected.any() || s.actions.unconnected.any(), func(ctx context.Context) error {
		if user == Nobody {
			return runPlain(&s.actions.unconnected, ctx)
		}
		return runUser(&s.actions.connected, ctx, user)
	})
	if err != nil {
		if user != Nobody && errors.Is(err, ErrPermissionDenied) {
			err = q.deny(ctx, err)
		}
		return Nobody, err
	}
	was := user
	if user, err = q.user(ctx); err != nil {
		return Nobody, err
	}
	if user != was {
		if err := g.admit(ctx, q, user); err != nil {
			return Nobody, err
		}
	}
	if g.mustConnect && user == Nobody {
		return Nobody, ErrNotConnected
	}
	return user, nil
}

// user is who makes the request, when a guard asks: a session whose user is no
// more is closed, and one that this server does not have open is opened.
func (q *request) user(ctx context.Context) (UserID, error) {
	sess, err := q.current(ctx)
	if err != nil || q.isForced() {
		return Nobody, err
	}
	if sess == nil {
		q.mu.Lock()
		gone := q.gone
		q.mu.Unlock()
		if gone != nil {
			_, err = q.close(ctx, EndUserGone)
		}
		return Nobody, err
	}
	if sess.opened() || inside(ctx, sess) {
		return sess.user, nil
	}
	over := func() bool { return sess.opened() || sess.ended() }
	err = q.site.opening.do(ctx, sess, over, func() error {
		if err := runUser(&q.site.actions.open, within(ctx, sess), sess.user); err != nil {
			return err
		}
		sess.state.Or(stateOpened)
		return nil
	})
	if err != nil {
		return Nobody, err
	}
	return q.user(ctx) // whoever it is after the actions
}

// admit tells whether the user may come in; if not, the request is a denied one.
func (g *guard) admit(ctx context.Context, q *request, user UserID) error {
	err := g.ask(ctx, user)
	if errors.Is(err, ErrPermissionDenied) {
		err = q.deny(ctx, err)
	}
	return err
}

// ask asks the groups. All of them are asked, each once, so that a failure
// is one whatever the answers of the others.
func (g *guard) ask(ctx context.Context, user UserID) error {
	if user == Nobody {
		if g.hasAllow {
			return notConnectedDenied
		}
		return nil
	}
	if !g.hasAllow && len(g.deny) == 0 {
		return nil
	}
	member := make(map[Group]bool, len(g.allow)+len(g.deny))
	for _, groups := range [][]Group{g.allow, g.deny} {
		for _, group := range groups {
			if _, asked := member[group]; asked || g.site.cfg.Groups == nil {
				continue
			}
			in, err := g.site.cfg.Groups(ctx, user, group)
			if err != nil {
				return wrap("asking Config.Groups", err)
			}
			member[group] = in
		}
	}
	in := func(group Group) bool { return member[group] }
	if slices.ContainsFunc(g.deny, in) || g.hasAllow && !slices.ContainsFunc(g.allow, in) {
		return ErrPermissionDenied
	}
	return nil
}

// deny makes the request a denied one: the denied-request actions run, once in
// the request, as for whoever is its user now.
func (q *request) deny(ctx context.Context, err error) error {
	user := Nobody
	if sess, serr := q.current(ctx); serr == nil && sess != nil {
		user = sess.user
	}
	actions := &q.site.actions.denied
	aerr := q.once(ctx, firedDenied, actions.any(), func(ctx context.Context) error { return runUser(actions, ctx, user) })
	if aerr != nil {
		return aerr
	}
	return &denied{user, err}
}
