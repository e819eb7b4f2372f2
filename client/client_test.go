//go:build !js

package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
	"github.com/sojourn-go/sojourn/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	login  = rpc.Define[string, struct{}]("login")
	whoami = rpc.Define[struct{}, string]("whoami")
	secret = rpc.Define[int, int]("secret")
	admin  = rpc.Define[struct{}, struct{}]("admin")
	fails  = rpc.Define[string, struct{}]("fails")
	waits  = rpc.Define[struct{}, struct{}]("waits")
	tell   = rpc.Define[string, struct{}]("tell")
)

var errTaken = &protocol.Error{Code: "taken", Message: "that name is taken"}

// server is a site with the functions above.
type server struct {
	t    *testing.T
	cfg  sojourn.Config
	site *sojourn.Site
	url  string
}

func serve(t *testing.T) *server {
	s := &server{t: t}
	s.cfg.Cookie.Insecure = true
	srv := httptest.NewServer(s.open())
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// open makes the site, which can be closed and opened again.
func (s *server) open() http.Handler {
	t := s.t
	site, err := sojourn.New(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	sojourn.HandleRPC(site, login, sojourn.OptConnectedRPC(site, func(ctx context.Context, _ sojourn.UserID, name string) (struct{}, error) {
		return struct{}{}, site.Connect(ctx, sojourn.UserID(name))
	}))
	sojourn.HandleRPC(site, whoami, sojourn.OptConnectedRPC(site, func(_ context.Context, user sojourn.UserID, _ struct{}) (string, error) {
		return string(user), nil
	}))
	sojourn.HandleRPC(site, secret, sojourn.ConnectedRPC(site, func(_ context.Context, _ sojourn.UserID, n int) (int, error) {
		return 2 * n, nil
	}))
	sojourn.HandleRPC(site, admin, sojourn.ConnectedRPC(site, func(context.Context, sojourn.UserID, struct{}) (struct{}, error) {
		return struct{}{}, nil
	}, sojourn.Allow("admins")))
	sojourn.HandleRPC(site, fails, func(_ context.Context, how string) (struct{}, error) {
		switch how {
		case "ended":
			return struct{}{}, sojourn.ErrSessionEnded
		case "taken":
			return struct{}{}, errTaken
		}
		return struct{}{}, errors.New("the password is opensesame")
	})
	sojourn.HandleRPC(site, waits, func(ctx context.Context, _ struct{}) (struct{}, error) {
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	})
	sojourn.HandleRPC(site, tell, sojourn.ConnectedRPC(site, func(ctx context.Context, user sojourn.UserID, text string) (struct{}, error) {
		return struct{}{}, site.Notify(ctx, site.UserState(user), "news", map[string]string{"text": text})
	}))
	s.site = site
	t.Cleanup(s.close)
	return site.Middleware(http.NotFoundHandler())
}

func (s *server) close() {
	if err := s.site.Close(); err != nil {
		s.t.Error(err)
	}
}

func start(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient(t)
	}
	c, err := client.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// newHTTPClient is a browser's cookies: two clients that share one are two tabs.
func newHTTPClient(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// until waits for what other goroutines do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// reasons takes down why the connection changed.
type reasons struct {
	mu  sync.Mutex
	all []string
}

func (r *reasons) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reason)
}

func (r *reasons) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.all...)
}

func TestClientConnectsByACallAndIsNotToldSo(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for range 20 {
		c := start(t, client.Options{BaseURL: s.url})
		var told reasons
		c.OnConnectionChanged(told.add)
		if got := c.User(); got != protocol.Nobody {
			t.Errorf("at first the user is %q", got)
		}
		if _, err := login.Call(t.Context(), c, "ann"); err != nil {
			t.Fatal(err)
		}
		until(t, "the client knows its user", func() bool { return c.User() == "ann" })
		if got, err := whoami.Call(t.Context(), c, struct{}{}); got != "ann" || err != nil {
			t.Errorf("the server says %q, %v", got, err)
		}
		if err := c.Disconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.User(); got != protocol.Nobody {
			t.Errorf("after Disconnect the user is %q", got)
		}
		if got := told.list(); len(got) != 0 {
			t.Errorf("the client was told of what it did itself: %q", got)
		}
	}
}

