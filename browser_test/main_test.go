// Package browsertest looks at the browser's client in a real Chromium: what
// tabs are told, what they show, and what other sites' pages can not do.
package browsertest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(envAddress); address != "" {
		serveApp(address)
	}
	flag.Parse()
	flag.Set("test.parallel", "5") // tests mostly wait: for two seconds until a page restarts
	code := m.Run()
	stopChromium()
	os.Exit(code)
}

var (
	stopChromium = func() {}
	// chromium is the one that all tests share; every browser of a test is a
	// context of it with its own cookies.
	chromium = sync.OnceValues(func() (context.Context, error) {
		path, err := findChromium()
		if err != nil {
			return nil, err
		}
		ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-component-update", true),
			// Names that are not localhost, where Secure cookies are refused.
			chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
		))
		stopChromium = cancel
		return ctx, chromedp.Do(ctx)
	})
)

func findChromium() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// browser is a browser: its tabs share cookies with one another and with nobody else.
type browser struct {
	ctx context.Context
	t   *testing.T
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, err := chromium()
	if err != nil {
		const lost = "tabs, live connections and cross-site requests are NOT tested in a browser (Debian's package: chromium)"
		if ci := os.Getenv("CI"); ci != "" && ci != "false" && ci != "0" {
			t.Fatalf("no Chromium: %v; %s", err, lost)
		}
		t.Skipf("no Chromium: %v; %s", err, lost)
	}
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &browser{ctx, t}
}

// tab is a tab of a browser. What goes wrong ends the test.
type tab struct {
	ctx context.Context
	t   *testing.T
}

// open opens a page in a new tab.
func (b *browser) open(url string) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	watch, err := testdata.ReadFile("testdata/watch.js")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: string(watch),
	}); err != nil {
		b.t.Fatal(err)
	}
	tab := &tab{ctx, b.t}
	tab.navigate(url)
	return tab
}

func (tb *tab) navigate(url string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		tb.t.Fatalf("opening %s: %v", url, err)
	}
}

// do runs JavaScript, which may be a promise.
func (tb *tab) do(script string) {
	tb.t.Helper()
	value[any](tb, "(async () => { "+script+" })().then(() => 0)")
}

// value is the value of a JavaScript expression, awaited.
func value[T any](tb *tab, expression string) T {
	tb.t.Helper()
	v, err := try[T](tb, expression)
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func try[T any](tb *tab, expression string) (v T, err error) {
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte]("Promise.resolve("+expression+")", chromedp.EvalAwaitPromise))
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	return v, err
}

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

// until waits until a JavaScript expression is true, also across restarts.
func (tb *tab) until(condition string) {
	tb.t.Helper()
	var ok bool
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); pause() {
		if ok, err = try[bool](tb, condition); ok {
			return
		}
	}
	state, _ := try[string](tb, `JSON.stringify([document.body?.innerText, sessionStorage])`)
	tb.t.Fatalf("in vain: %s (%v): %s", condition, err, state)
}

// pause is between two looks at something that cannot say when it changes.
func pause() { time.Sleep(10 * time.Millisecond) }

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
