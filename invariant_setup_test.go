package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// storeKind is a store that promises are tested on.
type storeKind struct {
	name   string
	bubble bool // it works in a synctest bubble
	// keep gives a function that opens the store; each call is a new run of
	// the server, which finds what the runs before it have stored.
	keep func(t testing.TB) (open func() sojourn.Store)
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, f func(t *testing.T, kind storeKind)) {
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind)
		})
	}
}

// app is a site whose pages are the functions that a test gives it. It is an
// http.Handler; its browsers live through restarts.
type app struct {
	testing.TB
	open func() sojourn.Store
	wrap func(sojourn.Store) sojourn.Store // nil: the store as it is
	cfg  sojourn.Config
	init []func(a *app) // what to register on each run of the server

	pages sync.Map // number -> http.HandlerFunc
	last  atomic.Int64
	gone  *atomic.Bool // the user anna is no more

	mu sync.RWMutex
	*running
}

// running is one run of the server.
type running struct {
	site  *sojourn.Site
	store sojourn.Store
	h     http.Handler
	refs  map[string]*sojourn.Ref[string]
}

// refScopes are the scopes of an app's references: name is volatile, name with
// an exclamation mark is persistent.
var refScopes = map[string]sojourn.Scope{
	"request":  sojourn.RequestScope,
	"tab":      sojourn.TabScope,
	"session":  sojourn.SessionScope,
	"user":     sojourn.UserScope,
	"site":     sojourn.SiteScope,
	"itab":     sojourn.UserIndependentTabScope,
	"isession": sojourn.UserIndependentSessionScope,
	"otab":     sojourn.NewHierarchy("other").Tab(),
	"osession": sojourn.NewHierarchy("other").Session(),
}

type appOption func(*app)

func withConfig(cfg sojourn.Config) appOption { return func(a *app) { a.cfg = cfg } }

// withWrap puts something between the site and its store.
func withWrap(wrap func(sojourn.Store) sojourn.Store) appOption {
	return func(a *app) { a.wrap = wrap }
}

// withInit registers actions and the like, on each run of the server.
func withInit(f func(a *app)) appOption {
	return func(a *app) { a.init = append(a.init, f) }
}

// newApp starts a site; the test's end closes it.
func newApp(t testing.TB, kind storeKind, opts ...appOption) *app {
	t.Helper()
	a := makeApp(t, kind, opts...)
	t.Cleanup(func() {
		if err := a.site.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return a
}

// makeApp starts a site that the caller closes.
func makeApp(t testing.TB, kind storeKind, opts ...appOption) *app {
	t.Helper()
	a := &app{TB: t, open: kind.keep(t)}
	for _, opt := range opts {
		opt(a)
	}
	a.start()
	return a
}

func (a *app) start() {
	a.Helper()
	cfg := a.cfg
	cfg.Store = a.open()
	if a.wrap != nil {
		cfg.Store = a.wrap(cfg.Store)
	}
	site, err := sojourn.New(cfg)
	if err != nil {
		a.Fatal(err)
	}
	r := &running{site: site, store: cfg.Store, h: site.Middleware(http.HandlerFunc(a.page)), refs: map[string]*sojourn.Ref[string]{}}
	for name, scope := range refScopes {
		r.refs[name] = sojourn.NewRef[string](site, scope, nil)
		if name != "request" {
			r.refs[name+"!"] = sojourn.NewPersistentRef[string](site, scope, name, nil)
		}
	}
	a.mu.Lock()
	a.running = r
	a.mu.Unlock()
	for _, f := range a.init {
		f(a)
	}
}

// restart ends the server and starts another one on what the store has kept.
func (a *app) restart() {
	a.Helper()
	if err := a.site.Close(); err != nil {
		a.Fatalf("Close: %v", err)
	}
	a.start()
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.RLock()
	h := a.h
	a.mu.RUnlock()
	h.ServeHTTP(w, r)
}

// page serves the function that was put there for the path.
func (a *app) page(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	f, ok := a.pages.Load(n)
	if !ok {
		http.NotFound(w, r)
		return
	}
	f.(http.Handler).ServeHTTP(w, r)
}

// put makes a page of h and returns its path.
func (a *app) put(h http.Handler) (path string) {
	n := a.last.Add(1)
	a.pages.Store(n, h)
	return "/" + strconv.FormatInt(n, 10)
}

// visitor is a browser or a tab.
type visitor interface {
	Get(path string) *sojourntest.Response
	Do(r *http.Request) *sojourntest.Response
}

func (a *app) browser() *sojourntest.Browser { return sojourntest.NewBrowser(a, a) }

// handle asks once for a page that is h.
func (a *app) handle(v visitor, h http.Handler) *sojourntest.Response {
	path := a.put(h)
	n, _ := strconv.ParseInt(path[1:], 10, 64)
	defer a.pages.Delete(n)
	return v.Get(path)
}

// bare asks for a page without a guard.
func (a *app) bare(v visitor, f func(ctx context.Context)) *sojourntest.Response {
	return a.handle(v, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { f(r.Context()) }))
}

// visit asks for a page that is guarded for everybody.
func (a *app) visit(v visitor, f func(ctx context.Context, user sojourn.UserID) error, opts ...sojourn.GuardOption) *sojourntest.Response {
	return a.handle(v, a.site.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		return f(r.Context(), user)
	}, opts...))
}