func TestErrorsCrossTheWire(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	ctx := t.Context()
	if _, err := secret.Call(ctx, c, 1); !errors.Is(err, client.ErrNotConnected) || !errors.Is(err, sojourn.ErrNotConnected) {
		t.Errorf("nobody gets %v, want ErrNotConnected", err)
	}
	if _, err := login.Call(ctx, c, "ann"); err != nil {
		t.Fatal(err)
	}
	if got, err := secret.Call(ctx, c, 21); got != 42 || err != nil {
		t.Errorf("ann gets %d, %v, want 42", got, err)
	}
	_, denied := admin.Call(ctx, c, struct{}{})
	_, taken := fails.Call(ctx, c, "taken")
	_, ended := fails.Call(ctx, c, "ended")
	_, internal := fails.Call(ctx, c, "")
	_, unknown := rpc.Define[int, int]("no-such").Call(ctx, c, 1)
	_, malformed := rpc.Define[string, int]("secret").Call(ctx, c, "x")
	_, unnamed := 0, c.CallRPC(ctx, "../disconnect", struct{}{}, nil)
	for _, tc := range []struct {
		what      string
		err, want error
	}{
		{"denied", denied, client.ErrPermissionDenied},
		{"denied, as the server has it", denied, sojourn.ErrPermissionDenied},
		{"an error of the application", taken, errTaken},
		{"an ended session", ended, &protocol.Error{Code: protocol.CodeSessionEnded}},
		{"another error", internal, &protocol.Error{Code: protocol.CodeInternal}},
		{"no such function", unknown, &protocol.Error{Code: protocol.CodeNotFound}},
		{"another argument", malformed, &protocol.Error{Code: protocol.CodeMalformed}},
		{"a name that is no name", unnamed, &protocol.Error{Code: protocol.CodeNotFound}},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: the error is %v, want %v", tc.what, tc.err, tc.want)
		}
	}
	if strings.Contains(internal.Error(), "opensesame") {
		t.Errorf("the error %v tells the inner one", internal)
	}
	if taken.Error() != errTaken.Message {
		t.Errorf("the application's error reads %q", taken)
	}
}

func TestArgumentThatIsNoJSONIsAnError(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	if err := c.CallRPC(t.Context(), "secret", func() {}, nil); err == nil {
		t.Error("a func as an argument is no error")
	}
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
	var wrong []string
	if err := c.CallRPC(t.Context(), "secret", 1, &wrong); err == nil {
		t.Error("a number for a []string is no error")
	}
}

func TestClientIsToldOfItsUserElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ctx := t.Context()
	for _, tc := range []struct{ name, reason string }{{"same browser", "disconnect"}, {"everywhere", "disconnect-all"}, {"login", "connected"}} {
		t.Run(tc.name, func(t *testing.T) {
			shared := newHTTPClient(t)
			one := start(t, client.Options{BaseURL: s.url, HTTPClient: shared})
			if _, err := login.Call(ctx, one, "ann"); err != nil {
				t.Fatal(err)
			}
			two := start(t, client.Options{BaseURL: s.url, HTTPClient: shared})
			if got := two.User(); got != "ann" {
				t.Errorf("a client that starts later knows %q", got)
			}
			var told reasons
			two.OnConnectionChanged(told.add)
			then := protocol.Nobody
			var err error
			switch tc.reason {
			case "disconnect":
				err = one.Disconnect(ctx)
			case "disconnect-all":
				err = one.DisconnectAll(ctx, client.KeepUserIndependent())
			case "connected":
				then = "bob"
				_, err = login.Call(ctx, one, "bob")
			}
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the other client has started anew", func() bool { return two.User() == then })
			// It is told again if it starts anew before the other has its cookie.
			if got := slices.Compact(told.list()); len(got) != 1 || got[0] != tc.reason {
				t.Errorf("it was told %q, want %s", got, tc.reason)
			}
			_, err = secret.Call(ctx, two, 1)
			if then == protocol.Nobody && !errors.Is(err, client.ErrNotConnected) || then != protocol.Nobody && err != nil {
				t.Errorf("its next call returns %v", err)
			}
			until(t, "the first knows, too", func() bool { return one.User() == then })
		})
	}
}

func TestDisconnectAllRestartsTheClient(t *testing.T) {
	t.Parallel()
	s := serve(t)
	restarted := make(chan struct{}, 10)
	c := start(t, client.Options{BaseURL: s.url, Restart: func() { restarted <- struct{}{} }})
	var told reasons
	c.OnConnectionChanged(told.add)
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := c.DisconnectAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-restarted
	if _, err := login.Call(t.Context(), c, "bob"); err != nil {
		t.Fatal(err)
	}
	until(t, "it goes on", func() bool { return c.User() == "bob" })
	if len(restarted) != 0 {
		t.Error("it restarted twice")
	}
}

