package sojourntest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestLiveTabHearsWhatHappens(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, open(t, sojourn.Config{}))
	one, two := b.NewTab(), b.NewTab()
	first, second := one.Live(), two.Live()
	for _, l := range []*sojourntest.Live{first, second} {
		if m := l.Next(); m.Type != protocol.LiveWelcome || m.User != "" {
			t.Errorf("at first a tab is told %+v", m)
		}
	}
	if b.Cookie("__Host-sojourn-browser") == nil {
		t.Error("the connection's cookie is not in the jar")
	}
	one.Post("/login", map[string][]string{"user": {"42"}})
	if m := first.Next(); m.Type != protocol.LiveWelcome || m.User != "42" || m.Mark == "" {
		t.Errorf("the tab that connects is told %+v", m)
	}
	if m := second.Next(); m.Type != protocol.LiveChanged || m.Reason != protocol.ReasonConnected {
		t.Errorf("the other is told %+v", m)
	}
	if code := second.Code(); code != protocol.CloseChanged {
		t.Errorf("its connection closes with %d", code)
	}
	if m, ok := <-second.Messages(); ok {
		t.Errorf("after the close it is told %+v", m)
	}
	first.Close()
	if code := first.Code(); code != 0 {
		t.Errorf("what the tab closes itself closes with %d", code)
	}
}

func TestLiveTabThatIsRefusedHasTheAnswer(t *testing.T) {
	t.Parallel()
	tab := sojourntest.NewBrowser(t, open(t, sojourn.Config{})).NewTab()
	for origin, status := range map[string]int{"https://evil.example": 403, "https://example.com": 101} {
		r := httptest.NewRequest(http.MethodGet, protocol.DefaultPath+protocol.LivePath, nil)
		r.Header.Set("Origin", origin)
		l, resp := tab.OpenLive(r)
		if resp.StatusCode != status || (l != nil) != (status == 101) {
			t.Errorf("from %s it is answered %s", origin, resp.Status)
		}
	}
	if l, resp := sojourntest.NewBrowser(t, http.NotFoundHandler()).NewTab().OpenLive(nil); l != nil || resp.StatusCode != 404 {
		t.Errorf("without a site it is answered %s", resp.Status)
	}
}

// The clock of a bubble is that of its live connections, too.
func TestLiveTabWaitsInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := sojourntest.NewBrowser(t, open(t, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: 24 * time.Hour}}))
		b.Post("/login", map[string][]string{"user": {"42"}})
		l := b.NewTab().Live()
		beats := 0
		l.OnHeartbeat(func() { beats++ })
		l.Next()
		if m := l.Next(); m.Reason != "expired" {
			t.Errorf("after a day the tab is told %+v", m)
		}
		l.Code()
		if beats < 3000 {
			t.Errorf("in a day there were %d heartbeats", beats)
		}
	})
}
