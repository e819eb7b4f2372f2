package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestGuardsHoldOnHandlersOfGin(t *testing.T) {
	t.Parallel()
	site, handler, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	b := sojourntest.NewBrowser(t, handler)

	if resp := b.Get("/"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the page of nobody: %d, want 401", resp.StatusCode)
	}
	if resp := b.Post("/login", url.Values{"name": {"alice"}}); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("login: %d %s", resp.StatusCode, resp.Text())
	}
	for n := 1; n <= 2; n++ {
		var page struct {
			User   string
			Visits int
		}
		b.Get("/").JSON(&page)
		if page.User != "alice" || page.Visits != n {
			t.Errorf("visit %d: %+v", n, page)
		}
	}
	b.Post("/logout", nil)
	if resp := b.Get("/"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the page after the logout: %d, want 401", resp.StatusCode)
	}
}
