package sojourn_test

import (
	"context"
	"fmt"

	"github.com/sojourn-go/sojourn"
)

// A tab starts once, whatever it asks afterwards.
func ExampleSite_OnStartTab() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	site.OnStartTab(func(_ context.Context, user sojourn.UserID) error {
		fmt.Printf("a tab of %q starts\n", user)
		return nil
	})
	browser := exampleBrowser(site, mux)

	tab := browser.NewTab()
	tab.Get("/me")
	tab.Get("/me")
	browser.NewTab().Get("/me")
	// Output:
	// a tab of "" starts
	// a tab of "" starts
}

func ExampleSite_OnStartUnconnectedTab() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	visitors := sojourn.NewRef[int](site, sojourn.SiteScope, nil)
	site.OnStartUnconnectedTab(func(ctx context.Context) error {
		return visitors.Modify(ctx, func(n int) (int, error) { return n + 1, nil })
	})
	mux.HandleFunc("GET /visitors", count(visitors))
	browser := exampleBrowser(site, mux)

	browser.NewTab().Get("/me")
	browser.Post("/login", as("alice")) // as a visitor still
	browser.NewTab().Get("/me")
	fmt.Println("with this one:", browser.Get("/visitors").Text())
	// Output:
	// with this one: 3 <nil>
}

func ExampleSite_OnConnectedRequest() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	site.OnConnectedRequest(func(_ context.Context, user sojourn.UserID) error {
		if user == "mallory" {
			return sojourn.ErrPermissionDenied // refuses the request
		}
		return nil
	})
	alice, mallory := exampleBrowser(site, mux), exampleBrowser(site, mux)

	alice.Post("/login", as("alice"))
	mallory.Post("/login", as("mallory"))
	fmt.Println(alice.Get("/me").Status)
	fmt.Println(mallory.Get("/me").Status)
	// Output:
	// 200 OK
	// 403 Forbidden
}

func ExampleSite_OnUnconnectedRequest() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	site.OnUnconnectedRequest(func(context.Context) error {
		fmt.Println("nobody asks")
		return nil
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/me").Text())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/me").Text())
	// Output:
	// nobody asks
	// user ""
	// nobody asks
	// user "alice"
}

func ExampleSite_OnDeniedRequest() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	site.OnDeniedRequest(func(_ context.Context, user sojourn.UserID) error {
		fmt.Printf("%q was refused\n", user)
		return nil
	})
	mux.Handle("GET /admin", site.Connected(hello, sojourn.Allow("admins")))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/admin").Status)
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/admin").Status)
	// Output:
	// "" was refused
	// 401 Unauthorized
	// "alice" was refused
	// 403 Forbidden
}

// The state of the session can still be read before it closes.
func ExampleSite_OnPreCloseSession() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	draft := sojourn.NewRef[string](site, sojourn.SessionScope, nil)
	saved := sojourn.NewPersistentRef[string](site, sojourn.UserScope, "draft", nil)
	site.OnPreCloseSession(func(ctx context.Context) error {
		text, err := draft.Get(ctx)
		if err != nil || text == "" {
			return err
		}
		return saved.Set(ctx, text)
	})
	mux.HandleFunc("POST /write", do(func(ctx context.Context) error { return draft.Set(ctx, "Dear Bob,") }))
	mux.HandleFunc("POST /logout", do(site.Disconnect))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	browser.Post("/write", nil)
	browser.Post("/logout", nil)
	fmt.Println(saved.GetIn(context.Background(), site.UserState("alice")))
	// Output:
	// Dear Bob, <nil>
}

func ExampleSite_OnPostCloseSession() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	tell := func(when string) func(context.Context) error {
		return func(ctx context.Context) error {
			user, err := site.CurrentUser(ctx)
			fmt.Printf("%s the user is %q\n", when, user)
			return err
		}
	}
	site.OnPreCloseSession(tell("before the end"))
	mux.HandleFunc("POST /logout", do(site.Disconnect))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	site.OnPostCloseSession(tell("after the end"))
	browser.Post("/logout", nil)
	// Output:
	// before the end the user is ""
	// before the end the user is "alice"
	// after the end the user is ""
}
