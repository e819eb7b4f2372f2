package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
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

// server is a site that can be stopped and started.
type server struct {
	t    *testing.T
	cfg  sojourn.Config
	site *sojourn.Site
	http *httptest.Server
	url  string
}

func serve(t *testing.T) *server {
	s := &server{t: t}
	s.cfg.Cookie.Insecure = true
	s.open()
	return s
}

func (s *server) open() {
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
	h := site.Middleware(http.NotFoundHandler())
	s.http = httptest.NewUnstartedServer(h)
	s.http.Start()
	s.url = s.http.URL
	t.Cleanup(s.close)
}

func (s *server) close() {
	if err := s.site.Close(); err != nil {
		s.t.Error(err)
	}
	s.http.Close()
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
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
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
