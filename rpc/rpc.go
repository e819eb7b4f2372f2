// Package rpc names functions that a server offers and a client calls. Both
// sides import the same definition, so that the compiler checks what they say
// to each other; it depends on neither.
package rpc

import (
	"context"

	"github.com/sojourn-go/sojourn/internal/rpcname"
)

// Func is a function of the server: it takes an In and answers an Out, both as
// JSON. sojourn.HandleRPC offers it, Call calls it.
type Func[In, Out any] struct{ name string }

// Define names a function: a path segment of letters, digits and - _ . ~ that
// is the same on both sides. It panics on any other name.
func Define[In, Out any](name string) Func[In, Out] {
	if !rpcname.Valid(name) {
		panic(`rpc: "` + name + `" is no name of a function: it takes letters, digits and - _ . ~, and . and .. are none`)
	}
	return Func[In, Out]{name}
}

// Name is the name that Define was given.
func (f Func[In, Out]) Name() string { return f.name }

// Call calls the function through c, usually a *client.Client. Errors of the
// server are found with errors.Is: protocol.ErrNotConnected,
// protocol.ErrPermissionDenied, or any protocol.Error of the same code.
func (f Func[In, Out]) Call(ctx context.Context, c Caller, in In) (Out, error) {
	var out Out
	err := c.CallRPC(ctx, f.name, in, &out)
	return out, err
}

// Caller can call functions of a server by name.
type Caller interface {
	// CallRPC calls a function with in and puts the answer into out, a pointer.
	CallRPC(ctx context.Context, name string, in, out any) error
}
