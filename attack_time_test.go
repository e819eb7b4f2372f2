package sojourn_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// A browser that sends something every quarter of an hour keeps its
// user-independent state, also when only its session vouches for it.
func TestBrowserInUseKeepsItsStateWhileConnected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttacked(t, sojourn.Config{Timeouts: sojourn.Timeouts{Browser: 2 * time.Hour}})
		theme := sojourn.NewPersistentRef[string](a.Site, sojourn.UserIndependentSessionScope, "theme", nil)
		b := a.browser()
		a.connect(b, "1")
		a.bare(b, func(ctx context.Context) { attackOK(t, theme.Set(ctx, "dark")) })
		for range 20 {
			time.Sleep(15 * time.Minute)
			a.bare(b, func(ctx context.Context) { attackValue(t, theme, ctx, "dark") })
		}
	})
}

// The state of a browser that was silent for Timeouts.Browser goes; its session
// still knows it, so DisconnectAll elsewhere finds what it stored since.
func TestDisconnectAllFindsABrowserThatWasSilentForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttacked(t, sojourn.Config{Timeouts: sojourn.Timeouts{Browser: time.Hour}})
		theme := sojourn.NewRef[string](a.Site, sojourn.UserIndependentSessionScope, nil)
		b, other := a.browser(), a.browser()
		time.Sleep(10 * time.Second) // between two sweeps
		a.connect(b, "1")
		a.bare(b, func(ctx context.Context) { attackOK(t, theme.Set(ctx, "dark")) })
		cookies := b.Cookies()              // this browser forgets no cookie
		time.Sleep(time.Hour + time.Second) // before anybody swept
		for _, c := range cookies {
			c.MaxAge, c.Expires = 1e6, time.Time{}
			b.SetCookie(c)
		}
		a.bare(b, func(ctx context.Context) {
			attackValue(t, theme, ctx, "")
			attackOK(t, theme.Set(ctx, "light"))
		})
		a.bare(b, func(ctx context.Context) { attackValue(t, theme, ctx, "light") })
		a.connect(other, "1")
		a.bare(other, func(ctx context.Context) { attackOK(t, a.DisconnectAll(ctx)) })
		a.bare(b, func(ctx context.Context) { attackValue(t, theme, ctx, "") })
	})
}

// What was used last is evicted last, also when that was a moment ago.
func TestEvictionSeesTheLatestUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttacked(t, sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 2}})
		first, second, third := a.browser(), a.browser(), a.browser()
		a.connect(first, "1")
		time.Sleep(time.Second)
		a.connect(second, "1")
		time.Sleep(time.Second)
		a.is(first, "1")
		a.connect(third, "1")
		a.is(first, "1")
		a.is(second, sojourn.Nobody)
		a.is(third, "1")
	})
}

// A store that cannot be written for a while does not shorten sessions: what
// could not be written is written later.
func TestUseIsNotForgottenWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Store: sojourn.NewMemoryStore()}
		a := newAttacked(t, sojourn.Config{Store: store, Timeouts: sojourn.Timeouts{Idle: time.Hour}})
		b := a.browser()
		a.connect(b, "1")
		store.failing("Touch", false)
		time.Sleep(30 * time.Minute)
		a.is(b, "1")
		time.Sleep(5 * time.Minute)
		store.failing("", false)
		time.Sleep(45 * time.Minute)
		a.is(b, "1")
	})
}

// A page that reads a tab's state from outside, such as an administrator's,
// does not end it.
func TestLookingAtATabOfAnotherRunDoesNotEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := sharedStore{sojourn.NewMemoryStore()}
		define := func() (*attacked, *sojourn.Ref[string]) {
			a := newAttacked(t, sojourn.Config{Store: store})
			return a, sojourn.NewPersistentRef[string](a.Site, sojourn.TabScope, "draft", nil)
		}
		a, draft := define()
		tab := a.browser().NewTab()
		a.connect(tab, "1")
		a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, draft.Set(ctx, "dear")) })

		again, draft := define() // the server has been restarted
		for session, err := range again.SubStates(t.Context(), again.UserState("1")) {
			attackOK(t, err)
			for tab, err := range again.SubStates(t.Context(), session) {
				attackOK(t, err)
				got, err := draft.GetIn(t.Context(), tab)
				if attackOK(t, err); got != "dear" {
					t.Errorf("the tab has %q", got)
				}
				attackOK(t, draft.SetIn(t.Context(), tab, "dear all"))
			}
		}
		time.Sleep(5 * time.Minute)
		a.Handler = again.Handler
		if r := again.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackValue(t, draft, ctx, "dear all") }); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
	})
}

// A user's volatile state goes with the last session, also if that has expired
// and nobody has noticed yet.
func TestUsersStateGoesWithTheLastSessionThatExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttacked(t, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: time.Hour}})
		score := sojourn.NewRef[int](a.Site, sojourn.UserScope, nil)
		first, second := a.browser(), a.browser()
		time.Sleep(10 * time.Second) // between two sweeps
		a.connect(first, "1")
		a.bare(first, func(ctx context.Context) { attackOK(t, score.Set(ctx, 7)) })
		time.Sleep(time.Hour)
		a.connect(second, "1")
		a.bare(second, func(ctx context.Context) { attackValue(t, score, ctx, 0) })
	})
}