// Without OnConnectionChanged a client restarts after two seconds.
func TestClientRestartsWhenTheConnectionHasChanged(t *testing.T) {
	t.Parallel()
	s := serve(t)
	shared := newHTTPClient(t)
	one := start(t, client.Options{BaseURL: s.url, HTTPClient: shared})
	if _, err := login.Call(t.Context(), one, "ann"); err != nil {
		t.Fatal(err)
	}
	restarted := make(chan time.Time, 10)
	two := start(t, client.Options{BaseURL: s.url, HTTPClient: shared, Restart: func() { restarted <- time.Now() }})
	before := time.Now()
	if err := one.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := (<-restarted).Sub(before); after < 2*time.Second {
		t.Errorf("it restarted after %v", after)
	}
	until(t, "it has started anew", func() bool { return two.User() == protocol.Nobody })
}

func TestEventsArriveInOrder(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	var mu sync.Mutex
	var got []string
	again := 0
	c.OnEvent("news", func(data []byte) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(data))
	})
	c.OnEvent("news", func([]byte) {
		mu.Lock()
		defer mu.Unlock()
		again++
	})
	c.OnEvent("olds", func([]byte) { t.Error("an event of another name came") })
	for i := range n {
		if err := s.site.Notify(t.Context(), s.site.UserState("ann"), "news", i); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 { // a server cuts off who does not keep up
			until(t, "it keeps up", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) > i-50 })
		}
	}
	until(t, "all events came", func() bool { mu.Lock(); defer mu.Unlock(); return again == n })
	for i, data := range got {
		if data != strconv.Itoa(i) {
			t.Fatalf("event %d is %s", i, data)
		}
	}
	if _, err := tell.Call(t.Context(), c, "hello"); err != nil {
		t.Fatal(err)
	}
	until(t, "the last one came", func() bool { mu.Lock(); defer mu.Unlock(); return again == n+1 })
	if last := got[n]; last != `{"text":"hello"}` {
		t.Errorf("the data is %s", last)
	}
}

func TestHandlersMayUseTheClient(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	c.OnEvent("news", func([]byte) {
		if got, err := whoami.Call(t.Context(), c, struct{}{}); got != "ann" || err != nil {
			t.Errorf("in a handler the user is %q, %v", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		close(done)
	})
	if _, err := tell.Call(t.Context(), c, "x"); err != nil {
		t.Fatal(err)
	}
	<-done
	if _, err := whoami.Call(t.Context(), c, struct{}{}); err == nil {
		t.Error("a client that is closed makes calls")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A server that is stopped and started again is reconnected to, and nobody
// restarts whose session is alive.
func TestClientOutlivesItsServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "site.db")
	s := &server{t: t}
	s.cfg.Cookie.Insecure = true
	open := func() http.Handler {
		store, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s.cfg.Store = store
		return s.open()
	}
	var current atomic.Pointer[http.Handler]
	h := open()
	current.Store(&h)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	c := start(t, client.Options{BaseURL: srv.URL, Restart: func() { t.Error("it restarts") }})
	var told reasons
	c.OnConnectionChanged(told.add)
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
	var events atomic.Int32
	c.OnEvent("news", func([]byte) { events.Add(1) })
	for range 2 {
		s.close()
		down := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "down", http.StatusServiceUnavailable)
		}))
		current.Store(&down)
		if _, err := whoami.Call(t.Context(), c, struct{}{}); !errors.Is(err, &protocol.Error{Code: protocol.CodeUnavailable}) {
			t.Errorf("while the server is down a call returns %v", err)
		}
		h := open()
		current.Store(&h)
		before := events.Load()
		until(t, "the live connection is back", func() bool {
			if err := s.site.Notify(t.Context(), s.site.UserState("ann"), "news", nil); err != nil {
				t.Fatal(err)
			}
			return events.Load() > before
		})
		if got, err := whoami.Call(t.Context(), c, struct{}{}); got != "ann" || err != nil {
			t.Errorf("after the restart the user is %q, %v", got, err)
		}
	}
	if got := told.list(); len(got) != 0 || c.User() != "ann" {
		t.Errorf("the client was told %q, and knows %q", got, c.User())
	}
}

