//go:build unix

package serverstest

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/protocol"
)

// While the engine is away what needs it fails in time and in a way that says
// so; what does not goes on; nobody is taken for nobody; and all is well again
// when it is back.
func TestEngineAway(t *testing.T) {
	onOwnEngines(t, func(t *testing.T, e *engine) {
		const timeout = time.Second
		proxies := make([]*testserver.Proxy, 2)
		cfg := siteConfig{Name: newName(), Timeout: timeout}
		servers := startServers(t, 2, func(i int) siteConfig {
			proxies[i] = testserver.NewProxy(t, e.host(t), nil)
			cfg.Engine = e.through(t, proxies[i])
			return cfg
		})
		eachProxy := func(f func(p *testserver.Proxy)) func() {
			return func() {
				for _, p := range proxies {
					f(p)
				}
			}
		}
		for _, way := range []struct {
			name       string
			away, back func()
		}{
			{"stopped", func() { must(t, e.stop()) }, func() { must(t, e.run()) }},
			{"crashed", func() { must(t, e.kill()) }, func() { must(t, e.run()) }},
			{"half open", eachProxy((*testserver.Proxy).Hold), eachProxy((*testserver.Proxy).Release)},
			{"silent", eachProxy((*testserver.Proxy).HoldAnswers), eachProxy((*testserver.Proxy).Release)},
		} {
			var c *cookies
			await(t, "the engine to be there", func() bool {
				c = new(cookies)
				a, err := servers[0].send(http.MethodPost, "/connect", of("ada"), c)
				return err == nil && a.status == http.StatusOK && servers[0].wait(c) == "ada" && servers[1].wait(c) == "ada"
			})
			servers[0].insist(http.MethodPost, "/set", url.Values{"value": {"7"}}, c)
			tabs := []*openTab{openTabOn(servers[0], c, "ada"), openTabOn(servers[1], c, "ada")}
			way.away()
			var wg sync.WaitGroup
			for i, s := range servers {
				for _, q := range []struct{ method, path, value string }{
					{http.MethodGet, "/whoami", ""},
					{http.MethodGet, "/open", ""}, // for everybody, but not as nobody
					{http.MethodGet, "/get", ""},
					{http.MethodPost, "/set", "8"},
					{http.MethodPost, "/connect", ""},
				} {
					given := *c
					if q.path == "/connect" {
						given = cookies{}
					}
					wg.Go(func() {
						// Connect asks several times. A machine that has much else to do
						// may hold up an answer, but not each time.
						const inTime, tries = 3*timeout + 3*time.Second, 5
						took := 2 * inTime
						for range tries {
							if took <= inTime {
								break
							}
							with, began := given, time.Now()
							a, err := s.send(q.method, q.path, url.Values{"value": {q.value}, "user": {"bob"}}, &with)
							took = time.Since(began)
							if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
								t.Errorf("%s, server %d: %s was answered with %d %q, Retry-After %q, %v",
									way.name, i, q.path, a.status, a.body, a.header.Get("Retry-After"), err)
							}
							if with.session != given.session {
								t.Errorf("%s, server %d: the answer to %s changes the session's cookie", way.name, i, q.path)
							}
						}
						if took > inTime {
							t.Errorf("%s, server %d: the answer to %s took %v, with a timeout of %v", way.name, i, q.path, took, timeout)
						}
					})
				}
			}
			wg.Wait()
			for i, s := range servers {
				if a := s.do(http.MethodGet, "/plain", nil, c); a != "plain" {
					t.Errorf("%s, server %d: a page without a guard is %q", way.name, i, a)
				}
				if a := s.do(http.MethodGet, "/open", nil, nil); a != `""` {
					t.Errorf("%s, server %d: a page that nobody asks for is %s", way.name, i, a)
				}
			}
			for _, tab := range tabs {
				tab.silent(t, way.name+": while the engine was away")
			}
			way.back()
			for i, s := range servers {
				if user := s.wait(c); user != "ada" {
					t.Errorf("%s, server %d: when the engine was back the session of ada is that of %q", way.name, i, user)
				}
			}
			// The writes may have taken effect or not, and nothing else.
			if v := servers[1].insist(http.MethodGet, "/get", nil, c); v != "7" && v != "8" {
				t.Errorf("%s: the value is %s", way.name, v)
			}
			// The same live connections hear what happens.
			heard := 0
			await(t, "the tabs to be told again", func() bool {
				servers[0].send(http.MethodPost, "/notify", url.Values{"user": {"ada"}, "value": {"back"}}, nil)
				time.Sleep(20 * time.Millisecond)
				heard = 0
				for i, tab := range tabs {
					if tab == nil {
						heard++
						continue
					}
					select {
					case m := <-tab.told:
						if m.Type != protocol.LiveEvent {
							t.Fatalf("%s: the tab was told %+v", way.name, m)
						}
						tabs[i] = nil
						heard++
					default:
					}
				}
				return heard == len(tabs)
			})
		}
	})
}
