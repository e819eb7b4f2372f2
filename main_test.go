package sojourn_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, and fails if they leave a goroutine behind. In the
// environment that the tests of crashes give to a child process it is a server.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashDatabase); path != "" {
		crashServe(path)
	}
	code := m.Run()
	if err := errors.Join(stopEngines(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// stopEngines ends the servers that tests have started.
var stopEngines = func() error { return nil }
