package sojourn_test

import (
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
	goleak.VerifyTestMain(m)
}
