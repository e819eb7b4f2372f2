// Command wasm is a page's program: it calls functions with every kind of value
// that needs no encoding/json, and says on the page what came of it.
package main

import (
	"context"
	"errors"
	"syscall/js"

	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
)

var said = js.Global().Get("Array").New()

func say(text string) { said.Call("push", text) }

// same calls a function that answers what it is given.
func same[T any](c *client.Client, name string, in T, ok func(out T) bool) {
	out, err := rpc.Define[T, T](name).Call(context.Background(), c, in)
	switch {
	case err != nil:
		say(name + ": " + err.Error())
	case !ok(out):
		say(name + ": another value came back")
	}
}

func is[T comparable](want T) func(T) bool { return func(got T) bool { return got == want } }

func list[T comparable](want []T) func([]T) bool {
	return func(got []T) bool {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				return false
			}
		}
		return len(got) == len(want)
	}
}

func main() {
	ctx := context.Background()
	global := js.Global()
	global.Set("said", said)
	c, err := client.Start(ctx, client.Options{Restart: func() { say("restart") }})
	if err != nil {
		say("start: " + err.Error())
		return
	}
	say("user " + string(c.User()))
	c.OnEvent("order", func(data []byte) { say("order " + string(data)) })
	c.OnConnectionChanged(func(reason string) { say("changed " + reason) })

	same(c, "echo-bool", true, is(true))
	same(c, "echo-int", -1<<53+1, is(-1<<53+1))
	same(c, "echo-float64", 1e-300, is(1e-300))
	same(c, "echo-string", "a\"\\\n\u00e9\u2028\U0001F600", is("a\"\\\n\u00e9\u2028\U0001F600"))
	same(c, "echo-user", protocol.UserID("ann"), is(protocol.UserID("ann")))
	same(c, "echo-none", struct{}{}, is(struct{}{}))
	same(c, "echo-bytes", []byte{0, 1, 0x7f, 0x80, 0xff}, list([]byte{0, 1, 0x7f, 0x80, 0xff}))
	none := []byte("of before")
	if err := c.CallRPC(ctx, "echo-bytes", nil, &none); err != nil || none != nil {
		say("no bytes come back as " + string(none))
	}
	same(c, "echo-ints", []int{1, -2, 3}, list([]int{1, -2, 3}))
	same(c, "echo-floats", []float64{1.5, -2}, list([]float64{1.5, -2}))
	same(c, "echo-strings", []string{"", "x"}, list([]string{"", "x"}))
	same(c, "echo-map", map[string]string{"a": "b", "": "\x00"}, func(m map[string]string) bool { return len(m) == 2 && m["a"] == "b" && m[""] == "\x00" })
	same(c, "echo-any", map[string]any{"a": []any{1.0, "x", nil, true, map[string]any{}}}, func(m map[string]any) bool {
		l, ok := m["a"].([]any)
		return ok && len(l) == 5 && l[0] == 1.0 && l[1] == "x" && l[2] == nil && l[3] == true
	})

	refused := func(what string, err error) {
		if err == nil {
			say(what + ": no error")
		}
	}
	refused("a struct", c.CallRPC(ctx, "echo-none", struct{ X int }{1}, nil))
	refused("a big number", c.CallRPC(ctx, "echo-int", 1<<53, nil))
	var wrong int
	refused("a string for a number", c.CallRPC(ctx, "echo-string", "x", &wrong))
	var lost int
	refused("an answer of too many digits", c.CallRPC(ctx, "big", struct{}{}, &lost))

	if err := c.CallRPC(ctx, "admin", struct{}{}, nil); !errors.Is(err, client.ErrPermissionDenied) {
		say("admin: the error is not ErrPermissionDenied")
	}
	if err := c.CallRPC(ctx, "no-such", struct{}{}, nil); !errors.Is(err, &protocol.Error{Code: protocol.CodeNotFound}) {
		say("no-such: the error is not not_found")
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.CallRPC(stopped, "whoami", struct{}{}, nil); !errors.Is(err, context.Canceled) {
		say("a context that is done: the error is not Canceled")
	}
	stopped, cancel = context.WithCancel(ctx)
	go func() { cancel() }()
	if err := c.CallRPC(stopped, "waits", struct{}{}, nil); !errors.Is(err, context.Canceled) {
		say("a context that ends: the error is not Canceled")
	}
	say("done")

	disconnect := make(chan struct{})
	global.Set("leave", js.FuncOf(func(js.Value, []js.Value) any { close(disconnect); return nil }))
	<-disconnect
	if err := c.Disconnect(ctx); err != nil {
		say("disconnect: " + err.Error())
	}
	say("user " + string(c.User()))
	if err := c.CallRPC(ctx, "whoami", struct{}{}, nil); !errors.Is(err, client.ErrNotConnected) {
		say("whoami: the error is not ErrNotConnected")
	}
	say("left")
	select {}
}
