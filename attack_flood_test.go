package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// attackHeap is what a flood of n requests leaves in memory, in bytes each.
func attackHeap(n int, request func(i int)) float64 {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	flood := func(n int) {
		for i := range n {
			if request(i); i%1000 == 0 {
				time.Sleep(3 * time.Second) // what is written now and then is written
			}
		}
	}
	flood(17_000) // what has a bound may grow to it
	before := heap()
	flood(n)
	return (heap() - before) / float64(n)
}

// A flood of strangers leaves no more than its bounds, whatever it asks for.
func TestFloodOfStrangersLeavesNothing(t *testing.T) {
	synctest.Test(t, testFloodOfStrangers)
}

func testFloodOfStrangers(t *testing.T) {
	const n, most = 12_000, 100.0 // a map that doubles just then shows; the smallest leak is twice that
	a := newAttacked(t, sojourn.Config{Limits: sojourn.Limits{AnonymousPerSubnet: 100}})
	cart := sojourn.NewRef[int](a.Site, sojourn.SessionScope, nil)
	theme := sojourn.NewRef[int](a.Site, sojourn.UserIndependentSessionScope, nil)
	scroll := sojourn.NewRef[int](a.Site, sojourn.TabScope, nil)
	set := func(refs ...*sojourn.Ref[int]) string {
		return a.serve(a.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
			for _, ref := range refs {
				if err := ref.Set(r.Context(), 1); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	paths := map[string]string{
		"anonymous state":           set(cart),
		"a browser's state":         set(theme),
		"a tab's state":             set(scroll),
		"a live connection refused": "/_sojourn/live",
	}
	for name, path := range paths {
		each := attackHeap(n, func(i int) {
			r := httptest.NewRequest(http.MethodGet, "https://example.com"+path, nil)
			r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1", i%256)
			if name == "a live connection refused" {
				r.Header.Set("Upgrade", "websocket")
			}
			a.ServeHTTP(httptest.NewRecorder(), r)
		})
		t.Logf("%s: %.1f bytes", name, each)
		if each > most {
			t.Errorf("%s leaves %.1f bytes a request in memory", name, each)
		}
	}
}

// The state of a tab goes for that of another tab, not for one that only asks.
func TestTabsThatHoldNothingDoNotCostOthersTheirState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttacked(t, sojourn.Config{Limits: sojourn.Limits{TabsPerBrowser: 3}})
		starts := 0
		a.OnStartTab(func(context.Context, sojourn.UserID) error { starts++; return nil })
		draft := sojourn.NewRef[string](a.Site, sojourn.TabScope, nil)
		b := a.browser()
		writer := b.NewTab()
		a.connect(writer, "1")
		a.page(writer, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, draft.Set(ctx, "dear")) })
		tabs := []getter{b.NewTab(), b.NewTab(), b.NewTab(), b.NewTab(), b.NewTab()}
		nothing := func(context.Context, sojourn.UserID) {}
		starts = 0
		for range 5 {
			for _, tab := range tabs {
				a.page(tab, nothing)
			}
			time.Sleep(4 * time.Minute)
			a.page(writer, func(ctx context.Context, _ sojourn.UserID) { attackValue(t, draft, ctx, "dear") })
		}
		if starts != len(tabs) {
			t.Errorf("%d tabs were started %d times", len(tabs), starts)
		}
	})
}
