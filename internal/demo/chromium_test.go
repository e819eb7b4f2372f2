package demo_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/sojourn-go/sojourn/internal/chromium"
	"github.com/sojourn-go/sojourn/internal/demo"
)

const patience = chromium.Patience

// window is a browser: its pages share cookies with one another and with
// nobody else.
type window struct {
	*chromium.Browser
	t    *testing.T
	base string

	mu    sync.Mutex
	wrong []string // what pages complained of
}

// serveDemo serves the demo for real browsers.
func serveDemo(t *testing.T, opts demo.Options) string {
	t.Helper()
	opts.Accounts = filepath.Join(t.TempDir(), "accounts.db")
	opts.PlainHTTP = true
	app, err := demo.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(app)
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

func newWindow(t *testing.T, base string) *window {
	t.Helper()
	w := &window{Browser: chromium.New(t, "the demo's pages"), t: t, base: base}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, text := range w.wrong {
			t.Errorf("in the console: %s", text)
		}
	})
	return w
}

// tab is a page of a window. What goes wrong ends the test.
type tab struct {
	*chromium.Tab
	w *window
}

func (w *window) open(path string) *tab {
	w.t.Helper()
	tb := &tab{w.Open(noteChanges, w.hear), w}
	tb.visit(path)
	return tb
}

// noteChanges notes what a page says when its connection has changed: it says so
// for two seconds, of which a slow machine may miss all.
const noteChanges = `new MutationObserver(() => {
	const e = document.querySelector(".changed");
	if (e) sessionStorage.changed = e.dataset.reason + ": " + e.querySelector("strong").textContent;
}).observe(document, { childList: true, subtree: true })`

// told waits until the tab has said that its connection has changed, and why.
func (tb *tab) told(reason string) {
	tb.w.t.Helper()
	tb.until(fmt.Sprintf(`sessionStorage.changed === %q`, reason+": Connection has changed"))
}

// hear notes violations of the policy, and exceptions.
func (w *window) hear(m chromedp.ConsoleMessage) {
	if m.Type != chromedp.ConsoleException && !strings.Contains(m.Text, "Content Security Policy") {
		return // such as the status of a page that is meant to be refused
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
}

// visit opens an address in the tab, as if it was typed.
func (tb *tab) visit(path string) {
	tb.w.t.Helper()
	tb.Navigate(tb.w.base + path)
}

// try is the value of a JavaScript expression, awaited.
func try[T any](tb *tab, expression string) (v T, err error) {
	return chromium.Try[T](tb.Tab, expression)
}

// value is try that has to go well.
func value[T any](tb *tab, expression string) T {
	tb.w.t.Helper()
	return chromium.Value[T](tb.Tab, expression)
}

// until waits until an expression is true, also across pages.
func (tb *tab) until(condition string) {
	tb.w.t.Helper()
	tb.Until(condition)
}

// click clicks an element; what it leads to comes later.
func (tb *tab) click(selector string) {
	tb.w.t.Helper()
	value[int](tb, fmt.Sprintf(`(setTimeout(() => document.querySelector(%q).click(), 0), 0)`, selector))
}

// press presses a button of the page of functions and returns the answer.
func (tb *tab) press(name string) string {
	tb.w.t.Helper()
	button, answer := fmt.Sprintf(`document.querySelector('[data-call="%s"]')`, name), fmt.Sprintf(`document.querySelector('[data-answer="%s"]')`, name)
	tb.until(`!` + button + `.disabled`)
	value[int](tb, fmt.Sprintf(`(%s.textContent = "", %s.click(), 0)`, answer, button))
	tb.until(answer + `.textContent !== "" && !` + button + `.disabled`)
	return value[string](tb, answer+`.textContent`)
}

// signIn signs in by the form, and ends on a page.
func (tb *tab) signIn(name, next string) {
	tb.w.t.Helper()
	tb.visit("/sign-in?next=" + next)
	value[int](tb, fmt.Sprintf(`(document.querySelector("#name").value = %q, document.querySelector("#password").value = %q, 0)`, name, "demo-"+name))
	tb.click(".panel button")
	tb.isAt(next, name)
}

// isAt waits until the tab is on a page of a user ("" for nobody) and its
// script runs.
func (tb *tab) isAt(path, user string) {
	tb.w.t.Helper()
	tb.until(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete" && (document.querySelector(".who .name bdi")?.textContent ?? "") === %q`, path, user))
	tb.until(`Number(document.querySelector("[data-open-tabs]").value) > 0`)
}

// dark makes the tab's pages those of somebody who prefers dark ones.
func (tb *tab) dark() {
	tb.w.t.Helper()
	if _, err := chromedp.Call(tb.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	}); err != nil {
		tb.w.t.Fatal(err)
	}
}

// shoot keeps a picture of the whole page, wide and as on a phone, in the
// folder of SOJOURN_ARTEFACTS.
func (tb *tab) shoot(name string) {
	tb.w.t.Helper()
	dir := os.Getenv("SOJOURN_ARTEFACTS")
	if dir == "" {
		dir = filepath.Join("..", "..", "artefacts")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context, patience)
	defer cancel()
	for suffix, size := range map[string][2]int64{"": {1280, 900}, "-390": {390, 844}} {
		err := chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1]))
		if err != nil {
			tb.w.t.Fatal(err)
		}
		if wide := value[int](tb, `document.documentElement.scrollWidth`); int64(wide) > size[0] {
			tb.w.t.Errorf("%s: the page is %d pixels wide on a screen of %d", name, wide, size[0])
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "demo-"+name+suffix+".png"), png, 0o644)
		}
		if err != nil {
			tb.w.t.Fatal(err)
		}
	}
	if _, err := chromedp.Call(ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{}); err != nil {
		tb.w.t.Fatal(err)
	}
}
