package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func ExampleSite_OnOpenSession() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	cart := sojourn.NewRef[[]string](site, sojourn.SessionScope, nil)
	site.OnOpenSession(func(ctx context.Context, user sojourn.UserID) error {
		return cart.Set(ctx, []string{"a gift for " + string(user)})
	})

	browser := sojourntest.NewBrowser(new(testing.T), site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), "alice"); err != nil {
			fmt.Println(err)
		}
		things, err := cart.Get(r.Context())
		fmt.Fprint(w, things, err)
	})))
	fmt.Println(browser.Get("/").Text())
	// Output: [a gift for alice] <nil>
}

func ExampleSite_OnStartConnectedTab() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	site.OnStartTab(func(_ context.Context, user sojourn.UserID) error {
		fmt.Printf("a tab of %q\n", user)
		return nil
	})
	site.OnStartConnectedTab(func(_ context.Context, user sojourn.UserID) error {
		fmt.Printf("%s is connected in it\n", user)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("/login", site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Connect(r.Context(), "alice")
	}))
	mux.Handle("/", site.OptConnected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil }))

	tab := sojourntest.NewBrowser(new(testing.T), site.Middleware(mux)).NewTab()
	tab.Get("/")
	tab.Get("/")
	tab.Get("/login")
	tab.Get("/")
	// Output:
	// a tab of ""
	// a tab of "alice"
	// alice is connected in it
}

func ExampleSite_Sessions() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), "alice"); err != nil {
			fmt.Println(err)
		}
	})
	mux.Handle("/sessions", site.Connected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		list, err := site.Sessions(r.Context(), user)
		for _, s := range list {
			fmt.Println(s.UserAgent, "- this one:", s.Current)
		}
		return err
	}))
	handler := site.Middleware(mux)

	laptop, phone := sojourntest.NewBrowser(new(testing.T), handler), sojourntest.NewBrowser(new(testing.T), handler)
	login := func(b *sojourntest.Browser, agent string) {
		r, _ := http.NewRequest("GET", "/login", nil)
		r.Header.Set("User-Agent", agent)
		b.Do(r)
	}
	login(laptop, "laptop")
	login(phone, "phone")
	phone.Get("/sessions")
	// Unordered output:
	// phone - this one: true
	// laptop - this one: false
}
