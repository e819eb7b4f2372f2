//go:build unix

package main_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	lib "github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/internal/demo/functions"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/redis"
)

func init() {
	stopServers = func() int {
		if err := testserver.StopPostgres(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// patience is how long a test waits for what has to come.
const patience = time.Minute

func TestThreeServersAreOneSite(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]func(*testing.T) string{
		"PostgreSQL": func(t *testing.T) string { return testserver.Postgres(t) },
		"Redis": func(t *testing.T) string {
			return testserver.Redis(t, "--maxmemory-policy", "noeviction", "--appendonly", "yes").URL()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testThreeServers(t, engine(t))
		})
	}
}

func testThreeServers(t *testing.T, store string) {
	d := startDemo(t, "--addr", "127.0.0.1:0", "--servers", "3", "--store", store)
	here, there := newClient(t), newClient(t)
	for _, c := range []*http.Client{here, there} {
		if resp := signIn(t, c, d.URL); resp.StatusCode != 200 {
			t.Fatalf("signing in is answered %d", resp.StatusCode)
		}
	}
	if got := d.answer(t, here, 9, 200); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("bob's requests are answered by the servers %q, want all three", got)
	}

	// A tab of the other browser, on whichever server.
	program, changed := startProgram(t, d.URL, there)
	waves := make(chan string, 10)
	program.OnEvent("wave", func(data []byte) { waves <- string(data) })
	for i := range 3 { // whichever servers they call and are open at
		text := strconv.Itoa(i)
		if _, err := functions.Wave.Call(t.Context(), program, text); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-waves:
			if got != strconv.Quote(text) {
				t.Errorf("the tab hears %s, want %q", got, text)
			}
		case <-time.After(patience):
			t.Fatal("a message does not come")
		}
	}
	if greeting, err := functions.Greet.Call(t.Context(), program, "Hello"); err != nil || greeting != "Hello, bob." {
		t.Errorf("the program is greeted %q, %v", greeting, err)
	}

	pid := regexp.MustCompile(`server 2 +process (\d+)`).FindStringSubmatch(d.said)
	if pid == nil {
		t.Fatalf("it does not name the processes:\n%s", d.said)
	}
	two, _ := strconv.Atoi(pid[1])
	if err := syscall.Kill(two, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.complains(t, "server 2 | ended: signal: killed")
	if got := d.answer(t, here, 8, 200); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("after server 2 was killed the servers %q answer", got)
	}

	if resp := fetched(t)(here.PostForm(d.URL+"/sign-out/everywhere", nil)); resp.StatusCode != 200 {
		t.Errorf("signing out everywhere is answered %d", resp.StatusCode)
	}
	d.answer(t, here, 4, 401)
	d.answer(t, there, 4, 401)
	select {
	case reason := <-changed:
		if reason != "disconnect-all" && reason != "changed" { // the latter if it was on the server that died
			t.Errorf("the program is told %q", reason)
		}
	case <-time.After(patience):
		t.Error("the program is not told that it is disconnected")
	}
	if _, err := functions.Greet.Call(t.Context(), program, "Hello"); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("after the disconnection a call gives %v", err)
	}

	// The command line ends sessions under running servers.
	page := signIn(t, here, d.URL)
	user := userOf(t, page)
	status, stdout, stderr := sojourn(t, "sessions", "end", "--all", user, "--yes", "--store", store)
	if status != 0 || !strings.Contains(stdout, "1 session of") {
		t.Errorf("sojourn sessions end exits with %d: %s%s", status, stdout, stderr)
	}
	d.answer(t, here, 4, 401)
	d.stop(t, os.Interrupt)
	d.wantGone(t)
}

func TestServersThatHangAreKilledAtTheEnd(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--addr", "127.0.0.1:0", "--servers", "3", "--store", testserver.Postgres(t))
	signal := func(sig syscall.Signal) {
		for _, pid := range d.servers() {
			syscall.Kill(pid, sig)
		}
	}
	signal(syscall.SIGSTOP)
	late := time.AfterFunc(patience, func() { signal(syscall.SIGKILL) })
	d.stop(t, os.Interrupt)
	if !late.Stop() {
		t.Error("it waits for servers that do not end")
	}
	d.wantGone(t)
}

