package sojourn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

func now() time.Time { return time.Now() }

// after lets time pass until so long after since, and everything be done that
// was to be done by then.
func after(d time.Duration, since time.Time) {
	time.Sleep(time.Until(since.Add(d)))
	synctest.Wait()
}

// timeoutTest runs f with a clock of its own on the stores that can.
func timeoutTest(t *testing.T, cfg sojourn.Config, f func(t *testing.T, a *app, f *faults)) {
	t.Parallel()
	for _, kind := range storeKinds {
		if !kind.bubble {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := new(faults)
				f(t, newApp(t, kind, withConfig(cfg), x.option()), x)
			})
		})
	}
}
