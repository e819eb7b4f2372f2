//go:build unix

package demo_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
)

func init() {
	stopServers = func() error { return testserver.StopPostgres() }
}

// Three servers take turns, live connections included.
func TestThreeServersInABrowser(t *testing.T) {
	t.Parallel()
	store, accounts := testserver.Postgres(t), filepath.Join(t.TempDir(), "accounts.db")
	var apps []*demo.App
	for i := range 3 {
		s, err := postgres.Open(t.Context(), store, postgres.Timeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		app, err := demo.Open(t.Context(), demo.Options{
			Store: s, StoreName: "PostgreSQL", Accounts: accounts, PlainHTTP: true, Server: fmt.Sprint(i + 1),
		})
		if err != nil {
			t.Fatal(err)
		}
		apps = append(apps, app)
	}
	var turn atomic.Uint64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		apps[turn.Add(1)%3].ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		for _, app := range apps {
			if err := app.Close(); err != nil {
				t.Error(err)
			}
		}
		front.Close()
	})
	base := strings.Replace(front.URL, "127.0.0.1", "localhost", 1)

	here, there := newWindow(t, base), newWindow(t, base)
	one := here.open("/")
	one.signIn("bob", "/timeline")
	other := there.open("/")
	other.signIn("bob", "/sessions")
	two := here.open("/functions")
	two.isAt("/functions", "bob")
	for i := range 4 {
		for _, name := range []string{"tab", "session", "user"} {
			if got := two.press(name); got != fmt.Sprint(i+1) {
				t.Errorf("press %d counts %s in the %s", i+1, got, name)
			}
		}
	}
	// Every tab hears of what happens on any server.
	for i := 1; i <= 3; i++ {
		one.until(fmt.Sprintf(`[...document.querySelectorAll(".requests .server-%d")].length > 0`, i))
	}
	one.shoot("servers-timeline")
	for _, tb := range []*tab{one, two, other} {
		tb.until(`document.querySelector("[data-open-tabs]").value === "3"`)
	}
	other.until(`JSON.stringify([...document.querySelectorAll("[data-session-tabs]")].map((e) => Number(e.value))) === "[1,2]"`)
	other.shoot("servers-sessions")
	two.press("wave")
	for _, tb := range []*tab{one, two, other} {
		tb.until(`document.querySelector(".toast")?.textContent.includes("Hello from here")`)
	}

	other.click(`[action="/sign-out/everywhere"] button`)
	one.told("disconnect-all")
	one.isAt("/timeline", "")
	two.isAt("/functions", "")
}
