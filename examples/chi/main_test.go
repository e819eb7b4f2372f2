package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestGuardsHoldOnRoutesOfChi(t *testing.T) {
	t.Parallel()
	site, handler, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	b := sojourntest.NewBrowser(t, handler)
	want := func(path string, status int, text string) {
		t.Helper()
		if resp := b.Get(path); resp.StatusCode != status || resp.Text() != text {
			t.Errorf("%s: %d %q, want %d %q", path, resp.StatusCode, resp.Text(), status, text)
		}
	}

	want("/", http.StatusOK, "Hello, whoever you are\n")
	want("/admin/users/alice/sessions", http.StatusForbidden, "For admins only, .\n")

	b.Post("/login", url.Values{"name": {"alice"}})
	want("/", http.StatusOK, "Hello, alice\n")
	want("/admin/users/alice/sessions", http.StatusForbidden, "For admins only, alice.\n")

	b.Post("/login", url.Values{"name": {"root"}})
	want("/admin/users/root/sessions", http.StatusOK, "1 sessions\n")
	want("/admin/users/alice/sessions", http.StatusOK, "0 sessions\n")

	b.Post("/logout", nil)
	want("/", http.StatusOK, "Hello, whoever you are\n")
}
