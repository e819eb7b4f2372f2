// Package browsertest looks at the browser's client in a real Chromium: what
// tabs are told, what they show, and what other sites' pages can not do.
package browsertest

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/chromium"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(envAddress); address != "" {
		serveApp(address)
	}
	flag.Parse()
	flag.Set("test.parallel", "5") // tests mostly wait: for two seconds until a page restarts
	code := m.Run()
	chromium.Stop()
	os.Exit(code)
}

// browser is a browser: its tabs share cookies with one another and with nobody else.
type browser struct {
	*chromium.Browser
	t *testing.T
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	return &browser{chromium.New(t, "tabs, live connections and cross-site requests"), t}
}

// tab is a tab of a browser. What goes wrong ends the test.
type tab struct {
	*chromium.Tab
	ctx context.Context
	t   *testing.T
}

// open opens a page in a new tab.
func (b *browser) open(url string) *tab {
	b.t.Helper()
	watch, err := testdata.ReadFile("testdata/watch.js")
	if err != nil {
		b.t.Fatal(err)
	}
	opened := b.Open(string(watch), nil)
	opened.Navigate(url)
	return &tab{opened, opened.Context, b.t}
}

func (tb *tab) navigate(url string) {
	tb.t.Helper()
	tb.Navigate(url)
}

// do runs JavaScript, which may be a promise.
func (tb *tab) do(script string) {
	tb.t.Helper()
	value[any](tb, "(async () => { "+script+" })().then(() => 0)")
}

// value is the value of a JavaScript expression, awaited.
func value[T any](tb *tab, expression string) T {
	tb.t.Helper()
	return chromium.Value[T](tb.Tab, expression)
}

// until waits until a JavaScript expression is true, also across restarts.
func (tb *tab) until(condition string) {
	tb.t.Helper()
	tb.Until(condition)
}

// isOf waits until the page is user's, and its live connection too.
func (tb *tab) isOf(user string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf(`document.body.dataset.user === %[1]q && window.live === "welcome %[1]s"`, user))
}

// noted is what testdata/watch.js noted in this tab.
func noted[T any](tb *tab, what string) []T {
	tb.t.Helper()
	return value[[]T](tb, fmt.Sprintf("noted(%q)", what))
}

// click clicks the element with an id; what it leads to comes later.
func (tb *tab) click(id string) {
	tb.t.Helper()
	tb.do(fmt.Sprintf(`setTimeout(() => document.getElementById(%q).click(), 0)`, id))
}

// message is what tells people that the connection has changed; shownMessage
// waits until there was one, for as long as the tab has been open.
const message = `document.querySelector("[role=alert]")`

type notedMessage struct {
	Text, User, Style string // User is whose the page was meanwhile
}

func (tb *tab) shownMessage() notedMessage {
	tb.t.Helper()
	tb.until(`noted("messages").length > 0`)
	return noted[notedMessage](tb, "messages")[0]
}

// server is the application, in this process.
type server struct {
	*app
	url  string // http://localhost:…
	port string
}

func newServer(t *testing.T) *server {
	t.Helper()
	a, err := newApp(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		a.closing()
		h.Close()
		if err := a.site.Close(); err != nil {
			t.Error(err)
		}
	})
	_, port, _ := strings.Cut(strings.TrimPrefix(h.URL, "http://"), ":")
	return &server{a, "http://localhost:" + port, port}
}

// signIn opens a page in a new tab and signs in there.
func (b *browser) signIn(s *server, user string) *tab {
	b.t.Helper()
	tb := b.open(s.url + "/")
	tb.isOf("")
	tb.do(`await sojourn.fetch("/login", { method: "POST", body: new URLSearchParams({ user: "` + user + `" }) })`)
	tb.navigate(s.url + "/")
	tb.isOf(user)
	return tb
}
