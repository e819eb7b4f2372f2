package sojourn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// protocols are the real servers over which a ResponseWriter has to work.
var protocols = []struct {
	name  string
	major int
	start func(s *httptest.Server)
}{
	{"HTTP/1.1", 1, func(s *httptest.Server) { s.StartTLS() }},
	{"HTTP/2", 2, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

// serve asks a real server once for each of the handler, and the handler behind
// the site's middleware.
func serve(t *testing.T, start func(s *httptest.Server), a *app, h http.Handler, ask func(c *http.Client, url string)) {
	t.Helper()
	for _, h := range []http.Handler{h, a.site.Middleware(h)} {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = nil
		start(s)
		ask(s.Client(), s.URL)
		s.Close()
	}
}

// abilities is what a ResponseWriter can do besides writing.
func abilities(w http.ResponseWriter) (can []string) {
	for name, ok := range map[string]bool{
		"Flush":       is[http.Flusher](w),
		"Hijack":      is[http.Hijacker](w),
		"Push":        is[http.Pusher](w),
		"ReadFrom":    is[io.ReaderFrom](w),
		"WriteString": is[io.StringWriter](w),
	} {
		if ok {
			can = append(can, name)
		}
	}
	slices.Sort(can)
	return can
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

func TestResponseWriterCanWhatTheServersCan(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for _, p := range protocols {
		var seen [][]string
		var answers [][]error
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != p.major {
				t.Errorf("the request is of %s, want %s", r.Proto, p.name)
			}
			seen = append(seen, abilities(w))
			c := http.NewResponseController(w)
			answer := []error{
				c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex(), c.Flush(),
			}
			if pusher, ok := w.(http.Pusher); ok {
				answer = append(answer, pusher.Push("/x", nil))
			}
			answers = append(answers, answer)
		})
		serve(t, p.start, a, h, func(c *http.Client, url string) {
			resp, err := c.Get(url)
			a.must(err)
			resp.Body.Close()
		})
		if len(seen) != 2 || !slices.Equal(seen[0], seen[1]) {
			t.Errorf("%s: the server's writer can %q, behind Middleware %q", p.name, seen[0], seen[1:])
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			t.Errorf("%s: the server answers %v, behind Middleware %v", p.name, answers[0], answers[1])
		}
	}
}

func TestResponsesStreamThroughMiddleware(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for _, p := range protocols {
		for _, how := range []string{"Flusher", "ResponseController"} {
			more := make(chan struct{}, 1)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for i := range 3 {
					fmt.Fprintln(w, i)
					if how == "Flusher" {
						w.(http.Flusher).Flush()
					} else {
						a.must(http.NewResponseController(w).Flush())
					}
					<-more
				}
			})
			serve(t, p.start, a, h, func(c *http.Client, url string) {
				resp, err := c.Get(url)
				a.must(err)
				defer resp.Body.Close()
				lines := bufio.NewReader(resp.Body)
				for i := range 3 { // each comes before the next is asked for
					if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
						t.Errorf("%s: line %d is %q, %v", p.name, i, line, err)
					}
					more <- struct{}{}
				}
			})
		}
	}
}

func TestFilesAndHijackedConnectionsPassThroughMiddleware(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	name := filepath.Join(t.TempDir(), "file")
	want := strings.Repeat("0123456789", 100_000)
	a.must(os.WriteFile(name, []byte(want), 0o600))
	for _, p := range protocols {
		mux := http.NewServeMux()
		mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })
		mux.HandleFunc("/copy", func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(name)
			a.must(err)
			defer f.Close()
			if n, err := io.Copy(w, f); n != int64(len(want)) || err != nil {
				t.Errorf("io.Copy: %d, %v", n, err)
			}
		})
		mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if p.major == 2 {
				wants(t, "Hijack", err, http.ErrNotSupported)
				return
			}
			a.must(err)
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
			a.must(rw.Flush())
		})
		serve(t, p.start, a, mux, func(c *http.Client, url string) {
			for path, want := range map[string]string{"/file": want, "/copy": want, "/hijack": "hello"} {
				if path == "/hijack" && p.major == 2 {
					want = ""
				}
				resp, err := c.Get(url + path)
				a.must(err)
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != want || err != nil {
					t.Errorf("%s: %s has %d bytes, %v, want %d", p.name, path, len(body), err, len(want))
				}
			}
		})
	}
}

// starts are the ways in which a response starts.
var starts = map[string]func(w http.ResponseWriter, r *http.Request){
	"WriteHeader":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
	"WriteHeader 404":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	"Write":              func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) },
	"Write of nothing":   func(w http.ResponseWriter, _ *http.Request) { w.Write(nil) },
	"WriteString":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") },
	"Fprint":             func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") },
	"Flush":              func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
	"FlushError":         func(w http.ResponseWriter, _ *http.Request) { w.(interface{ FlushError() error }).FlushError() },
	"ResponseController": func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Flush() },
	"Copy":               func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(strings.NewReader("xyz"), 2)) },
	"Error":              func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusTeapot) },
	"Redirect":           func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusNotModified) },
	"ServeContent": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x", time.Time{}, strings.NewReader("x"))
	},
	"1xx, then Write": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.Write([]byte("x"))
	},
	"Hijack": func(w http.ResponseWriter, _ *http.Request) {
		if h, ok := w.(http.Hijacker); ok {
			hijacked(h.Hijack())
		} else {
			w.WriteHeader(http.StatusOK)
		}
	},
	"ResponseController's Hijack": func(w http.ResponseWriter, _ *http.Request) {
		if hijacked(http.NewResponseController(w).Hijack()) != nil {
			w.WriteHeader(http.StatusOK)
		}
	},
}

