package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/rpc"
)

// withProgram adds a page with a program in WebAssembly to the application.
func (s *server) withProgram(t *testing.T) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "main.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", out, "./testdata/wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path, file := range map[string]string{
		"GET /main.wasm":    out,
		"GET /wasm_exec.js": filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"),
		"GET /wasm.js":      "testdata/wasm.js",
	} {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	s.mux.Handle("GET /wasm", s.site.OptConnected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		client, err := s.site.ClientScript(r.Context())
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'")
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, err = fmt.Fprintf(w, `<!doctype html><title>wasm</title><link rel="icon" href="/icon.svg">
<script src="/wasm_exec.js"></script><script type="module" src="/wasm.js"></script>%s<body data-user=%q>`, client, user)
		return err
	}))
	echo[bool](s, "echo-bool")
	echo[int](s, "echo-int")
	echo[float64](s, "echo-float64")
	echo[string](s, "echo-string")
	echo[sojourn.UserID](s, "echo-user")
	echo[struct{}](s, "echo-none")
	echo[[]byte](s, "echo-bytes")
	echo[[]int](s, "echo-ints")
	echo[[]float64](s, "echo-floats")
	echo[[]string](s, "echo-strings")
	echo[map[string]string](s, "echo-map")
	echo[map[string]any](s, "echo-any")
	sojourn.HandleRPC(s.site, rpc.Define[struct{}, json.RawMessage]("big"), func(context.Context, struct{}) (json.RawMessage, error) {
		return json.RawMessage("9007199254740993"), nil
	})
	sojourn.HandleRPC(s.site, rpc.Define[struct{}, struct{}]("waits"), func(ctx context.Context, _ struct{}) (struct{}, error) {
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	})
}

func echo[T any](s *server, name string) {
	sojourn.HandleRPC(s.site, rpc.Define[T, T](name), func(_ context.Context, v T) (T, error) { return v, nil })
}

func TestProgramInWebAssemblyIsPartOfItsPage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: compiles a program for the browser")
	}
	s, b := newServer(t), newBrowser(t)
	s.withProgram(t)
	one := b.signIn(s, "alice")
	two := b.open(s.url + "/wasm")
	two.until(`window.said?.includes("done")`)
	two.isOf("alice")
	if got := value[[]string](two, `said`); !slices.Equal(got, []string{"user alice", "done"}) {
		t.Errorf("the program says %q", got)
	}
	if open := value[[]int](one, `sojourn.call("sessions").then((list) => list.map((s) => s.Tabs))`); !slices.Equal(open, []int{2}) {
		t.Errorf("open tabs of the sessions: %v; the program and its page are one tab", open)
	}
	one.do(`await sojourn.call("order", { title: "bread" })`)
	two.until(`said.at(-1) === 'order {"title":"bread"}'`)
	two.do(`leave()`)
	two.until(`said.at(-1) === "left"`)
	if got := value[[]string](two, `said.slice(-2)`); !slices.Equal(got, []string{"user ", "left"}) {
		t.Errorf("after it disconnected the program says %q", got)
	}
	one.isOf("") // restarted

	two.navigate(s.url + "/wasm")
	two.until(`window.said?.at(-1) === "done"`)
	one.do(`await sojourn.fetch("/login", { method: "POST", body: new URLSearchParams({ user: "bob" }) })`)
	two.until(`said.at(-1) === "changed connected"`)
	for what, want := range map[string]int{"violations": 0, "failures": 0} {
		if got := noted[string](two, what); len(got) != want {
			t.Errorf("%s: %q", what, got)
		}
	}
}
