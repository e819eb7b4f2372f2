package demo_test

import (
	"html"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/sojourntest"
	"github.com/sojourn-go/sojourn/sqlite"
)

var counterKeys = []string{
	"session-volatile", "session-persistent", "user-volatile", "user-persistent",
	"browser-volatile", "browser-persistent", "site-volatile", "site-persistent",
}

// values are the counters that the page shows, by key; a user's are missing
// when nobody is connected.
func values(t *testing.T, b *sojourntest.Browser) map[string]string {
	t.Helper()
	page := b.Get("/counters")
	shown := make(map[string]string)
	for _, row := range strings.Split(page.Text(), `<tr role="row" id="`)[1:] {
		key, rest, _ := strings.Cut(row, `"`)
		if m := regexp.MustCompile(`<output>(\d+)</output>`).FindStringSubmatch(rest); m != nil {
			shown[key] = m[1]
		}
	}
	return shown
}

func pressAll(b *sojourntest.Browser) {
	for _, key := range counterKeys {
		b.Post("/counters", url.Values{"counter": {key}, "do": {"add"}})
	}
}

// What the page of counters tells people has to be what happens to them.
func TestCountersSurviveWhatThePageSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, accounts := filepath.Join(dir, "demo.db"), filepath.Join(dir, "accounts.db")
	var app *demo.App
	start := func() {
		store, err := sqlite.Open(db)
		if err != nil {
			t.Fatal(err)
		}
		if app, err = demo.Open(t.Context(), demo.Options{Store: store, Accounts: accounts}); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		if err := app.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, trial := range []struct {
		name, page string
		happens    func(b *sojourntest.Browser) *sojourntest.Browser
	}{
		{"next page", "next page", func(b *sojourntest.Browser) *sojourntest.Browser { return b }},
		{"sign out", "sign out", func(b *sojourntest.Browser) *sojourntest.Browser {
			b.Post("/sign-out", nil)
			signIn(t, b, "bob")
			return b
		}},
		{"another user", "sign in as another", func(b *sojourntest.Browser) *sojourntest.Browser {
			signIn(t, b, "eve")
			return b
		}},
		{"everywhere", "sign out everywhere", func(b *sojourntest.Browser) *sojourntest.Browser {
			b.Post("/sign-out/everywhere", nil)
			signIn(t, b, "bob")
			return b
		}},
		{"everywhere, keeping", "sign out everywhere", func(b *sojourntest.Browser) *sojourntest.Browser {
			b.Post("/sign-out/everywhere", url.Values{"keep": {"yes"}})
			signIn(t, b, "bob")
			return b
		}},
		{"restart", "server restart", func(b *sojourntest.Browser) *sojourntest.Browser {
			stop()
			start()
			again := sojourntest.NewBrowser(t, app)
			for _, c := range b.Cookies() {
				again.SetCookie(c)
			}
			return again
		}},
	} {
		start()
		b := sojourntest.NewBrowser(t, app)
		signIn(t, b, "bob")
		for _, key := range counterKeys {
			b.Post("/counters", url.Values{"counter": {key}, "do": {"reset"}})
		}
		pressAll(b)
		for key, n := range values(t, b) {
			if strings.HasPrefix(key, "request") || strings.HasPrefix(key, "tab") || strings.HasPrefix(key, "free-tab") {
				continue
			}
			if n != "1" {
				t.Errorf("%s: %s is %s after one press", trial.name, key, n)
			}
		}
		says := fates(t, b, trial.page)
		b = trial.happens(b)
		for key, n := range values(t, b) {
			want := "0"
			switch says[key] {
			case "kept":
				want = "1"
			case "if kept†":
				if trial.name == "everywhere, keeping" {
					want = "1"
				}
			}
			if says[key] == "" {
				t.Errorf("%s: the page says nothing of %s", trial.name, key)
			}
			if n != want {
				t.Errorf("%s: %s is %s; the page says %q", trial.name, key, n, says[key])
			}
		}
		stop()
	}
}

// fates is what the page says of every counter in a trial.
func fates(t *testing.T, b *sojourntest.Browser, trial string) map[string]string {
	t.Helper()
	page := b.Get("/counters")
	said := make(map[string]string)
	for _, row := range strings.Split(page.Text(), `<tr role="row" id="`)[1:] {
		key, rest, _ := strings.Cut(row, `"`)
		m := regexp.MustCompile(`data-trial="` + trial + `">([^<]+)<`).FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("nothing is said of %s in %s:\n%s", key, trial, rest)
		}
		said[key] = html.UnescapeString(m[1])
	}
	return said
}

func TestVolatileUserStateStaysWhileTheUserIsElsewhere(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	here, there := sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app)
	signIn(t, here, "bob")
	signIn(t, there, "bob")
	pressAll(here)
	here.Post("/sign-out", nil)
	signIn(t, here, "bob")
	if got := values(t, here)["user-volatile"]; got != "1" {
		t.Errorf("it is %s with a session elsewhere, want 1", got)
	}
}
