package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/rpc"
)

// A function that a page calls, under a guard. The definition would be in a
// package that the client imports too.
func ExampleHandleRPC() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	greet := rpc.Define[string, string]("greet")
	sojourn.HandleRPC(site, greet, sojourn.ConnectedRPC(site,
		func(_ context.Context, user sojourn.UserID, name string) (string, error) {
			return "Hello, " + name + ", says " + string(user), nil
		}))
	tab := exampleBrowser(site, mux).NewTab()

	fmt.Println(tab.PostJSON("/_sojourn/rpc/greet", "Bob").Text())
	tab.Post("/login", as("alice"))
	fmt.Println(tab.PostJSON("/_sojourn/rpc/greet", "Bob").Text())
	// Output:
	// {"error":{"code":"not_connected","message":"sojourn: not connected"}}
	//
	// "Hello, Bob, says alice"
}

func ExampleSite_ClientScript() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.Handle("GET /page", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		tag, err := site.ClientScript(r.Context())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "<head>%s</head>", tag)
		return err
	}))
	tab := exampleBrowser(site, mux).NewTab()

	tab.Post("/login", as("alice"))
	page := tab.Get("/page").Text()
	fmt.Println(strings.HasPrefix(page, `<head><script type="module" src="/_sojourn/client.js?v=`))
	fmt.Println(strings.Contains(page, `data-user="alice"`))
	fmt.Println(tab.Live().Next().User) // the page's live connection
	// Output:
	// true
	// true
	// alice
}

func ExampleSite_Notify() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	tab := exampleBrowser(site, mux).NewTab()
	tab.Post("/login", as("alice"))
	live := tab.Live()
	live.Next() // the welcome

	// From anywhere, in a request or not.
	err := site.Notify(context.Background(), site.UserState("alice"), "mail", map[string]string{"from": "Bob"})
	fmt.Println(err)
	m := live.Next()
	fmt.Println(m.Event, string(m.Data))
	// Output:
	// <nil>
	// mail {"from":"Bob"}
}
