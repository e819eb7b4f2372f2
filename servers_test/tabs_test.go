//go:build unix

package serverstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/protocol"
)

// openTab is an open tab: one live connection.
type openTab struct {
	ws   *websocket.Conn
	told chan message
	wg   sync.WaitGroup
}

// message is what a tab was told, and when.
type message struct {
	Type   string
	User   string
	Reason string
	Event  string
	Data   string
	code   websocket.StatusCode // the connection was closed; 0: it broke
	closed bool
	at     time.Time
}

// openTabOn opens a tab on a server, and waits until it is welcome.
func openTabOn(s *server, c *cookies, user string) *openTab {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.url(protocol.DefaultPath+protocol.LivePath), &websocket.DialOptions{
		HTTPClient:   s.http,
		HTTPHeader:   http.Header{"Cookie": {c.header()}, "Origin": {s.url("")}},
		Subprotocols: []string{protocol.LiveProtocol},
	})
	must(s.t, err)
	tab := &openTab{ws: ws, told: make(chan message, 100)}
	s.t.Cleanup(func() {
		ws.CloseNow()
		tab.wg.Wait()
	})
	tab.wg.Go(tab.read)
	must(s.t, ws.Write(ctx, websocket.MessageText, []byte(`{"type":"hello"}`)))
	if m := tab.next(s.t, "who it is"); m.Type != protocol.LiveWelcome || m.User != user {
		s.t.Fatalf("the tab of %s was told %+v", user, m)
	}
	return tab
}

func (tab *openTab) read() {
	for {
		_, data, err := tab.ws.Read(context.Background())
		m := message{at: time.Now()}
		if err != nil {
			var closed websocket.CloseError
			if errors.As(err, &closed) {
				m.code = closed.Code
			}
			m.closed = true
			tab.told <- m
			return
		}
		if err := json.Unmarshal(data, &m); err != nil {
			m.Type = "not JSON: " + string(data)
		}
		if m.Type != protocol.LiveHeartbeat {
			tab.told <- m
		}
	}
}

// next is what the tab is told next.
func (tab *openTab) next(t testing.TB, what string) message {
	t.Helper()
	select {
	case m := <-tab.told:
		return m
	case <-time.After(patience):
		t.Fatalf("a tab waits in vain to be told %s", what)
		return message{}
	}
}

// changes fails unless the tab is told that its connection has changed, for
// this reason unless it is "", and then closed. It returns when.
func (tab *openTab) changes(t testing.TB, reason string) time.Time {
	t.Helper()
	m := tab.next(t, "that its session has changed: "+reason)
	if m.Reason == "replaced" {
		m.Reason = protocol.ReasonConnected // the end was heard of first
	}
	if m.Type != protocol.LiveChanged || reason != "" && m.Reason != reason {
		t.Errorf("the tab was told %+v, want that the session has changed: %s", m, reason)
	}
	if end := tab.next(t, "that it is closed"); !end.closed || end.code != protocol.CloseChanged {
		t.Errorf("after that the tab was told %+v", end)
	}
	return m.at
}

// silent fails if the tab was told anything.
func (tab *openTab) silent(t testing.TB, when string) {
	t.Helper()
	select {
	case m := <-tab.told:
		t.Errorf("%s the tab was told %+v", when, m)
	default:
	}
}

// tabEnds are what a tab on another server has to be told of.
var tabEnds = []struct {
	reason string
	do     func(s *server, user string, c *cookies)
}{
	{"disconnect", func(s *server, _ string, c *cookies) {
		copied := *c
		s.do(http.MethodPost, "/end", nil, &copied)
	}},
	{"disconnect-all", func(s *server, user string, _ *cookies) { s.do(http.MethodPost, "/end-all", of(user), nil) }},
	{"revoked", func(s *server, user string, _ *cookies) { s.do(http.MethodPost, "/revoke", of(user), nil) }},
	{"connected", func(s *server, user string, c *cookies) {
		copied := *c
		s.do(http.MethodPost, "/connect", of(user+"-again"), &copied)
	}},
	{"evicted", func(s *server, user string, _ *cookies) {
		for range tabLimit {
			s.connect(user)
		}
	}},
}

const (
	tabLimit   = 2
	tabRounds  = 5
	withinTime = time.Second
)

func TestTabsOnOtherServersAreTold(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		proxy := testserver.NewProxy(t, e.host(t), nil)
		cfg := siteConfig{Name: newName(), Limit: tabLimit}
		servers := startServers(t, 2, func(i int) siteConfig {
			cfg.Engine = e.url
			if i == 1 {
				cfg.Engine = e.through(t, proxy)
			}
			return cfg
		})
		here, there := servers[0], servers[1]
		n := 0
		newUser := func() string {
			n++
			return fmt.Sprint("user", n)
		}
		// inTime measures until half of what is measured at once was in time: a
		// machine may have much else to do for a while.
		inTime := func(what string, measure func() (lags []time.Duration)) {
			t.Helper()
			var lags []time.Duration
			for began := time.Now(); time.Since(began) < patience; {
				lags = measure()
				half, most := percentile(lags, 0.5), percentile(lags, 1)
				t.Logf("%s: after %v, at most %v", what, half, most)
				if half <= withinTime {
					return
				}
			}
			t.Errorf("%s: tabs on another server were told %v later", what, lags)
		}
		all := func(when string, before func()) {
			t.Helper()
			for _, end := range tabEnds {
				inTime(end.reason+when, func() (lags []time.Duration) {
					for range tabRounds {
						user := newUser()
						c := here.connect(user)
						tab := openTabOn(there, c, user)
						if end.reason == "evicted" {
							here.connect(user) // and so it is the least recently used one
						}
						reason := end.reason
						if before != nil {
							before()
							reason = "" // what was missed is found, not why
						}
						began := time.Now()
						end.do(here, user, c)
						lags = append(lags, tab.changes(t, reason).Sub(began))
					}
					return lags
				})
			}
		}
		notify := func(when string) {
			t.Helper()
			user := newUser()
			c := here.connect(user)
			tabs := []*openTab{openTabOn(there, c, user), openTabOn(here, c, user), openTabOn(there, there.connect(user), user)}
			inTime("notify"+when, func() (lags []time.Duration) {
				for i := range tabRounds {
					began := time.Now()
					value := fmt.Sprint(i)
					here.do(http.MethodPost, "/notify", url.Values{"user": {user}, "value": {value}}, nil)
					for _, tab := range tabs {
						m := tab.next(t, "a message")
						if m.Type != protocol.LiveEvent || m.Event != "told" || m.Data != value {
							t.Errorf("the tab was told %+v", m)
						}
						lags = append(lags, m.at.Sub(began))
					}
				}
				return lags
			})
		}
		// hears waits until messages arrive.
		hears := func(tab *openTab, user string) {
			t.Helper()
			await(t, "messages to arrive", func() bool {
				here.do(http.MethodPost, "/notify", url.Values{"user": {user}, "value": {"heard"}}, nil)
				select {
				case m := <-tab.told:
					if m.Data != "heard" {
						t.Errorf("the tab was told %+v", m)
					}
					return true
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
		}
		user := newUser()
		hears(openTabOn(there, here.connect(user), user), user) // it has just started
		all("", nil)
		notify("")
		all(" while the stream of changes is cut", proxy.Cut)
		user = newUser()
		tab := openTabOn(there, here.connect(user), user)
		proxy.Cut()
		hears(tab, user) // it comes back by itself
		all(" after the stream of changes came back", nil)
		notify(" after the stream of changes came back")
	})
}
