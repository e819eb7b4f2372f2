//go:build unix

package serverstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is for machines that have much else to do.
const patience = time.Minute

// server is one server process of a site. Each run of it listens somewhere else.
type server struct {
	t    testing.TB
	cfg  siteConfig
	http *http.Client
	addr atomic.Pointer[string]

	mu     sync.Mutex
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
	stderr lockedBuffer
}

// startServer starts a server, and ends it with the test.
func startServer(t testing.TB, cfg siteConfig) *server {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = patience / 2
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	s := &server{t: t, cfg: cfg, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
	t.Cleanup(func() {
		s.kill()
		transport.CloseIdleConnections()
		if text := s.stderr.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			t.Errorf("a server said:\n%s", text)
		} else if text != "" {
			t.Logf("a server said:\n%s", text)
		}
	})
	s.start()
	return s
}

// startServers starts n servers of one site at once.
func startServers(t testing.TB, n int, cfg func(i int) siteConfig) []*server {
	t.Helper()
	all := make([]*server, n)
	for i := range all {
		all[i] = startServer(t, cfg(i))
	}
	return all
}

// start starts a server that kill has ended.
func (s *server) start() {
	s.t.Helper()
	text, err := json.Marshal(s.cfg)
	must(s.t, err)
	self, err := os.Executable()
	must(s.t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envSite+"="+string(text))
	cmd.Stderr = &s.stderr
	stdin, err := cmd.StdinPipe()
	must(s.t, err)
	stdout, err := cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	exited := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.stdin, s.exited = cmd, stdin, exited
	s.mu.Unlock()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		cmd.Wait()
		close(exited)
	}()
	if err != nil {
		s.t.Fatalf("a server does not start: %v\n%s", err, s.stderr.String())
	}
	line = strings.TrimSpace(line)
	s.addr.Store(&line)
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	s.mu.Lock()
	cmd, stdin, exited := s.cmd, s.stdin, s.exited
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Kill()
	<-exited
	stdin.Close()
	s.http.CloseIdleConnections()
}

// url is where a path of the server is now.
func (s *server) url(path string) string { return "http://" + *s.addr.Load() + path }

// cookies are what a browser has of a site.
type cookies struct{ session, browser string }

func (c *cookies) header() string {
	var all []string
	if c.session != "" {
		all = append(all, "sojourn="+c.session)
	}
	if c.browser != "" {
		all = append(all, "sojourn-browser="+c.browser)
	}
	return strings.Join(all, "; ")
}

// answer is what a server answered.
type answer struct {
	status int
	body   string
	header http.Header
}

// requestTimeout is when clients give up.
const requestTimeout = 20 * time.Second

// send asks a server, and takes the cookies that it gives.
func (s *server) send(method, path string, form url.Values, c *cookies) (a answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	if method == http.MethodGet && form != nil {
		path += "?" + form.Encode()
	}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url(path), body)
	if err != nil {
		return a, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c != nil {
		r.Header.Set("Cookie", c.header())
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	if c != nil {
		for _, set := range resp.Cookies() {
			switch set.Name {
			case "sojourn":
				c.session = set.Value
			case "sojourn-browser":
				c.browser = set.Value
			}
		}
	}
	return answer{resp.StatusCode, string(text), resp.Header}, nil
}

// do is send for a request that has to be answered with 200.
func (s *server) do(method, path string, form url.Values, c *cookies) string {
	s.t.Helper()
	a, err := s.send(method, path, form, c)
	if err != nil || a.status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s %v", method, path, a.status, a.body, err)
	}
	return a.body
}

// insist is do for a request to a server whose engine may still be away, or too
// slow for its timeout: it is sent until it is answered with one of these, or
// with 200.
func (s *server) insist(method, path string, form url.Values, c *cookies, or ...int) (body string) {
	s.t.Helper()
	await(s.t, "an answer to "+path, func() bool {
		a, err := s.send(method, path, form, c)
		body = a.body
		return err == nil && (a.status == http.StatusOK || slices.Contains(or, a.status))
	})
	return body
}

// insistOnConnecting is connect as insist is do.
func (s *server) insistOnConnecting(user string) *cookies {
	s.t.Helper()
	c := new(cookies)
	await(s.t, "a session", func() bool {
		*c = cookies{}
		a, err := s.send(http.MethodPost, "/connect", of(user), c)
		return err == nil && a.status == http.StatusOK && c.session != ""
	})
	return c
}

// connect connects a user in a new browser.
func (s *server) connect(user string) *cookies {
	s.t.Helper()
	c := new(cookies)
	s.do(http.MethodPost, "/connect", url.Values{"user": {user}}, c)
	if c.session == "" {
		s.t.Fatal("Connect gave no session")
	}
	return c
}

// knows asks whose session it is: "" for nobody's.
func (s *server) knows(c *cookies) string {
	s.t.Helper()
	copied := *c
	a, err := s.send(http.MethodGet, "/whoami", nil, &copied)
	switch {
	case err == nil && a.status == http.StatusOK:
		return a.body
	case err == nil && a.status == http.StatusUnauthorized:
		return ""
	}
	s.t.Fatalf("whoami: %d %s %v", a.status, a.body, err)
	return ""
}

// wait waits until the server answers whose session it is.
func (s *server) wait(c *cookies) (user string) {
	s.t.Helper()
	await(s.t, "an answer", func() bool {
		copied := *c
		a, err := s.send(http.MethodGet, "/whoami", nil, &copied)
		user = a.body
		if a.status == http.StatusUnauthorized {
			user = ""
		}
		return err == nil && (a.status == http.StatusOK || a.status == http.StatusUnauthorized)
	})
	return user
}

func of(user string) url.Values { return url.Values{"user": {user}} }

// await tries something until it is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// percentile of durations that need not be sorted.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.b.Len() > 1<<20 {
		return len(p), nil
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
