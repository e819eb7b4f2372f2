package sojourn

import "context"

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

func (s *Site) Connect(ctx context.Context, user UserID, opts ...ConnectOption) error {
	panic("skeleton")
}
func (s *Site) Disconnect(ctx context.Context) error { panic("skeleton") }
func (s *Site) DisconnectAll(ctx context.Context, opts ...DisconnectAllOption) error {
	panic("skeleton")
}
func (s *Site) CurrentUser(ctx context.Context) (UserID, error) { panic("skeleton") }
