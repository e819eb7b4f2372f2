package sojourn_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// A server hears late that the user's last session has ended: what was written
// there since the user connected anew stays, and what is older goes.
func TestALateEndTakesOnlyWhatIsOlderThanTheNextConnect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after bool // what is written before the end, and after the Connect
		in            bool // with SetIn
		next          int  // where the user connects anew
		gone          bool // the session that wrote has ended, another is open
	}{
		"older":                       {before: true},
		"newer":                       {after: true},
		"both":                        {before: true, after: true},
		"newer, connected there":      {after: true, next: 1},
		"both, connected there":       {before: true, after: true, next: 1},
		"newer, by nobody's request":  {after: true, in: true},
		"newer, of a session too old": {after: true, gone: true},
		"both, of a session too old":  {before: true, after: true, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				door, s := newBus(t, 2, sojourn.Config{})
				other := sojourn.NewRef[string](s[1].Site, sojourn.UserScope, nil)
				one, two, three := door.browser(), door.browser(), door.browser()
				s[0].connectAt(door, one, "ada")
				if test.before {
					s[1].at(door, one, func(ctx context.Context) { attackOK(t, other.Set(ctx, "old")) })
				}
				s[1].ear.hold()
				s[0].disconnectAt(door, one)
				s[test.next].connectAt(door, two, "ada")
				want := ""
				switch {
				case test.in:
					want = "new"
					attackOK(t, s[1].user.SetIn(t.Context(), s[1].UserState("ada"), "new"))
				case test.after:
					want = "new"
					s[1].set(door, two, "new")
				}
				last := two
				if test.gone {
					last = three
					s[test.next].connectAt(door, three, "ada")
					s[1].disconnectAt(door, two)
				}
				s[1].ear.release()
				check := func() {
					t.Helper()
					s[1].has(door, last, want)
					if !test.gone { // whether that is newer cannot be known at once
						s[1].at(door, last, func(ctx context.Context) { attackValue(t, other, ctx, "") })
					}
				}
				check()
				time.Sleep(time.Hour)
				check()
				s[0].disconnectAt(door, last)
				synctest.Wait()
				s[0].connectAt(door, one, "ada")
				s[1].has(door, one, "")
				s[1].at(door, one, func(ctx context.Context) { attackValue(t, other, ctx, "") })
			})
		})
	}
}

// A user's volatile state stays while the user has a session, wherever that is.
func TestUsersStateStaysWhileAnotherSessionIsOpenElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		door, s := newBus(t, 2, sojourn.Config{})
		one, two := door.browser(), door.browser()
		s[0].connectAt(door, one, "ada")
		s[0].connectAt(door, two, "ada")
		s[1].set(door, one, "kept")
		s[0].disconnectAt(door, one)
		for range 5 {
			time.Sleep(3 * time.Hour)
			s[0].has(door, two, "")
		}
		s[1].has(door, two, "kept")
		s[0].disconnectAt(door, two)
		s[0].connectAt(door, one, "ada")
		s[1].has(door, one, "")
	})
}

// freed reports whether the memory of something is free.
func freed[T any](p weak.Pointer[T]) bool {
	runtime.GC()
	return p.Value() == nil
}

// big is something in memory.
type big struct{ _ [1 << 12]byte }

// Volatile state of users and sessions goes when the sessions have ended, also
// on a server that was not told and gets no request of theirs any more.
func TestStateGoesAlsoWhereTheEndWasMissed(t *testing.T) {
	t.Parallel()
	for name, timeouts := range map[string]sojourn.Timeouts{
		"idle":     {Idle: time.Hour},
		"absolute": {Idle: -1, Absolute: time.Hour},
		"never":    {Idle: -1, Absolute: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				door, s := newBus(t, 2, sojourn.Config{Timeouts: timeouts})
				user := sojourn.NewRef[*big](s[1].Site, sojourn.UserScope, nil)
				session := sojourn.NewRef[*big](s[1].Site, sojourn.SessionScope, nil)
				b := door.browser()
				s[0].connectAt(door, b, "ada")
				var inUser, inSession weak.Pointer[big]
				s[1].at(door, b, func(ctx context.Context) {
					u, v := new(big), new(big)
					inUser, inSession = weak.Make(u), weak.Make(v)
					attackOK(t, user.Set(ctx, u))
					attackOK(t, session.Set(ctx, v))
				})
				if freed(inUser) || freed(inSession) {
					t.Fatal("the state is gone before the session ends")
				}
				s[1].ear.miss()
				s[0].disconnectAt(door, b)
				time.Sleep(70 * time.Minute)
				if name == "never" {
					time.Sleep(25 * time.Hour)
				}
				if !freed(inUser) {
					t.Error("the user's state is there still")
				}
				if !freed(inSession) {
					t.Error("the session's state is there still")
				}
			})
		})
	}
}

