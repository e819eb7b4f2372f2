// Command gin has handlers of gin that get the user from sojourn's guards.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/sojourn-go/sojourn"
)

func main() {
	site, handler, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()
	log.Print("http://localhost:8080")
	log.Print(http.ListenAndServe("localhost:8080", handler))
}

// handlerFunc is a handler of gin that knows the user. An error is answered by
// the site: 401, 403, or 500 with the error in the log.
type handlerFunc func(c *gin.Context, user sojourn.UserID) error

// ginContext is the key of the *gin.Context in a request's context.
type ginContext struct{}

// through makes a handler of gin out of a guard of sojourn: it is
// site.Connected or site.OptConnected.
func through(guard func(sojourn.HandlerFunc, ...sojourn.GuardOption) http.Handler, h handlerFunc, opts ...sojourn.GuardOption) gin.HandlerFunc {
	guarded := guard(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		c := r.Context().Value(ginContext{}).(*gin.Context)
		c.Request = r
		return h(c, user)
	}, opts...)
	return func(c *gin.Context) {
		ctx := context.WithValue(c.Request.Context(), ginContext{}, c)
		guarded.ServeHTTP(c.Writer, c.Request.WithContext(ctx))
	}
}

func newApp() (*sojourn.Site, http.Handler, error) {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		return nil, nil, err
	}
	visits := sojourn.NewRef(site, sojourn.UserScope, func() int { return 0 })

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/", through(site.Connected, func(c *gin.Context, user sojourn.UserID) error {
		var n int
		err := visits.Modify(c.Request.Context(), func(before int) (int, error) {
			n = before + 1
			return n, nil
		})
		if err == nil {
			c.JSON(http.StatusOK, gin.H{"user": user, "visits": n})
		}
		return err
	}))
	r.POST("/login", through(site.OptConnected, func(c *gin.Context, _ sojourn.UserID) error {
		// Check a password here.
		if err := site.Connect(c.Request.Context(), sojourn.UserID(c.PostForm("name"))); err != nil {
			return err
		}
		c.Status(http.StatusNoContent)
		return nil
	}))
	r.POST("/logout", through(site.Connected, func(c *gin.Context, _ sojourn.UserID) error {
		if err := site.Disconnect(c.Request.Context()); err != nil {
			return err
		}
		c.Status(http.StatusNoContent)
		return nil
	}))

	// Outermost: gin's own routing happens inside.
	return site, site.Middleware(r), nil
}
