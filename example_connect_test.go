package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// exampleSite is a site in memory with its pages: POST /login connects the
// user of the form, GET /me says who is connected.
func exampleSite(cfg sojourn.Config) (*sojourn.Site, *http.ServeMux) {
	site, err := sojourn.New(cfg)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /login", site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Connect(r.Context(), sojourn.UserID(r.FormValue("name")))
	}))
	mux.Handle("GET /me", site.OptConnected(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprintf(w, "user %q", user)
		return err
	}))
	return site, mux
}

// exampleBrowser is a browser that asks the site's pages.
func exampleBrowser(site *sojourn.Site, mux *http.ServeMux) *sojourntest.Browser {
	return sojourntest.NewBrowser(new(testing.T), site.Middleware(mux)) // in a test: its own t
}

func as(name string) url.Values { return url.Values{"name": {name}} }

func Example() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", site.Connected(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprintf(w, "Hello, %s", user)
		return err
	}))
	mux.Handle("POST /login", site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		// Check the password here.
		return site.Connect(r.Context(), sojourn.UserID(r.FormValue("name")))
	}))
	mux.Handle("POST /logout", site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Disconnect(r.Context())
	}))
	handler := site.Middleware(mux) // to be given to http.ListenAndServe

	browser := sojourntest.NewBrowser(new(testing.T), handler)
	fmt.Println(browser.Get("/").Status)
	browser.Post("/login", url.Values{"name": {"alice"}})
	fmt.Println(browser.Get("/").Text())
	browser.Post("/logout", nil)
	fmt.Println(browser.Get("/").Status)
	// Output:
	// 401 Unauthorized
	// Hello, alice
	// 401 Unauthorized
}

func ExampleSite_Connect() {
	site, mux := exampleSite(sojourn.Config{
		Users: func(_ context.Context, user sojourn.UserID) (bool, error) { return user == "alice", nil },
	})
	defer site.Close()
	mux.HandleFunc("POST /connect", func(w http.ResponseWriter, r *http.Request) {
		err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("name")))
		fmt.Fprintln(w, err)
	})
	browser := exampleBrowser(site, mux)

	fmt.Print(browser.Post("/connect", as("mallory")).Text())
	fmt.Print(browser.Post("/connect", as("alice")).Text())
	fmt.Println(browser.Get("/me").Text())
	// Output:
	// sojourn: no such user
	// <nil>
	// user "alice"
}

func ExampleExpireAtBrowserExit() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.HandleFunc("POST /borrow", func(w http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), "alice", sojourn.ExpireAtBrowserExit()); err != nil {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	})
	browser := exampleBrowser(site, mux)

	browser.Post("/borrow", nil)
	fmt.Println(browser.Get("/me").Text())
	browser.Exit()
	fmt.Println(browser.Get("/me").Text())
	// Output:
	// user "alice"
	// user ""
}

func ExampleSite_Disconnect() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, site.Disconnect(r.Context()))
	})
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	phone.Post("/login", as("alice"))
	laptop.Post("/logout", nil)
	fmt.Println("laptop:", laptop.Get("/me").Text())
	fmt.Println("phone:", phone.Get("/me").Text())
	// Output:
	// laptop: user ""
	// phone: user "alice"
}

func ExampleSite_DisconnectAll() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.HandleFunc("POST /logout-everywhere", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, site.DisconnectAll(r.Context()))
	})
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	phone.Post("/login", as("alice"))
	laptop.Post("/logout-everywhere", nil)
	fmt.Println("laptop:", laptop.Get("/me").Text())
	fmt.Println("phone:", phone.Get("/me").Text())
	// Output:
	// laptop: user ""
	// phone: user ""
}

// Outside a request, say when an administrator has locked an account.
func ExampleOfUser() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	browser := exampleBrowser(site, mux)
	browser.Post("/login", as("alice"))

	err := site.DisconnectAll(context.Background(), sojourn.OfUser("alice"))
	fmt.Println(err)
	fmt.Println(browser.Get("/me").Text())
	// Output:
	// <nil>
	// user ""
}

func ExampleKeepUserIndependent() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	cart := sojourn.NewRef(site, sojourn.UserIndependentSessionScope, func() string { return "empty" })
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, cart.Set(r.Context(), "a lamp"))
	})
	mux.HandleFunc("GET /cart", func(w http.ResponseWriter, r *http.Request) {
		inside, err := cart.Get(r.Context())
		fmt.Fprint(w, inside, " ", err)
	})
	mux.HandleFunc("POST /logout-everywhere", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, site.DisconnectAll(r.Context(), sojourn.KeepUserIndependent()))
	})
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	browser.Post("/buy", nil)
	browser.Post("/logout-everywhere", nil)
	fmt.Println(browser.Get("/cart").Text())
	// Output:
	// a lamp <nil>
}

