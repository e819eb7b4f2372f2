package sojourn

import (
	"context"
	"iter"
	"net/http"
)

type Site struct{}

func New(cfg Config) (*Site, error)                       { panic("skeleton") }
func (s *Site) Close() error                              { panic("skeleton") }
func (s *Site) Middleware(next http.Handler) http.Handler { panic("skeleton") }

type HandlerFunc func(w http.ResponseWriter, r *http.Request, user UserID) error

func (s *Site) Connected(h HandlerFunc, opts ...GuardOption) http.Handler    { panic("skeleton") }
func (s *Site) OptConnected(h HandlerFunc, opts ...GuardOption) http.Handler { panic("skeleton") }
func (s *Site) Wrap(h http.Handler, opts ...GuardOption) http.Handler        { panic("skeleton") }

func ConnectedRPC[In, Out any](s *Site, f func(context.Context, UserID, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	panic("skeleton")
}
func OptConnectedRPC[In, Out any](s *Site, f func(context.Context, UserID, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	panic("skeleton")
}
func ConnectedWrapper[In, Out any](s *Site, f func(context.Context, In) (Out, error), opts ...GuardOption) func(context.Context, In) (Out, error) {
	panic("skeleton")
}

type GuardOption func()

func Allow(groups ...Group) GuardOption                                          { panic("skeleton") }
func Deny(groups ...Group) GuardOption                                           { panic("skeleton") }
func DenyHandler(h HandlerFunc) GuardOption                                      { panic("skeleton") }
func DenyFunc[Out any](f func(context.Context, UserID) (Out, error)) GuardOption { panic("skeleton") }
func ForceUnconnected() GuardOption                                              { panic("skeleton") }

func (s *Site) OnStartTab(f func(ctx context.Context, user UserID) error)          {}
func (s *Site) OnStartConnectedTab(f func(ctx context.Context, user UserID) error) {}
func (s *Site) OnStartUnconnectedTab(f func(ctx context.Context) error)            {}
func (s *Site) OnRequest(f func(ctx context.Context, user UserID) error)           {}
func (s *Site) OnConnectedRequest(f func(ctx context.Context, user UserID) error)  {}
func (s *Site) OnUnconnectedRequest(f func(ctx context.Context) error)             {}
func (s *Site) OnDeniedRequest(f func(ctx context.Context, user UserID) error)     {}
func (s *Site) OnOpenSession(f func(ctx context.Context, user UserID) error)       {}
func (s *Site) OnPreCloseSession(f func(ctx context.Context) error)                {}
func (s *Site) OnPostCloseSession(f func(ctx context.Context) error)               {}
func (s *Site) OnSessionEnd(f func(ctx context.Context, session SessionInfo, reason EndReason)) {
}

type Scope struct {
	kind int
	h    string
}
type Hierarchy struct{ name string }

var Default, UserIndependent Hierarchy

func NewHierarchy(name string) Hierarchy { panic("skeleton") }
func (h Hierarchy) Tab() Scope           { return Scope{} }
func (h Hierarchy) Session() Scope       { return Scope{} }

var RequestScope, TabScope, SessionScope, UserScope, SiteScope Scope
var UserIndependentTabScope, UserIndependentSessionScope Scope

type Ref[T any] struct{}

func NewRef[T any](s *Site, scope Scope, initial func() T) *Ref[T] { panic("skeleton") }
func NewPersistentRef[T any](s *Site, scope Scope, name string, initial func() T) *Ref[T] {
	panic("skeleton")
}
func (r *Ref[T]) Get(ctx context.Context) (T, error)                     { panic("skeleton") }
func (r *Ref[T]) Set(ctx context.Context, v T) error                     { panic("skeleton") }
func (r *Ref[T]) Modify(ctx context.Context, f func(T) (T, error)) error { panic("skeleton") }
func (r *Ref[T]) Unset(ctx context.Context) error                        { panic("skeleton") }
func (r *Ref[T]) GetIn(ctx context.Context, st State) (T, error)         { panic("skeleton") }
func (r *Ref[T]) SetIn(ctx context.Context, st State, v T) error         { panic("skeleton") }
func (r *Ref[T]) ModifyIn(ctx context.Context, st State, f func(T) (T, error)) error {
	panic("skeleton")
}
func (r *Ref[T]) UnsetIn(ctx context.Context, st State) error { panic("skeleton") }

type State struct{}

func (s *Site) CurrentState(ctx context.Context, scope Scope) (State, error)    { panic("skeleton") }
func (s *Site) UserState(user UserID) State                                     { panic("skeleton") }
func (s *Site) SubStates(ctx context.Context, st State) iter.Seq2[State, error] { panic("skeleton") }
func (s *Site) Discard(ctx context.Context, st State) error                     { panic("skeleton") }
