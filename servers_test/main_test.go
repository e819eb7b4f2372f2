//go:build unix

// Package serverstest looks at a site of three server processes on one engine:
// at what is promised of them together, while servers are killed and the engine
// is stopped, restarted and cut off.
package serverstest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
	"go.uber.org/goleak"
)

// TestMain runs the tests. In the environment that they give to a child process
// it is a server.
func TestMain(m *testing.M) {
	if text := os.Getenv(envSite); text != "" {
		serveSite(text)
	}
	flag.Parse()
	code := m.Run()
	if err := errors.Join(testserver.StopRedis(), testserver.StopPostgres(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// From the environment: how long histories are, and how many requests race with
// each kind of end.
const (
	envSeconds = "SOJOURN_HISTORY_SECONDS"
	envRacing  = "SOJOURN_RACING"
)

// historyTime is how long faults go on.
func historyTime(t testing.TB, usual time.Duration) time.Duration {
	t.Helper()
	if text := os.Getenv(envSeconds); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			t.Fatalf("%s is %q, which is no number of seconds", envSeconds, text)
		}
		return time.Duration(n) * time.Second
	}
	if testing.Short() {
		return usual / 4
	}
	return usual
}

// racing is how many requests race with ends.
func racing(t testing.TB) int {
	t.Helper()
	if text := os.Getenv(envRacing); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			t.Fatalf("%s is %q, which is no number of requests", envRacing, text)
		}
		return n
	}
	if testing.Short() || raceDetector {
		return 2_000
	}
	return 10_000
}
