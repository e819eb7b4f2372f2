package sojourntest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// open returns the pages of a site: / tells the user, /login and /logout
// change it, /count counts in the tab.
func open(t *testing.T, cfg sojourn.Config) http.Handler {
	site, err := sojourn.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	count := sojourn.NewRef[int](site, sojourn.TabScope, nil)
	mux := http.NewServeMux()
	mux.Handle("/", site.OptConnected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprint(w, user)
		return err
	}))
	mux.Handle("POST /login", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil {
			t.Error(err)
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})))
	mux.Handle("/count", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		n, err := count.Get(r.Context())
		if err == nil {
			err = count.Set(r.Context(), n+1)
		}
		_, _ = fmt.Fprint(w, n+1)
		return err
	}))
	return site.Middleware(mux)
}

func TestBrowserKeepsTheCookiesOfASite(t *testing.T) {
	t.Parallel()
	for _, insecure := range []bool{false, true} {
		t.Run(fmt.Sprintf("insecure %v", insecure), func(t *testing.T) {
			t.Parallel()
			b := sojourntest.NewBrowser(t, open(t, sojourn.Config{Cookie: sojourn.CookieConfig{Insecure: insecure}}))
			name := "__Host-sojourn"
			if insecure {
				b.Insecure()
				name = "sojourn"
			}
			if got := b.Post("/login", map[string][]string{"user": {"42"}}).Text(); got != "42" {
				t.Errorf("after the login and its redirect the user is %q", got)
			}
			c := b.Cookie(name)
			if c == nil || !c.HttpOnly || c.Secure == insecure || c.SameSite != http.SameSiteLaxMode || c.Expires.IsZero() {
				t.Errorf("the session's cookie is %v", c)
			}
			b.Exit()
			if got := b.Get("/").Text(); got != "42" {
				t.Errorf("after Exit the user is %q", got)
			}
			b.ClearCookies()
			if got := b.Get("/").Text(); got != "" {
				t.Errorf("without cookies the user is %q", got)
			}
		})
	}
}

func TestTabsOfABrowserAreApart(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, open(t, sojourn.Config{}))
	one, two := b.NewTab(), b.NewTab()
	for i, tab := range []*sojourntest.Tab{one, one, two, one, two} {
		want := []string{"1", "2", "1", "3", "2"}[i]
		if got := tab.Get("/count").Text(); got != want {
			t.Errorf("request %d counts %s, want %s", i+1, got, want)
		}
	}
	if one.ID() == "" || one.ID() == two.ID() {
		t.Errorf("the tabs' ids are %q and %q", one.ID(), two.ID())
	}
}

func TestForeignFormsAreRefused(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, open(t, sojourn.Config{}))
	r, err := http.NewRequest("POST", "/login?user=42", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://evil.example")
	if got := b.Do(r); got.StatusCode != http.StatusForbidden || len(b.Cookies()) != 0 {
		t.Errorf("a foreign form is answered %s and leaves the cookies %v", got.Status, b.Cookies())
	}
}

func TestDisconnectEndpointsAnswerATab(t *testing.T) {
	t.Parallel()
	for path, restarts := range map[string]bool{"disconnect": false, "disconnect-all": true} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			b := sojourntest.NewBrowser(t, open(t, sojourn.Config{}))
			tab := b.NewTab()
			tab.Post("/login", map[string][]string{"user": {"42"}})
			resp := tab.PostJSON(protocol.DefaultPath+path, struct{}{})
			if resp.StatusCode != http.StatusNoContent || resp.Restart() != restarts {
				t.Errorf("it is answered %s, restart %v; want 204, restart %v", resp.Status, resp.Restart(), restarts)
			}
			if got := tab.Get("/"); got.StatusCode != http.StatusOK || got.Text() != "" {
				t.Errorf("the page is answered %s %q, want 200 and no user", got.Status, got.Text())
			}
		})
	}
}
