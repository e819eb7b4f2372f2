package demo_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestGoPageSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	page := func(dir string) *sojourntest.Response {
		app, err := demo.Open(t.Context(), demo.Options{Accounts: filepath.Join(t.TempDir(), "accounts.db"), GoPage: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { app.Close() })
		b := sojourntest.NewBrowser(t, app)
		for _, file := range []string{"error.txt", "page.wasm.new", "%2e%2e%2fsecret"} {
			wantPage(t, b.Get("/functions/go/"+file), 404)
		}
		return b.Get("/functions/go")
	}
	dir := t.TempDir()
	wantPage(t, page(""), 200, "started without it")
	wantPage(t, page(dir), 200, "is being compiled")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("error.txt", "no compiler <today>")
	failed := page(dir)
	wantPage(t, failed, 200, "no compiler <today>")
	write("page.wasm", "")
	ready := page(dir)
	wantNot(t, ready, "There is no page")
	if !strings.Contains(ready.Header.Get("Content-Security-Policy"), "'wasm-unsafe-eval'") ||
		strings.Contains(failed.Header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("WebAssembly may run by the policies %q and %q, want the first only",
			ready.Header.Get("Content-Security-Policy"), failed.Header.Get("Content-Security-Policy"))
	}
}
