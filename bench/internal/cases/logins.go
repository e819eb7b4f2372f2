package cases

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Logins is durable logins in a new SQLite file, by many callers at once.
type Logins struct {
	app  *Sojourn
	next atomic.Int64
}

// OpenLogins opens the App.
func OpenLogins(dir string) (*Logins, error) {
	app, err := OpenSojourn("sqlite", dir)
	if err != nil {
		return nil, err
	}
	return &Logins{app: app}, nil
}

// Close stops the App.
func (l *Logins) Close() error { return l.app.Close() }

// During logs users in, callers at a time, each as fast as it is answered,
// and returns how many logins were answered per second. It fails unless the
// store then holds every one of them.
func (l *Logins) During(callers int, d time.Duration) (perSecond float64, err error) {
	var wg sync.WaitGroup
	var made atomic.Int64
	var failed atomic.Value
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < d && failed.Load() == nil {
				if err := l.one(); err != nil {
					failed.CompareAndSwap(nil, err)
					return
				}
				made.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err, _ := failed.Load().(error); err != nil {
		return 0, err
	}
	return float64(made.Load()) / took.Seconds(), l.check()
}

// Case is logins by so many callers; a round is one login.
func (l *Logins) Case(name string, callers int) Case {
	return Case{name, func(c Clock) error {
		work := make(chan struct{})
		var failed atomic.Value
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range work {
					if err := l.one(); err != nil {
						failed.CompareAndSwap(nil, err)
					}
				}
			})
		}
		for c.Loop() {
			work <- struct{}{}
		}
		close(work)
		wg.Wait()
		if err, _ := failed.Load().(error); err != nil {
			return err
		}
		return l.check()
	}}
}

func (l *Logins) one() error {
	i := int(l.next.Add(1)) - 1
	_, err := l.app.login(i, UserName(i))
	return err
}

// check compares what the store holds with the logins that were answered.
func (l *Logins) check() error {
	counts, err := l.app.Store.Count(context.Background())
	if err != nil {
		return err
	}
	if want := l.next.Load(); counts.Sessions != want {
		return fmt.Errorf("%s: %d sessions in the store after %d logins", l.app.Name, counts.Sessions, want)
	}
	return nil
}
