package cases

import (
	"context"
	"fmt"
	"sync"
)

// perUser is how many sessions end at once.
const perUser = 10

// ender is an App that can end all sessions of one user.
type ender interface {
	endUser(ctx context.Context, user string) error
	sessions(ctx context.Context, user string) (int, error)
}

// Ends is ending the ten sessions of one user among live ones, in every
// library that can; the first Case is one durable commit.
func Ends(dir string, live int) (*Set, error) {
	set := &Set{}
	commits, err := OpenCommits(dir)
	if err != nil {
		return nil, err
	}
	set.apps = append(set.apps, &App{close: commits.Close})
	set.add(commits.Case())
	memory, err := OpenSojourn("memory", "")
	if err != nil {
		return nil, closing(set, err)
	}
	set.apps = append(set.apps, &memory.App)
	durable, err := OpenSojourn("sqlite", dir)
	if err != nil {
		return nil, closing(set, err)
	}
	set.apps = append(set.apps, &durable.App)
	other, third := OpenSCS(false), OpenSessionup()
	users := max(2, live/perUser)
	for _, a := range []struct {
		*App
		ender
	}{
		{&memory.App, memory}, {&durable.App, durable}, {&third.App, third}, {&other.App, other},
	} {
		if _, err := a.populate(Population{users, perUser}); err != nil {
			return nil, closing(set, err)
		}
		set.add(ending(a.App, a.ender, users))
	}
	return set, nil
}

// ending ends one user's sessions after another's; each user is connected
// again, untimed, so that as many sessions are live every time.
func ending(a *App, e ender, users int) Case {
	next := 0
	return Case{a.Name, func(c Clock) error {
		ctx := context.Background()
		for c.Loop() {
			user := UserName(next % users)
			if err := e.endUser(ctx, user); err != nil {
				return err
			}
			c.StopTimer()
			if err := again(ctx, a, e, next%users); err != nil {
				return err
			}
			next++
			c.StartTimer()
		}
		return nil
	}}
}

// again checks that the user has no session left and connects it again.
func again(ctx context.Context, a *App, e ender, user int) error {
	name := UserName(user)
	if n, err := e.sessions(ctx, name); n != 0 || err != nil {
		return fmt.Errorf("%s: %s has %d sessions left, %v", a.Name, name, n, err)
	}
	errs := make([]error, perUser)
	var wg sync.WaitGroup
	for i := range perUser {
		wg.Go(func() { _, errs[i] = a.login(user*perUser+i, name) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if n, err := e.sessions(ctx, name); n != perUser || err != nil {
		return fmt.Errorf("%s: %s has %d sessions after %d logins, %v", a.Name, name, n, perUser, err)
	}
	return nil
}
