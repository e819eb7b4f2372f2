package client

import (
	"context"

	"github.com/sojourn-go/sojourn/protocol"
)

// ConnectedFun gives f the user that the client knows. When nobody is
// connected it returns ErrNotConnected without calling f. It is the client's
// side of sojourn's guards, for code that runs on both sides: no security check
// is done here; the server does it. Other errors are those of f. It carries over
// connected_fun of the client.
func ConnectedFun[G, P, Out any](c *Client, f func(context.Context, protocol.UserID, G, P) (Out, error)) func(context.Context, G, P) (Out, error) {
	return func(ctx context.Context, get G, post P) (out Out, err error) {
		user := c.User()
		if user == protocol.Nobody {
			return out, ErrNotConnected
		}
		return f(ctx, user, get, post)
	}
}

// ConnectedRPC is ConnectedFun for functions of one argument. It carries over
// connected_rpc of the client.
func ConnectedRPC[In, Out any](c *Client, f func(context.Context, protocol.UserID, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (out Out, err error) {
		user := c.User()
		if user == protocol.Nobody {
			return out, ErrNotConnected
		}
		return f(ctx, user, in)
	}
}

// ConnectedWrapper is f: on the client there is nothing to check. It carries
// over connected_wrapper of the client.
func ConnectedWrapper[In, Out any](_ *Client, f func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return f
}

// OptConnectedFun is ConnectedFun for functions that run connected or not: the
// user may be protocol.Nobody. It carries over Opt.connected_fun.
func OptConnectedFun[G, P, Out any](c *Client, f func(context.Context, protocol.UserID, G, P) (Out, error)) func(context.Context, G, P) (Out, error) {
	return func(ctx context.Context, get G, post P) (Out, error) { return f(ctx, c.User(), get, post) }
}

// OptConnectedRPC is ConnectedRPC for functions that run connected or not: the
// user may be protocol.Nobody. It carries over Opt.connected_rpc.
func OptConnectedRPC[In, Out any](c *Client, f func(context.Context, protocol.UserID, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) { return f(ctx, c.User(), in) }
}
