package sojourn

import (
	"context"
	"encoding/json"
	"time"
)

// siteMessage is what the servers of a site tell one another, besides what the
// store tells them of sessions that end.
type siteMessage struct {
	Kind    string
	Target  liveTarget      `json:",omitzero"`  // event
	Message json.RawMessage `json:",omitempty"` // event
	Keys    [][]byte        `json:",omitempty"` // connected: sessions and browsers; dropped, renamed: browsers
	Reason  string          `json:",omitempty"` // connected
	Browser []byte          `json:",omitempty"` // connected, expect: of the tab excepted
	Tab     string          `json:",omitempty"` // likewise
	Session []byte          `json:",omitempty"` // connected: of the tab excepted
	User    UserID          `json:",omitempty"` // likewise
}

// Kinds of siteMessage.
const (
	messageEvent     = "event"     // Notify
	messageConnected = "connected" // tabs to be told
	messageExpect    = "expect"    // a tab is about to change the connection itself
	messageDropped   = "dropped"   // the state of browsers was dropped
	messageRenamed   = "renamed"   // a browser got a new cookie for an old one: Keys are both
)

func (s *Site) publish(ctx context.Context, m siteMessage) error {
	if !s.shared {
		return nil
	}
	return wrap("telling the other servers", s.store.Publish(ctx, jsonMessage(m)))
}

// keepInformed takes in what other servers do. As long as it cannot hear them,
// the site is deaf: the sessions of open tabs are looked up all the time.
func (s *Site) keepInformed(ctx context.Context) {
	for {
		err := s.store.Changes(ctx, s.changed)
		if ctx.Err() != nil {
			return
		}
		s.deaf.Store(true)
		s.log.WarnContext(ctx, "sojourn: cannot hear the other servers", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// changed is told what another server did.
func (s *Site) changed(c Change) {
	switch {
	case c.Ended != nil:
		if e := s.sessions.remove(&c.Ended.Key); e != nil && c.Reason == EndReplaced {
			e.state.Or(stateReplaced)
		}
		s.users.told(c.Ended, c.Left)
		s.hub.tell(liveNotice{keys: []Key{c.Ended.Key, c.Ended.Browser}, reason: string(c.Reason)})
	case c.Message != nil:
		var m siteMessage
		if err := json.Unmarshal(c.Message, &m); err != nil {
			s.log.Warn("sojourn: a message of another server cannot be read", "error", err)
			return
		}
		s.take(&m)
	default: // from now on nothing is missed
		s.deaf.Store(false)
		s.doubt.Add(1)
		s.checkLive(s.ctx, true)
	}
}

func (s *Site) take(m *siteMessage) {
	var keys []Key
	for _, k := range m.Keys {
		if len(k) == len(Key{}) {
			keys = append(keys, Key(k))
		}
	}
	except := liveExcept{tab: m.Tab}
	copy(except.browser[:], m.Browser)
	switch m.Kind {
	case messageEvent:
		if m.Target.Key == nil || len(m.Target.Key) == len(Key{}) {
			s.hub.send(m.Target, m.Message)
		}
	case messageConnected:
		n := liveNotice{keys: keys, reason: m.Reason, except: except, user: m.User}
		copy(n.session[:], m.Session)
		s.hub.tell(n)
	case messageExpect:
		s.hub.expect(except)
	case messageRenamed:
		if len(keys) == 2 {
			s.hub.rename(keys[0], keys[1])
		}
	case messageDropped:
		now := nowMillis()
		for _, key := range keys {
			s.browsers.remove(key, s.tabs.seq.Load(), now)
		}
	}
}

// tell tells tabs on every server that their connection has changed.
func (s *Site) tell(ctx context.Context, n liveNotice) error {
	s.hub.tell(n)
	m := siteMessage{Kind: messageConnected, Reason: n.reason, Tab: n.except.tab, User: n.user}
	for i := range n.keys {
		m.Keys = append(m.Keys, n.keys[i][:])
	}
	if n.except.tab != "" {
		m.Browser = n.except.browser[:]
	}
	if n.session != (Key{}) {
		m.Session = n.session[:]
	}
	return s.publish(ctx, m)
}

// expect is called before the request's tab changes the connection itself, and
// what it answers when it has: until then the tab is not told by anybody. The
// other servers do not tell it once.
func (s *Site) expect(ctx context.Context, q *request) (done func(), err error) {
	if q == nil {
		return func() {}, nil
	}
	e := q.except()
	if e.tab == "" {
		return func() {}, nil
	}
	if s.shared {
		if err := s.publish(context.WithoutCancel(ctx), siteMessage{Kind: messageExpect, Browser: e.browser[:], Tab: e.tab}); err != nil {
			return nil, err
		}
	}
	s.hub.act(e, 1)
	return func() { s.hub.act(e, -1) }, nil
}
