package sojourn_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn"
)

// errFault is what a faulty store answers.
var errFault = errors.New("the disk is on fire")

// faults makes a store fail. A method that is to fail does nothing; one that is
// to fail after the fact does its work and says that it failed, as when the
// connection to a database breaks before its answer.
type faults struct {
	sojourn.Store

	mu    sync.Mutex
	calls map[string]int
	plan  map[string]fault
	hook  func(ctx context.Context, method string) // runs before each call
	nap   func(ctx context.Context, method string) // runs after each call
}

type fault struct {
	after bool // it takes effect all the same
	times int  // how many calls; less than 0: all
	skip  int  // how many calls go well before
}

// option puts the faults between a site and its store.
func (f *faults) option() appOption {
	return withWrap(func(s sojourn.Store) sojourn.Store {
		f.Store = s
		return f
	})
}

func (f *faults) set(method string, x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan == nil {
		f.plan = make(map[string]fault)
	}
	f.plan[method] = x
}

// fail makes every call of the methods fail from now on.
func (f *faults) fail(methods ...string) {
	for _, m := range methods {
		f.set(m, fault{times: -1})
	}
}

// failAll makes every method fail that is asked by requests.
func (f *faults) failAll() {
	f.fail("CreateSession", "Session", "Sessions", "EndSession", "EndUser", "CreateBrowser", "Browser",
		"EndBrowsers", "Value", "SetValue", "DropValues", "Tabs", "Touch", "Expire", "Count")
}

// heal makes everything go well again.
func (f *faults) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = nil
}

// onCall sets what runs before each call.
func (f *faults) onCall(hook func(ctx context.Context, method string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// afterCall sets what runs after each call, before its answer is known.
func (f *faults) afterCall(nap func(ctx context.Context, method string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nap = nap
}

// count is how often the methods were called; all methods if none is given.
func (f *faults) count(methods ...string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(methods) == 0 {
		for _, c := range f.calls {
			n += c
		}
	}
	for _, m := range methods {
		n += f.calls[m]
	}
	return n
}

// before tells whether the call is to fail, and whether it takes effect.
func (f *faults) before(ctx context.Context, method string) (fail, effect bool) {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[method]++
	hook := f.hook
	x, ok := f.plan[method]
	switch {
	case !ok || x.times == 0:
		effect = true
	case x.skip > 0:
		x.skip--
		effect = true
	default:
		x.times--
		fail, effect = true, x.after
	}
	if ok {
		f.plan[method] = x
	}
	f.mu.Unlock()
	if hook != nil {
		hook(ctx, method)
	}
	return fail, effect
}

func (f *faults) call(ctx context.Context, method string, do func() error) error {
	fail, effect := f.before(ctx, method)
	var err error
	if effect {
		err = do()
	}
	f.mu.Lock()
	nap := f.nap
	f.mu.Unlock()
	if nap != nil {
		nap(ctx, method)
	}
	if fail {
		return errFault
	}
	return err
}

func (f *faults) CreateSession(ctx context.Context, s sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession, err error) {
	err = f.call(ctx, "CreateSession", func() (err error) { evicted, err = f.Store.CreateSession(ctx, s, limit); return err })
	return forget(evicted, err)
}

func (f *faults) Session(ctx context.Context, key sojourn.Key) (s sojourn.StoredSession, err error) {
	err = f.call(ctx, "Session", func() (err error) { s, err = f.Store.Session(ctx, key); return err })
	return forget(s, err)
}

func (f *faults) Sessions(ctx context.Context, user sojourn.UserID) (list []sojourn.StoredSession, err error) {
	err = f.call(ctx, "Sessions", func() (err error) { list, err = f.Store.Sessions(ctx, user); return err })
	return forget(list, err)
}

func (f *faults) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	err = f.call(ctx, "EndSession", func() (err error) { ended, left, err = f.Store.EndSession(ctx, key, reason); return err })
	if err != nil {
		return nil, 0, err
	}
	return ended, left, nil
}

func (f *faults) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) (ended []sojourn.StoredSession, err error) {
	err = f.call(ctx, "EndUser", func() (err error) { ended, err = f.Store.EndUser(ctx, user, reason, keep...); return err })
	return forget(ended, err)
}

func (f *faults) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key, err error) {
	err = f.call(ctx, "CreateBrowser", func() (err error) { evicted, err = f.Store.CreateBrowser(ctx, b, limit); return err })
	return forget(evicted, err)
}

func (f *faults) Browser(ctx context.Context, key sojourn.Key) (b sojourn.StoredBrowser, err error) {
	err = f.call(ctx, "Browser", func() (err error) { b, err = f.Store.Browser(ctx, key); return err })
	return forget(b, err)
}

func (f *faults) EndBrowsers(ctx context.Context, keys ...sojourn.Key) error {
	return f.call(ctx, "EndBrowsers", func() error { return f.Store.EndBrowsers(ctx, keys...) })
}

func (f *faults) Value(ctx context.Context, key sojourn.ValueKey) (v sojourn.StoredValue, err error) {
	err = f.call(ctx, "Value", func() (err error) { v, err = f.Store.Value(ctx, key); return err })
	return forget(v, err)
}

func (f *faults) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	err = f.call(ctx, "SetValue", func() (err error) { version, err = f.Store.SetValue(ctx, key, w); return err })
	return forget(version, err)
}

func (f *faults) DropValues(ctx context.Context, owner sojourn.Owner, tab string, session sojourn.Key) error {
	return f.call(ctx, "DropValues", func() error { return f.Store.DropValues(ctx, owner, tab, session) })
}

func (f *faults) Tabs(ctx context.Context, owner sojourn.Owner) (tabs []sojourn.StoredTab, err error) {
	err = f.call(ctx, "Tabs", func() (err error) { tabs, err = f.Store.Tabs(ctx, owner); return err })
	return forget(tabs, err)
}

func (f *faults) Touch(ctx context.Context, touches []sojourn.Touch) error {
	return f.call(ctx, "Touch", func() error { return f.Store.Touch(ctx, touches) })
}

func (f *faults) Expire(ctx context.Context, now time.Time, max int) (ended []sojourn.StoredSession, more bool, err error) {
	err = f.call(ctx, "Expire", func() (err error) { ended, more, err = f.Store.Expire(ctx, now, max); return err })
	if err != nil {
		return nil, false, err
	}
	return ended, more, nil
}

func (f *faults) Count(ctx context.Context) (c sojourn.Counts, err error) {
	err = f.call(ctx, "Count", func() (err error) { c, err = f.Store.Count(ctx); return err })
	return forget(c, err)
}

// forget is the answer of a call: nothing but the error if it failed.
func forget[T any](v T, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}
