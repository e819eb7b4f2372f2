package sojourn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	live "github.com/coder/websocket"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

const livePath = protocol.DefaultPath + protocol.LivePath

func TestLiveConnectionIsForTheSitesOwnPages(t *testing.T) {
	t.Parallel()
	trusting := sojourn.Config{TrustedOrigins: []string{"https://app.example.org", "http://localhost:3000"}}
	for _, tc := range []struct {
		origin string
		cfg    sojourn.Config
		open   bool
	}{
		{"https://example.com", sojourn.Config{}, true},
		{"https://example.com:443", sojourn.Config{}, true},
		{"HTTPS://EXAMPLE.COM", sojourn.Config{}, true},
		{"https://app.example.org", trusting, true},
		{"http://localhost:3000", trusting, true},
		{"https://example.com", trusting, true},
		{"http://example.com", sojourn.Config{}, false},
		{"https://example.com:8443", sojourn.Config{}, false},
		{"https://www.example.com", sojourn.Config{}, false},
		{"https://example.com.evil.example", sojourn.Config{}, false},
		{"https://evil.example", sojourn.Config{}, false},
		{"https://evil.example", trusting, false},
		{"https://app.example.org:8443", trusting, false},
		{"https://app.example.org.evil.example", trusting, false},
		{"https://user@example.com", sojourn.Config{}, false},
		{"https://example.com/", sojourn.Config{}, false},
		{"https://example.com?x", sojourn.Config{}, false},
		{"//example.com", sojourn.Config{}, false},
		{"example.com", sojourn.Config{}, false},
		{"null", sojourn.Config{}, false},
		{"null", trusting, false},
		{"", sojourn.Config{}, false},
	} {
		t.Run(tc.origin, func(t *testing.T) {
			t.Parallel()
			s := newLiveSite(t, tc.cfg)
			tab := sojourntest.NewBrowser(t, s.h).NewTab()
			must(t, tab.Post("/login", asUser("ann")))
			r := httptest.NewRequest(http.MethodGet, livePath, nil)
			r.Host = ""
			r.Header["Origin"] = []string{tc.origin}
			l, resp := tab.OpenLive(r)
			if (l != nil) != tc.open {
				t.Fatalf("from %q the connection is answered %s", tc.origin, resp.Status)
			}
			if l == nil {
				code(t, "from "+tc.origin, resp, http.StatusForbidden, protocol.CodeCrossOrigin)
			}
		})
	}
}

func TestLiveConnectionIsAWebSocket(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	b := sojourntest.NewBrowser(t, s.h)
	resp := b.Get(livePath)
	code(t, "a plain request", resp, http.StatusUpgradeRequired, protocol.CodeUpgrade)
	if got := resp.Header.Get("Upgrade"); got != "websocket" {
		t.Errorf("the header Upgrade is %q, want websocket", got)
	}
	if len(b.Cookies()) != 0 {
		t.Errorf("it set the cookies %v", b.Cookies())
	}
}

// wire is one end of a live connection that says what it likes.
type wire struct {
	t  testing.TB
	ws *live.Conn
}

