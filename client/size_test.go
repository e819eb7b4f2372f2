//go:build !js

package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mostForTheBrowser is how many bytes a small program for the browser may be
// after compression: 480 KiB.
const mostForTheBrowser = 480 << 10

// A page that calls a function and takes messages. Without inlining Go makes
// it 6 % smaller; docs/tabs-go.md says so.
func TestHelloForTheBrowserIsSmall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: compresses a program")
	}
	program := build(t, "./testdata/hello", "-gcflags=all=-l")
	cmd := exec.CommandContext(t.Context(), "go", "run", "./internal/compressed")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(program), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d after brotli", len(program), size)
	if size > mostForTheBrowser {
		t.Errorf("the program has %d bytes after brotli, more than %d", size, mostForTheBrowser)
	}
}

// build compiles a program for the browser.
func build(t *testing.T, pkg string, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "main.wasm")
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", out}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
