//go:build unix

package serverstest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// fault is something that happens to a site while it is in use.
type fault struct {
	name string
	do   func()
}

// faulty is a site of three servers, each behind a proxy of its own if the
// engine can be reached through one, and what can happen to them.
type faulty struct {
	servers []*server
	faults  []fault
}

func newFaulty(t testing.TB, e *engine, cfg siteConfig) *faulty {
	t.Helper()
	var proxies []*testserver.Proxy
	f := &faulty{}
	cfg.Name = newName()
	f.servers = startServers(t, 3, func(int) siteConfig {
		cfg.Engine = e.url
		if !e.many {
			p := testserver.NewProxy(t, e.host(t), nil)
			proxies = append(proxies, p)
			cfg.Engine = e.through(t, p)
		}
		return cfg
	})
	add := func(name string, do func()) { f.faults = append(f.faults, fault{name, do}) }
	add("a server is killed and started again", func() {
		s := f.servers[rand.IntN(len(f.servers))]
		s.kill()
		s.start()
	})
	add("the engine is stopped and started again", func() {
		must(t, e.stop())
		time.Sleep(rand.N(500 * time.Millisecond))
		must(t, e.run())
	})
	add("the engine crashes and is started again", func() {
		must(t, e.kill())
		must(t, e.run())
	})
	if e.many {
		return f
	}
	onProxy := func(name string, begin func(p *testserver.Proxy), most time.Duration) {
		add(name, func() {
			p := proxies[rand.IntN(len(proxies))]
			begin(p)
			time.Sleep(rand.N(most))
			p.Delay(0)
			p.Release()
		})
	}
	onProxy("connections of a server break", func(p *testserver.Proxy) { p.Cut() }, time.Millisecond)
	onProxy("connections of a server are half open", func(p *testserver.Proxy) { p.Hold() }, 2*cfg.Timeout)
	onProxy("a server gets no answers", func(p *testserver.Proxy) { p.HoldAnswers() }, 2*cfg.Timeout)
	onProxy("a server hears everything late", func(p *testserver.Proxy) { p.Delay(30 * time.Millisecond) }, time.Second)
	add("half open connections break", func() {
		p := proxies[rand.IntN(len(proxies))]
		p.HoldAnswers()
		time.Sleep(rand.N(100 * time.Millisecond))
		p.Cut()
		p.Release()
	})
	return f
}

// run lets every kind of fault happen, and then any, as long as d and until
// everything has succeeded once in spite of them.
func (f *faulty) run(t testing.TB, h *history, d time.Duration) (happened map[string]int) {
	t.Helper()
	happened = map[string]int{}
	order := rand.Perm(len(f.faults))
	goOn := func(past time.Duration) bool {
		return len(order) > 0 || past < d || past < d+3*patience && len(h.tally().missing()) > 0
	}
	most := 600 * time.Millisecond
	for began := time.Now(); goOn(time.Since(began)); {
		time.Sleep(rand.N(most))
		if time.Since(began) > d { // so much happens that this machine gets nothing done in between
			most = most * 5 / 4
		}
		i := rand.IntN(len(f.faults))
		if len(order) > 0 {
			i, order = order[0], order[1:]
		}
		f.faults[i].do()
		happened[f.faults[i].name]++
	}
	time.Sleep(time.Second) // of peace
	return happened
}

// resumed fails unless every server knows again what it should.
func (f *faulty) resumed(t testing.TB) {
	t.Helper()
	for _, s := range f.servers {
		var c *cookies
		await(t, "a server to connect users again", func() bool {
			c = new(cookies)
			a, err := s.send("POST", "/connect", of("ada"), c)
			return err == nil && a.status == 200
		})
		for _, other := range f.servers {
			if user := other.wait(c); user != "ada" {
				t.Errorf("when all was over, a server takes the session of ada for that of %q", user)
			}
		}
	}
}

// storeTimeout is that of servers of which the engine is away at times.
const storeTimeout = 700 * time.Millisecond

func TestHistoriesAreLinearizable(t *testing.T) {
	onOwnEngines(t, func(t *testing.T, e *engine) { linearizable(t, e, 16*time.Second) })
}

func TestHistoriesOnAClusterAreLinearizable(t *testing.T) {
	t.Parallel()
	linearizable(t, newCluster(t), 8*time.Second)
}

func linearizable(t *testing.T, e *engine, usual time.Duration) {
	f := newFaulty(t, e, siteConfig{Timeout: storeTimeout})
	var happened map[string]int
	h := record(t, f.servers, func(h *history) { happened = f.run(t, h, historyTime(t, usual)) })
	f.resumed(t)
	h.report(h.check())
	t.Logf("what happened: %v", happened)
}

// With MaxStaleness no request is answered for a session that begins later than
// the bound after its end returned; and none is refused before.
func TestStalenessIsBounded(t *testing.T) {
	onOwnEngines(t, func(t *testing.T, e *engine) {
		const bound = 2 * time.Second
		f := newFaulty(t, e, siteConfig{Timeout: storeTimeout, Staleness: bound})
		var happened map[string]int
		h := record(t, f.servers, func(h *history) { happened = f.run(t, h, historyTime(t, 12*time.Second)) })
		f.resumed(t)
		h.report(nil)
		for _, d := range h.lost() {
			t.Errorf("refused without an end: %v", d)
		}
		lags := h.late()
		if len(lags) == 0 {
			t.Error("no session was asked for after its end")
		}
		most := percentile(lags, 1)
		if most > bound {
			t.Errorf("a session was used %v after its end, with a bound of %v", most, bound)
		}
		t.Logf("%d sessions asked for after their end: last answered p50 %v, p99 %v, at most %v after it",
			len(lags), percentile(lags, 0.5), percentile(lags, 0.99), most)
		t.Logf("what happened: %v", happened)
	})
}

// What these tests say is worth something: servers with a small fault are
// caught, and the same servers without it are not.
func TestFaultsInTheStoreAreCaught(t *testing.T) {
	t.Parallel()
	for _, how := range []string{staleReads, lostUpdates, lateGuard, ""} {
		name := how
		if how == "" {
			name = "none"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := siteConfig{Engine: testserver.SharedRedis(t).URL(), Name: newName(), Broken: how}
			servers := startServers(t, 3, func(int) siteConfig { return cfg })
			wrong := 0
			for began := time.Now(); wrong == 0; {
				h := record(t, servers, func(h *history) {
					time.Sleep(2 * time.Second)
					if how == "" {
						await(t, "everything to have succeeded", func() bool { return len(h.tally().missing()) == 0 })
					}
				})
				found := h.check()
				wrong += len(found)
				if how == "" {
					h.report(found)
					return
				}
				if time.Since(began) > 5*patience {
					t.Fatal("nobody noticed")
				}
			}
			t.Logf("%d histories are wrong", wrong)
		})
	}
}
