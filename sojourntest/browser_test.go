package sojourntest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// seen returns a browser and the request that its handler saw last.
func seen(t *testing.T) (*sojourntest.Browser, func() *http.Request) {
	var mu sync.Mutex
	var last *http.Request
	b := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		last = r
		_ = r.ParseForm()
	}))
	return b, func() *http.Request {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

func TestRequestIsWhatAServerWouldSee(t *testing.T) {
	t.Parallel()
	b, last := seen(t)
	b.Get("/a%2Fb/c?x=1&y=2")
	r := last()
	for what, got := range map[string][2]string{
		"Method":     {r.Method, "GET"},
		"Host":       {r.Host, "example.com"},
		"RequestURI": {r.RequestURI, "/a%2Fb/c?x=1&y=2"},
		"URL":        {r.URL.String(), "/a%2Fb/c?x=1&y=2"},
		"URL.Path":   {r.URL.Path, "/a/b/c"},
		"Proto":      {r.Proto, "HTTP/1.1"},
		"y":          {r.FormValue("y"), "2"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, want %q", what, got[0], got[1])
		}
	}
	if !strings.HasPrefix(r.RemoteAddr, "192.0.2.") {
		t.Errorf("RemoteAddr is %q", r.RemoteAddr)
	}
	if r.TLS == nil {
		t.Error("TLS is nil over https")
	}
	if r.Body == nil {
		t.Error("Body is nil")
	}
	b.Insecure().Get("/")
	if last().TLS != nil {
		t.Error("TLS is not nil over http")
	}
}

func TestRequestHasTheHeadersOfABrowser(t *testing.T) {
	t.Parallel()
	b, last := seen(t)
	tab := b.NewTab()
	elsewhere := httptest.NewRequest("POST", "/", nil)
	elsewhere.Header.Set("Origin", "https://evil.example")
	for _, tc := range []struct {
		name                     string
		send                     func()
		origin, site, mode, dest string
	}{
		{"navigation", func() { b.Get("/") }, "", "none", "navigate", "document"},
		{"form", func() { b.Post("/", nil) }, "https://example.com", "same-origin", "navigate", "document"},
		{"fetch", func() { tab.Get("/") }, "", "same-origin", "cors", "empty"},
		{"fetch that posts", func() { tab.Post("/", nil) }, "https://example.com", "same-origin", "cors", "empty"},
		{"form elsewhere", func() { b.Do(elsewhere) }, "https://evil.example", "cross-site", "navigate", "document"},
		{"form over http", func() { b.Insecure().Post("/", nil) }, "http://example.com", "", "", ""},
	} {
		tc.send()
		h := last().Header
		got := [4]string{h.Get("Origin"), h.Get("Sec-Fetch-Site"), h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")}
		if want := [4]string{tc.origin, tc.site, tc.mode, tc.dest}; got != want {
			t.Errorf("%s: origin, site, mode and dest are %q, want %q", tc.name, got, want)
		}
	}
}

func TestOnlyOwnFormsPassCrossOriginProtection(t *testing.T) {
	t.Parallel()
	h := http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b := sojourntest.NewBrowser(t, h)
	if got := b.Post("/", nil).StatusCode; got != http.StatusOK {
		t.Errorf("the site's own form was answered %d", got)
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Origin", "https://evil.example")
	if got := b.Do(r).StatusCode; got != http.StatusForbidden {
		t.Errorf("a foreign form was answered %d", got)
	}
}

func TestBodiesArriveAndAreAnswered(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if int64(len(data)) != r.ContentLength {
			t.Errorf("%d bytes came, ContentLength is %d", len(data), r.ContentLength)
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = w.Write(data)
	}))
	for _, browser := range []interface {
		Post(string, url.Values) *sojourntest.Response
		PostJSON(string, any) *sojourntest.Response
	}{b, b.NewTab()} {
		if got := browser.Post("/", url.Values{"a": {"1 2"}}).Text(); got != "a=1+2" {
			t.Errorf("the form came as %q", got)
		}
		var v struct{ A int }
		resp := browser.PostJSON("/", map[string]int{"A": 7})
		resp.JSON(&v)
		if v.A != 7 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the JSON came as %q, %s", resp.Text(), resp.Header)
		}
		for range 2 {
			data, err := io.ReadAll(resp.Body)
			if err != nil || string(data) != `{"A":7}` {
				t.Errorf("the body reads %q, %v", data, err)
			}
		}
	}
}

func TestBadJSONFailsTheTest(t *testing.T) {
	t.Parallel()
	c := &complaints{TB: t}
	b := sojourntest.NewBrowser(c, http.NotFoundHandler())
	var v any
	b.Get("/x").JSON(&v)
	if len(c.all) != 1 || !strings.Contains(c.all[0], "404 page not found") {
		t.Errorf("the complaints are %q, want one with the body", c.all)
	}
}

func TestHeadersFreezeWhenTheResponseStarts(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(w http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"Write":       func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"Controller":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("Before", "1")
				start(w)
				w.Header().Set("After", "1")
				http.SetCookie(w, &http.Cookie{Name: "late", Value: "1"})
				w.WriteHeader(http.StatusInternalServerError)
			}))
			resp := b.Get("/")
			if resp.Header.Get("Before") == "" || resp.Header.Get("After") != "" || b.Cookie("late") != nil {
				t.Errorf("the headers are %v, want those from before the start", resp.Header)
			}
			want := http.StatusOK
			if name == "WriteHeader" {
				want = http.StatusTeapot
			}
			if resp.StatusCode != want {
				t.Errorf("the status is %s, want %d", resp.Status, want)
			}
		})
	}
}

