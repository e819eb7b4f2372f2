package sojourn

import (
	"errors"

	"github.com/sojourn-go/sojourn/protocol"
)

// Errors that the package returns, to be found with errors.Is.
var (
	// ErrNotConnected: no user is connected. It carries over Not_connected.
	ErrNotConnected = protocol.ErrNotConnected
	// ErrPermissionDenied: the user may not do this. It carries over
	// Permission_denied.
	ErrPermissionDenied = protocol.ErrPermissionDenied
	// ErrNoRequest: the context carries no request of this site.
	ErrNoRequest = errors.New("sojourn: no request in this context: is Site.Middleware missing, or is this another site's context?")
	// ErrHeadersSent: the response has started, so the cookie cannot be sent;
	// nothing was changed.
	ErrHeadersSent = errors.New("sojourn: the response has started: a cookie can no longer be sent")
	// ErrSessionEnded: the session ended while this request was running;
	// nothing was written.
	ErrSessionEnded = errors.New("sojourn: the session ended while this request was running")
	// ErrNoSuchUser: Connect to an id that Config.Users says does not exist.
	ErrNoSuchUser = errors.New("sojourn: no such user")
	// ErrNoSuchSession: the user has no session of this id.
	ErrNoSuchSession = errors.New("sojourn: no such session")
	// ErrWrongScope: a State of another scope was given to a Ref.
	ErrWrongScope = errors.New("sojourn: the state is of another scope than the reference")
)

// notConnectedDenied is what a guard with Allow answers when nobody is
// connected: both errors in one.
var notConnectedDenied error = deniedError{}

type deniedError struct{}

func (deniedError) Error() string {
	return "sojourn: permission denied: not connected"
}

func (deniedError) Unwrap() []error { return []error{ErrPermissionDenied, ErrNotConnected} }
