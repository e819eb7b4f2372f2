// Package chromium lets tests look at pages in a real Chromium: one for all
// tests of a program, with a cookie jar for each browser that a test asks for.
package chromium

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Patience is how long a test waits for what has to come.
const Patience = 60 * time.Second

var (
	stop = func() {}
	// started is the one that all tests share; every browser of a test is a
	// context of it with its own cookies.
	started = sync.OnceValues(func() (context.Context, error) {
		path, err := find()
		if err != nil {
			return nil, err
		}
		ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-component-update", true),
			// Names that are not localhost, where Secure cookies are refused.
			chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
		))
		stop = cancel
		return ctx, chromedp.Do(ctx)
	})
)

func find() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// Stop stops it, if a test has started it: for the end of TestMain.
func Stop() { stop() }

// Browser is a browser: its tabs share cookies with one another and with nobody
// else.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// New makes a browser that lasts as long as the test. Without Chromium the test
// fails when CI is set, and is skipped elsewhere; untested says what is then
// not tested.
func New(t testing.TB, untested string) *Browser {
	t.Helper()
	ctx, err := started()
	if err != nil {
		const lost = "no Chromium: %v; NOT TESTED in a browser: %s (Debian's package: chromium)"
		if ci := os.Getenv("CI"); ci != "" && ci != "false" && ci != "0" {
			t.Fatalf(lost, err, untested)
		}
		t.Skipf(lost, err, untested)
	}
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &Browser{t, ctx}
}

// Tab is a tab of a browser. What goes wrong in its methods ends the test.
type Tab struct {
	Context context.Context // for chromedp
	t       testing.TB
}

// Open opens an empty tab. The script runs in each of its pages before any
// other; hear, unless it is nil, is told what they write to the console until
// the test ends.
func (b *Browser) Open(script string, hear func(chromedp.ConsoleMessage)) *Tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	var console iter.Seq2[chromedp.ConsoleMessage, error]
	if hear != nil {
		console = chromedp.Console(ctx) // before there is anything to hear
	}
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		b.t.Fatal(err)
	}
	if hear != nil {
		heard := make(chan struct{})
		b.t.Cleanup(func() { cancel(); <-heard })
		go func() {
			defer close(heard)
			for message, err := range console {
				if err != nil {
					return
				}
				hear(message)
			}
		}()
	}
	return &Tab{ctx, b.t}
}

// Navigate opens an address, as if it was typed.
func (tb *Tab) Navigate(url string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.Context, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		tb.t.Fatalf("opening %s: %v", url, err)
	}
}

// Try is the value of a JavaScript expression, awaited.
func Try[T any](tb *Tab, expression string) (v T, err error) {
	ctx, cancel := context.WithTimeout(tb.Context, Patience)
	defer cancel()
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte]("Promise.resolve("+expression+")", chromedp.EvalAwaitPromise))
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	return v, err
}

// Value is Try that has to go well.
func Value[T any](tb *Tab, expression string) T {
	tb.t.Helper()
	v, err := Try[T](tb, expression)
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Until waits until a JavaScript expression is true, also across pages.
func (tb *Tab) Until(condition string) {
	tb.t.Helper()
	var ok bool
	var err error
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // it cannot say when it changes
		if ok, err = Try[bool](tb, condition); ok {
			return
		}
	}
	state, _ := Try[string](tb, `[location.href, document.body?.innerText, JSON.stringify(sessionStorage)].join("\n")`)
	tb.t.Fatalf("in vain: %s (%v):\n%s", condition, err, state)
}
