package sojourn

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/sojourn-go/sojourn/protocol"
)

// UserID names a user of the application: any non-empty string it chooses.
// "" is Nobody. It carries over Os_types.User.id; UserID.Int64 is the inverse of IntUser.
type UserID = protocol.UserID

// Nobody is the UserID when no user is connected. It stands for None where
// Os_session has a User.id option.
const Nobody UserID = protocol.Nobody

// IntUser is the UserID of a user whom the application knows by number: 42
// gives "42". Its inverse is the method UserID.Int64.
func IntUser(n int64) UserID { return protocol.IntUser(n) }

// Group is a group of users, such as "admins": a name that Config.Groups
// understands. It carries over Os_types.Group.t.
type Group string

// Config is what New makes a Site of. The zero Config is a site in memory
// with production cookies.
type Config struct {
	// Store keeps sessions and persistent references. The Site closes it.
	// Default: memory only.
	Store Store

	// Users says whether a user still exists. It is asked by Connect and in
	// every request of a connected user that asks who that is, so it should
	// answer from a cache or an index. When it answers false the session ends; when it fails the
	// request fails. Default: every id exists.
	Users func(ctx context.Context, user UserID) (exists bool, err error)

	// Groups says whether a user is in a group. It is asked by guards with
	// Allow or Deny. When it fails the request fails. Default: no user is in
	// any group.
	Groups func(ctx context.Context, user UserID, group Group) (member bool, err error)

	// Cookie says how the cookies look. Default: __Host-sojourn, Secure,
	// HttpOnly, SameSite=Lax.
	Cookie CookieConfig

	// Timeouts say how long things live. Default: see there.
	Timeouts Timeouts

	// Limits say how much one user, browser or subnet can hold. Default: see
	// there.
	Limits Limits

	// Path is where Middleware serves the client's endpoints; it begins and
	// ends with a slash. Default: "/_sojourn/".
	Path string

	// TrustedOrigins are other origins, such as "https://app.example.com",
	// that may send unsafe requests and open live connections. Default: none.
	TrustedOrigins []string

	// TrustedProxies are the addresses whose X-Forwarded-For and
	// X-Forwarded-Proto are believed. Default: none.
	TrustedProxies []netip.Prefix

	// ErrorHandler answers a request whose guard or handler returned an
	// error, and one of a foreign origin. What is under Path answers by
	// itself, as clients expect. Default: 401 for ErrNotConnected and
	// ErrSessionEnded, 403 for ErrPermissionDenied and foreign origins, 503
	// with Retry-After for ErrUnavailable, the status of a protocol.Error's
	// code, else 500; as JSON for callers that ask for it. What is answered
	// with 500 or more is logged, and its text is not in the body.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger gets what an operator should know. No token is ever logged.
	// Default: discard.
	Logger *slog.Logger
}

// CookieConfig says how a site's cookies look. All are HttpOnly, with Path=/
// and no Domain. The zero CookieConfig is that of production.
type CookieConfig struct {
	// Name is the stem of the cookies' names: __Host-<Name>,
	// __Host-<Name>-browser and __Host-<Name>-<hierarchy>. Default: "sojourn".
	Name string

	// Insecure is for development over plain HTTP: cookies without Secure and
	// without the prefix __Host-. New logs a warning. Default: false.
	Insecure bool

	// SameSite of all cookies. Default: Lax.
	SameSite http.SameSite
}

// Timeouts say how long things live. The precision is a millisecond; New
// returns an error for less, and for a negative Tab or Browser.
type Timeouts struct {
	// Idle ends a session with no request for this long. Default: 14 days;
	// negative: never.
	Idle time.Duration

	// Absolute ends a session this long after Connect, whatever happens.
	// Default: 90 days; negative: never.
	Absolute time.Duration

	// Tab removes the state of a tab with no request and no live connection
	// for this long. Default: 10 minutes.
	Tab time.Duration

	// Browser removes user-independent state of a browser that sends nothing
	// for this long. Default: 400 days.
	Browser time.Duration
}

// Limits say how much can be held. New returns an error for a negative one
// other than SessionsPerUser.
type Limits struct {
	// SessionsPerUser: when a user connects once more, the least recently
	// used session ends. Default: 50; negative: no limit.
	SessionsPerUser int

	// TabsPerBrowser: when another tab of a browser stores state, the state
	// of the least recently used one goes; and as many can have a live
	// connection to one server. Default: 50.
	TabsPerBrowser int

	// AnonymousPerSubnet: how many browsers of one /24 (IPv4) or /56 (IPv6)
	// may hold anonymous or user-independent state; the least recently used
	// one's goes. As many of its live connections can be nobody's on one
	// server. Default: 10,000.
	AnonymousPerSubnet int

	// RPCBody is how many bytes of JSON a call of a function may bring.
	// Default: 1 MiB.
	RPCBody int
}
