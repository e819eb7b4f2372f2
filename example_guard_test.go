package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

// groups says who is in which group: root in admins, mallory in banned.
func groups(_ context.Context, user sojourn.UserID, group sojourn.Group) (bool, error) {
	return user == "root" && group == "admins" || user == "mallory" && group == "banned", nil
}

func hello(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
	_, err := fmt.Fprintf(w, "Hello, %s.", user)
	return err
}

func ExampleSite_Connected() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.Handle("GET /account", site.Connected(hello))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/account").Status)
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/account").Text())
	// Output:
	// 401 Unauthorized
	// Hello, alice.
}

func ExampleSite_OptConnected() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.Handle("GET /shop", site.OptConnected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		if user == sojourn.Nobody {
			user = "stranger"
		}
		return hello(w, r, user)
	}))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/shop").Text())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/shop").Text())
	// Output:
	// Hello, stranger.
	// Hello, alice.
}

func ExampleSite_Wrap() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	files := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a file") })
	mux.Handle("GET /files/", site.Wrap(files, sojourn.Deny("banned")))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/files/a").Text())
	browser.Post("/login", as("mallory"))
	fmt.Println(browser.Get("/files/a").Status)
	// Output:
	// a file
	// 403 Forbidden
}

func ExampleAllow() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	mux.Handle("GET /admin", site.Connected(hello, sojourn.Allow("admins", "auditors")))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/admin").Status)
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/admin").Status)
	browser.Post("/login", as("root"))
	fmt.Println(browser.Get("/admin").Text())
	// Output:
	// 401 Unauthorized
	// 403 Forbidden
	// Hello, root.
}

func ExampleDeny() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	mux.Handle("GET /forum", site.Connected(hello, sojourn.Deny("banned")))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("mallory"))
	fmt.Println(browser.Get("/forum").Status)
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/forum").Text())
	// Output:
	// 403 Forbidden
	// Hello, alice.
}

func ExampleDenyHandler() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	refused := func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		w.WriteHeader(http.StatusForbidden)
		_, err := fmt.Fprintf(w, "Sorry, %s, this is for admins.", user)
		return err
	}
	mux.Handle("GET /admin", site.Connected(hello, sojourn.Allow("admins"), sojourn.DenyHandler(refused)))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/admin").Text())
	// Output:
	// Sorry, alice, this is for admins.
}

// A page that is the same for everybody looks no session up.
func ExampleForceUnconnected() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.Handle("GET /press", site.OptConnected(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprintf(w, "user %q", user)
		return err
	}, sojourn.ForceUnconnected()))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/press").Text())
	// Output:
	// user ""
}

// A function that only connected users may call, whoever calls it.
func ExampleConnectedRPC() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	balance := sojourn.ConnectedRPC(site, func(_ context.Context, user sojourn.UserID, currency string) (string, error) {
		return fmt.Sprintf("%s has 3 %s", user, currency), nil
	})
	mux.HandleFunc("GET /balance", func(w http.ResponseWriter, r *http.Request) {
		text, err := balance(r.Context(), r.FormValue("in"))
		if errors.Is(err, sojourn.ErrNotConnected) {
			text = "sign in first"
		}
		fmt.Fprint(w, text)
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/balance?in=EUR").Text())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/balance?in=EUR").Text())
	// Output:
	// sign in first
	// alice has 3 EUR
}

func ExampleOptConnectedRPC() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	price := sojourn.OptConnectedRPC(site, func(_ context.Context, user sojourn.UserID, article string) (int, error) {
		if user == sojourn.Nobody {
			return 100, nil
		}
		return 90, nil // customers pay less
	})
	mux.HandleFunc("GET /price", func(w http.ResponseWriter, r *http.Request) {
		cents, err := price(r.Context(), "lamp")
		fmt.Fprint(w, cents, " ", err)
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/price").Text())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/price").Text())
	// Output:
	// 100 <nil>
	// 90 <nil>
}

// A function that does not need to know the user, with a guard all the same.
func ExampleConnectedWrapper() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	search := sojourn.ConnectedWrapper(site, func(_ context.Context, words string) (int, error) {
		return len(words), nil
	}, sojourn.Deny("banned"))
	mux.HandleFunc("GET /search", func(w http.ResponseWriter, r *http.Request) {
		hits, err := search(r.Context(), "lamp")
		fmt.Fprint(w, hits, " ", errors.Is(err, sojourn.ErrPermissionDenied))
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/search").Text())
	browser.Post("/login", as("mallory"))
	fmt.Println(browser.Get("/search").Text())
	// Output:
	// 4 false
	// 0 true
}

func ExampleDenyFunc() {
	site, mux := exampleSite(sojourn.Config{Groups: groups})
	defer site.Close()
	report := sojourn.ConnectedRPC(site,
		func(context.Context, sojourn.UserID, int) (string, error) { return "the report", nil },
		sojourn.Allow("admins"),
		sojourn.DenyFunc(func(_ context.Context, user sojourn.UserID) (string, error) {
			return "a summary for " + string(user), nil
		}))
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		text, err := report(r.Context(), 2026)
		fmt.Fprint(w, text, " ", err)
	})
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/report").Text())
	// Output:
	// a summary for alice <nil>
}

// The order of a login and of the request after it.
func ExampleSite_OnRequest() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	user := func(what string) func(context.Context, sojourn.UserID) error {
		return func(_ context.Context, user sojourn.UserID) error {
			fmt.Printf("%s %q\n", what, user)
			return nil
		}
	}
	plain := func(what string) func(context.Context) error {
		return func(context.Context) error {
			fmt.Println(what)
			return nil
		}
	}
	site.OnRequest(user("request"))
	site.OnConnectedRequest(user("connected request"))
	site.OnUnconnectedRequest(plain("unconnected request"))
	site.OnDeniedRequest(user("denied request"))
	site.OnStartTab(user("start tab"))
	site.OnStartConnectedTab(user("start connected tab"))
	site.OnStartUnconnectedTab(plain("start unconnected tab"))
	site.OnOpenSession(user("open session"))
	site.OnPreCloseSession(plain("pre-close session"))
	site.OnPostCloseSession(plain("post-close session"))
	tab := exampleBrowser(site, mux).NewTab()

	fmt.Println("-- login")
	tab.Post("/login", as("alice"))
	fmt.Println("-- page")
	tab.Get("/me")
	// Output:
	// -- login
	// request ""
	// start tab ""
	// start unconnected tab
	// unconnected request
	// pre-close session
	// post-close session
	// open session "alice"
	// start tab "alice"
	// start connected tab "alice"
	// -- page
	// request "alice"
	// connected request "alice"
}
