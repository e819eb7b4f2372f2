//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/bench/internal/cases"
	"github.com/sojourn-go/sojourn/protocol"
)

// server is one server of a site, asked without a network.
type server struct {
	*sojourn.Site
	http.Handler
	store *counted
}

// counted counts what a store is asked.
type counted struct {
	sojourn.Store
	sessions, touches, touched atomic.Int64
}

func (c *counted) Session(ctx context.Context, key sojourn.Key) (sojourn.StoredSession, error) {
	c.sessions.Add(1)
	return c.Store.Session(ctx, key)
}

func (c *counted) Touch(ctx context.Context, touches []sojourn.Touch) error {
	c.touches.Add(1)
	c.touched.Add(int64(len(touches)))
	return c.Store.Touch(ctx, touches)
}

func (e *engine) newServer(ctx context.Context, name string, staleness, idle time.Duration) (*server, error) {
	store, err := e.open(ctx, name, staleness)
	if err != nil {
		return nil, err
	}
	c := &counted{Store: store}
	site, err := sojourn.New(sojourn.Config{Store: c, Timeouts: sojourn.Timeouts{Idle: idle}, Limits: sojourn.Limits{SessionsPerUser: -1}})
	if err != nil {
		store.Close()
		return nil, err
	}
	page := site.Connected(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := io.WriteString(w, string(user))
		return err
	})
	s := &server{Site: site, store: c}
	s.Handler = site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pagePath.Path:
			page.ServeHTTP(w, r)
			return
		case currentPath.Path:
			user, err := site.CurrentUser(r.Context())
			if err != nil || user == sojourn.Nobody {
				http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
				return
			}
			io.WriteString(w, string(user))
			return
		}
		if err := site.Connect(r.Context(), sojourn.UserID(r.URL.Path[1:])); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	return s, nil
}

// newServers are n servers of one site.
func (e *engine) newServers(ctx context.Context, n int, name string, staleness time.Duration) (all []*server, closeAll func(), err error) {
	closeAll = func() {
		for _, s := range all {
			s.Close()
		}
	}
	for range n {
		s, err := e.newServer(ctx, name, staleness, 0)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all = append(all, s)
	}
	return all, closeAll, nil
}

var (
	pagePath    = &url.URL{Path: "/page"}    // guarded by Connected
	currentPath = &url.URL{Path: "/current"} // asks for the user, without a guard
)

// request is what a browser sends, with the headers that they have.
func request(u *url.URL, cookies, tab string, i int) *http.Request {
	r := &http.Request{
		Method: "GET", URL: u, RequestURI: u.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: "example.com", Body: http.NoBody, RemoteAddr: fmt.Sprintf("20.%d.%d.%d:5000", byte(i>>16), byte(i>>8), byte(i)),
		Header: http.Header{
			"User-Agent":     {cases.UserAgent(i)},
			"Accept":         {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Sec-Fetch-Site": {"same-origin"},
		},
	}
	if cookies != "" {
		r.Header["Cookie"] = []string{cookies}
	}
	if tab != "" {
		r.Header[protocol.TabHeader] = []string{tab}
	}
	return r
}

// writer keeps the header and the body of a short response.
type writer struct {
	header http.Header
	status int
	body   []byte
}

func newWriter() *writer { return &writer{header: http.Header{}} }

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *writer) reset() {
	clear(w.header)
	w.status, w.body = 0, w.body[:0]
}

// connect connects a user, and returns the browser's cookies.
func (s *server) connect(user string, i int) (cookies string, err error) {
	w := newWriter()
	s.ServeHTTP(w, request(&url.URL{Path: "/" + user}, "", "", i))
	var pairs []string
	for _, c := range w.header["Set-Cookie"] {
		pair, _, _ := strings.Cut(c, ";")
		pairs = append(pairs, pair)
	}
	if w.status >= 400 || len(pairs) < 2 {
		return "", fmt.Errorf("connecting %s: status %d, %s", user, w.status, w.body)
	}
	return strings.Join(pairs, "; "), nil
}

// tab is the id of a tab of a browser that has been started.
func (s *server) tab(cookies string) (string, error) {
	w := newWriter()
	s.ServeHTTP(w, request(pagePath, cookies, "", 0))
	id := w.header.Get(protocol.TabHeader)
	if id == "" {
		return "", fmt.Errorf("no tab in the response, status %d, %s", w.status, w.body)
	}
	return id, nil
}

// accepts asks for the page once, and reports whether the user is connected.
func (s *server) accepts(w *writer, r *http.Request, user string) (bool, error) {
	w.reset()
	s.ServeHTTP(w, r)
	switch {
	case w.status == http.StatusOK && string(w.body) == user:
		return true, nil
	case w.status == http.StatusUnauthorized:
		return false, nil
	}
	return false, fmt.Errorf("the page was answered with %d: %s", w.status, w.body)
}