func hijacked(conn io.Closer, rw *bufio.ReadWriter, err error) error {
	if err == nil {
		fmt.Fprint(rw, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		rw.Flush()
		conn.Close()
	}
	return err
}

func TestConnectComesBeforeTheResponseStarts(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, memoryKind)
			mux := http.NewServeMux()
			for name, start := range starts {
				mux.HandleFunc("/"+strings.ReplaceAll(name, " ", "-"), func(w http.ResponseWriter, r *http.Request) {
					start(w, r)
					ctx := r.Context()
					wants(t, "Connect after "+name, a.site.Connect(ctx, "berta"), sojourn.ErrHeadersSent)
					if user, err := a.site.CurrentUser(ctx); user != sojourn.Nobody || err != nil {
						t.Errorf("after %s the user is %q, %v", name, user, err)
					}
					for _, ref := range []string{"session", "session!", "isession", "isession!", "osession", "osession!"} {
						wants(t, "Set of "+ref+" after "+name, a.refs[ref].Set(ctx, "x"), sojourn.ErrHeadersSent)
					}
					a.must(a.site.Disconnect(ctx)) // which has no cookie to take back
				})
			}
			s := httptest.NewUnstartedServer(a.site.Middleware(mux))
			p.start(s)
			defer s.Close()
			for name := range starts {
				resp, err := s.Client().Get(s.URL + "/" + strings.ReplaceAll(name, " ", "-"))
				a.must(err)
				if resp.Header["Set-Cookie"] != nil {
					t.Errorf("after %s the cookies %q were sent", name, resp.Header["Set-Cookie"])
				}
				resp.Body.Close()
			}
			a.holds(sojourn.Counts{})
		})
	}
}

// A session that is open stays as it was when Connect comes too late.
func TestLateConnectLeavesTheSession(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		var d diary
		a := newApp(t, kind, d.ends(), withInit(func(a *app) {
			a.site.OnPreCloseSession(func(context.Context) error { d.add("close"); return nil })
		}))
		b := a.browser()
		a.connect(b, "anna")
		a.set(b, "session", "kept")
		d.take()
		a.handle(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			wants(t, "Connect", a.site.Connect(r.Context(), "berta"), sojourn.ErrHeadersSent)
		}))
		a.is(b, "anna")
		a.has(b, "session", "kept")
		d.tells(t)
		a.holds(sojourn.Counts{Sessions: 1})
	})
}

func TestInformationalResponsesStartNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for _, p := range protocols {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p, ok := w.(http.Pusher); ok {
				p.Push("/x", nil)
			}
			w.WriteHeader(http.StatusProcessing)
			w.Header().Set("Link", "</x>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			a.must(a.site.Connect(r.Context(), "anna"))
			a.must(a.refs["osession!"].Set(r.Context(), "x"))
			w.WriteHeader(http.StatusOK)
			wants(t, "Connect", a.site.Connect(r.Context(), "anna"), sojourn.ErrHeadersSent)
		})
		s := httptest.NewUnstartedServer(a.site.Middleware(h))
		p.start(s)
		hints := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", s.URL, nil)
		a.must(err)
		resp, err := s.Client().Do(r)
		a.must(err)
		resp.Body.Close()
		s.Close()
		names := map[string]bool{}
		for _, c := range resp.Cookies() {
			names[c.Name] = true
		}
		if hints != 2 || len(names) != 3 {
			t.Errorf("%s: %d hints came, and the cookies %v", p.name, hints, names)
		}
	}
}

// A switch of protocols is the end of this one's headers.
func TestSwitchingProtocolsStartsTheResponse(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	a.handle(a.browser(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
		wants(t, "Connect", a.site.Connect(r.Context(), "anna"), sojourn.ErrHeadersSent)
	}))
}

// plainWriter can do nothing but write.
type plainWriter struct{ http.ResponseWriter }

// wrappingWriter is what many logging middlewares are.
type wrappingWriter struct{ plainWriter }

func (w wrappingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestWriterBehindOthersIsWhatTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	for name, wrap := range map[string]func(w http.ResponseWriter) http.ResponseWriter{
		"plain":    func(w http.ResponseWriter) http.ResponseWriter { return plainWriter{w} },
		"wrapping": func(w http.ResponseWriter) http.ResponseWriter { return wrappingWriter{plainWriter{w}} },
	} {
		recorder := httptest.NewRecorder()
		var flushed error
		a.site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(http.Flusher); ok {
				t.Errorf("%s: it claims to be a Flusher", name)
			}
			flushed = http.NewResponseController(w).Flush()
			err := a.site.Connect(r.Context(), "anna")
			if flushed == nil {
				wants(t, "Connect after a Flush", err, sojourn.ErrHeadersSent)
			} else {
				a.must(err) // nothing was sent
			}
		})).ServeHTTP(wrap(recorder), httptest.NewRequest("GET", "/", nil))
		if name == "plain" && !errors.Is(flushed, http.ErrNotSupported) || name == "wrapping" && flushed != nil {
			t.Errorf("%s: Flush: %v", name, flushed)
		}
		if recorder.Flushed != (name == "wrapping") {
			t.Errorf("%s: flushed: %v", name, recorder.Flushed)
		}
	}
}

// The handler's own request is passed on with its context; and a panic is the
// server's.
func TestMiddlewareLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	r := httptest.NewRequestWithContext(ctx, "GET", "/a?b=c", nil)
	a.site.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		if got.Context().Value(key{}) != "value" || got.URL != r.URL || got.Context().Err() != nil {
			t.Errorf("the request is %v", got)
		}
		cancel()
		if got.Context().Err() == nil {
			t.Error("the context is not done")
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	defer func() {
		if p := recover(); p != "panic" {
			t.Errorf("the panic is %v", p)
		}
	}()
	a.site.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("panic") })).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}