// servers are the processes that the demo named.
func (d *running) servers() (pids []int) {
	for _, m := range regexp.MustCompile(`process (\d+)`).FindAllStringSubmatch(d.said, -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	return pids
}

// wantGone wants the servers to have ended.
func (d *running) wantGone(t *testing.T) {
	t.Helper()
	for _, pid := range d.servers() {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the server in process %d is still there: %v", pid, err)
		}
	}
}

// answer asks for a page n times, which has to be answered with a status, and
// returns the servers that answered.
func (d *running) answer(t *testing.T, c *http.Client, n, status int) (servers []string) {
	t.Helper()
	for range n {
		resp := fetched(t)(c.Get(d.URL + "/sessions"))
		if resp.StatusCode != status {
			t.Errorf("server %s answers %d, want %d", resp.Header.Get(demo.ServerHeader), resp.StatusCode, status)
		}
		servers = append(servers, resp.Header.Get(demo.ServerHeader))
	}
	slices.Sort(servers)
	return slices.Compact(servers)
}

// complains waits until the demo has written a text to stderr.
func (d *running) complains(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !strings.Contains(d.stderr.String(), text) {
		if ctx.Err() != nil {
			t.Fatalf("it does not say %q:\n%s", text, d.stderr.String())
		}
		time.Sleep(5 * time.Millisecond) // a file cannot be waited for
	}
}

// Connecting to PostgreSQL is many round trips.
func TestSlowEngineIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]string{
		"PostgreSQL": testserver.Postgres(t), "Redis": testserver.Redis(t, "--appendonly", "yes").URL(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(engine)
			if err != nil {
				t.Fatal(err)
			}
			proxy := testserver.NewProxy(t, u.Host, nil)
			proxy.Delay(220 * time.Millisecond)
			u.Host = proxy.Addr()
			done(t, []string{"sessions", "count", "--store", u.String()}, "sessions")
		})
	}
}

// Whoever is at the balancer must not be taken for everybody.
func TestBalancerPassesAddressesOn(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--addr", "127.0.0.1:0", "--servers", "2", "--store", testserver.Postgres(t))
	c := newClient(t)
	guess := func(forwarded string) int {
		t.Helper()
		form := url.Values{"name": {"bob"}, "password": {"wrong"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/sign-in", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", forwarded)
		return fetched(t)(c.Do(req)).StatusCode
	}
	last := 0
	for i := 0; i < 200 && last != http.StatusTooManyRequests; i++ { // ten tries of one address at each server, and those that come back meanwhile
		last = guess(fmt.Sprintf("192.0.2.%d", i))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("a guesser who claims to come from everywhere is answered %d", last)
	}
	d.stop(t, os.Interrupt)
}

// Sites that share an engine are told apart by the schema or the prefix.
func TestSessionsOfASiteByItsName(t *testing.T) {
	t.Parallel()
	inPostgres := testserver.Postgres(t)
	inRedis := testserver.Redis(t, "--maxmemory-policy", "noeviction", "--appendonly", "yes").URL()
	for store, open := range map[string]func() (lib.Store, error){
		inPostgres: func() (lib.Store, error) { return postgres.Open(t.Context(), inPostgres, postgres.Schema("shop")) },
		inRedis:    func() (lib.Store, error) { return redis.Open(t.Context(), inRedis, redis.Prefix("shop")) },
	} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		n := lib.StoredSession{User: "ada", ID: "0123456789abcdefghijkl", OpenedAt: time.Now(), LastSeen: time.Now()}
		shard := lib.ShardOf(n.User)
		copy(n.Key[:], shard[:])
		if _, err := s.CreateSession(t.Context(), n, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		done(t, []string{"sessions", "list", "ada", "--store", store}, "has no session")
		done(t, []string{"sessions", "end", "--all", "ada", "--yes", "--store", store, "--name", "shop"}, "1 session of")
		done(t, []string{"sessions", "count", "--json", "--store", store, "--name=shop"}, `"sessions": 0`)
	}
	wantFailure(t, []string{"sessions", "count", "--store", "sqlite:site.db", "--name", "shop"}, 2, "--name")
	wantFailure(t, []string{"sessions", "count", "--store", inRedis, "--name", "a{b}"}, 1, "braces")
}