func TestResponseWriterKeepsTheRulesOfAServer(t *testing.T) {
	t.Parallel()
	var kept http.ResponseWriter
	var ctx context.Context
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("a body with status 204 gives %v", err)
		}
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		if n, err := io.WriteString(w, "four"); n != 3 || !errors.Is(err, http.ErrContentLength) {
			t.Errorf("a body longer than announced gives %d, %v", n, err)
		}
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) { kept, ctx = w, r.Context() })
	mux.HandleFunc("/html", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<!doctype html>") })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(0) })
	b := sojourntest.NewBrowser(t, mux)
	if got := b.Get("/empty").Text(); got != "" {
		t.Errorf("the body of a 204 is %q", got)
	}
	if got := b.Get("/long").Text(); got != "fou" {
		t.Errorf("the body is %q", got)
	}
	b.Get("/late")
	if _, err := io.WriteString(kept, "x"); err == nil {
		t.Error("a write after the handler returned succeeded")
	}
	if ctx.Err() == nil {
		t.Error("the request's context is not done after the handler returned")
	}
	if got := b.Get("/html").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("the Content-Type is %q", got)
	}
	head := b.Do(httptest.NewRequest("HEAD", "/html", nil))
	if head.Text() != "" || head.StatusCode != http.StatusOK {
		t.Errorf("HEAD is answered %s %q", head.Status, head.Text())
	}
	defer func() {
		if recover() == nil {
			t.Error("WriteHeader(0) does not panic")
		}
	}()
	b.Get("/bad")
}

func TestPanicOfTheHandlerIsTheCallers(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("the panic is %v", got)
		}
	}()
	b.Get("/")
}

func TestRedirectsAreFollowedLikeABrowser(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		if _, err := fmt.Sscanf(r.URL.Path, "/go/%d", &code); err == nil {
			http.SetCookie(w, &http.Cookie{Name: "hop", Value: "1", Path: "/"})
			w.Header().Set("Location", "/end")
			w.WriteHeader(code)
			return
		}
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "https://example.net/", http.StatusFound)
		default:
			_, _ = fmt.Fprint(w, r.Method, " ", r.FormValue("a"), " ", r.Header.Get("Cookie"))
		}
	})
	b := sojourntest.NewBrowser(t, h)
	for code, want := range map[int]string{301: "GET  hop=1", 302: "GET  hop=1", 303: "GET  hop=1", 307: "POST 1 hop=1", 308: "POST 1 hop=1"} {
		resp := b.Post(fmt.Sprint("/go/", code), url.Values{"a": {"1"}})
		if resp.Text() != want || resp.Request.URL.Path != "/end" {
			t.Errorf("after %d: %s answers %q, want /end and %q", code, resp.Request.URL, resp.Text(), want)
		}
	}
	if got := b.Get("/away"); got.StatusCode != http.StatusFound || got.Header.Get("Location") != "https://example.net/" {
		t.Errorf("a redirect to another host: %s", got.Status)
	}
	if got := b.FollowRedirects(false).Get("/go/302"); got.StatusCode != http.StatusFound {
		t.Errorf("a redirect that is not to be followed: %s", got.Status)
	}
	c := &complaints{TB: t}
	if sojourntest.NewBrowser(c, h).Get("/loop"); len(c.all) != 1 {
		t.Errorf("the complaints about a loop are %q", c.all)
	}
}

func TestTabSendsTheIDItWasGivenLast(t *testing.T) {
	t.Parallel()
	given := 0
	b := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get(protocol.TabHeader))
	}))
	give := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/give" {
			given++
			w.Header().Set(protocol.TabHeader, fmt.Sprint("tab", given))
		}
		w.Header().Set(protocol.RestartHeader, "1")
		_, _ = fmt.Fprint(w, r.Header.Get(protocol.TabHeader))
	}))
	if got := b.NewTab().Get("/"); got.Text() != "" || got.Restart() {
		t.Errorf("a new tab sent the id %q", got.Text())
	}
	one, two := give.NewTab(), give.NewTab()
	for _, step := range []struct {
		got, want string
	}{
		{one.Get("/give").Text(), ""},
		{two.Get("/give").Text(), ""},
		{one.Get("/").Text(), "tab1"},
		{one.Get("/give").Text(), "tab1"},
		{one.Post("/", nil).Text(), "tab3"},
		{two.PostJSON("/", 1).Text(), "tab2"},
		{give.Get("/give").Text(), ""},
		{one.ID(), "tab3"},
	} {
		if step.got != step.want {
			t.Errorf("the id is %q, want %q", step.got, step.want)
		}
	}
	if !one.Get("/").Restart() {
		t.Error("Restart is false with Sojourn-Restart: 1")
	}
	own := httptest.NewRequest("GET", "/", nil)
	own.Header.Set(protocol.TabHeader, "mine")
	if got := one.Do(own).Text(); got != "mine" || one.Browser() != give {
		t.Errorf("a request with an id of its own sent %q", got)
	}
	give.Exit()
	if got := one.ID(); got != "" {
		t.Errorf("after Exit the tab's id is %q", got)
	}
}

func TestBrowserMayBeSharedByGoroutines(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: r.URL.Query().Get("n"), Value: "1", Path: "/"})
		w.Header().Set(protocol.TabHeader, "tab")
	}))
	tab := b.NewTab()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b.Get(fmt.Sprint("/?n=b", i))
			tab.Get(fmt.Sprint("/?n=t", i))
			b.Cookies()
			b.Clone().Exit()
		})
	}
	wg.Wait()
	if got := len(b.Cookies()); got != 40 {
		t.Errorf("the jar has %d cookies, want 40", got)
	}
}
