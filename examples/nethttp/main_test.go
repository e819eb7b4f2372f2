package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/sojourntest"
)

func setup(t *testing.T) http.Handler {
	t.Parallel()
	app, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.site.Close() })
	return app.handler()
}

func login(t *testing.T, b *sojourntest.Browser, name string) {
	t.Helper()
	resp := b.Post("/login", url.Values{"name": {name}, "password": {"opensesame"}})
	wantText(t, resp, "Hello, "+name)
}

func wantText(t *testing.T, resp *sojourntest.Response, part string) {
	t.Helper()
	if !strings.Contains(resp.Text(), part) {
		t.Errorf("status %d, want a page with %q, got:\n%s", resp.StatusCode, part, resp.Text())
	}
}

func TestNoteStaysWhoeverSignsInAndOut(t *testing.T) {
	b := sojourntest.NewBrowser(t, setup(t))
	b.Post("/note", url.Values{"note": {"buy milk"}})
	login(t, b, "alice")
	wantText(t, b.Get("/"), "buy milk")
	b.Post("/logout", nil)
	wantText(t, b.Get("/"), "buy milk")
}

func TestVisitsAreCountedPerUserOnAllDevices(t *testing.T) {
	h := setup(t)
	laptop, phone := sojourntest.NewBrowser(t, h), sojourntest.NewBrowser(t, h)
	login(t, laptop, "alice")
	login(t, phone, "alice")
	wantText(t, laptop.Get("/"), "seen this page 3 times")
}

func TestSignOutEverywhereEndsOtherDevices(t *testing.T) {
	h := setup(t)
	laptop, phone := sojourntest.NewBrowser(t, h), sojourntest.NewBrowser(t, h)
	login(t, laptop, "alice")
	login(t, phone, "alice")
	laptop.Post("/logout-everywhere", nil)
	wantText(t, laptop.Get("/"), "Sign in")
	wantText(t, phone.Get("/"), "Sign in")
}

func TestWrongPasswordConnectsNobody(t *testing.T) {
	b := sojourntest.NewBrowser(t, setup(t))
	if resp := b.Post("/login", url.Values{"name": {"alice"}, "password": {"guess"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want 403", resp.StatusCode)
	}
	wantText(t, b.Get("/"), "Sign in")
}
