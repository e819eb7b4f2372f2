package demo_test

import (
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/sojourntest"
	"github.com/sojourn-go/sojourn/sqlite"
)

// values are the counters that the page shows to a tab, by key; a user's are
// missing when nobody is connected.
func values(t *testing.T, tab *sojourntest.Tab) map[string]string {
	t.Helper()
	shown := make(map[string]string)
	for key, row := range rows(tab.Get("/counters")) {
		if m := regexp.MustCompile(`<output>(\d+)</output>`).FindStringSubmatch(row); m != nil {
			shown[key] = m[1]
		}
	}
	return shown
}

// fates is what the page says of every counter in a trial.
func fates(t *testing.T, tab *sojourntest.Tab, trial string) map[string]string {
	t.Helper()
	said := make(map[string]string)
	for key, row := range rows(tab.Get("/counters")) {
		m := regexp.MustCompile(`data-trial="` + trial + `">([^<]+)<`).FindStringSubmatch(row)
		if m == nil {
			t.Fatalf("nothing is said of %s in %s:\n%s", key, trial, row)
		}
		said[key] = html.UnescapeString(m[1])
	}
	return said
}

// rows are the lines of the table of counters, by key.
func rows(page *sojourntest.Response) map[string]string {
	found := make(map[string]string)
	for _, row := range strings.Split(page.Text(), `<tr role="row" id="`)[1:] {
		key, rest, _ := strings.Cut(row, `"`)
		found[key] = rest
	}
	return found
}

// press adds one to every counter.
func press(tab *sojourntest.Tab) {
	keys := rows(tab.Get("/counters"))
	tab.Browser().FollowRedirects(false)
	defer tab.Browser().FollowRedirects(true)
	for key := range keys {
		tab.Post("/counters", url.Values{"counter": {key}, "do": {"add"}})
	}
}

func signInTab(t *testing.T, tab *sojourntest.Tab, name string) {
	t.Helper()
	wantPage(t, tab.Post("/sign-in", url.Values{"name": {name}, "password": {"demo-" + name}}), 200, "Welcome back, "+name)
}

// What the page of counters tells people has to be what happens to them.
func TestCountersSurviveWhatThePageSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var app *demo.App
	start := func() {
		store, err := sqlite.Open(filepath.Join(dir, "demo.db"))
		if err != nil {
			t.Fatal(err)
		}
		app, err = demo.Open(t.Context(), demo.Options{Store: store, Accounts: filepath.Join(dir, "accounts.db")})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		if err := app.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start()
	defer func() { stop() }()
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) })

	for _, trial := range []struct {
		name    string // as on the page
		keeping bool
		happens func(tab *sojourntest.Tab)
	}{
		{name: "next page", happens: func(*sojourntest.Tab) {}},
		{name: "sign out", happens: func(tab *sojourntest.Tab) {
			tab.Post("/sign-out", nil)
			signInTab(t, tab, "bob")
		}},
		{name: "other user", happens: func(tab *sojourntest.Tab) {
			signInTab(t, tab, "eve")
		}},
		{name: "out everywhere", happens: func(tab *sojourntest.Tab) {
			tab.Post("/sign-out/everywhere", nil)
			signInTab(t, tab, "bob")
		}},
		{name: "out everywhere", keeping: true, happens: func(tab *sojourntest.Tab) {
			tab.Post("/sign-out/everywhere", url.Values{"keep": {"yes"}})
			signInTab(t, tab, "bob")
		}},
		{name: "restart", happens: func(*sojourntest.Tab) {
			stop()
			start()
		}},
	} {
		tab := sojourntest.NewBrowser(t, server).NewTab()
		signInTab(t, tab, "bob")
		press(tab)
		before := values(t, tab)
		for key, n := range before {
			if n == "0" && key != "request-volatile" {
				t.Errorf("%s is 0 after it was pressed", key)
			}
		}
		says := fates(t, tab, trial.name)
		trial.happens(tab)
		after := values(t, tab)
		if len(after) != 13 {
			t.Errorf("%s: %d counters are shown, want 13", trial.name, len(after))
		}
		for key, n := range after {
			want := "0"
			switch says[key] {
			case "kept", "new tab": // this one sends the header, so it is the same tab
				want = before[key]
			case "if kept†":
				if trial.keeping {
					want = before[key]
				}
			}
			if n != want {
				t.Errorf("%s (keeping: %t): %s is %s; the page says %q", trial.name, trial.keeping, key, n, says[key])
			}
		}
		tab.Post("/sign-out/everywhere", nil)
	}
}

func TestVolatileUserStateStaysWhileTheUserIsElsewhere(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	here, there := sojourntest.NewBrowser(t, app).NewTab(), sojourntest.NewBrowser(t, app).NewTab()
	signInTab(t, here, "bob")
	signInTab(t, there, "bob")
	press(here)
	here.Post("/sign-out", nil)
	signInTab(t, here, "bob")
	if got := values(t, here)["user-volatile"]; got != "1" {
		t.Errorf("it is %s with a session elsewhere, want 1", got)
	}
}
