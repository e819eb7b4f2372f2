package sojourn_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// What a handler connected or ended before it panicked stays connected or ended.
func TestPanicOfTheHandlerUndoesNothing(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		panicAfter := func(v visitor, f func(ctx context.Context) error) {
			t.Helper()
			defer func() {
				if p := recover(); p != "as it happens" {
					t.Errorf("the panic is %v", p)
				}
			}()
			a.handle(v, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				a.must(f(r.Context()))
				panic("as it happens")
			}))
		}
		panicAfter(a.browser(), func(ctx context.Context) error { return a.site.Connect(ctx, "anna") })
		if n := len(a.sessions("anna")); n != 1 {
			t.Errorf("after Connect and a panic there are %d sessions, want 1", n)
		}
		b := a.browser()
		a.connect(b, "berta")
		panicAfter(b, a.site.Disconnect)
		a.is(b, sojourn.Nobody)
		if n := len(a.sessions("berta")); n != 0 {
			t.Errorf("after Disconnect and a panic there are %d sessions", n)
		}
	})
}

// muteStore is shared by servers of which none ever hears of another, and none
// is told that it does not.
type muteStore struct{ sojourn.Store }

func (muteStore) Fresh() time.Duration                  { return 0 }
func (muteStore) Publish(context.Context, []byte) error { return nil }
func (muteStore) Close() error                          { return nil }
func (muteStore) Changes(ctx context.Context, f func(sojourn.Change)) error {
	f(sojourn.Change{})
	<-ctx.Done()
	return ctx.Err()
}

// When every notification between servers is lost, open tabs hear of an
// end within a good minute, though no request tells their server of it.
func TestLostNotificationsOnlyDelayTheTabs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := sojourn.NewMemoryStore()
		t.Cleanup(func() { _ = store.Close() })
		kind := storeKind{name: "mute", keep: func(testing.TB) func() sojourn.Store {
			return func() sojourn.Store { return muteStore{store} }
		}}
		here, there := newApp(t, kind), newApp(t, kind)
		b := there.browser()
		there.connect(b, "anna")
		live := b.NewTab().Live()
		if m := live.Next(); m.User != "anna" {
			t.Fatalf("the tab is welcomed as %q", m.User)
		}
		here.must(here.site.DisconnectAll(t.Context(), sojourn.OfUser("anna")))
		select {
		case m := <-live.Messages():
			if m.Type != protocol.LiveChanged {
				t.Errorf("the tab is told %+v", m)
			}
		case <-time.After(61 * time.Second):
			t.Error("after 61 seconds the tab is not told")
		}
		there.is(b, sojourn.Nobody)
	})
}

// Anonymous state whose end fails before anything was ended stays, and so does
// its cookie.
func TestAnonymousStateStaysWhenItsBrowserCannotBeAsked(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]func(s *sojourn.Site, ctx context.Context) error{
			"Disconnect": (*sojourn.Site).Disconnect,
			"Connect":    func(s *sojourn.Site, ctx context.Context) error { return s.Connect(ctx, "anna") },
		} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			b := a.browser()
			a.set(b, "session!", "x")
			a.restart() // what is in memory need not be asked for
			f.fail("Browser")
			a.bare(b, func(ctx context.Context) {
				a.must(a.refs["request"].Set(ctx, "y"))
				wants(t, name, end(a.site, ctx), errFault)
				if v, err := a.refs["request"].Get(ctx); v != "y" || err != nil {
					t.Errorf("%s that failed leaves %q, %v in the request", name, v, err)
				}
			})
			f.heal()
			a.has(b, "session!", "x")
		}
	})
}
