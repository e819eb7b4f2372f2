//go:build unix

package serverstest

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// engine is where a site keeps its sessions. The functions are nil for one that
// other tests use as well.
type engine struct {
	name string
	url  string
	stop func() error // as an administrator does
	kill func() error // as a crash does
	run  func() error // after stop or kill
	many bool         // it has nodes that the clients find by themselves, so that no proxy helps
}

// engines are the kinds of engines that promises are tested on.
var engines = []struct {
	name   string
	own    func(t testing.TB) *engine // a durable one of the test's own, with the settings that docs/scale.md names
	shared func(t testing.TB) *engine // one that all tests share
}{
	{
		name: "postgres",
		own: func(t testing.TB) *engine {
			t.Helper()
			s := testserver.NewPostgres(t)
			return &engine{name: "postgres", url: s.URL(), stop: s.Stop, kill: s.Kill, run: s.Start}
		},
		shared: func(t testing.TB) *engine {
			t.Helper()
			return &engine{name: "postgres", url: testserver.Postgres(t)}
		},
	},
	{
		name: "redis",
		own: func(t testing.TB) *engine {
			t.Helper()
			s := testserver.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
			return &engine{
				name: "redis", url: s.URL(),
				stop: func() error { s.Stop(); return nil },
				kill: func() error { s.Kill(); return nil },
				run:  func() error { s.Start(); return nil },
			}
		},
		shared: func(t testing.TB) *engine {
			t.Helper()
			return &engine{name: "redis", url: testserver.SharedRedis(t).URL()}
		},
	},
}

// newCluster is a Redis Cluster of three, of which one at a time fails.
func newCluster(t testing.TB) *engine {
	t.Helper()
	nodes := testserver.NewRedisCluster(t, "--appendonly", "yes", "--appendfsync", "always")
	next := 0
	return &engine{
		name: "cluster", url: nodes[0].URL(), many: true,
		stop: func() error { nodes[next].Stop(); return nil },
		kill: func() error { nodes[next].Kill(); return nil },
		run: func() error {
			nodes[next].Start()
			next = (next + 1) % len(nodes)
			return nil
		},
	}
}

// onEngines runs a test on each kind of engine that tests share.
func onEngines(t *testing.T, f func(t *testing.T, e *engine)) {
	t.Parallel()
	for _, kind := range engines {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind.shared(t))
		})
	}
}

// onOwnEngines runs a test on an engine of its own of each kind.
func onOwnEngines(t *testing.T, f func(t *testing.T, e *engine)) {
	t.Parallel()
	for _, kind := range engines {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind.own(t))
		})
	}
}

// newName is a prefix or schema of a test.
func newName() string { return "t" + strings.ToLower(rand.Text()) }

// host is the engine's address.
func (e *engine) host(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(e.url)
	must(t, err)
	return u.Host
}

// through is the engine's URL behind a proxy.
func (e *engine) through(t testing.TB, p *testserver.Proxy) string {
	t.Helper()
	u, err := url.Parse(e.url)
	must(t, err)
	u.Host = p.Addr()
	return u.String()
}
