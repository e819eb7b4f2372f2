package sojourn_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	live "github.com/coder/websocket"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// greeter is a client of the live connection that says what it likes.
type greeter struct {
	t       *testing.T
	url     string
	cookies string
	ws      *live.Conn
}

func newGreeter(t *testing.T) *greeter {
	t.Helper()
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	srv := httptest.NewServer(site.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), "alice"); err != nil {
			t.Error(err)
		}
	})))
	t.Cleanup(srv.Close)
	g := &greeter{t: t, url: srv.URL}
	resp := g.post("/login", "")
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	g.cookies = strings.Join(pairs, "; ")
	return g
}

func (g *greeter) post(path, tab string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+path, strings.NewReader("{}"))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", g.cookies)
	if tab != "" {
		req.Header.Set(protocol.TabHeader, tab)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		g.t.Fatalf("%s is answered %d", path, resp.StatusCode)
	}
	return resp
}

// open opens a live connection.
func (g *greeter) open() {
	g.t.Helper()
	ws, _, err := live.Dial(g.t.Context(), g.url+protocol.DefaultPath+protocol.LivePath, &live.DialOptions{
		Subprotocols: []string{protocol.LiveProtocol},
		HTTPHeader:   http.Header{"Cookie": {g.cookies}, "Origin": {g.url}},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { ws.CloseNow() })
	g.ws = ws
}

func (g *greeter) say(message string) {
	g.t.Helper()
	if err := g.ws.Write(g.t.Context(), live.MessageText, []byte(message)); err != nil {
		g.t.Fatal(err)
	}
}

type liveAnswer struct{ Type, User, Mark, Reason string }

func (g *greeter) hear() (a liveAnswer) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	_, data, err := g.ws.Read(ctx)
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

func TestHelloWithoutAMarkIsWelcomedAsWhateverTheBrowserIs(t *testing.T) {
	t.Parallel()
	g := newGreeter(t)
	g.open()
	g.say(`{"type":"hello","tab":""}`)
	if a := g.hear(); a.Type != protocol.LiveWelcome || a.User != "alice" || a.Mark == "" {
		t.Errorf("a client of no page is told %+v, want a welcome as alice with a mark", a)
	}
	g.open()
	g.say(`{"type":"hello","tab":"","mark":""}`)
	if a := g.hear(); a.Type != protocol.LiveChanged {
		t.Errorf("a page of nobody is told %+v, want that this has changed", a)
	}
}

// A client that disconnected says hello with its old mark when the answer to
// its call, with a new tab's id, is there before the welcome.
func TestHelloThatCrossesAWelcomeIsNoChange(t *testing.T) {
	t.Parallel()
	g := newGreeter(t)
	const tab = "a-tab-that-no-server-has-started"
	g.open()
	g.say(`{"type":"hello","tab":"` + tab + `"}`)
	mark := g.hear().Mark
	g.post(protocol.DefaultPath+"disconnect", tab)
	g.say(`{"type":"hello","tab":"another-tab-of-the-same-client","mark":"` + mark + `"}`)
	for range 2 {
		if a := g.hear(); a.Type != protocol.LiveWelcome || a.User != "" || a.Mark != "" {
			t.Errorf("the tab that disconnected is told %+v, want a welcome as nobody", a)
		}
	}
}
