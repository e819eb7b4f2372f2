// Command chi has sojourn's guards on the routes of a chi router: one page for
// everybody, one for connected users, and a group of routes for admins.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/sojourn-go/sojourn"
)

const admins sojourn.Group = "admins"

func main() {
	site, handler, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()
	log.Print("http://localhost:8080")
	log.Print(http.ListenAndServe("localhost:8080", handler))
}

func newApp() (*sojourn.Site, http.Handler, error) {
	site, err := sojourn.New(sojourn.Config{
		Groups: func(_ context.Context, user sojourn.UserID, group sojourn.Group) (bool, error) {
			return user == "root" && group == admins, nil
		},
	})
	if err != nil {
		return nil, nil, err
	}
	r := chi.NewRouter()
	r.Method(http.MethodGet, "/", site.OptConnected(hello))
	r.Method(http.MethodPost, "/login", site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		// Check a password here.
		return site.Connect(r.Context(), sojourn.UserID(r.FormValue("name")))
	}))
	r.Method(http.MethodPost, "/logout", site.Connected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return site.Disconnect(r.Context())
	}))

	// Wrap guards whole groups of ordinary handlers, as middleware of chi.
	r.Route("/admin", func(r chi.Router) {
		r.Use(func(next http.Handler) http.Handler {
			return site.Wrap(next, sojourn.Allow(admins), sojourn.DenyHandler(refused))
		})
		r.Get("/users/{user}/sessions", func(w http.ResponseWriter, r *http.Request) {
			sessions, err := site.Sessions(r.Context(), sojourn.UserID(chi.URLParam(r, "user")))
			if err != nil {
				http.Error(w, "the list cannot be had", http.StatusInternalServerError)
				return
			}
			fmt.Fprintf(w, "%d sessions\n", len(sessions))
		})
	})

	// Outermost: chi's own routing happens inside.
	return site, site.Middleware(r), nil
}

func hello(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
	if user == sojourn.Nobody {
		user = "whoever you are"
	}
	_, err := fmt.Fprintf(w, "Hello, %s\n", user)
	return err
}

func refused(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
	w.WriteHeader(http.StatusForbidden)
	_, err := fmt.Fprintf(w, "For admins only, %s.\n", user)
	return err
}
