package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestGuardHoldsOnAGroupOfEcho(t *testing.T) {
	t.Parallel()
	site, handler, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	b := sojourntest.NewBrowser(t, handler)

	if resp := b.Get("/account"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the account of nobody: %d, want 401", resp.StatusCode)
	}
	if resp := b.Post("/login", url.Values{"name": {"alice"}}); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("login: %d %s", resp.StatusCode, resp.Text())
	}
	if resp := b.Get("/account"); resp.StatusCode != http.StatusOK || resp.Text() != "Hello, alice" {
		t.Errorf("the account of alice: %d %q", resp.StatusCode, resp.Text())
	}
	b.Post("/account/logout", nil)
	if resp := b.Get("/account"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the account after the logout: %d, want 401", resp.StatusCode)
	}
}
