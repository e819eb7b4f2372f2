//go:build js && wasm

// Command wasmpage is the demo's page of functions in Go. Its counterpart in
// JavaScript is static/functions.js.
package main

import (
	"context"
	"strconv"
	"syscall/js"

	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/internal/demo/functions"
	"github.com/sojourn-go/sojourn/protocol"
)

func main() {
	ctx := context.Background()
	c, err := client.Start(ctx, client.Options{})
	if err != nil {
		println(err.Error())
		return
	}
	count := func(counter string) func() (string, error) {
		return func() (string, error) {
			n, err := functions.Count.Call(ctx, c, counter)
			return strconv.Itoa(n), err
		}
	}
	offer(c, "tab", count("tab-persistent"))
	offer(c, "session", count("session-persistent"))
	offer(c, "user", count("user-persistent"))
	offer(c, "greet", func() (string, error) {
		return functions.Greet.Call(ctx, c, "Good evening")
	})
	offer(c, "accounts", func() (string, error) {
		names, err := functions.Accounts.Call(ctx, c, struct{}{})
		return listed(names), err
	})
	offer(c, "wave", func() (string, error) {
		_, err := functions.Wave.Call(ctx, c, find("[data-text]").Get("value").String())
		return "every tab of yours has it", err
	})
	offer(c, "disconnect", func() (string, error) {
		return "done: this tab is nobody's now", c.Disconnect(ctx)
	})
	showTab(c)
	select {}
}

// listed avoids package strings, which would make the program larger.
func listed(names []string) (list string) {
	for i, name := range names {
		if i > 0 {
			list += ", "
		}
		list += name
	}
	return list
}

// offer makes a button call a function and show its answer.
func offer(c *client.Client, name string, f func() (string, error)) {
	button := find(`[data-call="` + name + `"]`)
	pressed := js.FuncOf(func(js.Value, []js.Value) any {
		button.Set("disabled", true)
		go func() { // the page goes on meanwhile
			text, err := f()
			show(find(`[data-answer="`+name+`"]`), text, err)
			button.Set("disabled", false)
			showTab(c)
		}()
		return nil
	})
	button.Call("addEventListener", "click", pressed)
	button.Set("disabled", false)
}

// show shows an answer, or the code of an error and what it means.
func show(output js.Value, text string, err error) {
	if err == nil {
		output.Set("className", "")
		output.Set("textContent", text)
		return
	}
	code, meaning := "error", err.Error()
	if said, ok := err.(*protocol.Error); ok { // errors.As would make the program larger
		code, meaning = said.Code, said.Message
	}
	switch code {
	case protocol.CodeNotConnected:
		meaning = "nobody is connected"
	case protocol.CodePermissionDenied:
		meaning = "not for your groups"
	}
	element := js.Global().Get("document").Call("createElement", "code")
	element.Set("textContent", code)
	output.Call("replaceChildren", element, " "+meaning)
	output.Set("className", "wrong")
}

// showTab says which tab this is, and whose.
func showTab(c *client.Client) {
	find("[data-me]").Set("hidden", false)
	user := find("[data-shown-user]")
	name := "nobody"
	if c.User() != protocol.Nobody {
		name = user.Get("dataset").Get("shownUser").String()
	}
	user.Set("textContent", name)
	js.Global().Get("document").Get("body").Get("classList").Call("toggle", "left", c.User() == protocol.Nobody)
}

func find(selector string) js.Value {
	return js.Global().Get("document").Call("querySelector", selector)
}
