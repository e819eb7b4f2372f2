package sojourn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// actions are the functions that an application has registered to run at
// points of the session.
type actions struct {
	start               queue[startAction]
	request, connected  queue[userAction]
	unconnected         queue[plainAction]
	denied, open        queue[userAction]
	preClose, postClose queue[plainAction]
	end                 queue[func(context.Context, SessionInfo, EndReason)]
}

type (
	userAction  func(ctx context.Context, user UserID) error
	plainAction func(ctx context.Context) error
)

// startAction runs when a tab starts: always, or for connected or unconnected
// tabs only.
type startAction struct {
	always, connected userAction
	unconnected       plainAction
}

// queue holds functions in the order they were registered. It may grow while
// it is run.
type queue[F any] struct {
	mu sync.Mutex
	fs atomic.Pointer[[]F]
}

func (q *queue[F]) add(f F) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fs := append(slices.Clip(q.all()), f)
	q.fs.Store(&fs)
}

func (q *queue[F]) all() []F {
	if fs := q.fs.Load(); fs != nil {
		return *fs
	}
	return nil
}

func (q *queue[F]) any() bool { return len(q.all()) > 0 }

// OnStartTab adds an action that runs when a tab starts, in the first guarded
// request of it and in Connect; user may be Nobody. It carries over
// on_start_process.
//
// Actions of one kind run in the order they were registered, on the goroutine
// of the request; one that fails is the error of the request, and those after
// it do not run. They may be registered at any time.
func (s *Site) OnStartTab(f func(ctx context.Context, user UserID) error) {
	s.actions.start.add(startAction{always: f})
}

// OnStartConnectedTab adds an action that runs when a tab starts whose user is
// connected, and when one connects. It runs among the actions of OnStartTab,
// in the order of registration. It carries over on_start_connected_process.
func (s *Site) OnStartConnectedTab(f func(ctx context.Context, user UserID) error) {
	s.actions.start.add(startAction{connected: f})
}

// OnStartUnconnectedTab adds an action that runs when a tab starts and nobody
// is connected, among the actions of OnStartTab. It carries over
// on_start_unconnected_process.
func (s *Site) OnStartUnconnectedTab(f func(ctx context.Context) error) {
	s.actions.start.add(startAction{unconnected: f})
}

// OnRequest adds an action that runs first in every guarded request, once
// however many guards there are; user may be Nobody. It carries over
// on_request.
func (s *Site) OnRequest(f func(ctx context.Context, user UserID) error) { s.actions.request.add(f) }

// OnConnectedRequest adds an action that runs before the handler in every
// guarded request of a connected user that is let in. ErrPermissionDenied from
// it denies the request. It carries over on_connected_request.
func (s *Site) OnConnectedRequest(f func(ctx context.Context, user UserID) error) {
	s.actions.connected.add(f)
}

// OnUnconnectedRequest adds an action that runs before the handler in every
// guarded request in which nobody is connected, unless it is denied. It
// carries over on_unconnected_request.
func (s *Site) OnUnconnectedRequest(f func(ctx context.Context) error) { s.actions.unconnected.add(f) }

// OnDeniedRequest adds an action that runs when a request is denied, once, and
// before the deny function; user may be Nobody. It carries over
// on_denied_request.
func (s *Site) OnDeniedRequest(f func(ctx context.Context, user UserID) error) {
	s.actions.denied.add(f)
}

// OnOpenSession adds an action that runs in Connect when the session is open,
// and again on a server that has lost its volatile part. When it fails the
// session is not open. It carries over on_open_session.
func (s *Site) OnOpenSession(f func(ctx context.Context, user UserID) error) { s.actions.open.add(f) }

// OnPreCloseSession adds an action that runs in Disconnect, DisconnectAll and
// Connect before the session ends, while its state can still be read, and in
// the request that finds its user gone. When it fails the session stays. Of
// sessions that end otherwise only OnSessionEnd tells. It carries over
// on_pre_close_session.
func (s *Site) OnPreCloseSession(f func(ctx context.Context) error) { s.actions.preClose.add(f) }

// OnPostCloseSession adds an action that runs where those of OnPreCloseSession
// do, when the session has ended. When it fails the session has ended all the
// same. It carries over on_post_close_session.
func (s *Site) OnPostCloseSession(f func(ctx context.Context) error) { s.actions.postClose.add(f) }

// OnSessionEnd adds an action that runs for every session that ends, for any
// reason, once on the whole site: on the server that ended it, when it has
// ended, in the request that ended it or in none. session is as the store has
// it; Current and Tabs are not set. It is ours: Os_session's actions at closing
// do not run for sessions that end elsewhere.
func (s *Site) OnSessionEnd(f func(ctx context.Context, session SessionInfo, reason EndReason)) {
	s.actions.end.add(f)
}

func (a *actions) startTab(ctx context.Context, user UserID) error {
	for _, f := range a.start.all() {
		var err error
		switch {
		case f.always != nil:
			err = f.always(ctx, user)
		case f.connected != nil && user != Nobody:
			err = f.connected(ctx, user)
		case f.unconnected != nil && user == Nobody:
			err = f.unconnected(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func runUser(q *queue[userAction], ctx context.Context, user UserID) error {
	for _, f := range q.all() {
		if err := f(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

func runPlain(q *queue[plainAction], ctx context.Context) error {
	for _, f := range q.all() {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}
