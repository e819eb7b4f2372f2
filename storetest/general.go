package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	doneContext = "A context that is done before an operation took effect makes it return the context's error; what took effect is reported as done."
	oneProcess  = "On a store of one process f is never called."
)

var generalExercises = []exercise{
	{
		"with a context that is done nothing happens",
		doneContext,
		func(x *check) {
			for _, test := range []struct {
				want error
				ctx  func() (context.Context, context.CancelFunc)
			}{
				{context.Canceled, func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					return ctx, cancel
				}},
				{context.DeadlineExceeded, func() (context.Context, context.CancelFunc) {
					return context.WithDeadline(context.Background(), time.Unix(0, 0))
				}},
			} {
				ctx, cancel := test.ctx()
				defer cancel()
				s, b := newSession("ada"), newBrowser()
				s.Deadline = epoch
				x.create(s, 0)
				x.browser(b, 0)
				x.set(own(ofSession(s), "cart"), "1")
				before := x.counts()
				for _, m := range methods(s, b) {
					if err := m.call(ctx, x.Store); !errors.Is(err, test.want) {
						x.broken("%s returned %v, want %v", m.name, err, test.want)
					}
				}
				x.wantSession(s)
				x.wantBrowser(b)
				x.wantValue(own(ofSession(s), "cart"), "1")
				x.wantCount(before)
			}
		},
	},
	{
		"after Close every method returns an error",
		"Methods called later return an error.",
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			x.create(s, 0)
			x.browser(b, 0)
			x.must(x.Close(), "Close")
			for _, m := range methods(s, b) {
				if err := m.call(x.Context(), x.Store); err == nil {
					x.broken("%s after Close returned no error", m.name)
				}
			}
			ctx, cancel := context.WithTimeout(x.Context(), 100*time.Millisecond)
			defer cancel()
			if err := x.Changes(ctx, func(sojourn.Change) {}); err == nil {
				x.broken("Changes after Close returned no error")
			}
			x.Close()
		},
	},
	{
		"calls that Close interrupts return",
		"Every method may be called from any goroutine at any time until Close.",
		func(x *check) {
			var calls, begun sync.WaitGroup
			var closed atomic.Bool
			var late atomic.Int64
			for range 8 {
				begun.Add(1)
				calls.Go(func() {
					begun.Done()
					for {
						after := closed.Load()
						_, err := x.CreateSession(x.Context(), newSession("ada"), 10)
						if err == nil {
							_, err = x.Sessions(x.Context(), "ada")
						}
						if err == nil && after {
							late.Add(1)
						}
						if err != nil || after {
							return
						}
					}
				})
			}
			begun.Wait()
			x.create(newSession("bob"), 0)
			x.must(x.Close(), "Close")
			closed.Store(true)
			calls.Wait()
			if n := late.Load(); n > 0 {
				x.broken("%d calls after Close succeeded", n)
			}
		},
	},
	{
		"what is counted is what is there",
		"Count returns how much the store holds.",
		func(x *check) {
			x.wantCount(sojourn.Counts{})
			keys := x.owners()
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1})
			for i, key := range keys {
				x.set(key, "1")
				x.set(key, "2")
				x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: int64(i + 1)})
			}
			x.remove(keys[0], sojourn.AnyVersion)
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: int64(len(keys) - 1)})
		},
	},
	{
		"Changes returns when its context is done",
		"It returns when ctx is done, with its error.",
		func(x *check) {
			ctx, cancel := context.WithCancel(x.Context())
			returned := make(chan error)
			go func() { returned <- x.Changes(ctx, func(sojourn.Change) {}) }()
			cancel()
			if err := <-returned; !errors.Is(err, context.Canceled) {
				x.broken("Changes returned %v, want %v", err, context.Canceled)
			}
		},
	},
	{
		"what this process does is no change",
		oneProcess,
		func(x *check) {
			if x.Fresh() != sojourn.Forever {
				x.Skip("the store is not of one process: RunShared tests its changes")
			}
			ctx, cancel := context.WithCancel(x.Context())
			var calls atomic.Int64
			returned := make(chan error)
			go func() { returned <- x.Changes(ctx, func(sojourn.Change) { calls.Add(1) }) }()
			for range 3 {
				s := x.sessionsOf("ada", 5)
				x.create(newSession("ada"), 3)
				x.must(x.Publish(x.Context(), []byte("hello")), "Publish")
				x.end(s[4], 2)
				_, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
				x.must(err, "EndUser")
				late := newSession("ada")
				late.Deadline = epoch
				x.create(late, 0)
				x.wantExpired(epoch, 10, false, late)
			}
			cancel()
			<-returned
			if n := calls.Load(); n != 0 {
				x.broken("Changes called f %d times", n)
			}
		},
	},
}

// methods are calls of every method with a context that is to fail, for a
// store that has session s, whose deadline is epoch, and browser b.
func methods(s sojourn.StoredSession, b sojourn.StoredBrowser) []method {
	cart := own(ofSession(s), "cart")
	return []method{
		{"CreateSession", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.CreateSession(ctx, newSession("ada"), 1)
			return err
		}},
		{"Session", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Session(ctx, s.Key)
			return err
		}},
		{"Sessions", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Sessions(ctx, s.User)
			return err
		}},
		{"EndSession", func(ctx context.Context, st sojourn.Store) error {
			_, _, err := st.EndSession(ctx, s.Key, sojourn.EndRevoked)
			return err
		}},
		{"EndUser", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.EndUser(ctx, s.User, sojourn.EndDisconnectAll)
			return err
		}},
		{"CreateBrowser", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.CreateBrowser(ctx, newBrowser(), 1)
			return err
		}},
		{"Browser", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Browser(ctx, b.Key)
			return err
		}},
		{"EndBrowsers", func(ctx context.Context, st sojourn.Store) error {
			return st.EndBrowsers(ctx, b.Key)
		}},
		{"Value", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Value(ctx, cart)
			return err
		}},
		{"SetValue", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.SetValue(ctx, cart, sojourn.Write{Data: []byte("2"), Version: sojourn.AnyVersion})
			return err
		}},
		{"DropValues", func(ctx context.Context, st sojourn.Store) error {
			return st.DropValues(ctx, ofSession(s), "", sojourn.Key{})
		}},
		{"Tabs", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Tabs(ctx, ofSession(s))
			return err
		}},
		{"Touch", func(ctx context.Context, st sojourn.Store) error {
			return st.Touch(ctx, []sojourn.Touch{{Owner: ofSession(s), LastSeen: epoch.Add(time.Hour), Deadline: epoch.Add(time.Hour)}})
		}},
		{"Expire", func(ctx context.Context, st sojourn.Store) error {
			_, _, err := st.Expire(ctx, epoch.Add(time.Hour), 10)
			return err
		}},
		{"Count", func(ctx context.Context, st sojourn.Store) error {
			_, err := st.Count(ctx)
			return err
		}},
		{"Publish", func(ctx context.Context, st sojourn.Store) error {
			return st.Publish(ctx, []byte("hello"))
		}},
	}
}

type method struct {
	name string
	call func(ctx context.Context, st sojourn.Store) error
}
