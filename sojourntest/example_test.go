package sojourntest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// A login in one tab, seen by another tab of the browser and by a thief of its
// cookies, until it is over.
func Example() {
	t := new(testing.T) // in a test: the one that it was given

	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = site.Close() }()
	mux := http.NewServeMux()
	mux.Handle("POST /login", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Connect(r.Context(), sojourn.UserID(r.FormValue("user")))
	}))
	mux.Handle("POST /logout", site.Connected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Disconnect(r.Context())
	}))
	mux.Handle("GET /me", site.Connected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprintf(w, "user %s", user)
		return err
	}))

	browser := sojourntest.NewBrowser(t, site.Middleware(mux))
	tab, other := browser.NewTab(), browser.NewTab()
	tab.Post("/login", map[string][]string{"user": {"42"}})
	thief := browser.Clone()

	fmt.Println("tab:", tab.Get("/me").Text())
	fmt.Println("other tab:", other.Get("/me").Text())
	fmt.Println("thief:", thief.Get("/me").Text())

	tab.Post("/logout", nil)
	fmt.Println("thief, later:", thief.Get("/me").Status)

	// Output:
	// tab: user 42
	// other tab: user 42
	// thief: user 42
	// thief, later: 401 Unauthorized
}

// A tab with its live connection open hears that its user signs out elsewhere.
func ExampleTab_Live() {
	t := new(testing.T) // in a test: the one that it was given

	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = site.Close() }()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(_ http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), "alice"); err != nil {
			fmt.Println(err)
		}
	})
	mux.HandleFunc("POST /logout", func(_ http.ResponseWriter, r *http.Request) {
		if err := site.Disconnect(r.Context()); err != nil {
			fmt.Println(err)
		}
	})

	browser := sojourntest.NewBrowser(t, site.Middleware(mux))
	tab, other := browser.NewTab(), browser.NewTab()
	tab.Post("/login", nil)
	live := other.Live()
	fmt.Println("welcome,", live.Next().User)
	tab.Post("/logout", nil)
	fmt.Println(live.Next().Reason)
	fmt.Println(live.Code() == protocol.CloseChanged)
	// Output:
	// welcome, alice
	// disconnect
	// true
}
