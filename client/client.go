package client

import (
	"context"
	"errors"
	"strconv"

	"github.com/sojourn-go/sojourn/internal/rpcname"
	"github.com/sojourn-go/sojourn/protocol"
)

// Errors of the server that a caller acts on; the same values as sojourn's.
// Any other error of the server is a *protocol.Error, and errors.Is finds it by
// its code.
var (
	// ErrNotConnected: no user is connected.
	ErrNotConnected = protocol.ErrNotConnected
	// ErrPermissionDenied: the user may not do this.
	ErrPermissionDenied = protocol.ErrPermissionDenied
)

var errClosed = errors.New("sojourn: the client is closed")

// Client is one tab of a site: a page in the browser, or a program. It knows
// the user, calls functions of the server, and keeps a live connection over
// which it is told what happens elsewhere. Its methods may be called from any
// goroutine. Start makes one.
type Client struct{ e engine }

// engine does the work: in a browser the page's client.js, else this package.
type engine interface {
	user() protocol.UserID
	post(ctx context.Context, path string, body []byte) ([]byte, error)
	leave(ctx context.Context, path string, keepUserIndependent bool) error
	onChanged(f func(reason string))
	onEvent(event string, f func(data []byte))
	close()
}

// Close ends the live connection, and every goroutine of the client but one
// that runs a function given to OnEvent or OnConnectionChanged just now; none
// is called afterwards. In a browser the page's own client goes on. It returns
// nil.
func (c *Client) Close() error {
	c.e.close()
	return nil
}

// User is the connected user as far as the client knows: the one the page was
// made for, then whoever connected or disconnected through this client. It is
// protocol.Nobody when nobody is connected.
func (c *Client) User() protocol.UserID { return c.e.user() }

// Disconnect closes the session of this browser or program: nobody is
// connected then. The other tabs of the browser are told. It carries over
// disconnect.
func (c *Client) Disconnect(ctx context.Context) error {
	return c.e.leave(ctx, "disconnect", false)
}

// A DisconnectAllOption changes what DisconnectAll does.
type DisconnectAllOption func(*disconnectAllOptions)

type disconnectAllOptions struct{ keepUserIndependent bool }

// KeepUserIndependent leaves the user-independent state of the browsers
// concerned. It carries over ~user_indep:false.
func KeepUserIndependent() DisconnectAllOption {
	return func(o *disconnectAllOptions) { o.keepUserIndependent = true }
}

// DisconnectAll closes all sessions of the user, wherever they are open. Every
// tab concerned is told, and this client restarts. It carries over
// disconnect_all.
func (c *Client) DisconnectAll(ctx context.Context, opts ...DisconnectAllOption) error {
	var o disconnectAllOptions
	for _, opt := range opts {
		opt(&o)
	}
	return c.e.leave(ctx, "disconnect-all", o.keepUserIndependent)
}

// OnConnectionChanged says what to do when the session this client belongs to
// is not the browser's any more: somebody connected or disconnected in another
// tab, or the session has ended. reason is one of the constants of protocol,
// or why the session ended, such as "disconnect-all" or "expired". The default
// is to restart after two seconds, where a page says so meanwhile. The last
// function given is the one that is called.
//
// A page has to be loaded again then, by f or by the reader: its client gets no
// messages any more. A program that is no page starts anew once f has
// returned, as a new tab of whoever is connected then.
func (c *Client) OnConnectionChanged(f func(reason string)) { c.e.onChanged(f) }

// OnEvent calls f with the data, as JSON, of each message of Site.Notify that
// has this name. All functions of one event are called, one after another, in
// the order of the messages. What comes before the first OnEvent of a name is
// lost.
func (c *Client) OnEvent(event string, f func(data []byte)) { c.e.onEvent(event, f) }

// CallRPC calls a function of the server: usually rpc.Func.Call does. in is
// sent as JSON, and the answer decoded into out, a pointer, or passed over if
// out is nil. Errors of the server are found with errors.Is: ErrNotConnected,
// ErrPermissionDenied, any other by the code of a *protocol.Error. When ctx is
// done it returns its error, and the function may have run all the same.
func (c *Client) CallRPC(ctx context.Context, name string, in, out any) error {
	if !rpcname.Valid(name) {
		return &protocol.Error{Code: protocol.CodeNotFound, Message: "sojourn: " + name + " cannot be the name of a function"}
	}
	body, err := marshal(in)
	if err != nil {
		return failed("the argument of "+name, err)
	}
	answer, err := c.e.post(ctx, "rpc/"+name, body)
	if err != nil || out == nil {
		return failed("calling "+name, err)
	}
	return failed("the answer of "+name, unmarshal(answer, out))
}

// noJSON is the error of an answer that no sojourn gave: of a proxy, perhaps,
// that does not reach one.
func noJSON(status int) error {
	code := protocol.CodeInternal
	switch status {
	case 502, 503, 504: // net/http would make programs for the browser large
		code = protocol.CodeUnavailable
	}
	return &protocol.Error{Code: code, Message: "sojourn: the answer is no JSON: status " + strconv.Itoa(status)}
}

// failed adds what was being done to an error; nil stays nil, and what the
// server says stays what it is.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, said := err.(*protocol.Error); said {
		return err
	}
	return &failure{doing, err}
}

// failure is an error with what was being done.
type failure struct {
	doing string
	err   error
}

func (f *failure) Error() string { return "sojourn: " + f.doing + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }
