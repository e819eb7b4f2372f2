//go:build unix

package serverstest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// race is what came of requests that raced with ends on another server.
type race struct {
	requests, accepted, refused int
	late                        int             // accepted though they began after the end had returned
	lags                        []time.Duration // of each end and each other server: of the last of them; 0: none
}

// raceEnds ends all sessions of a user on the first server while their requests
// go to the others, until it is enough.
func raceEnds(t *testing.T, servers []*server, enough func(r race) bool) (r race) {
	t.Helper()
	const sessions, refusals = 6, 3
	for round := 0; !enough(r); round++ {
		user := "racer" + strconv.Itoa(round)
		all := make([]*cookies, sessions)
		for i := range all {
			all[i] = servers[i%len(servers)].connect(user)
		}
		type request struct {
			server int
			began  time.Time
			ok     bool
		}
		sent := make([][]request, sessions)
		failed := make([]error, sessions)
		running := make(chan struct{}, sessions)
		var ended time.Time
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() {
				runs := sync.OnceFunc(func() { running <- struct{}{} })
				defer runs() // also if it fails at once
				began := time.Now()
				for no := 0; no < refusals && time.Since(began) < patience; {
					q := request{server: 1 + (len(sent[i])+i)%(len(servers)-1), began: time.Now()}
					copied := *c
					a, err := servers[q.server].send(http.MethodGet, "/whoami", nil, &copied)
					switch {
					case err == nil && a.status == http.StatusOK && a.body == user:
						q.ok = true
					case err == nil && a.status == http.StatusUnauthorized:
						no++
					default:
						failed[i] = fmt.Errorf("whoami: %d %s %w", a.status, a.body, err)
						no = refusals
					}
					sent[i] = append(sent[i], q)
					if len(sent[i]) == 2 {
						runs()
					}
				}
			})
		}
		for range sessions {
			<-running
		}
		time.Sleep(rand.N(3 * time.Millisecond))
		servers[0].do(http.MethodPost, "/end-all", of(user), nil)
		ended = time.Now()
		wg.Wait()
		must(t, failed...)
		lags := make([]time.Duration, len(servers))
		for _, requests := range sent {
			r.requests += len(requests)
			for _, q := range requests {
				if !q.ok {
					r.refused++
					continue
				}
				r.accepted++
				if lag := q.began.Sub(ended); lag > 0 {
					r.late++
					lags[q.server] = max(lags[q.server], lag)
				}
			}
		}
		r.lags = append(r.lags, lags[1:]...)
	}
	if r.accepted == 0 || r.refused == 0 {
		t.Errorf("%d requests were accepted and %d refused: that was no race", r.accepted, r.refused)
	}
	return r
}

// sent is enough when so many requests were sent.
func sent(n int) func(r race) bool { return func(r race) bool { return r.requests >= n } }

// raceServers are three servers of one site.
func raceServers(t *testing.T, e *engine, cfg siteConfig) []*server {
	t.Helper()
	cfg.Engine, cfg.Name = e.url, newName()
	return startServers(t, 3, func(int) siteConfig { return cfg })
}

// Once DisconnectAll has returned no other server takes a request of the user
// that begins later.
func TestDisconnectAllIsAtOnceOnEveryServer(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		r := raceEnds(t, raceServers(t, e, siteConfig{}), sent(racing(t)))
		t.Logf("%d requests raced with %d ends: %d accepted, %d refused, %d accepted that began after the end",
			r.requests, len(r.lags)/2, r.accepted, r.refused, r.late)
		if r.late > 0 {
			t.Errorf("%d requests were accepted that began after DisconnectAll had returned", r.late)
		}
	})
}

// With MaxStaleness it may take as long as that; usually it does not.
func TestDisconnectAllIsInTimeWithMaxStaleness(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		const bound = 5 * time.Second
		r := raceEnds(t, raceServers(t, e, siteConfig{Staleness: bound}), sent(racing(t)))
		most := percentile(r.lags, 1)
		t.Logf("%d requests raced with %d ends: %d accepted, %d of them after the end; the last of a server p50 %v, p99 %v, at most %v after it",
			r.requests, len(r.lags)/2, r.accepted, r.late, percentile(r.lags, 0.5), percentile(r.lags, 0.99), most)
		if most > bound {
			t.Errorf("a request was accepted %v after DisconnectAll had returned, with a bound of %v", most, bound)
		}
	})
}

// The race is one that can be lost.
func TestRaceIsLostWithStaleReads(t *testing.T) {
	t.Parallel()
	e := &engine{url: testserver.SharedRedis(t).URL()}
	servers := raceServers(t, e, siteConfig{Broken: staleReads})
	began := time.Now()
	r := raceEnds(t, servers, func(r race) bool {
		return r.requests >= 500 && r.late > 0 || time.Since(began) > patience
	})
	if r.late == 0 {
		t.Errorf("of %d requests none was late, on servers that answer from memory", r.requests)
	}
}

// What has ended is ended after the engine was restarted, with the settings
// that docs/scale.md names.
func TestRevokedStaysRevokedAcrossARestartOfTheEngine(t *testing.T) {
	onOwnEngines(t, func(t *testing.T, e *engine) {
		servers := raceServers(t, e, siteConfig{Timeout: storeTimeout})
		for round, down := range []func() error{e.stop, e.kill, e.kill} {
			gone := fmt.Sprint("gone", round)
			kept := fmt.Sprint("kept", round)
			var ended []*cookies
			for i := range 6 {
				ended = append(ended, servers[i%3].insistOnConnecting(gone))
			}
			one := servers[0].insistOnConnecting(kept)
			stays := servers[1].insistOnConnecting(kept)
			copied := *one
			servers[2].insist(http.MethodPost, "/end", nil, &copied, http.StatusUnauthorized)
			servers[0].insist(http.MethodPost, "/revoke", of(gone), nil)
			must(t, down())
			must(t, e.run())
			for i, s := range servers {
				for _, c := range append(ended, one) {
					if user := s.wait(c); user != "" {
						t.Errorf("round %d, server %d: an ended session of %s is there again", round, i, user)
					}
				}
				if user := s.wait(stays); user != kept {
					t.Errorf("round %d, server %d: the session of %s is that of %q", round, i, kept, user)
				}
			}
		}
	})
}

func TestParallelLoginsLeaveTheLimit(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		const limit, callers, each = 5, 9, 8
		servers := raceServers(t, e, siteConfig{Limit: limit})
		made := make([][]*cookies, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range each {
					c := new(cookies)
					a, err := servers[i%3].send(http.MethodPost, "/connect", of("ada"), c)
					switch {
					case err == nil && a.status == http.StatusUnauthorized: // evicted at once
					case err != nil || a.status != http.StatusOK:
						t.Errorf("connect: %d %s %v", a.status, a.body, err)
					default:
						made[i] = append(made[i], c)
					}
				}
			})
		}
		wg.Wait()
		for i, s := range servers {
			if n := s.do(http.MethodGet, "/sessions", of("ada"), nil); n != strconv.Itoa(limit) {
				t.Errorf("server %d lists %s sessions, want %d", i, n, limit)
			}
			alive := 0
			for _, cs := range made {
				for _, c := range cs {
					if s.knows(c) == "ada" {
						alive++
					}
				}
			}
			if alive > limit || alive == 0 {
				t.Errorf("server %d accepts %d sessions, with a limit of %d", i, alive, limit)
			}
		}
	})
}

// Each server has a volatile part of its own, made when a session comes there.
func TestVolatileStateIsOfEachServer(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		servers := raceServers(t, e, siteConfig{})
		c := servers[0].connect("ada")
		value := func(v string) map[string][]string { return map[string][]string{"value": {v}} }
		opened := func(want ...string) {
			t.Helper()
			for i, s := range servers {
				if n := s.do(http.MethodGet, "/opened", of("ada"), nil); n != want[i] {
					t.Errorf("open-session ran %s times on server %d, want %s", n, i, want[i])
				}
			}
		}
		opened("1", "0", "0")
		for range 3 {
			for _, s := range servers {
				if user := s.knows(c); user != "ada" {
					t.Fatalf("the session of ada is that of %q", user)
				}
			}
		}
		opened("1", "1", "1")
		for i, s := range servers {
			for _, name := range []string{"/volatile-user", "/volatile-session"} {
				s.do(http.MethodPost, name, value(strconv.Itoa(i)), c)
			}
		}
		servers[1].do(http.MethodPost, "/set", value("7"), c)
		for i, s := range servers {
			for _, name := range []string{"/volatile-user", "/volatile-session"} {
				if v := s.do(http.MethodGet, name, nil, c); v != strconv.Itoa(i) {
					t.Errorf("server %d: %s is %q", i, name, v)
				}
			}
			if v := s.do(http.MethodGet, "/get", nil, c); v != "7" {
				t.Errorf("server %d: the persistent value is %q", i, v)
			}
		}
		servers[2].kill()
		servers[2].start()
		if v := servers[2].do(http.MethodGet, "/volatile-user", nil, c); v != "" {
			t.Errorf("after a restart the volatile value is %q", v)
		}
		opened("1", "1", "1")
		// The user's state goes on every server with the last session.
		other := servers[1].connect("ada")
		servers[0].do(http.MethodPost, "/end-all", of("ada"), nil)
		again := servers[1].connect("ada")
		await(t, "the volatile state to go", func() bool {
			return servers[0].do(http.MethodGet, "/volatile-user", nil, again) == "" && servers[1].do(http.MethodGet, "/volatile-user", nil, again) == ""
		})
		for i, s := range servers {
			if user := s.knows(other); user != "" {
				t.Errorf("server %d: an ended session is %q's", i, user)
			}
			if v := s.do(http.MethodGet, "/volatile-session", nil, again); v != "" {
				t.Errorf("server %d: a new session has the value %q", i, v)
			}
			if v := s.do(http.MethodGet, "/get", nil, again); v != "7" {
				t.Errorf("server %d: the user's persistent value is %q", i, v)
			}
		}
	})
}
