package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// busStore is a shared store whose messages a test sees and brings.
type busStore struct {
	sharedStore
	brought chan sojourn.Change
	mu      sync.Mutex
	said    [][]byte
}

func newBusStore() *busStore {
	return &busStore{sharedStore: sharedStore{sojourn.NewMemoryStore()}, brought: make(chan sojourn.Change)}
}

func (b *busStore) Publish(_ context.Context, m []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, m)
	return nil
}

// take is what was published since the last time.
func (b *busStore) take() (said [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	said, b.said = b.said, nil
	return said
}

func (b *busStore) Changes(ctx context.Context, f func(sojourn.Change)) error {
	f(sojourn.Change{})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-b.brought:
			f(c)
		}
	}
}

// attackPost calls an endpoint as whoever has the cookies, as another tab each
// time.
func (a *attacked) attackPost(name, cookies string, tab int) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://example.com"+protocol.DefaultPath+name, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(protocol.TabHeader, fmt.Sprintf("%022d", tab))
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// Whoever is not connected and has nothing here costs the other servers
// nothing, however often he disconnects.
func TestDisconnectOfNobodyTellsTheOtherServersNothing(t *testing.T) {
	t.Parallel()
	bus := newBusStore()
	a := newAttacked(t, sojourn.Config{Store: bus})
	for _, name := range []string{"disconnect", "disconnect-all"} {
		for i := range 10 {
			if w := a.attackPost(name, "", i); w.Code != http.StatusNoContent {
				t.Fatalf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		if said := bus.take(); len(said) != 0 {
			t.Errorf("%s of nobody told the other servers %d times, first %s", name, len(said), said[0])
		}
	}
}

// Tabs that are about to change their connection on another server are
// expected for a moment only, also where no tab is open.
func TestTabsThatOtherServersExpectAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBusStore()
		a := newAttacked(t, sojourn.Config{Store: bus})
		b := a.browser()
		a.connect(b, "1")
		bus.take()
		a.attackPost("disconnect", cookieHeader(b), 0)
		message := string(bus.take()[0])
		kind, _, ok := strings.Cut(message, `"Tab":"`)
		if !ok {
			t.Fatalf("before a tab changes its connection %s is said", message)
		}
		bring := func(from, n int) {
			for i := range n {
				bus.brought <- sojourn.Change{Message: fmt.Appendf(nil, `%s"Tab":"%022d"}`, kind, from+i)}
				if i%100 == 0 {
					time.Sleep(time.Second)
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		const n = 20_000
		bring(0, n)
		before := heapInUse()
		bring(n, n)
		if grown := int64(heapInUse()) - int64(before); grown > 20*n {
			t.Errorf("%d tabs that were expected have left %d bytes", n, grown)
		}
	})
}
