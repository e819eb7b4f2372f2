package client

import (
	"context"
	"errors"
	"syscall/js"

	"github.com/sojourn-go/sojourn/protocol"
)

// Options say which site a client is of.
type Options struct {
	// BaseURL is not needed in a browser: the page knows.
	BaseURL string

	// Restart is called when the page is to start again, because its session
	// is not the browser's any more. Default: load the page again.
	Restart func()
}

var (
	global  = js.Global()
	errPage = errors.New("sojourn: the page has no tag of Site.ClientScript")
	errLoad = errors.New("sojourn: client.js cannot be loaded")
)

// Start makes the program a part of its page, which is one tab whatever
// programs it has: client.js, which the page's tag loads, keeps the live
// connection. Start waits until client.js is there. It returns an error if the
// page has no tag of Site.ClientScript, client.js cannot be loaded, or ctx is
// done.
func Start(ctx context.Context, o Options) (*Client, error) {
	document := global.Get("document")
	if !document.Truthy() {
		return nil, errPage
	}
	tag := document.Call("querySelector", "script[data-sojourn]")
	if !tag.Truthy() {
		return nil, errPage
	}
	p := &page{path: tag.Get("dataset").Get("sojourn").String()}
	if err := p.find(ctx, document, tag); err != nil {
		return nil, err
	}
	if o.Restart != nil {
		p.js.Call("onRestart", p.function(func(js.Value) { o.Restart() }))
	}
	return &Client{p}, nil
}

// page is the client that client.js keeps for the page.
type page struct {
	js    js.Value
	path  string
	calls queue
}

// find finds what client.js exports, once that has run.
func (p *page) find(ctx context.Context, document, tag js.Value) error {
	symbol := global.Get("Symbol").Call("for", "sojourn")
	found := func() bool {
		p.js = global.Get("Reflect").Call("get", global, symbol)
		return p.js.Truthy()
	}
	if found() {
		return nil
	}
	// A module that is loaded already is not loaded again.
	script := document.Call("createElement", "script")
	script.Set("type", "module")
	script.Set("src", tag.Get("src"))
	_, err := settled(ctx, func(done, fail js.Func) {
		script.Set("onload", done)
		script.Set("onerror", fail)
		document.Get("head").Call("append", script)
	})
	script.Call("remove")
	if ctx.Err() != nil {
		return err
	}
	if !found() {
		return errLoad
	}
	return nil
}

// function is a function for the page that has f called by the client's queue.
// It stays for as long as the page.
func (p *page) function(f func(arg js.Value)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		p.calls.add(func() { f(append(args, js.Undefined())[0]) })
		return nil
	})
}

func (p *page) user() protocol.UserID { return protocol.UserID(p.js.Get("user").String()) }

func (p *page) onChanged(f func(reason string)) {
	p.js.Call("onConnectionChanged", p.function(func(reason js.Value) { f(reason.String()) }))
}

func (p *page) onEvent(event string, f func(data []byte)) {
	p.js.Call("on", event, p.function(func(data js.Value) {
		f([]byte(global.Get("JSON").Call("stringify", data).String()))
	}))
}

func (p *page) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	abort, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	request := object(`{"method":"POST","credentials":"include","headers":{"Content-Type":"application/json"}}`)
	request.Set("body", string(body))
	request.Set("signal", abort.Get("signal"))
	answer, err := awaited(ctx, p.js.Call("fetch", p.path+path, request), abort)
	if err != nil {
		return nil, err
	}
	status := answer.Get("status").Int()
	if status == 200 {
		text, err := awaited(ctx, answer.Call("text"), abort)
		if err != nil {
			return nil, err
		}
		return []byte(text.String()), nil
	}
	said, err := awaited(ctx, answer.Call("json"), abort)
	if err == nil && said.Type() == js.TypeObject {
		err = thrown(said.Get("error"))
	}
	if _, ok := err.(*protocol.Error); !ok && ctx.Err() == nil {
		err = noJSON(status)
	}
	return nil, err
}

// begin is asked before a call; it answers what can abort it.
func (p *page) begin(ctx context.Context) (abort js.Value, err error) {
	if p.calls.isClosed() {
		return abort, errClosed
	}
	return global.Get("AbortController").New(), ctx.Err()
}

func (p *page) leave(ctx context.Context, path string, keepUserIndependent bool) error {
	_, err := p.begin(ctx)
	if err != nil {
		return err
	}
	method := "disconnect"
	if path != method {
		method = "disconnectAll"
	}
	options := object("{}")
	options.Set("keepUserIndependent", keepUserIndependent)
	_, err = awaited(ctx, p.js.Call(method, options), js.Null())
	return failed("calling "+path, err)
}

// object is made from JSON: map literals would make programs larger.
func object(json string) js.Value { return global.Get("JSON").Call("parse", json) }

// close leaves client.js to the page.
func (p *page) close() { p.calls.close() }

// awaited is what a promise brings. When ctx is done first, abort is told.
func awaited(ctx context.Context, promise, abort js.Value) (js.Value, error) {
	v, err := settled(ctx, func(done, fail js.Func) { promise.Call("then", done, fail) })
	if ctx.Err() != nil && abort.Truthy() {
		abort.Call("abort")
	}
	return v, err
}

// settled is what done or fail is called with, after begin. When ctx is done
// first, the two functions stay until the page goes.
func settled(ctx context.Context, begin func(done, fail js.Func)) (v js.Value, err error) {
	settled := make(chan error, 1)
	done := js.FuncOf(func(_ js.Value, args []js.Value) any {
		v = args[0]
		settled <- nil
		return nil
	})
	fail := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- thrown(args[0])
		return nil
	})
	begin(done, fail)
	select {
	case err = <-settled:
		done.Release()
		fail.Release()
		return v, err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

// thrown is the error that a JavaScript value stands for: one of the server if
// it has a code.
func thrown(e js.Value) error {
	field := func(name string) string {
		if v := e.Get(name); v.Type() == js.TypeString {
			return v.String()
		}
		return ""
	}
	if e.Type() != js.TypeObject {
		return errors.New("something that is no error was thrown")
	}
	if code := field("code"); code != "" && code != "network" {
		return &protocol.Error{Code: code, Message: field("message")}
	}
	return errors.New(field("message"))
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
