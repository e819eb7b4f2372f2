package sojourn_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sojourn-go/sojourn"
)

// What a request of a connected user has to pass is not passed by a guard with
// ForceUnconnected before, or beside, in the same request.
func TestForcedGuardOpensNoOther(t *testing.T) {
	t.Parallel()
	banned := errors.New("banned")
	for name, register := range map[string]func(s *sojourn.Site, f func(user sojourn.UserID) error){
		"OnRequest": func(s *sojourn.Site, f func(user sojourn.UserID) error) {
			s.OnRequest(func(_ context.Context, user sojourn.UserID) error { return f(user) })
		},
		"OnConnectedRequest": func(s *sojourn.Site, f func(user sojourn.UserID) error) {
			s.OnConnectedRequest(func(_ context.Context, user sojourn.UserID) error { return f(user) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAttacked(t, sojourn.Config{})
				register(a.Site, func(user sojourn.UserID) error {
					if user == "1" {
						return banned
					}
					return nil
				})
				pause := make(chan struct{})
				a.OnUnconnectedRequest(func(context.Context) error { <-pause; return nil })
				function := func(guard func(*sojourn.Site, func(context.Context, sojourn.UserID, int) (int, error), ...sojourn.GuardOption) func(context.Context, int) (int, error), opts ...sojourn.GuardOption) func(ctx context.Context) (sojourn.UserID, error) {
					var in sojourn.UserID
					f := guard(a.Site, func(_ context.Context, user sojourn.UserID, _ int) (int, error) {
						in = user
						return 0, nil
					}, opts...)
					return func(ctx context.Context) (sojourn.UserID, error) {
						in = "not run"
						_, err := f(ctx, 0)
						return in, err
					}
				}
				public := function(sojourn.OptConnectedRPC[int, int], sojourn.ForceUnconnected())
				b := a.browser()
				a.connect(b, "1")
				for range 2 {
					a.bare(b, func(ctx context.Context) {
						go func() { pause <- struct{}{} }()
						if user, err := public(ctx); user != sojourn.Nobody || err != nil {
							t.Errorf("the public function runs for %q, %v", user, err)
						}
						secret := function(sojourn.ConnectedRPC[int, int])
						if user, err := secret(ctx); user != "not run" || !errors.Is(err, banned) {
							t.Errorf("after it, the secret function runs for %q, %v", user, err)
						}
					})
				}
				a.bare(b, func(ctx context.Context) {
					secret, done := function(sojourn.OptConnectedRPC[int, int]), make(chan struct{})
					go func() { // is nobody's as long as the public one is running
						defer close(done)
						if _, err := public(ctx); err != nil {
							t.Error(err)
						}
					}()
					synctest.Wait()
					go func() { close(pause) }()
					user, err := secret(ctx)
					<-done
					if user != "not run" && user != sojourn.Nobody {
						t.Errorf("beside it, the secret function runs for %q, %v", user, err)
					}
				})
			})
		})
	}
}

// The actions of a request run once, a forced guard among its guards or not.
func TestForcedGuardFiresWhatFiresOnce(t *testing.T) {
	t.Parallel()
	var d []string
	a := newAttacked(t, sojourn.Config{})
	a.OnRequest(func(_ context.Context, user sojourn.UserID) error { d = append(d, "request "+string(user)); return nil })
	a.OnUnconnectedRequest(func(context.Context) error { d = append(d, "unconnected"); return nil })
	a.OnConnectedRequest(func(_ context.Context, user sojourn.UserID) error {
		d = append(d, "connected "+string(user))
		return nil
	})
	f := func(context.Context, sojourn.UserID, int) (int, error) { return 0, nil }
	open := sojourn.OptConnectedRPC(a.Site, f)
	forced := sojourn.OptConnectedRPC(a.Site, f, sojourn.ForceUnconnected())
	for _, test := range []struct {
		user  sojourn.UserID
		first func(context.Context, int) (int, error)
		then  func(context.Context, int) (int, error)
		want  []string
	}{
		{"", open, forced, []string{"request ", "unconnected"}},
		{"", forced, open, []string{"request ", "unconnected"}},
		{"1", open, forced, []string{"request 1", "connected 1"}},
		{"1", forced, forced, []string{"request ", "unconnected"}},
		{"1", forced, open, []string{"request ", "unconnected", "request 1", "connected 1"}},
	} {
		b := a.browser()
		if test.user != sojourn.Nobody {
			a.connect(b, test.user)
		}
		d = nil
		a.bare(b, func(ctx context.Context) {
			for _, f := range []func(context.Context, int) (int, error){test.first, test.then, test.first, test.then} {
				if _, err := f(ctx, 0); err != nil {
					t.Error(err)
				}
			}
		})
		if len(d) != len(test.want) {
			t.Errorf("%q fires, want %q", d, test.want)
			continue
		}
		for i := range d {
			if d[i] != test.want[i] {
				t.Errorf("%q fires, want %q", d, test.want)
			}
		}
	}
}
