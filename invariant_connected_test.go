package sojourn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

// The invariant "Connected means connected": once Connect returned nil and the
// response arrived, the session survives kill -9 of the server.

// crashDatabase is the environment variable that makes the test binary a server
// on this database.
const crashDatabase = "SOJOURN_TEST_CRASH_DATABASE"

// crashServe serves until it is killed, or its standard input ends.
func crashServe(path string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	store, err := sqlite.Open(path)
	if err != nil {
		fail(err)
	}
	site, err := sojourn.New(sojourn.Config{Store: store, Cookie: sojourn.CookieConfig{Insecure: true}})
	if err != nil {
		fail(err)
	}
	ref := sojourn.NewPersistentRef[string](site, sojourn.SessionScope, "value", nil)
	mux := http.NewServeMux()
	handle := func(path string, f func(r *http.Request) (string, error)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			text, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			io.WriteString(w, text)
		})
	}
	handle("POST /connect", func(r *http.Request) (string, error) {
		err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("user")))
		if err == nil {
			err = ref.Set(r.Context(), r.FormValue("user"))
		}
		return "", err
	})
	handle("POST /disconnect", func(r *http.Request) (string, error) { return "", site.Disconnect(r.Context()) })
	handle("POST /disconnect-all", func(r *http.Request) (string, error) { return "", site.DisconnectAll(r.Context()) })
	handle("GET /who", func(r *http.Request) (string, error) {
		user, err := site.CurrentUser(r.Context())
		if err != nil {
			return "", err
		}
		value, err := ref.Get(r.Context())
		return string(user) + " " + value, err
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	fail(http.Serve(l, site.Middleware(mux)))
}

// crashServer is a child process that serves.
type crashServer struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   string
}

func startCrashServer(t testing.TB, path string) *crashServer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashDatabase+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return &crashServer{cmd, stdin, "http://" + strings.TrimSpace(addr)}
}

// kill ends the process without giving it a chance to do anything.
func (s *crashServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.stdin.Close()
}

// crashBrowser is a browser over a real connection. The server it asks changes
// its address whenever it is started.
type crashBrowser struct {
	http.Client
	user string
	old  []*http.Cookie // what connect gave it
}

func newCrashBrowser(transport http.RoundTripper, user string) *crashBrowser {
	jar, _ := cookiejar.New(nil)
	return &crashBrowser{Client: http.Client{Jar: jar, Transport: transport}, user: user}
}

// ask posts, or gets if there is no form. An error means that no whole answer
// has arrived.
func (b *crashBrowser) ask(s *crashServer, path string, form url.Values) (string, error) {
	var resp *http.Response
	var err error
	if form != nil {
		resp, err = b.PostForm(s.url+path, form)
	} else {
		resp, err = b.Get(s.url + path)
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// crashWhile lets all browsers ask at once and kills the server when some have
// their answer. It returns those who have.
func crashWhile(s *crashServer, browsers []*crashBrowser, path string) (answered []*crashBrowser) {
	var mu sync.Mutex
	var all sync.WaitGroup
	some := make(chan struct{}, len(browsers))
	for _, b := range browsers {
		all.Go(func() {
			if _, err := b.ask(s, path, url.Values{"user": {b.user}}); err == nil {
				mu.Lock()
				answered = append(answered, b)
				mu.Unlock()
				some <- struct{}{}
			}
		})
	}
	for range 1 + len(browsers)/3 {
		<-some
	}
	s.kill()
	all.Wait()
	return answered
}

func TestAnsweredConnectsAndEndsSurviveKill(t *testing.T) {
	t.Parallel()
	const rounds, browsers = 20, 6
	path := filepath.Join(t.TempDir(), "sojourn.db")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	s := startCrashServer(t, path)
	defer func() { s.kill() }()
	var connected, ended []*crashBrowser
	for round := range rounds {
		var fresh []*crashBrowser
		for i := range browsers {
			fresh = append(fresh, newCrashBrowser(transport, fmt.Sprintf("user-%d-%d", round, i)))
		}
		answered := crashWhile(s, fresh, "/connect")
		connected = append(connected, answered...)
		s = startCrashServer(t, path)
		u, _ := url.Parse(s.url)
		for _, b := range connected {
			if who, err := b.ask(s, "/who", nil); err != nil || who != b.user+" "+b.user {
				t.Fatalf("round %d: %s is %q after the crash, %v", round, b.user, who, err)
			}
			b.old = b.Jar.Cookies(u)
		}

		leave := connected[:len(connected)/2]
		how := []string{"/disconnect", "/disconnect-all"}[round%2]
		gone := crashWhile(s, leave, how)
		ended = append(ended, gone...)
		s = startCrashServer(t, path)
		for _, b := range ended {
			b.Jar.SetCookies(u, b.old) // of which the answer has deleted some
			if who, err := b.ask(s, "/who", nil); err != nil || who != " " {
				t.Fatalf("round %d: %s, whose %s was answered, is %q after the crash, %v", round, b.user, how, who, err)
			}
		}
		// What was asked and not answered may have ended or not; it is left.
		connected = connected[len(connected)/2:]
	}
	if len(ended) < rounds || len(connected) == 0 {
		t.Errorf("%d ends and %d sessions were checked: too few", len(ended), len(connected))
	}
}

func TestConnectedSessionSurvivesRestarts(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var d diary
		a := newApp(t, kind, withInit(func(a *app) {
			a.site.OnOpenSession(func(_ context.Context, user sojourn.UserID) error { d.add("open %s", user); return nil })
		}), d.ends())
		b := a.browser()
		tab := b.NewTab()
		a.connect(tab, "anna")
		persistent := []string{"session!", "user!", "site!", "isession!", "osession!", "tab!", "itab!", "otab!"}
		for _, ref := range persistent {
			a.set(tab, ref, "kept")
			a.set(tab, strings.TrimSuffix(ref, "!"), "lost")
		}
		id := tab.ID()
		d.tells(t, "open anna")
		for range 3 {
			before := a.sessions("anna")[0]
			a.restart()
			a.is(tab, "anna")
			d.tells(t) // only a guard opens a session
			for _, ref := range persistent {
				a.has(tab, ref, "kept")
				a.has(tab, strings.TrimSuffix(ref, "!"), "")
			}
			d.tells(t, "open anna")
			s := a.sessions("anna")[0]
			s.LastSeen = before.LastSeen
			if s != before {
				t.Errorf("the session says %+v, before the restart it said %+v", s, before)
			}
			if tab.ID() != id {
				t.Error("the tab has become another one")
			}
		}
	})
}

// Exactly what Connect answers is what is: nil means connected, an error means
// not, whatever the store does.
func TestConnectAnswersWhatIs(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		f := new(faults)
		a := newApp(t, kind, f.option())
		for _, method := range []string{"Browser", "CreateSession", "Session", "Sessions", "CreateBrowser", "EndSession", "Tabs", "Touch"} {
			for skip := range 3 {
				b := a.browser()
				a.connect(b, "berta")
				f.set(method, fault{times: 1, skip: skip})
				var err error
				a.bare(b, func(ctx context.Context) { err = a.site.Connect(ctx, "anna") })
				f.heal()
				user := a.user(b)
				switch {
				case err == nil && user != "anna":
					t.Errorf("%s fails at call %d: Connect returned nil, and the user is %q", method, skip, user)
				case err != nil && user == "anna":
					t.Errorf("%s fails at call %d: Connect returned %v, and the user is connected", method, skip, err)
				case err != nil && !errors.Is(err, errFault):
					t.Errorf("%s fails at call %d: Connect returned %v", method, skip, err)
				}
			}
		}
	})
}