// listen serves a site on the loopback interface.
func listen(t testing.TB, h http.Handler) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func dial(t testing.TB, srv *httptest.Server, cookies string) *wire {
	t.Helper()
	ws, _, err := live.Dial(t.Context(), srv.URL+livePath, &live.DialOptions{
		HTTPClient:   srv.Client(),
		HTTPHeader:   http.Header{"Cookie": {cookies}, "Origin": {srv.URL}},
		Subprotocols: []string{protocol.LiveProtocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return &wire{t, ws}
}

func (w *wire) say(text string) {
	w.t.Helper()
	if err := w.ws.Write(w.t.Context(), live.MessageText, []byte(text)); err != nil {
		w.t.Errorf("saying %q: %v", text, err)
	}
}

// hears is the type of the next message, or the code of a close.
func (w *wire) hears() string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	_, data, err := w.ws.Read(ctx)
	var closed live.CloseError
	if errors.As(err, &closed) {
		return fmt.Sprint(int(closed.Code))
	}
	if err != nil {
		return err.Error()
	}
	var m struct{ Type string }
	if err := json.Unmarshal(data, &m); err != nil {
		w.t.Error(err)
	}
	return m.Type
}

func TestClientThatBreaksTheProtocolIsClosed(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	srv := listen(t, s.h)
	const hello = `{"type":"hello","tab":""}`
	for name, tc := range map[string]struct {
		say  []string
		code string
	}{
		"no JSON":        {[]string{"hello"}, "4002"},
		"another value":  {[]string{`"hello"`}, "4002"},
		"another type":   {[]string{`{"type":"goodbye"}`}, "4002"},
		"no type":        {[]string{`{}`}, "4002"},
		"a wrong field":  {[]string{`{"type":"hello","tab":7}`}, "4002"},
		"nothing":        {[]string{``}, "4002"},
		"later":          {[]string{hello, "hello"}, "4002"},
		"too long":       {[]string{`{"type":"hello","tab":"` + strings.Repeat("x", 5000) + `"}`}, "1009"},
		"too often":      {append(make([]string, 0, 100), repeat(hello, 100)...), "4002"},
		"an unknown tab": {[]string{`{"type":"hello","tab":"not an id!"}`, "x"}, "4002"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dial(t, srv, "")
			for _, text := range tc.say {
				w.say(text)
			}
			got := w.hears()
			for got == protocol.LiveWelcome {
				got = w.hears()
			}
			if got != tc.code {
				t.Errorf("the client hears %s, want %s", got, tc.code)
			}
		})
	}
	t.Run("binary", func(t *testing.T) {
		w := dial(t, srv, "")
		if err := w.ws.Write(t.Context(), live.MessageBinary, []byte(hello)); err != nil {
			t.Error(err)
		}
		if got := w.hears(); got != "4002" {
			t.Errorf("the client hears %s, want 4002", got)
		}
	})
}

func repeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

func TestTooManyTabsStayAway(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 3, AnonymousPerSubnet: 5}})
	b := sojourntest.NewBrowser(t, s.h)
	must(t, b.Post("/login", asUser("ann")))
	var open []*sojourntest.Live
	for range 3 {
		open = append(open, welcomed(t, b.NewTab(), "ann"))
	}
	if code := b.NewTab().Live().Code(); code != protocol.CloseTooMany {
		t.Errorf("the fourth tab of a browser is closed with %d, want %d", code, protocol.CloseTooMany)
	}
	s.wantNothing(t, open[0])
	open[0].Close()
	for deadline := time.Now().Add(time.Minute); ; { // the server sees it go a little later
		l := b.NewTab().Live()
		if m, ok := <-l.Messages(); ok && m.Type == protocol.LiveWelcome {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no tab may take the place of one that is closed")
		}
	}

	for i := range 6 { // browsers of nobody, of one network
		r := httptest.NewRequest(http.MethodGet, livePath, nil)
		r.Host, r.RemoteAddr = "", fmt.Sprintf("198.51.100.%d:1234", i)
		l, _ := sojourntest.NewBrowser(t, s.h).NewTab().OpenLive(r)
		m, ok := <-l.Messages()
		if want := i < 5; ok != want || !ok && l.Code() != protocol.CloseTooMany {
			t.Errorf("browser %d of nobody is told %+v, %v; want welcome %v", i, m, ok, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, livePath, nil)
	r.Host, r.RemoteAddr = "", "198.51.101.1:1234"
	l, _ := sojourntest.NewBrowser(t, s.h).NewTab().OpenLive(r)
	wantWelcome(t, l, "")
}

// A client that does not read is cut off, and nobody waits for it.
func TestSlowReaderIsDroppedAndDelaysNobody(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	srv := listen(t, s.h)
	slow := dial(t, srv, "")
	slow.say(`{"type":"hello","tab":""}`)
	quick := sojourntest.NewBrowser(t, s.h).NewTab().Live()
	wantWelcome(t, quick, "")
	everybody, err := s.CurrentState(t.Context(), sojourn.SiteScope)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 60<<10)
	for i := range 400 { // more than the kernel keeps for it
		if err := s.Notify(t.Context(), everybody, fmt.Sprint(i), text); err != nil {
			t.Fatal(err)
		}
		if m := quick.Next(); m.Event != fmt.Sprint(i) {
			t.Fatalf("the quick one is told %s, want %d", m.Event, i)
		}
	}
	n := 0
	for ; ; n++ {
		if got := slow.hears(); got != protocol.LiveEvent && got != protocol.LiveWelcome {
			break
		}
	}
	if n >= 401 {
		t.Error("the slow one was told everything")
	}
}

func TestTabsAreClosedWhenTheServerGoesDown(t *testing.T) {
	t.Parallel()
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := site.Middleware(http.NotFoundHandler())
	var open []*sojourntest.Live
	for range 20 {
		l := sojourntest.NewBrowser(t, h).NewTab().Live()
		wantWelcome(t, l, "")
		open = append(open, l)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := site.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, l := range open {
		if code := l.Code(); code != protocol.CloseRestart {
			t.Errorf("the connection closed with %d, want %d", code, protocol.CloseRestart)
		}
	}
	wg.Wait()
	if code := sojourntest.NewBrowser(t, h).NewTab().Live().Code(); code != protocol.CloseRestart {
		t.Errorf("a connection opened afterwards closes with %d, want %d", code, protocol.CloseRestart)
	}
}