// connect connects a user from v, on a page without a guard.
func (a *app) connect(v visitor, user sojourn.UserID, opts ...sojourn.ConnectOption) {
	a.Helper()
	var err error
	a.bare(v, func(ctx context.Context) { err = a.site.Connect(ctx, user, opts...) })
	a.must(err)
}

func (a *app) disconnect(v visitor) {
	a.Helper()
	var err error
	a.bare(v, func(ctx context.Context) { err = a.site.Disconnect(ctx) })
	a.must(err)
}

func (a *app) disconnectAll(v visitor, opts ...sojourn.DisconnectAllOption) {
	a.Helper()
	var err error
	a.bare(v, func(ctx context.Context) { err = a.site.DisconnectAll(ctx, opts...) })
	a.must(err)
}

// user asks who is connected from v, on a page without a guard.
func (a *app) user(v visitor) (user sojourn.UserID) {
	a.Helper()
	var err error
	a.bare(v, func(ctx context.Context) { user, err = a.site.CurrentUser(ctx) })
	a.must(err)
	return user
}

// is fails unless this user is connected from v.
func (a *app) is(v visitor, want sojourn.UserID) {
	a.Helper()
	if got := a.user(v); got != want {
		a.Errorf("the user is %q, want %q", got, want)
	}
}

// get reads a reference in a guarded request of v.
func (a *app) get(v visitor, ref string) (value string) {
	a.Helper()
	var err error
	a.visit(v, func(ctx context.Context, _ sojourn.UserID) error {
		value, err = a.refs[ref].Get(ctx)
		return nil
	})
	a.must(err)
	return value
}

// set writes a reference in a guarded request of v.
func (a *app) set(v visitor, ref, value string) {
	a.Helper()
	var err error
	a.visit(v, func(ctx context.Context, _ sojourn.UserID) error {
		err = a.refs[ref].Set(ctx, value)
		return nil
	})
	if err != nil {
		a.Fatalf("setting %s: %v", ref, err)
	}
}

// has fails unless the reference has this value for v.
func (a *app) has(v visitor, ref, want string) {
	a.Helper()
	if got := a.get(v, ref); got != want {
		a.Errorf("%s is %q, want %q", ref, got, want)
	}
}

// sessions lists a user's sessions from outside of a request.
func (a *app) sessions(user sojourn.UserID) []sojourn.SessionInfo {
	a.Helper()
	list, err := a.site.Sessions(context.Background(), user)
	a.must(err)
	return list
}

// holds fails unless the store holds this much.
func (a *app) holds(want sojourn.Counts) {
	a.Helper()
	got, err := a.store.Count(context.Background())
	a.must(err)
	if got != want {
		a.Errorf("the store holds %+v, want %+v", got, want)
	}
}

func (a *app) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// wants fails unless err is want.
func wants(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: the error is %v, want %v", what, err, want)
	}
}

// status fails unless the response has this status.
func status(t testing.TB, resp *sojourntest.Response, want int) {
	t.Helper()
	if resp.StatusCode != want {
		t.Errorf("the status is %s, want %d", resp.Status, want)
	}
}

// held is a request that is under way: its handler waits where it is told to.
type held struct {
	arrived chan struct{}
	resume  chan struct{}
	done    chan struct{}
	ctx     context.Context
	resp    *sojourntest.Response
}

// hold sends a request from v that stops in its handler, before f; it returns
// when it has arrived there. wrap guards the handler.
func (a *app) hold(v visitor, wrap func(http.Handler) http.Handler, f func(w http.ResponseWriter, ctx context.Context)) *held {
	a.Helper()
	q := &held{make(chan struct{}), make(chan struct{}), make(chan struct{}), nil, nil}
	path := a.put(wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.ctx = r.Context()
		close(q.arrived)
		<-q.resume
		f(w, r.Context())
	})))
	go func() {
		defer close(q.done)
		q.resp = v.Get(path)
	}()
	select {
	case <-q.arrived:
	case <-q.done:
		a.Fatalf("the request did not come to its handler: %s", q.resp.Status)
	}
	return q
}

// release lets the request end, and waits for that.
func (q *held) release() *sojourntest.Response {
	close(q.resume)
	<-q.done
	return q.resp
}

// diary notes what happens, for comparing.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns what was noted since the last time.
func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// tells fails unless exactly this was noted since the last time.
func (d *diary) tells(t testing.TB, want ...string) {
	t.Helper()
	if got := d.take(); !slices.Equal(got, want) {
		t.Errorf("what happened is %q, want %q", got, want)
	}
}

// ends notes every session that ends.
func (d *diary) ends() appOption {
	return withInit(func(a *app) {
		a.site.OnSessionEnd(func(_ context.Context, s sojourn.SessionInfo, reason sojourn.EndReason) {
			d.add("%s %s", s.User, reason)
		})
	})
}

// nextMilli returns when the clock has moved on by a millisecond.
func nextMilli() {
	for start := time.Now().UnixMilli(); time.Now().UnixMilli() == start; {
		time.Sleep(50 * time.Microsecond)
	}
}
