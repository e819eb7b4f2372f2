package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

// do is a page that does something and writes how it went.
func do(f func(ctx context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, f(r.Context())) }
}

// Reading stores nothing: a reference that was never set has its initial value.
func ExampleRef_Get() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	theme := sojourn.NewRef(site, sojourn.UserIndependentSessionScope, func() string { return "light" })
	mux.HandleFunc("GET /theme", func(w http.ResponseWriter, r *http.Request) {
		t, err := theme.Get(r.Context())
		fmt.Fprint(w, t, " ", err)
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/theme").Text())
	fmt.Println(len(browser.Cookies()), "cookies")
	// Output:
	// light <nil>
	// 0 cookies
}

func ExampleRef_Set() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	note := sojourn.NewRef[string](site, sojourn.UserScope, nil)
	mux.HandleFunc("POST /note", do(func(ctx context.Context) error { return note.Set(ctx, "buy bread") }))
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Post("/note", nil).Text()) // whose would it be?
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Post("/note", nil).Text())
	// Output:
	// sojourn: not connected
	// <nil>
}

// The value of another state than the request's: here of a user, outside of
// any request.
func ExampleRef_GetIn() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	lang := sojourn.NewPersistentRef(site, sojourn.UserScope, "lang", func() string { return "en" })

	fmt.Println(lang.GetIn(context.Background(), site.UserState("alice")))
	// Output:
	// en <nil>
}

func ExampleRef_SetIn() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	lang := sojourn.NewPersistentRef(site, sojourn.UserScope, "lang", func() string { return "en" })
	seen := sojourn.NewRef[bool](site, sojourn.UserScope, nil)
	ctx, alice := context.Background(), site.UserState("alice")

	fmt.Println(lang.SetIn(ctx, alice, "fr"))
	fmt.Println(lang.GetIn(ctx, alice))
	fmt.Println(seen.SetIn(ctx, alice, true)) // volatile, and alice has no session
	// Output:
	// <nil>
	// fr <nil>
	// sojourn: the session ended while this request was running
}

func ExampleRef_ModifyIn() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	credit := sojourn.NewPersistentRef(site, sojourn.UserScope, "credit", func() int { return 10 })
	ctx, alice := context.Background(), site.UserState("alice")
	spend := func(n int) error {
		return credit.ModifyIn(ctx, alice, func(left int) (int, error) {
			if left < n {
				return 0, errors.New("too little credit") // nothing changes
			}
			return left - n, nil
		})
	}

	fmt.Println(spend(7))
	fmt.Println(spend(7))
	fmt.Println(credit.GetIn(ctx, alice))
	// Output:
	// <nil>
	// too little credit
	// 3 <nil>
}

func ExampleRef_UnsetIn() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	lang := sojourn.NewPersistentRef(site, sojourn.UserScope, "lang", func() string { return "en" })
	ctx, alice := context.Background(), site.UserState("alice")

	fmt.Println(lang.SetIn(ctx, alice, "fr"))
	fmt.Println(lang.UnsetIn(ctx, alice))
	fmt.Println(lang.GetIn(ctx, alice))
	// Output:
	// <nil>
	// <nil>
	// en <nil>
}

// A state that is taken from one request and used after it.
func ExampleSite_CurrentState() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	progress := sojourn.NewRef[int](site, sojourn.SessionScope, nil)
	var job sojourn.State
	mux.HandleFunc("POST /start", do(func(ctx context.Context) (err error) {
		job, err = site.CurrentState(ctx, sojourn.SessionScope)
		return err
	}))
	mux.HandleFunc("GET /progress", func(w http.ResponseWriter, r *http.Request) {
		percent, err := progress.Get(r.Context())
		fmt.Fprint(w, percent, " ", err)
	})
	mux.HandleFunc("POST /logout", do(site.Disconnect))
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	browser.Post("/start", nil)
	fmt.Println(progress.SetIn(context.Background(), job, 50)) // while the job runs
	fmt.Println(browser.Get("/progress").Text())
	browser.Post("/logout", nil)
	fmt.Println(progress.SetIn(context.Background(), job, 100))
	// Output:
	// <nil>
	// 50 <nil>
	// sojourn: the session ended while this request was running
}
