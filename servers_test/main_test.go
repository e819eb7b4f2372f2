//go:build unix

// Package serverstest looks at a site of three server processes on one engine:
// at what is promised of them together, while servers are killed and the engine
// is stopped, restarted and cut off.
package serverstest

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
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
	if err := stopRedis(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping Redis:", err)
		code = max(code, 1)
	}
	if err := testserver.StopPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
		code = max(code, 1)
	}
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// sharedRedis is the Redis of all tests that do nothing to it.
var sharedRedis struct {
	sync.Mutex
	server *testserver.RedisServer
	t      *programTB
}

// programTB is a test that ends with the program.
type programTB struct {
	testing.TB
	cleanups []func()
}

func (p *programTB) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

func (p *programTB) TempDir() string {
	dir, err := os.MkdirTemp("", "sojourn-redis-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func redisForAll(t testing.TB) *testserver.RedisServer {
	t.Helper()
	sharedRedis.Lock()
	defer sharedRedis.Unlock()
	if sharedRedis.server == nil {
		sharedRedis.t = &programTB{TB: t}
		sharedRedis.server = testserver.Redis(sharedRedis.t)
	}
	return sharedRedis.server
}

func stopRedis() (err error) {
	if sharedRedis.server == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("%v", p))
		}
	}()
	for i := range sharedRedis.t.cleanups {
		sharedRedis.t.cleanups[len(sharedRedis.t.cleanups)-1-i]()
	}
	return nil
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
