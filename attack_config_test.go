package sojourn_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// A path that no mux would serve is an error, not a panic.
func TestPathsThatCannotBeServedAreErrors(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/{x}/", "/{", "/a//b/", "/a/../b/", "/a b/{c...}/", "x/", "/x", "/"} {
		site, err := sojourn.New(sojourn.Config{Path: path})
		if err == nil {
			_ = site.Close()
			t.Errorf("New took the path %q", path)
		}
	}
}

// A token is worth nothing in another cookie's place.
func TestSwappedCookiesAreNobodys(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	cart := sojourn.NewPersistentRef[string](a.Site, sojourn.SessionScope, "cart", nil)
	theme := sojourn.NewPersistentRef[string](a.Site, sojourn.UserIndependentSessionScope, "theme", nil)
	for _, user := range []sojourn.UserID{sojourn.Nobody, "1"} {
		b := a.browser()
		if user != sojourn.Nobody {
			a.connect(b, user)
		}
		a.bare(b, func(ctx context.Context) {
			attackOK(t, cart.Set(ctx, "book"))
			attackOK(t, theme.Set(ctx, "dark"))
		})
		session, browser := b.Cookie("__Host-sojourn").Value, b.Cookie("__Host-sojourn-browser").Value
		thief := a.browser()
		thief.SetCookie(&http.Cookie{Name: "__Host-sojourn", Value: browser, Secure: true, Path: "/"})
		thief.SetCookie(&http.Cookie{Name: "__Host-sojourn-browser", Value: session, Secure: true, Path: "/"})
		a.is(thief, sojourn.Nobody)
		a.bare(thief, func(ctx context.Context) {
			attackValue(t, cart, ctx, "")
			attackValue(t, theme, ctx, "")
			attackOK(t, cart.Set(ctx, "pen"))
			attackOK(t, theme.Set(ctx, "light"))
		})
		a.is(b, user)
		a.bare(b, func(ctx context.Context) {
			attackValue(t, cart, ctx, "book")
			attackValue(t, theme, ctx, "dark")
		})
	}
}
