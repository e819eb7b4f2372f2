package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sojourn-go/sojourn"
)

// What BuildGoPage leaves in its folder: the page's program and what runs it,
// or why there is none.
const (
	goProgram = "page.wasm"
	goRunner  = "wasm_exec.js"
	goError   = "error.txt"
)

// BuildGoPage compiles the demo's page in Go for browsers, into a folder that
// is Options.GoPage of any number of servers. It takes the go command, and the
// source that this program was built from. What went wrong is shown by the
// page.
func BuildGoPage(ctx context.Context, dir string) {
	if err := buildGoPage(ctx, dir); err != nil && ctx.Err() == nil {
		os.WriteFile(filepath.Join(dir, goError), []byte(err.Error()), 0o600)
	}
}

var (
	errNoGo     = errors.New("the go command is not in the PATH of this server; install Go and start the demo again")
	errNoSource = errors.New("its source is not where this program was built; start the demo in the folder of the source, with: go run ./cmd/sojourn demo")
)

func buildGoPage(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errNoGo
	}
	_, file, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(file), "wasmpage")
	if _, err := os.Stat(source); err != nil {
		return errNoSource
	}
	root, err := goCommand(ctx, source, []string{"env", "GOROOT"})
	if err != nil {
		return err
	}
	runner, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib", "wasm", goRunner))
	if err != nil {
		return fmt.Errorf("a part that comes with Go: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, goRunner), runner, 0o600); err != nil {
		return err
	}
	program := filepath.Join(dir, goProgram)
	// Without inlining the program is smaller, but for one package, and without
	// what makes the runtime fast on large machines. Another version of Go may
	// not know that.
	build := []string{"build", "-trimpath", "-gcflags=all=-l", "-gcflags=internal/strconv=", "-ldflags=-s -w -buildid=", "-o", program + ".new", "."}
	if _, err := goCommand(ctx, source, build, "GOEXPERIMENT="+smallRuntime); err != nil {
		if _, err := goCommand(ctx, source, build); err != nil {
			return err
		}
	}
	return os.Rename(program+".new", program) // whole or not at all
}

const smallRuntime = "nogreenteagc,nosizespecializedmalloc,norandomizedheapbase64,noheapminimum512kib"

func goCommand(ctx context.Context, dir string, args []string, env ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Env = append(cmd.Env, env...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

var inGo = map[string]string{
	"tab":        `functions.Count.Call(ctx, c, "tab-persistent")`,
	"greet":      `functions.Greet.Call(ctx, c, "Good evening")`,
	"accounts":   `functions.Accounts.Call(ctx, c, struct{}{})`,
	"wave":       `functions.Wave.Call(ctx, c, text)`,
	"on":         `c.OnEvent("wave", show)`,
	"disconnect": `c.Disconnect(ctx)`,
}

// showGoPage is the only page whose policy lets WebAssembly run.
func (a *App) showGoPage(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	page := functionsPage{Lines: inGo, Go: true}
	_, err := os.Stat(filepath.Join(a.goPage, goProgram))
	why, _ := os.ReadFile(filepath.Join(a.goPage, goError))
	switch {
	case a.goPage == "":
		page.Missing = "this server was started without it (--wasm=false)"
	case err == nil:
		page.Ready = true
		h := w.Header()
		h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; script-src 'self' 'wasm-unsafe-eval'")
	case len(why) > 0:
		page.Missing = string(why)
	case errors.Is(err, fs.ErrNotExist):
		page.Wait = "The page is being compiled, which takes a moment the first time. Load it again in a few seconds."
	default:
		return err
	}
	return a.render(w, r, http.StatusOK, "functions", page)
}

func (a *App) serveGoPage(w http.ResponseWriter, r *http.Request) {
	file := r.PathValue("file")
	if a.goPage == "" || file != goProgram && file != goRunner {
		a.notFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFile(w, r, filepath.Join(a.goPage, file))
}
