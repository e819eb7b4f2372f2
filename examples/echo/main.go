// Command echo has sojourn's guard as middleware of a group of echo's routes;
// the handlers ask who is connected.
package main

import (
	"log"
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/sojourn-go/sojourn"
)

func main() {
	site, handler, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()
	log.Print("http://localhost:8080/account")
	log.Print(http.ListenAndServe("localhost:8080", handler))
}

// connected is middleware that lets only connected users through.
func connected(site *sojourn.Site, opts ...sojourn.GuardOption) echo.MiddlewareFunc {
	return echo.WrapMiddleware(func(next http.Handler) http.Handler {
		return site.Connected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
			next.ServeHTTP(w, r)
			return nil
		}, opts...)
	})
}

func newApp() (*sojourn.Site, http.Handler, error) {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		return nil, nil, err
	}
	e := echo.New()
	e.POST("/login", func(c *echo.Context) error {
		// Check a password here.
		if err := site.Connect(c.Request().Context(), sojourn.UserID(c.FormValue("name"))); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
	account := e.Group("/account", connected(site))
	account.GET("", func(c *echo.Context) error {
		user, err := site.CurrentUser(c.Request().Context())
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, "Hello, "+string(user))
	})
	account.POST("/logout", func(c *echo.Context) error {
		if err := site.Disconnect(c.Request().Context()); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})

	// Outermost: echo's own routing happens inside.
	return site, site.Middleware(e), nil
}