func TestContextsAreHonoured(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := waits.Call(ctx, c, struct{}{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context is done returns %v", err)
	}
	for name, err := range map[string]error{"Disconnect": c.Disconnect(ctx), "DisconnectAll": c.DisconnectAll(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is done returns %v", name, err)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Start(ctx, client.Options{BaseURL: "http://" + silent.Addr().String(), HTTPClient: newHTTPClient(t)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start with a context that is done returns %v", err)
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	t.Parallel()
	s := &server{t: t}
	s.cfg.Cookie.Insecure = true
	s.cfg.Limits.TabsPerBrowser = 1
	srv := httptest.NewServer(s.open())
	t.Cleanup(srv.Close)
	notFound := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(notFound.Close)
	one := newHTTPClient(t)
	start(t, client.Options{BaseURL: srv.URL, HTTPClient: one})
	for what, o := range map[string]client.Options{
		"BaseURL":       {},
		"BaseURL ":      {BaseURL: "example.com"},
		"BaseURL  ":     {BaseURL: "ftp://example.com"},
		"cookie jar":    {BaseURL: srv.URL, HTTPClient: http.DefaultClient},
		"404":           {BaseURL: notFound.URL},
		"not_found":     {BaseURL: srv.URL + "/elsewhere/"},
		"too many live": {BaseURL: srv.URL, HTTPClient: one},
		"connect":       {BaseURL: "http://127.0.0.1:1"},
	} {
		if o.HTTPClient == nil {
			o.HTTPClient = newHTTPClient(t)
		}
		c, err := client.Start(t.Context(), o)
		if err == nil {
			t.Errorf("%s: there is no error", what)
			c.Close()
			continue
		}
		if want := strings.TrimSpace(what); want == "not_found" {
			if !strings.Contains(err.Error(), "404") {
				t.Errorf("the error is %v, want the status", err)
			}
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want something with %q", err, want)
		}
	}
}

func TestClientOfAnotherPath(t *testing.T) {
	t.Parallel()
	s := &server{t: t}
	s.cfg.Cookie.Insecure = true
	s.cfg.Path = "/app/sessions/"
	srv := httptest.NewServer(s.open())
	t.Cleanup(srv.Close)
	for _, url := range []string{srv.URL + "/app/sessions/", srv.URL + "/app/sessions"} {
		c := start(t, client.Options{BaseURL: url})
		if _, err := login.Call(t.Context(), c, "ann"); err != nil {
			t.Error(err)
		}
		until(t, "the live connection says who it is", func() bool { return c.User() == "ann" })
	}
}

// A client that the application gave no http.Client leaves nothing behind.
func TestClientMakesItsOwnHTTPClient(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c, err := client.Start(t.Context(), client.Options{BaseURL: s.url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := login.Call(t.Context(), c, "ann"); err != nil {
		t.Error(err)
	}
	if got, err := whoami.Call(t.Context(), c, struct{}{}); got != "ann" || err != nil {
		t.Errorf("the user is %q, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// One program is one tab, however many calls it begins with.
func TestClientIsOneTab(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var started atomic.Int32
	s.site.OnStartTab(func(context.Context, sojourn.UserID) error { started.Add(1); return nil })
	c := start(t, client.Options{BaseURL: s.url})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := whoami.Call(t.Context(), c, struct{}{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := started.Load(); n != 1 {
		t.Errorf("it is %d tabs", n)
	}
}

func TestWrappersGiveTheUserThatIsKnown(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := start(t, client.Options{BaseURL: s.url})
	fun := func(_ context.Context, user protocol.UserID, g, p string) (string, error) {
		return string(user) + "/" + g + "/" + p, nil
	}
	one := func(_ context.Context, user protocol.UserID, in string) (string, error) {
		return string(user) + "/" + in, nil
	}
	none := func(_ context.Context, in string) (string, error) { return in, nil }
	check := func(what, want string, wantErr error, got string, err error) {
		t.Helper()
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s returns %q, %v; want %q, %v", what, got, err, want, wantErr)
		}
	}
	for _, user := range []string{"", "ann"} {
		wantErr := error(client.ErrNotConnected)
		connected := func(string) string { return "" }
		if user != "" {
			if _, err := login.Call(t.Context(), c, user); err != nil {
				t.Fatal(err)
			}
			until(t, "the user is known", func() bool { return c.User() == protocol.UserID(user) })
			wantErr = nil
			connected = func(s string) string { return user + s }
		}
		ctx := t.Context()
		got, err := client.ConnectedFun(c, fun)(ctx, "g", "p")
		check("ConnectedFun", connected("/g/p"), wantErr, got, err)
		got, err = client.ConnectedRPC(c, one)(ctx, "in")
		check("ConnectedRPC", connected("/in"), wantErr, got, err)
		got, err = client.OptConnectedFun(c, fun)(ctx, "g", "p")
		check("OptConnectedFun", user+"/g/p", nil, got, err)
		got, err = client.OptConnectedRPC(c, one)(ctx, "in")
		check("OptConnectedRPC", user+"/in", nil, got, err)
		got, err = client.ConnectedWrapper(c, none)(ctx, "in")
		check("ConnectedWrapper", "in", nil, got, err)
	}
}
