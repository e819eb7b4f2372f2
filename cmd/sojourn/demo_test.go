package main_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// running is a demo that serves.
type running struct {
	URL    string
	cmd    *exec.Cmd
	stdout *bufio.Reader
	said   string // what it printed until it served
	stderr safeBuffer
}

// safeBuffer can be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startDemo starts the demo on a free port and waits until it says where.
func startDemo(t *testing.T, args ...string) *running {
	t.Helper()
	d := &running{cmd: exec.Command(program, append([]string{"demo", "--wasm=false"}, args...)...)}
	d.cmd.Dir = t.TempDir()
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() })
	d.stdout = bufio.NewReader(out)
	for !strings.Contains(d.said, "Ctrl-C") {
		line, err := d.stdout.ReadString('\n')
		if err != nil {
			d.cmd.Wait()
			t.Fatalf("it ended before it served: %s%s", d.said, d.stderr.String())
		}
		d.said += line
	}
	d.URL = regexp.MustCompile(`https?://[^/\s]+`).FindString(d.said)
	if d.URL == "" {
		t.Fatalf("it does not say where it is:\n%s", d.said)
	}
	return d
}

// stop sends a signal and wants a clean end.
func (d *running) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(d.stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("after %v it ends with %v, want status 0\n%s", signal, err, d.stderr.String())
	}
	if !strings.Contains(string(rest), "Stopped.") {
		t.Errorf("after %v it says %q", signal, rest)
	}
	if strings.Contains(d.stderr.String(), "goroutine ") || strings.Contains(d.stderr.String(), "ERROR") || strings.Contains(d.stderr.String(), "Insecure") {
		t.Errorf("it complained:\n%s", d.stderr.String())
	}
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // its own certificate
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

func signIn(t *testing.T, c *http.Client, base string) *http.Response {
	t.Helper()
	return fetched(t)(c.PostForm(base+"/sign-in", url.Values{"name": {"bob"}, "password": {"demo-bob"}, "next": {"/sessions"}}))
}

// fetched reads a response to its end, so that its connection is free.
func fetched(t *testing.T) func(*http.Response, error) *http.Response {
	return func(resp *http.Response, err error) *http.Response {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp
	}
}

func TestDemoStopsCleanlyAndRemembersWhoIsHere(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "here.db")
	address := testserver.Address(t) // nobody takes it between the two
	d := startDemo(t, "--addr", address, "--db", db)
	for _, text := range []string{"ada", "demo-ada", "admin", "bob", "eve", "banned", db, "Insecure", "Plain HTTP"} {
		if !strings.Contains(d.said, text) {
			t.Errorf("it does not say %q:\n%s", text, d.said)
		}
	}
	c := newClient(t)
	if resp := signIn(t, c, d.URL); resp.StatusCode != 200 || resp.Request.URL.Path != "/sessions" {
		t.Errorf("signing in ends at %s with %d", resp.Request.URL, resp.StatusCode)
	}
	d.stop(t, os.Interrupt)

	again := startDemo(t, "--addr", address, "--db", db)
	if resp := fetched(t)(c.Get(again.URL + "/sessions")); resp.StatusCode != 200 {
		t.Errorf("after a restart the session's page is answered %d", resp.StatusCode)
	}
	again.stop(t, syscall.SIGTERM)
	for _, file := range []string{db, strings.TrimSuffix(db, ".db") + "-accounts.db"} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v, %v, want a file that others cannot read", file, info, err)
		}
	}
}

func TestSecondDemoOnOneFileIsStatus1(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "shared.db")
	d := startDemo(t, "--addr", "127.0.0.1:0", "--db", db)
	wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--db", db}, 1, db)
	if resp := fetched(t)(newClient(t).Get(d.URL)); resp.StatusCode != 200 {
		t.Errorf("the first one now answers %d", resp.StatusCode)
	}
	d.stop(t, os.Interrupt)
}

func TestDemoOverTLSSendsProductionCookies(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	d := startDemo(t, "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(d.URL, "https://") || strings.Contains(d.said, "Insecure") {
		t.Errorf("it says:\n%s", d.said)
	}
	c := newClient(t)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var session *http.Cookie
	for _, cookie := range signIn(t, c, d.URL).Cookies() {
		if !cookie.Secure || !cookie.HttpOnly || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("the cookie %s is not one for production", cookie.Name)
		}
		if cookie.Name == "__Host-sojourn" {
			session = cookie
		}
	}
	if session == nil {
		t.Error("no session cookie came")
	}
	d.stop(t, os.Interrupt)
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
