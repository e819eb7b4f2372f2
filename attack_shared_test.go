package sojourn_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

// twoServers are two servers of one site that hear nothing of each other, and
// a browser whose next request goes where it is sent.
func twoServers(t *testing.T, cfg sojourn.Config) (one, two *attacked) {
	cfg.Store = sharedStore{sojourn.NewMemoryStore()}
	return newAttacked(t, cfg), newAttacked(t, cfg)
}

// A tab that moved to another server keeps what it stored, also when the first
// one has not seen it for long.
func TestTabThatMovedToAnotherServerKeepsItsState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := twoServers(t, sojourn.Config{})
		draft1 := sojourn.NewPersistentRef[string](one.Site, sojourn.TabScope, "draft", nil)
		draft2 := sojourn.NewPersistentRef[string](two.Site, sojourn.TabScope, "draft", nil)
		door := &attacked{Handler: one.Handler, t: t}
		tab := door.browser().NewTab()
		one.connect(tab, "1")
		one.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, draft1.Set(ctx, "dear")) })
		door.Handler = two.Handler
		for range 10 {
			time.Sleep(5 * time.Minute)
			two.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackValue(t, draft2, ctx, "dear") })
		}
	})
}

// An anonymous browser that moved to another server and back is not silent.
func TestAnonymousBrowserThatMovedIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := twoServers(t, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: time.Hour, Tab: 3 * time.Hour}})
		cart1 := sojourn.NewPersistentRef[string](one.Site, sojourn.SessionScope, "cart", nil)
		cart2 := sojourn.NewPersistentRef[string](two.Site, sojourn.SessionScope, "cart", nil)
		door := &attacked{Handler: one.Handler, t: t}
		b := door.browser()
		one.bare(b, func(ctx context.Context) { attackOK(t, cart1.Set(ctx, "book")) })
		door.Handler = two.Handler
		for range 3 {
			time.Sleep(30 * time.Minute)
			two.bare(b, func(ctx context.Context) { attackValue(t, cart2, ctx, "book") })
		}
		time.Sleep(10 * time.Minute)
		door.Handler = one.Handler
		one.bare(b, func(ctx context.Context) { attackValue(t, cart1, ctx, "book") })
	})
}

// A session that another server has seen of late is listed, and not ended.
func TestSessionInUseOnAnotherServerIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := twoServers(t, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: time.Hour}})
		door := &attacked{Handler: one.Handler, t: t}
		b := door.browser()
		one.connect(b, "1")
		door.Handler = two.Handler
		for range 4 {
			time.Sleep(30 * time.Minute)
			two.is(b, "1")
		}
		time.Sleep(10 * time.Second) // it is written
		if list, err := one.Sessions(t.Context(), "1"); err != nil || len(list) != 1 {
			t.Errorf("%d sessions are listed, error %v", len(list), err)
		}
	})
}

// Writes that come too late are refused, also when nobody told this server
// that the session has ended, and also if they are volatile.
func TestLateVolatileWriteIsRefusedOnEveryServer(t *testing.T) {
	t.Parallel()
	one, two := twoServers(t, sojourn.Config{})
	refs := map[string]*sojourn.Ref[string]{
		"session": sojourn.NewRef[string](two.Site, sojourn.SessionScope, nil),
		"user":    sojourn.NewRef[string](two.Site, sojourn.UserScope, nil),
		"tab":     sojourn.NewRef[string](two.Site, sojourn.TabScope, nil),
	}
	door := &attacked{Handler: one.Handler, t: t}
	tab := door.browser().NewTab()
	one.connect(tab, "1")
	door.Handler = two.Handler
	two.page(tab, func(ctx context.Context, _ sojourn.UserID) {
		attackOK(t, one.DisconnectAll(context.Background(), sojourn.OfUser("1")))
		for name, ref := range refs {
			if err := ref.Set(ctx, "late"); !errors.Is(err, sojourn.ErrSessionEnded) {
				t.Errorf("%s: %v, want ErrSessionEnded", name, err)
			}
		}
	})
}

// A browser whose state another server removed, which nobody told this one,
// can store again with its next request.
func TestBrowserRemovedElsewhereCanStoreAgain(t *testing.T) {
	t.Parallel()
	one, two := twoServers(t, sojourn.Config{Limits: sojourn.Limits{AnonymousPerSubnet: 1}})
	cart1 := sojourn.NewPersistentRef[string](one.Site, sojourn.SessionScope, "cart", nil)
	cart2 := sojourn.NewPersistentRef[string](two.Site, sojourn.SessionScope, "cart", nil)
	b, other := one.browser(), two.browser()
	one.bare(b, func(ctx context.Context) { attackOK(t, cart1.Set(ctx, "book")) })
	two.bare(other, func(ctx context.Context) { attackOK(t, cart2.Set(ctx, "pen")) })
	one.bare(b, func(ctx context.Context) {
		if err := cart1.Set(ctx, "books"); !errors.Is(err, sojourn.ErrSessionEnded) {
			t.Errorf("Set: %v", err)
		}
	})
	one.bare(b, func(ctx context.Context) { attackOK(t, cart1.Set(ctx, "books")) })
	one.bare(b, func(ctx context.Context) { attackValue(t, cart1, ctx, "books") })
}
