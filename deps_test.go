package sojourn_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "github.com/sojourn-go/sojourn"
	websocket = "github.com/coder/websocket"
)

// What an application gets by importing the library: the standard library,
// packages of this module, and the live connection's WebSocket library.
// Databases come only with the store that the application chooses.
func TestRootPackageImportsOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, path := range deps(t, module) {
		switch {
		case strings.HasPrefix(path, module+"/"), path == module:
		case path == websocket, strings.HasPrefix(path, websocket+"/"):
		default:
			t.Errorf("the root package imports %s, directly or not", path)
		}
	}
}

// The packages that both sides share depend on neither side, so that a program
// for the browser stays small.
func TestSharedPackagesDependOnNeitherSide(t *testing.T) {
	t.Parallel()
	shared := map[string][]string{
		module + "/protocol":         {module + "/protocol"},
		module + "/internal/rpcname": {module + "/internal/rpcname"},
		module + "/rpc":              {module + "/rpc", module + "/protocol", module + "/internal/rpcname"},
	}
	checked := 0
	for _, pkg := range goList(t, "./...") {
		allowed, ok := shared[pkg]
		if !ok {
			continue
		}
		checked++
		for _, path := range deps(t, pkg) {
			if !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s, directly or not", pkg, path)
			}
		}
	}
	if checked != len(shared) {
		t.Errorf("go list found %d of the %d shared packages", checked, len(shared))
	}
}

// deps lists what pkg imports outside the standard library, directly or not,
// and pkg itself.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	paths := goList(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
	if !slices.Contains(paths, pkg) {
		t.Fatalf("go list -deps %s does not list the package itself: %q", pkg, paths)
	}
	return paths
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}
