package main_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/internal/demo/functions"
)

// A program in Go is a tab of the demo: it calls, hears, and is signed out with
// the browsers.
func TestProgramIsATabOfTheDemo(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--addr", "127.0.0.1:0", "--db", filepath.Join(t.TempDir(), "demo.db"))
	here, there := newClient(t), newClient(t)
	for _, c := range []*http.Client{here, there} {
		if resp := signIn(t, c, d.URL); resp.StatusCode != 200 {
			t.Fatalf("signing in is answered %d", resp.StatusCode)
		}
	}
	program, changed := startProgram(t, d.URL, there)
	if greeting, err := functions.Greet.Call(t.Context(), program, "Hello"); err != nil || greeting != "Hello, bob." {
		t.Errorf("the program is greeted %q, %v", greeting, err)
	}
	if resp := fetched(t)(here.PostForm(d.URL+"/sign-out/everywhere", nil)); resp.StatusCode != 200 {
		t.Errorf("signing out everywhere is answered %d", resp.StatusCode)
	}
	select {
	case reason := <-changed:
		if reason != "disconnect-all" {
			t.Errorf("the program is told %q", reason)
		}
	case <-time.After(time.Minute):
		t.Fatal("the program is not told that it is disconnected")
	}
	if _, err := functions.Greet.Call(t.Context(), program, "Hello"); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("after the disconnection a call gives %v", err)
	}
}

// startProgram makes a program in Go a tab of a browser, until the test ends,
// and tells why its connection has changed.
func startProgram(t *testing.T, url string, browser *http.Client) (program *client.Client, changed <-chan string) {
	t.Helper()
	program, err := client.Start(t.Context(), client.Options{BaseURL: url, HTTPClient: browser})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	reasons := make(chan string, 10)
	program.OnConnectionChanged(func(reason string) { reasons <- reason })
	return program, reasons
}
