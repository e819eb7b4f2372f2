package sojourn_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// ledger is a store of many servers that notes what it is asked: each call is a
// round trip.
type ledger struct {
	*faults
	diary
}

func (l *ledger) Publish(ctx context.Context, m []byte) error {
	l.add("Publish")
	return l.Store.Publish(ctx, m)
}

func newLedger() *ledger {
	l := &ledger{faults: &faults{}}
	l.onCall(func(_ context.Context, method string) { l.add("%s", method) })
	return l
}

func (l *ledger) option() appOption {
	return withWrap(func(s sojourn.Store) sojourn.Store {
		l.Store = s
		return l
	})
}

// docs/scale.md says what things cost on an engine, in round trips.
func TestThingsCostTheRoundTripsThatTheDocumentSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := newApp(t, strictKind, l.option())
		b := a.browser()
		costs := func(what, want string) {
			t.Helper()
			if got := strings.Join(l.take(), ", "); got != want {
				t.Errorf("%s costs %q, want %q", what, got, want)
			}
		}
		l.take()
		a.connect(b, "anna")
		costs("Connect", "Sessions, CreateSession, Publish")
		a.is(b, "anna")
		costs("a connected request", "Session")
		status(t, a.visit(b, func(context.Context, sojourn.UserID) error { return nil }), http.StatusOK)
		costs("a guarded request", "Session")
		a.set(b, "session!", "x")
		costs("writing a reference", "Session, SetValue")
		a.has(b, "session!", "x")
		costs("reading a reference", "Session, Value")
		a.disconnect(b)
		costs("Disconnect", "Session, EndSession")

		var all []*sojourntest.Browser
		for range 3 {
			v := a.browser()
			a.connect(v, "anna")
			all = append(all, v)
		}
		id := a.sessions("anna")[2].ID
		l.take()
		a.must(a.site.EndSession(t.Context(), "anna", id))
		costs("EndSession", "Sessions, EndSession")
		a.disconnectAll(all[1])
		costs("DisconnectAll", "Session, Session, Session, EndUser, EndBrowsers, Publish")
		a.connect(all[1], "anna")
		l.take()
		a.disconnectAll(all[1], sojourn.KeepUserIndependent())
		costs("DisconnectAll with KeepUserIndependent", "Session, Session, Session, EndUser")
		b.Get("/nowhere")
		costs("a page that asks nothing", "")
	})
}
