//go:build !js

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/protocol"
)

// Options say which site a client is of.
type Options struct {
	// BaseURL is where the site is, such as "https://example.com". If it has a
	// path, that is the site's Config.Path; otherwise that is "/_sojourn/".
	// In a browser it is not needed: the page knows.
	BaseURL string

	// HTTPClient makes the requests. It needs a cookie jar. In a browser there
	// is no such field. Default: one with a jar of its own.
	HTTPClient *http.Client

	// Restart is called when the program is to start again, because its session
	// is not the browser's any more. When it returns, the client starts anew.
	// Default: in a browser, load the page again; in a native program, nothing.
	Restart func()
}

var errSilence = errors.New("sojourn: the server says nothing")

func marshal(v any) ([]byte, error) { return json.Marshal(v) }

func unmarshal(data []byte, out any) error { return json.Unmarshal(data, out) }

// Start starts a client. It returns once the live connection is open and the
// user known; ctx is for that time only. It returns an error if Options cannot
// be meant, ctx is done, or the server cannot be reached or wants no live
// connection of this client. Later the client reconnects by itself. In a
// browser it waits for client.js, which keeps the page's live connection.
func Start(ctx context.Context, o Options) (*Client, error) {
	t, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	c := newOwn(t)
	if c.restart = o.Restart; c.restart == nil {
		c.restart = func() {}
	}
	ready := make(chan error, 1)
	c.ready = func(err error) { ready <- err }
	c.connect()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("sojourn: starting the client: %w", err)
	}
	return &Client{c}, nil
}

// transport reaches the server with net/http.
type transport struct {
	http   *http.Client
	base   *url.URL // of the endpoints
	origin string
	*running
}

// running are the goroutines of live connections.
type running struct {
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	idle func() // closes the connections that nobody else uses
}

func newTransport(o Options) (t transport, err error) {
	u, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		return t, fmt.Errorf("sojourn: Options.BaseURL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return t, fmt.Errorf("sojourn: Options.BaseURL is %q: it has to be the URL of the site, such as https://example.com", o.BaseURL)
	}
	t.origin = u.Scheme + "://" + u.Host
	path := strings.TrimSuffix(u.Path, "/") + "/"
	if path == "/" {
		path = protocol.DefaultPath
	}
	t.base = &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: path}
	idle := func() {}
	if t.http = o.HTTPClient; t.http == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return t, err
		}
		t.http = &http.Client{Jar: jar}
		if shared, ok := http.DefaultTransport.(*http.Transport); ok {
			own := shared.Clone()
			t.http.Transport, idle = own, own.CloseIdleConnections
		}
	}
	if t.http.Jar == nil {
		return t, errors.New("sojourn: Options.HTTPClient has no cookie jar, so it could keep no session")
	}
	t.running = &running{idle: idle}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t, nil
}

// wait ends the goroutines.
func (t *transport) wait() {
	t.stop()
	t.wg.Wait()
	t.idle()
}

func (t *transport) post(ctx context.Context, path string, body []byte, tab string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Origin", t.origin)
	req.Header.Set(protocol.TabHeader, tab)
	resp, err := t.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return response{}, err
	}
	r := response{status: resp.StatusCode, body: data}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	r.isJSON = kind == "application/json"
	if u := resp.Request.URL; u.Scheme == t.base.Scheme && u.Host == t.base.Host { // not where a redirect led
		r.tab, r.restart = resp.Header.Get(protocol.TabHeader), resp.Header.Get(protocol.RestartHeader) == "1"
	}
	return r, nil
}

// socket is one live connection.
type socket struct {
	ctx  context.Context
	stop context.CancelFunc
	ws   atomic.Pointer[websocket.Conn]
}

const (
	dialWithin = 20 * time.Second
	sendWithin = 10 * time.Second
	readLimit  = 16 << 20 // bytes of one message of the application
)

// open opens a live connection and tells c what happens to it.
func (t *transport) open(c *own) *socket {
	s := &socket{}
	s.ctx, s.stop = context.WithCancel(t.ctx)
	t.wg.Go(func() {
		defer s.stop()
		code, err := t.serve(c, s)
		c.closed(s, code, err)
	})
	return s
}

func (t *transport) serve(c *own, s *socket) (code int, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, dialWithin)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, t.base.JoinPath(protocol.LivePath).String(), &websocket.DialOptions{
		HTTPClient:   t.http,
		HTTPHeader:   http.Header{"Origin": {t.origin}},
		Subprotocols: []string{protocol.LiveProtocol},
	})
	if err != nil {
		return 0, refused(resp, err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(readLimit)
	s.ws.Store(ws)
	c.opened(s)
	for {
		kind, data, err := ws.Read(s.ctx)
		var closed websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return int(closed.Code), fmt.Errorf("sojourn: the server closed the live connection: %w", closedWith(int(closed.Code), err))
		case err != nil:
			return 0, err
		}
		if kind == websocket.MessageText {
			c.message(s, data)
			c.calls.await(s.ctx)
		}
	}
}

const mostWaiting = 256 // messages

// await waits until the application has caught up, so that one that does not
// is for the server to cut off.
func (q *queue) await(ctx context.Context) {
	q.mu.Lock()
	if len(q.waiting) < mostWaiting {
		q.mu.Unlock()
		return
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room := q.room
	q.mu.Unlock()
	select {
	case <-room:
	case <-ctx.Done():
	}
}

// refused is why there is no live connection: what the server says, if it does.
func refused(resp *http.Response, err error) error {
	if resp == nil || resp.Body == nil || resp.StatusCode < 400 {
		return err
	}
	body, readErr := io.ReadAll(resp.Body)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if readErr != nil || kind != "application/json" {
		return err
	}
	r := response{status: resp.StatusCode, isJSON: true, body: body}
	return r.err()
}

func closedWith(code int, err error) error {
	switch code {
	case protocol.CloseTooMany:
		return errors.New("too many live connections of this program or network")
	case protocol.CloseProtocol:
		return errors.New("it does not understand this client")
	}
	return err
}

func (s *socket) open() bool { return s.ws.Load() != nil }

func (s *socket) send(data []byte) {
	ws := s.ws.Load()
	if ws == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, sendWithin)
	defer cancel()
	if ws.Write(ctx, websocket.MessageText, data) != nil {
		s.stop()
	}
}

func (s *socket) close() { s.stop() }

// timer is one that may never have been set.
type timer struct{ t *time.Timer }

func after(ms int, f func()) timer {
	return timer{time.AfterFunc(time.Duration(ms)*time.Millisecond, f)}
}

func (t timer) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}