// A session whose time has come, as far as a server knows, and that is in use
// on another, keeps its state and does not end.
func TestSessionInUseElsewhereKeepsItsStateHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		door, s := newBus(t, 2, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: time.Hour}})
		session := sojourn.NewRef[string](s[1].Site, sojourn.SessionScope, nil)
		b := door.browser()
		s[0].connectAt(door, b, "ada")
		s[1].set(door, b, "kept")
		s[1].at(door, b, func(ctx context.Context) { attackOK(t, session.Set(ctx, "kept")) })
		for range 12 {
			time.Sleep(30 * time.Minute)
			s[0].has(door, b, "")
		}
		s[1].has(door, b, "kept")
		s[1].at(door, b, func(ctx context.Context) { attackValue(t, session, ctx, "kept") })
	})
}

// Users whose sessions are in use cost the store nothing but their requests.
func TestActiveUsersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const users = 50
		door, s := newBus(t, 1, sojourn.Config{})
		var all []*sojourntest.Browser
		for i := range users {
			b := door.browser()
			s[0].connectAt(door, b, sojourn.UserID(fmt.Sprint(i)))
			s[0].set(door, b, "x")
			all = append(all, b)
		}
		s[0].ear.takeAsked()
		for range 20 {
			time.Sleep(6 * time.Minute)
			for _, b := range all {
				s[0].has(door, b, "x")
			}
		}
		if n := s[0].ear.takeAsked(); n > 0 {
			t.Errorf("the store was asked %d times for the sessions of users who are active", n)
		}
		// Those who are silent are asked for now and then.
		time.Sleep(2 * time.Hour)
		if n := s[0].ear.takeAsked(); n < users || n > 7*users {
			t.Errorf("in two hours the store was asked %d times for %d users who are silent", n, users)
		}
	})
}

// However many users are silent, a sweep asks for so many only, and in the end
// for all of them.
func TestSweepAsksForABoundedNumberOfUsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const users, most = 2500, 1000
		door, s := newBus(t, 2, sojourn.Config{})
		score := sojourn.NewRef[*big](s[0].Site, sojourn.UserScope, nil)
		var states []weak.Pointer[big]
		for i := range users {
			b := door.browser()
			s[0].connectAt(door, b, sojourn.UserID(fmt.Sprint(i)))
			s[0].at(door, b, func(ctx context.Context) {
				v := new(big)
				states = append(states, weak.Make(v))
				attackOK(t, score.Set(ctx, v))
			})
		}
		time.Sleep(10 * time.Second) // between two sweeps
		s[0].ear.miss()
		for i := range users {
			attackOK(t, s[1].DisconnectAll(t.Context(), sojourn.OfUser(sojourn.UserID(fmt.Sprint(i)))))
		}
		s[0].ear.takeAsked()
		total := 0
		for range 60 {
			time.Sleep(time.Minute)
			n := s[0].ear.takeAsked()
			if n > most {
				t.Errorf("a sweep asked for %d users, want at most %d", n, most)
			}
			total += n
		}
		if total != users {
			t.Errorf("the store was asked %d times for %d users who have gone", total, users)
		}
		runtime.GC()
		for i, p := range states {
			if p.Value() != nil {
				t.Fatalf("the state of user %d is there still", i)
			}
		}
	})
}
