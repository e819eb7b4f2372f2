package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// attacked is a site whose handlers are given request by request.
type attacked struct {
	*sojourn.Site
	http.Handler
	t    testing.TB
	last atomic.Int64
	mu   sync.Mutex
	do   map[string]http.Handler
}

func newAttacked(t testing.TB, cfg sojourn.Config) *attacked {
	t.Helper()
	site, err := sojourn.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() })
	a := &attacked{Site: site, t: t, do: make(map[string]http.Handler)}
	a.Handler = site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		h := a.do[r.URL.Path]
		a.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	return a
}

func (a *attacked) browser() *sojourntest.Browser { return sojourntest.NewBrowser(a.t, a) }

// getter is a browser or a tab.
type getter interface {
	Get(path string) *sojourntest.Response
}

// serve makes a path that h serves.
func (a *attacked) serve(h http.Handler) string {
	path := "/" + strconv.FormatInt(a.last.Add(1), 10)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.do[path] = h
	return path
}

// bare runs f in a page without a guard.
func (a *attacked) bare(from getter, f func(ctx context.Context)) *sojourntest.Response {
	return from.Get(a.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { f(r.Context()) })))
}

// page runs f in a page of OptConnected.
func (a *attacked) page(from getter, f func(ctx context.Context, user sojourn.UserID)) *sojourntest.Response {
	return from.Get(a.serve(a.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		f(r.Context(), user)
		return nil
	})))
}

func (a *attacked) connect(from getter, user sojourn.UserID) {
	a.t.Helper()
	a.bare(from, func(ctx context.Context) { attackOK(a.t, a.Connect(ctx, user)) })
}

// is checks who the user of a page without a guard is.
func (a *attacked) is(from getter, want sojourn.UserID) {
	a.t.Helper()
	a.bare(from, func(ctx context.Context) {
		if got, err := a.CurrentUser(ctx); got != want || err != nil {
			a.t.Errorf("the user is %q, error %v; want %q", got, err, want)
		}
	})
}

func attackOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func attackValue[T comparable](t testing.TB, r *sojourn.Ref[T], ctx context.Context, want T) {
	t.Helper()
	if got, err := r.Get(ctx); got != want || err != nil {
		t.Errorf("the value is %v, error %v; want %v", got, err, want)
	}
}

// hold starts a request whose handler waits, after it has begun, until the
// function that hold returns is called; that one returns when it has ended.
func (a *attacked) hold(from getter, begin, end func(ctx context.Context)) (finish func()) {
	arrived, resume, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		a.bare(from, func(ctx context.Context) {
			begin(ctx)
			close(arrived)
			<-resume
			end(ctx)
		})
	}()
	<-arrived
	return func() {
		close(resume)
		<-done
	}
}

// brokenStore is a store that fails when it is told to.
type brokenStore struct {
	sojourn.Store
	mu     sync.Mutex
	before func(op string) error // the operation does not happen
	after  func(op string) error // it has happened, but the answer is lost
}

var errBroken = errors.New("the store is broken")

// failing makes one operation fail from now on; lost says that it takes effect
// all the same. "" stands for none.
func (b *brokenStore) failing(op string, lost bool) {
	fail := func(this string) error {
		if this == op {
			return errBroken
		}
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.after = nil, nil
	if lost {
		b.after = fail
	} else {
		b.before = fail
	}
}

func (b *brokenStore) ask(op string) (before, after error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.before != nil {
		before = b.before(op)
	}
	if b.after != nil {
		after = b.after(op)
	}
	return before, after
}

func (b *brokenStore) CreateSession(ctx context.Context, s sojourn.StoredSession, limit int) ([]sojourn.StoredSession, error) {
	before, after := b.ask("CreateSession")
	if before != nil {
		return nil, before
	}
	evicted, err := b.Store.CreateSession(ctx, s, limit)
	if after != nil {
		return nil, after
	}
	return evicted, err
}

func (b *brokenStore) Browser(ctx context.Context, key sojourn.Key) (sojourn.StoredBrowser, error) {
	if before, _ := b.ask("Browser"); before != nil {
		return sojourn.StoredBrowser{}, before
	}
	return b.Store.Browser(ctx, key)
}

func (b *brokenStore) Touch(ctx context.Context, touches []sojourn.Touch) error {
	if before, _ := b.ask("Touch"); before != nil {
		return before
	}
	return b.Store.Touch(ctx, touches)
}

func (b *brokenStore) Publish(ctx context.Context, m []byte) error {
	if before, _ := b.ask("Publish"); before != nil {
		return before
	}
	return b.Store.Publish(ctx, m)
}

// sharedStore is a store that several servers use, each asking it for every
// request; nobody hears of what the others do, unless told.
type sharedStore struct {
	sojourn.Store
}

func (sharedStore) Fresh() time.Duration { return 0 }
func (sharedStore) Close() error         { return nil }
