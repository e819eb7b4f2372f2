package sojourn_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

// count adds one and writes what that makes.
func count(counter *sojourn.Ref[int]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := counter.Modify(r.Context(), func(n int) (int, error) { return n + 1, nil })
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		n, err := counter.Get(r.Context())
		fmt.Fprint(w, n, " ", err)
	}
}

// One value for each session, in the memory of this server.
func ExampleNewRef() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	clicks := sojourn.NewRef(site, sojourn.SessionScope, func() int { return 0 })
	mux.Handle("POST /click", count(clicks))
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	phone.Post("/login", as("alice"))
	laptop.Post("/click", nil)
	fmt.Println("laptop:", laptop.Post("/click", nil).Text())
	fmt.Println("phone:", phone.Post("/click", nil).Text())
	// Output:
	// laptop: 2 <nil>
	// phone: 1 <nil>
}

// One value for each user, in the store: all the user's browsers share it, and
// it is there at the next login.
func ExampleNewPersistentRef() {
	site, mux := exampleSite(sojourn.Config{}) // Config.Store would make it last
	defer site.Close()
	type settings struct {
		Theme string `json:"theme"`
	}
	theme := sojourn.NewPersistentRef(site, sojourn.UserScope, "settings", func() settings { return settings{"light"} })
	mux.HandleFunc("POST /dark", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, theme.Set(r.Context(), settings{"dark"}))
	})
	mux.HandleFunc("GET /theme", func(w http.ResponseWriter, r *http.Request) {
		s, err := theme.Get(r.Context())
		fmt.Fprint(w, s.Theme, " ", err)
	})
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	laptop.Post("/dark", nil)
	phone.Post("/login", as("alice"))
	fmt.Println(phone.Get("/theme").Text())
	// Output:
	// dark <nil>
}

func ExampleRef_Modify() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	tickets := sojourn.NewPersistentRef(site, sojourn.SiteScope, "tickets", func() int { return 1 })
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		err := tickets.Modify(r.Context(), func(left int) (int, error) {
			if left == 0 {
				return 0, fmt.Errorf("sold out") // nothing changes
			}
			return left - 1, nil
		})
		fmt.Fprint(w, err)
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Post("/buy", nil).Text())
	fmt.Println(browser.Post("/buy", nil).Text())
	// Output:
	// <nil>
	// sold out
}

func ExampleRef_Unset() {
	site, _ := exampleSite(sojourn.Config{})
	defer site.Close()
	motd := sojourn.NewRef(site, sojourn.SiteScope, func() string { return "Welcome" })

	ctx := context.Background() // the site's state needs no request
	if err := motd.Set(ctx, "Back in an hour"); err != nil {
		panic(err)
	}
	fmt.Println(motd.Get(ctx))
	if err := motd.Unset(ctx); err != nil {
		panic(err)
	}
	fmt.Println(motd.Get(ctx))
	// Output:
	// Back in an hour <nil>
	// Welcome <nil>
}

// State that neither Connect nor Disconnect touches, behind a cookie of its
// own.
func ExampleNewHierarchy() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	consent := sojourn.NewHierarchy("consent")
	given := sojourn.NewPersistentRef(site, consent.Session(), "given", func() bool { return false })
	mux.HandleFunc("POST /agree", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, given.Set(r.Context(), true))
	})
	mux.HandleFunc("GET /agreed", func(w http.ResponseWriter, r *http.Request) {
		yes, err := given.Get(r.Context())
		fmt.Fprint(w, yes, " ", err)
	})
	browser := exampleBrowser(site, mux)

	browser.Post("/agree", nil)
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/agreed").Text())
	// Output:
	// true <nil>
}

// The state of a user who has asked for nothing.
func ExampleSite_UserState() {
	site, _ := exampleSite(sojourn.Config{})
	defer site.Close()
	inbox := sojourn.NewPersistentRef(site, sojourn.UserScope, "inbox", func() []string { return nil })

	ctx := context.Background()
	alice := site.UserState("alice")
	err := inbox.ModifyIn(ctx, alice, func(letters []string) ([]string, error) {
		return append(letters, "Hello from bob"), nil
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(inbox.GetIn(ctx, alice))
	// Output:
	// [Hello from bob] <nil>
}

// What every session of a user holds.
func ExampleSite_SubStates() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	clicks := sojourn.NewRef(site, sojourn.SessionScope, func() int { return 0 })
	mux.Handle("POST /click", count(clicks))
	for range 2 {
		browser := exampleBrowser(site, mux)
		browser.Post("/login", as("alice"))
		browser.Post("/click", nil)
	}

	ctx, sum := context.Background(), 0
	for session, err := range site.SubStates(ctx, site.UserState("alice")) {
		if err != nil {
			panic(err)
		}
		n, err := clicks.GetIn(ctx, session)
		if err != nil {
			panic(err)
		}
		sum += n
	}
	fmt.Println(sum)
	// Output:
	// 2
}

// A button "forget what this tab holds".
func ExampleSite_Discard() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	draft := sojourn.NewRef(site, sojourn.TabScope, func() string { return "" })
	mux.Handle("POST /write", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return draft.Set(r.Context(), "Dear all")
	}))
	mux.Handle("GET /draft", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		text, err := draft.Get(r.Context())
		fmt.Fprintf(w, "%q", text)
		return err
	}))
	mux.Handle("POST /forget", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		tab, err := site.CurrentState(r.Context(), sojourn.TabScope)
		if err != nil {
			return err
		}
		return site.Discard(r.Context(), tab)
	}))
	tab := exampleBrowser(site, mux).NewTab()

	tab.Post("/write", nil)
	fmt.Println(tab.Get("/draft").Text())
	tab.Post("/forget", nil)
	fmt.Println(tab.Get("/draft").Text())
	// Output:
	// "Dear all"
	// ""
}