// WithoutRestart leaves out the header that tells a client to start again.
func ExampleWithoutRestart() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, site.DisconnectAll(r.Context()))
	})
	mux.HandleFunc("POST /no-restart", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, site.DisconnectAll(r.Context(), sojourn.WithoutRestart()))
	})
	browser := exampleBrowser(site, mux)

	browser.Post("/login", as("alice"))
	fmt.Println(browser.Post("/restart", nil).Restart())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Post("/no-restart", nil).Restart())
	// Output:
	// true
	// false
}

// CurrentUser works on pages without a guard, too.
func ExampleSite_CurrentUser() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.HandleFunc("GET /banner", func(w http.ResponseWriter, r *http.Request) {
		user, err := site.CurrentUser(r.Context())
		switch {
		case err != nil:
			http.Error(w, "ask again later", http.StatusInternalServerError)
		case user == sojourn.Nobody:
			fmt.Fprint(w, "Sign in")
		default:
			fmt.Fprintf(w, "Signed in as %s", user)
		}
	})
	browser := exampleBrowser(site, mux)

	fmt.Println(browser.Get("/banner").Text())
	browser.Post("/login", as("alice"))
	fmt.Println(browser.Get("/banner").Text())
	// Output:
	// Sign in
	// Signed in as alice
}

// A page that shows where a user is signed in, and ends the other sessions one
// by one.
func ExampleSite_EndSession() {
	site, mux := exampleSite(sojourn.Config{})
	defer site.Close()
	mux.Handle("POST /end-others", site.Connected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		sessions, err := site.Sessions(r.Context(), user)
		if err != nil {
			return err
		}
		for _, s := range sessions {
			if s.Current {
				continue
			}
			if err := site.EndSession(r.Context(), user, s.ID); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(w, "%d sessions, one is left", len(sessions))
		return err
	}))
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	phone.Post("/login", as("alice"))
	fmt.Println(laptop.Post("/end-others", nil).Text())
	fmt.Println("laptop:", laptop.Get("/me").Text())
	fmt.Println("phone:", phone.Get("/me").Text())
	// Output:
	// 2 sessions, one is left
	// laptop: user "alice"
	// phone: user ""
}

func ExampleSite_OnSessionEnd() {
	site, mux := exampleSite(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 1}})
	defer site.Close()
	site.OnSessionEnd(func(_ context.Context, session sojourn.SessionInfo, reason sojourn.EndReason) {
		fmt.Println("a session of", session.User, "ended:", reason)
	})
	laptop, phone := exampleBrowser(site, mux), exampleBrowser(site, mux)

	laptop.Post("/login", as("alice"))
	phone.Post("/login", as("alice")) // one session is all that alice may have
	// Output:
	// a session of alice ended: evicted
}

// A site for the whole run of the program. New says what in Config cannot be
// meant.
func ExampleNew() {
	site, err := sojourn.New(sojourn.Config{
		Cookie:   sojourn.CookieConfig{Name: "shop"},
		Timeouts: sojourn.Timeouts{Idle: 30 * time.Minute},
		Limits:   sojourn.Limits{SessionsPerUser: 5},
	})
	fmt.Println(err)
	fmt.Println(site.Close())
	_, err = sojourn.New(sojourn.Config{Path: "no-slash"})
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// sojourn: Config.Path is "no-slash": it must be names of letters, digits, - and _, each between slashes
}

// Without Middleware nothing works, and says so.
func ExampleSite_Middleware() {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		panic(err)
	}
	defer site.Close()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := site.CurrentUser(r.Context())
		fmt.Fprintf(w, "user %q, %v", user, err)
	})

	fmt.Println(sojourntest.NewBrowser(new(testing.T), page).Get("/").Text())
	fmt.Println(sojourntest.NewBrowser(new(testing.T), site.Middleware(page)).Get("/").Text())
	// Output:
	// user "", sojourn: no request in this context: is Site.Middleware missing, or is this another site's context?
	// user "", <nil>
}

// For applications that know their users by number.
func ExampleIntUser() {
	user := sojourn.IntUser(42)
	fmt.Println(user)
	fmt.Println(user.Int64())
	_, err := sojourn.UserID("alice").Int64()
	fmt.Println(err != nil)
	// Output:
	// 42
	// 42 <nil>
	// true
}
