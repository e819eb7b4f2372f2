package sojourntest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/sojourn-go/sojourn/protocol"
)

// A Response is what the handler answered, in full. Its Body can be read as
// often as wanted and needs no Close; Text and JSON do not use it up.
type Response struct {
	*http.Response

	t    testing.TB
	text []byte
}

// Text is the body.
func (r *Response) Text() string { return string(r.text) }

// JSON decodes the body into v. A body that is not JSON, or does not fit v,
// fails the test.
func (r *Response) JSON(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.text, v); err != nil {
		r.t.Errorf("sojourntest: %s %s: %s: the body is not JSON for %T: %v\n%s",
			r.Request.Method, r.Request.URL.Path, r.Status, v, err, r.text)
	}
}

// Restart reports whether the response tells the client to start again: its
// session was ended by DisconnectAll.
func (r *Response) Restart() bool { return r.Header.Get(protocol.RestartHeader) == "1" }

// responseWriter is what a handler gets. Like a server's it freezes the
// headers at the first WriteHeader, Write or Flush.
type responseWriter struct {
	method string
	header http.Header
	sent   http.Header // the headers as they were frozen; nil: not yet
	status int
	limit  int64 // the Content-Length that was announced; -1: none
	body   bytes.Buffer
	done   bool // the handler has returned
}

func newResponseWriter(method string) *responseWriter {
	return &responseWriter{method: method, header: http.Header{}, limit: -1}
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("sojourntest: invalid WriteHeader code %v", status))
	}
	if w.sent != nil || w.done {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // informational: the response itself is still to come
	}
	w.status = status
	w.sent = w.header.Clone()
	if v := w.sent.Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.limit = n
		} else {
			w.sent.Del("Content-Length")
		}
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("sojourntest: the handler has returned: %w", http.ErrHandlerTimeout)
	}
	if w.sent == nil {
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if _, ok := w.sent["Content-Type"]; !ok && w.body.Len() == 0 && len(p) > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(p))
	}
	if w.limit >= 0 && int64(w.body.Len()+len(p)) > w.limit {
		n, _ := w.body.Write(p[:w.limit-int64(w.body.Len())])
		return n, http.ErrContentLength
	}
	return w.body.Write(p)
}

// WriteString saves io.WriteString a copy.
func (w *responseWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *responseWriter) Flush() { _ = w.FlushError() }

func (w *responseWriter) FlushError() error {
	if w.done {
		return fmt.Errorf("sojourntest: the handler has returned: %w", http.ErrHandlerTimeout)
	}
	if w.sent == nil {
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

func (w *responseWriter) finish() {
	if w.sent == nil {
		w.WriteHeader(http.StatusOK)
	}
	w.done = true
}

func (w *responseWriter) response(t testing.TB, r *http.Request) *Response {
	text := bytes.Clone(w.body.Bytes())
	length := int64(len(text))
	if w.method == http.MethodHead {
		text, length = nil, w.limit
	}
	return &Response{t: t, text: text, Response: &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: length, Request: r,
		Body: &rewinding{r: bytes.NewReader(text)},
	}}
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// rewinding is a body that starts again once it was read to its end or closed.
type rewinding struct{ r *bytes.Reader }

func (b *rewinding) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		_ = b.Close()
	}
	return n, err
}

func (b *rewinding) Close() error {
	_, err := b.r.Seek(0, io.SeekStart)
	return err
}
