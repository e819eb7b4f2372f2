// Command hello is what TestHelloForTheBrowserIsSmall compiles: a page that
// calls a function and takes messages.
package main

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/rpc"
)

var greet = rpc.Define[string, string]("greet")

func main() {
	ctx := context.Background()
	c, err := client.Start(ctx, client.Options{})
	if err != nil {
		println(err.Error())
		return
	}
	c.OnEvent("news", func(data []byte) { println(string(data)) })
	greeting, err := greet.Call(ctx, c, "hello")
	switch {
	case errors.Is(err, client.ErrNotConnected):
		println("nobody is connected")
	case err != nil:
		println(err.Error())
	default:
		println(greeting)
	}
	select {}
}
