package sojourn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/protocol"
)

// Middleware puts the state of the request where the site's other functions
// find it, refuses unsafe requests from foreign origins with 403, and serves
// the client's endpoints under Config.Path. One per site, outermost. It looks
// nothing up and writes nothing: a handler that never asks pays for one small
// allocation.
func (s *Site) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.crossing.Check(r); err != nil {
			s.log.WarnContext(r.Context(), "sojourn: refused", "error", err, "method", r.Method, "path", r.URL.Path)
			s.fail(w, r, errCrossOrigin)
			return
		}
		if _, ok := r.Context().Value(s).(*request); ok { // Middleware twice
			next.ServeHTTP(w, r)
			return
		}
		q := &request{Context: r.Context(), site: s}
		q.w.ResponseWriter = w
		q.r = r.WithContext(q)
		h := next
		if strings.HasPrefix(r.URL.Path, s.path) {
			h = s.endpoints
		}
		h.ServeHTTP(q.w.wrap(), q.r)
		q.w.start() // net/http does, if the handler did not
	})
}

var errCrossOrigin error = &protocol.Error{Code: protocol.CodeCrossOrigin, Message: "sojourn: an unsafe request from another origin"}

// Value makes the request the carrier of its own state: the site is the key.
func (q *request) Value(key any) any {
	if s, ok := key.(*Site); ok && s == q.site {
		return q
	}
	return q.Context.Value(key)
}

// Format keeps what the request holds, its cookies above all, out of whatever
// a context is printed into.
func (q *request) Format(f fmt.State, _ rune) { io.WriteString(f, "sojourn.request") }

// request is the state of this site's request that ctx belongs to.
func (s *Site) request(ctx context.Context) (*request, error) {
	if q, ok := ctx.Value(s).(*request); ok {
		return q, nil
	}
	return nil, ErrNoRequest
}

// writer knows whether the response has started. wrap gives it the optional
// methods that the ResponseWriter below it has.
type writer struct {
	http.ResponseWriter
	begun   atomic.Bool
	mu      sync.Mutex  // held while we change the header
	cookies http.Header // those of ours that the response is to bring
}

// started reports whether the response has started.
func (w *writer) started() bool { return w.begun.Load() }

// start notes that the response starts: from now on we leave the header alone.
func (w *writer) start() {
	if w.begun.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cookies != nil && !w.begun.Load() {
		w.restore(w.Header())
	}
	w.begun.Store(true)
}

// putCookie sets a cookie in the header; w.mu is held.
func (w *writer) putCookie(h http.Header, c *http.Cookie) {
	if w.cookies == nil {
		w.cookies = make(http.Header)
	}
	cookie.Set(w.cookies, c)
	cookie.Set(h, c)
}

// restore puts our cookies back if a handler's own were copied over them, as by
// http.TimeoutHandler. Who deletes all cookies means it, and who changes one of
// ours. w.mu is held.
func (w *writer) restore(h http.Header) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	for _, line := range w.cookies["Set-Cookie"] {
		if name, _, _ := strings.Cut(line, "="); !cookie.Has(lines, name) {
			h.Add("Set-Cookie", line)
		}
	}
}

// edit changes the header, unless the response has started. The handler may be
// running beside the goroutine that starts it, as under http.TimeoutHandler.
func (w *writer) edit(f func(h http.Header)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun.Load() {
		return false
	}
	f(w.Header())
	return true
}

// WriteHeader notes that the response starts, unless the status is informational.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.start()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes that the response starts.
func (w *writer) Write(p []byte) (int, error) {
	w.start()
	return w.ResponseWriter.Write(p)
}

// WriteString notes that the response starts.
func (w *writer) WriteString(s string) (int, error) {
	w.start()
	return io.WriteString(w.ResponseWriter, s)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) flush() {
	w.start()
	w.ResponseWriter.(http.Flusher).Flush()
}

// FlushError is what http.ResponseController calls first.
func (w *writer) FlushError() error {
	if canFlush(w.ResponseWriter) {
		w.start()
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// canFlush looks where http.ResponseController does.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

func (w *writer) readFrom(r io.Reader) (int64, error) {
	w.start()
	return w.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
}

func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil {
		w.start()
	}
	return conn, rw, err
}

func (w *writer) push(target string, opts *http.PushOptions) error {
	return w.ResponseWriter.(http.Pusher).Push(target, opts)
}

// wrap is the writer with what net/http's servers offer: HTTP/1 flushes,
// hijacks and reads from files; HTTP/2 flushes and pushes; others perhaps flush.
func (w *writer) wrap() http.ResponseWriter {
	_, flusher := w.ResponseWriter.(http.Flusher)
	if !flusher {
		return w
	}
	if _, ok := w.ResponseWriter.(http.Pusher); ok {
		return http2Writer{flushWriter{w}}
	}
	_, hijacker := w.ResponseWriter.(http.Hijacker)
	_, readerFrom := w.ResponseWriter.(io.ReaderFrom)
	switch {
	case hijacker && readerFrom:
		return http1Writer{hijackWriter{flushWriter{w}}}
	case hijacker:
		return hijackWriter{flushWriter{w}}
	default:
		return flushWriter{w}
	}
}

type flushWriter struct{ *writer }

func (w flushWriter) Flush() { w.flush() }

type http2Writer struct{ flushWriter }

func (w http2Writer) Push(target string, opts *http.PushOptions) error { return w.push(target, opts) }

type hijackWriter struct{ flushWriter }

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type http1Writer struct{ hijackWriter }

func (w http1Writer) ReadFrom(r io.Reader) (int64, error) { return w.readFrom(r) }
