package sojourn_test

import (
	"context"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// A session that is being made is ended by a write of unknown outcome: it is
// not relied on.
func TestEndOfUnknownOutcomeDuringConnectIsNotOverlooked(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		f := new(faults)
		a := newApp(t, kind, f.option())
		b := a.browser()
		once := true
		f.afterCall(func(_ context.Context, called string) {
			if called == "CreateSession" && once {
				once = false
				f.set("EndUser", fault{times: 1, after: true})
				wants(t, "DisconnectAll", a.site.DisconnectAll(t.Context(), sojourn.OfUser("anna")), errFault)
			}
		})
		a.connect(b, "anna")
		a.is(b, sojourn.Nobody)
	})
}

// When DisconnectAll has returned, no session of the user is accepted any more:
// neither one that somebody else has just ended in the store, and not here yet.
func TestDisconnectAllIsAtOnceBesideOtherEnds(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]struct {
			method string
			do     func(a *app, v visitor)
		}{
			"Disconnect":    {"EndSession", func(a *app, v visitor) { a.disconnect(v) }},
			"DisconnectAll": {"EndUser", func(a *app, v visitor) { a.disconnectAll(v) }},
			"eviction": {"CreateSession", func(a *app, v visitor) {
				a.bare(a.browser(), func(ctx context.Context) { _ = a.site.Connect(ctx, "anna") })
			}},
		} {
			f := new(faults)
			a := newApp(t, kind, f.option(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 1}}))
			b := a.browser()
			a.connect(b, "anna")
			thief := b.Clone()
			a.is(thief, "anna")
			inside := false
			f.afterCall(func(_ context.Context, called string) {
				if called == end.method && !inside {
					inside = true
					a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
					if got := a.user(thief); got != sojourn.Nobody {
						t.Errorf("%s: after DisconnectAll the user is %q", name, got)
					}
				}
			})
			end.do(a, b)
			if !inside {
				t.Fatalf("%s: %s was not called", name, end.method)
			}
		}
	})
}
