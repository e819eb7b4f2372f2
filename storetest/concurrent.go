package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn"
)

const callers = 8

var concurrentExercises = []exercise{
	{
		"parallel creations leave as many as the limit",
		"whoever calls in parallel, no more than limit sessions remain",
		func(x *check) {
			const each, limit = 15, 5
			made := make([][]sojourn.StoredSession, callers)
			ended := make([][]sojourn.StoredSession, callers)
			x.inParallel(func(i int) error {
				for n := range each {
					s := seenAt(newSession("ada"), epoch.Add(time.Duration(n)*time.Second))
					evicted, err := x.CreateSession(x.Context(), s, limit)
					if err != nil {
						return err
					}
					made[i] = append(made[i], s)
					ended[i] = append(ended[i], evicted...)
				}
				return nil
			})
			list, err := x.Sessions(x.Context(), "ada")
			x.must(err, "Sessions")
			if len(list) != limit {
				x.broken("%d sessions are left, want %d", len(list), limit)
			}
			x.eachOnce(made, append(ended, list))
		},
	},
	{
		"however a session ends, it is returned once",
		"each session is returned as ended exactly once",
		func(x *check) {
			const each = 10
			made := make([][]sojourn.StoredSession, callers)
			ended := make([][]sojourn.StoredSession, callers)
			x.inParallel(func(i int) error {
				for range each {
					s := newSession("ada")
					s.Deadline = epoch
					evicted, err := x.CreateSession(x.Context(), s, 4)
					if err != nil {
						return err
					}
					made[i] = append(made[i], s)
					ended[i] = append(ended[i], evicted...)
					var more []sojourn.StoredSession
					switch i % 4 {
					case 0:
						more, _, err = x.EndSession(x.Context(), s.Key, sojourn.EndDisconnect)
					case 1:
						more, err = x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll, s.Key)
					case 2:
						more, _, err = x.Expire(x.Context(), epoch, 2)
					}
					if err != nil {
						return err
					}
					ended[i] = append(ended[i], more...)
				}
				return nil
			})
			list, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
			x.must(err, "EndUser")
			x.eachOnce(made, append(ended, list))
			x.wantCount(sojourn.Counts{})
		},
	},
	{
		"parallel writes based on what was read lose nothing",
		setsValue,
		func(x *check) {
			const each = 25
			key := own(ofUser("ada"), "counter")
			x.inParallel(func(int) error {
				for done := 0; done < each; {
					old, err := x.Value(x.Context(), key)
					if err != nil {
						return err
					}
					n, _ := strconv.Atoi(string(old.Data))
					_, err = x.SetValue(x.Context(), key, sojourn.Write{Data: []byte(strconv.Itoa(n + 1)), Version: old.Version})
					switch {
					case err == nil:
						done++
					case !errors.Is(err, sojourn.ErrConflict):
						return err
					}
				}
				return nil
			})
			x.wantValue(key, strconv.Itoa(callers*each))
		},
	},
	{
		"a write that races the end of its session leaves nothing behind",
		unknown,
		func(x *check) {
			for range 10 {
				s := newSession("ada")
				x.create(s, 0)
				var over atomic.Bool
				x.inParallel(func(i int) error {
					if i == 0 {
						_, _, err := x.EndSession(x.Context(), s.Key, sojourn.EndRevoked)
						over.Store(true)
						return err
					}
					owner := []sojourn.Owner{ofSession(s), ofUser("ada"), ofSite()}[i%3]
					for n := 0; ; n++ {
						after := over.Load()
						_, err := x.SetValue(x.Context(), ofTab(owner, []string{"", "tab"}[n%2], fmt.Sprint(i, n)), sojourn.Write{
							Data: []byte("late"), Version: sojourn.AnyVersion, Session: s.Key,
						})
						switch {
						case errors.Is(err, sojourn.ErrNotFound):
							return nil
						case err != nil:
							return err
						case after:
							return errors.New("a write succeeded after the end of its session had returned")
						}
					}
				})
				for _, owner := range []sojourn.Owner{ofUser("ada"), ofSite()} {
					for _, tab := range []string{"", "tab"} {
						x.must(x.DropValues(x.Context(), owner, tab, sojourn.Key{}), "DropValues")
					}
				}
				x.wantTabs(ofSession(s))
				x.wantCount(sojourn.Counts{})
			}
		},
	},
	{
		"a touch that races the end of its session does not bring it back",
		notRevived,
		func(x *check) {
			for range 10 {
				s := newSession("ada")
				x.create(s, 0)
				var over atomic.Bool
				x.inParallel(func(i int) error {
					if i == 0 {
						_, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
						over.Store(true)
						return err
					}
					for n := range 1000 {
						after := over.Load()
						seen := epoch.Add(time.Duration(n) * time.Second)
						err := x.Touch(x.Context(), []sojourn.Touch{{Owner: ofSession(s), LastSeen: seen, Deadline: seen}})
						if err != nil || after {
							return err
						}
					}
					return nil
				})
				x.wantNoSession(s.Key)
				x.wantCount(sojourn.Counts{})
			}
		},
	},
	{
		"a session that has ended is not seen again",
		"A session exists from CreateSession until one of CreateSession (eviction), EndSession, EndUser or Expire returned it as ended",
		func(x *check) {
			for range 10 {
				s := newSession("ada")
				x.create(s, 0)
				var over atomic.Bool
				x.inParallel(func(i int) error {
					if i == 0 {
						_, _, err := x.EndSession(x.Context(), s.Key, sojourn.EndRevoked)
						over.Store(true)
						return err
					}
					for {
						after := over.Load()
						_, err := x.Session(x.Context(), s.Key)
						switch {
						case errors.Is(err, sojourn.ErrNotFound):
							return nil
						case err != nil:
							return err
						case after:
							return errors.New("the session was returned after its end had returned")
						}
					}
				})
			}
		},
	},
	{
		"what is written is read at once, everywhere",
		setsValue,
		func(x *check) {
			x.inParallel(func(i int) error {
				user := sojourn.UserID(strconv.Itoa(i))
				for n := range 20 {
					s := newSession(user)
					if _, err := x.CreateSession(x.Context(), s, 1); err != nil {
						return err
					}
					if got, err := x.Session(x.Context(), s.Key); err != nil || !sameSession(got, s) {
						return fmt.Errorf("a session just created: %+v, %v", got, err)
					}
					key := own(ofSession(s), "n")
					v, err := x.SetValue(x.Context(), key, sojourn.Write{Data: []byte(strconv.Itoa(n))})
					if err != nil {
						return err
					}
					if got, err := x.Value(x.Context(), key); err != nil || got.Version != v || string(got.Data) != strconv.Itoa(n) {
						return fmt.Errorf("a value just written: %q version %d, %v", got.Data, got.Version, err)
					}
				}
				return nil
			})
			x.wantCount(sojourn.Counts{Sessions: callers, Values: callers})
		},
	},
	{
		"parallel creations of browsers leave as many as the limit",
		subnetLimit,
		func(x *check) {
			var gone atomic.Int64
			x.inParallel(func(int) error {
				for range 10 {
					evicted, err := x.CreateBrowser(x.Context(), newBrowser(), 5)
					if err != nil {
						return err
					}
					gone.Add(int64(len(evicted)))
				}
				return nil
			})
			x.wantCount(sojourn.Counts{Browsers: 5})
			if n := gone.Load(); n != callers*10-5 {
				x.broken("%d browsers were returned as evicted, want %d", n, callers*10-5)
			}
		},
	},
	{
		"when a context is done in between, the answer is the truth",
		doneContext,
		func(x *check) {
			x.inParallel(func(i int) error {
				for n := range 40 {
					ctx, cancel := context.WithTimeout(x.Context(), time.Duration(n*i*10)*time.Microsecond)
					s := newSession(sojourn.UserID(strconv.Itoa(i)))
					_, err := x.CreateSession(ctx, s, 0)
					cancel()
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
					_, found := x.Session(x.Context(), s.Key)
					if (err == nil) != (found == nil) {
						return fmt.Errorf("the creation returned %v, then the session %v", err, found)
					}
					key := own(ofUser(s.User), strconv.Itoa(n))
					ctx, cancel = context.WithTimeout(x.Context(), time.Duration(n*i*10)*time.Microsecond)
					_, err = x.SetValue(ctx, key, sojourn.Write{Data: []byte("1")})
					cancel()
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
					got, found := x.Value(x.Context(), key)
					if found != nil {
						return found
					}
					if (err == nil) != (got.Version > 0) {
						return fmt.Errorf("the write returned %v, then the value is %+v", err, got)
					}
				}
				return nil
			})
		},
	},
}

// inParallel runs f in all callers at once, and fails if one of them does.
func (x *check) inParallel(f func(i int) error) {
	x.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		x.broken("%v", err)
	}
}

// eachOnce fails unless every session that was made was returned once.
func (x *check) eachOnce(made, returned [][]sojourn.StoredSession) {
	x.Helper()
	count := map[sojourn.Key]int{}
	for _, list := range made {
		for _, s := range list {
			count[s.Key] = 0
		}
	}
	for _, list := range returned {
		for _, s := range list {
			if _, ok := count[s.Key]; !ok {
				x.broken("returned a session that was never made: %+v", s)
			}
			count[s.Key]++
		}
	}
	for key, n := range count {
		if n != 1 {
			x.broken("session %x was returned %d times", key, n)
		}
	}
}
