//go:build !js

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
)

// In a package of its own, for server and client to import.
var (
	exampleLogin = rpc.Define[string, struct{}]("login")
	exampleGreet = rpc.Define[string, string]("greet")
)

// exampleServer is a site that offers both.
func exampleServer() (site *sojourn.Site, url string, stop func()) {
	site, err := sojourn.New(sojourn.Config{Cookie: sojourn.CookieConfig{Insecure: true}}) // this is plain HTTP
	if err != nil {
		panic(err)
	}
	sojourn.HandleRPC(site, exampleLogin, sojourn.OptConnectedRPC(site,
		func(ctx context.Context, _ sojourn.UserID, name string) (struct{}, error) {
			return struct{}{}, site.Connect(ctx, sojourn.UserID(name)) // the password would be checked here
		}))
	sojourn.HandleRPC(site, exampleGreet, sojourn.ConnectedRPC(site,
		func(_ context.Context, user sojourn.UserID, name string) (string, error) {
			return "Hello, " + name + ", says " + string(user), nil
		}))
	server := httptest.NewServer(site.Middleware(nil))
	return site, server.URL, func() {
		site.Close()
		server.Close()
	}
}

// startExample is a client whose user is alice.
func startExample(url string) *client.Client {
	ctx := context.Background()
	c, err := client.Start(ctx, client.Options{BaseURL: url})
	if err != nil {
		panic(err)
	}
	if _, err := exampleLogin.Call(ctx, c, "alice"); err != nil {
		panic(err)
	}
	return c
}

func Example() {
	_, url, stop := exampleServer()
	defer stop()
	ctx := context.Background()

	c, err := client.Start(ctx, client.Options{BaseURL: url})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, err = exampleGreet.Call(ctx, c, "Bob")
	fmt.Println(errors.Is(err, client.ErrNotConnected))

	_, err = exampleLogin.Call(ctx, c, "alice")
	fmt.Println(err)
	fmt.Println(exampleGreet.Call(ctx, c, "Bob"))
	// Output:
	// true
	// <nil>
	// Hello, Bob, says alice <nil>
}

func ExampleStart() {
	_, err := client.Start(context.Background(), client.Options{BaseURL: "ftp://example.com"})
	fmt.Println(err != nil)

	_, url, stop := exampleServer()
	defer stop()
	c, err := client.Start(context.Background(), client.Options{BaseURL: url})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Println(c.User() == protocol.Nobody)
	// Output:
	// true
	// true
}

func ExampleClient_CallRPC() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()

	var text string // what exampleGreet.Call does
	err := c.CallRPC(context.Background(), "greet", "Bob", &text)
	fmt.Println(text, err)
	// Output:
	// Hello, Bob, says alice <nil>
}

func ExampleClient_Disconnect() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	ctx := context.Background()

	fmt.Println(c.Disconnect(ctx))
	_, err := exampleGreet.Call(ctx, c, "Bob")
	fmt.Println(err)
	// Output:
	// <nil>
	// sojourn: not connected
}

func ExampleClient_DisconnectAll() {
	site, url, stop := exampleServer()
	defer stop()
	laptop, phone := startExample(url), startExample(url)
	defer laptop.Close()
	defer phone.Close()
	ctx := context.Background()

	fmt.Println(laptop.DisconnectAll(ctx, client.KeepUserIndependent()))
	list, err := site.Sessions(ctx, "alice")
	fmt.Println(len(list), err)
	// Output:
	// <nil>
	// 0 <nil>
}

// The session is ended by somebody else, such as by a list of sessions.
func ExampleClient_OnConnectionChanged() {
	site, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	reasons := make(chan string, 1)
	c.OnConnectionChanged(func(reason string) { reasons <- reason })

	err := site.DisconnectAll(context.Background(), sojourn.OfUser("alice"))
	fmt.Println(err)
	fmt.Println(<-reasons)
	// Output:
	// <nil>
	// disconnect-all
}

func ExampleClient_OnEvent() {
	site, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	mail := make(chan string, 1)
	c.OnEvent("mail", func(data []byte) { mail <- string(data) })

	err := site.Notify(context.Background(), site.UserState("alice"), "mail", "from Bob")
	fmt.Println(err)
	fmt.Println(<-mail)
	// Output:
	// <nil>
	// "from Bob"
}

// Code that both sides share gets the user, here from what the client knows.
func ExampleConnectedRPC() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	title := client.ConnectedRPC(c, func(_ context.Context, user protocol.UserID, page string) (string, error) {
		return page + " of " + string(user), nil
	})

	fmt.Println(title(context.Background(), "Orders"))
	fmt.Println(c.Disconnect(context.Background()))
	fmt.Println(title(context.Background(), "Orders"))
	// Output:
	// Orders of alice <nil>
	// <nil>
	//  sojourn: not connected
}

func ExampleOptConnectedRPC() {
	_, url, stop := exampleServer()
	defer stop()
	c, err := client.Start(context.Background(), client.Options{BaseURL: url})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	greet := client.OptConnectedRPC(c, func(_ context.Context, user protocol.UserID, word string) (string, error) {
		if user == protocol.Nobody {
			user = "stranger"
		}
		return word + ", " + string(user), nil
	})

	fmt.Println(greet(context.Background(), "Hello"))
	// Output:
	// Hello, stranger <nil>
}

// The two arguments are those of a service: of GET and of POST.
func ExampleConnectedFun() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	add := client.ConnectedFun(c, func(_ context.Context, user protocol.UserID, list string, item int) (string, error) {
		return string(user) + " puts " + strconv.Itoa(item) + " into " + list, nil
	})

	fmt.Println(add(context.Background(), "cart", 7))
	// Output:
	// alice puts 7 into cart <nil>
}

func ExampleOptConnectedFun() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	show := client.OptConnectedFun(c, func(_ context.Context, user protocol.UserID, page string, n int) (string, error) {
		return page + " " + strconv.Itoa(n) + " for " + string(user), nil
	})

	fmt.Println(show(context.Background(), "page", 3))
	// Output:
	// page 3 for alice <nil>
}

func ExampleConnectedWrapper() {
	_, url, stop := exampleServer()
	defer stop()
	c := startExample(url)
	defer c.Close()
	double := client.ConnectedWrapper(c, func(_ context.Context, n int) (int, error) { return 2 * n, nil })

	fmt.Println(double(context.Background(), 21))
	// Output:
	// 42 <nil>
}
