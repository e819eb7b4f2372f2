// Package protocol holds what a sojourn server and its clients share: user
// ids, the two errors that cross the wire, and the names of headers, cookies
// and endpoints. It depends on neither side and on nothing but strconv, so a
// program compiled for the browser can use it.
package protocol

import "strconv"

// UserID names a user of the application. Any non-empty string will do; the
// application chooses it. It carries over Os_types.User.id.
type UserID string

// Nobody is the UserID of no user: nobody is connected.
const Nobody UserID = ""

// IntUser is the UserID of a user whom the application knows by number: 42
// gives "42". UserID.Int64 is its inverse.
func IntUser(n int64) UserID { return UserID(strconv.FormatInt(n, 10)) }

// Int64 is the number that IntUser was given. It returns an error for an id
// that IntUser does not produce, such as "" or "042".
func (u UserID) Int64() (int64, error) {
	n, err := strconv.ParseInt(string(u), 10, 64)
	if err != nil {
		return 0, err
	}
	if strconv.FormatInt(n, 10) != string(u) {
		return 0, &strconv.NumError{Func: "UserID.Int64", Num: string(u), Err: strconv.ErrSyntax}
	}
	return n, nil
}

// Names of headers and of what Config.Path serves.
const (
	// TabHeader carries a tab's id, in requests and in responses.
	TabHeader = "Sojourn-Tab"
	// RestartHeader in a response, with the value "1", tells the client to
	// start again: its session was ended by DisconnectAll.
	RestartHeader = "Sojourn-Restart"
	// DefaultPath is where the endpoints are unless Config.Path says otherwise.
	DefaultPath = "/_sojourn/"
)

// Error is an error with a code that crosses the wire. Two errors of one code
// are the same error to errors.Is, on both sides.
type Error struct {
	Code    string // one of the Code constants, or the application's own
	Message string // for people; never the text of an inner error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Codes of errors on the wire.
const (
	CodeNotConnected     = "not_connected"     // 401
	CodePermissionDenied = "permission_denied" // 403
	CodeCrossOrigin      = "cross_origin"      // 403: an unsafe request from a foreign origin
	CodeSessionEnded     = "session_ended"     // 401: the session ended while the request ran
	CodeNotFound         = "not_found"         // 404: no such endpoint or function
	CodeMethod           = "method"            // 405: not called with POST
	CodeTooLarge         = "too_large"         // 413: the body is larger than the server takes
	CodeContentType      = "content_type"      // 415: the body is not application/json
	CodeUpgrade          = "upgrade"           // 426: the live connection is a WebSocket
	CodeMalformed        = "malformed"         // 400: the body is not the JSON that was expected
	CodeInternal         = "internal"          // 500
	CodeUnavailable      = "unavailable"       // 503: the store cannot be asked; Retry-After says when to try again
)

// Status is the HTTP status of an error's code; 422 for one of the application's own.
func Status(code string) int {
	switch code {
	case CodeNotConnected, CodeSessionEnded:
		return 401
	case CodePermissionDenied, CodeCrossOrigin:
		return 403
	case CodeNotFound:
		return 404
	case CodeMethod:
		return 405
	case CodeTooLarge:
		return 413
	case CodeContentType:
		return 415
	case CodeMalformed:
		return 400
	case CodeUpgrade:
		return 426
	case CodeInternal:
		return 500
	case CodeUnavailable:
		return 503
	default:
		return 422
	}
}

// Errors that servers and clients share.
var (
	// ErrNotConnected: no user is connected. It carries over Not_connected.
	ErrNotConnected error = &Error{CodeNotConnected, "sojourn: not connected"}
	// ErrPermissionDenied: the user may not do this. It carries over
	// Permission_denied.
	ErrPermissionDenied error = &Error{CodePermissionDenied, "sojourn: permission denied"}
)
