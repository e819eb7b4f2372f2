package sojourn_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sojourn-go/sojourn"
)

// A tab that stays open through many sessions, or many anonymous ones, keeps
// the state of the last one only: what it held in those that ended is freed.
func TestTabFreesItsStateInSessionsThatEnded(t *testing.T) {
	t.Parallel()
	type draft [1 << 12]byte
	for name, begin := range map[string]func(ctx context.Context, a *attacked) error{
		"sessions":           func(ctx context.Context, a *attacked) error { return a.Connect(ctx, "1") },
		"anonymous sessions": func(ctx context.Context, a *attacked) error { return a.Disconnect(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAttacked(t, sojourn.Config{})
				ref := sojourn.NewRef[*draft](a.Site, sojourn.TabScope, nil)
				theme := sojourn.NewRef[int](a.Site, sojourn.UserIndependentTabScope, nil)
				tab := a.browser().NewTab()
				a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, theme.Set(ctx, 7)) })
				var drafts []weak.Pointer[draft]
				for range 20 {
					a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, begin(ctx, a)) })
					a.page(tab, func(ctx context.Context, _ sojourn.UserID) {
						d := new(draft)
						drafts = append(drafts, weak.Make(d))
						attackOK(t, ref.Set(ctx, d))
					})
				}
				a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackOK(t, a.Disconnect(ctx)) })
				time.Sleep(2 * time.Minute) // it is swept now and then
				synctest.Wait()
				a.page(tab, func(ctx context.Context, _ sojourn.UserID) { attackValue(t, theme, ctx, 7) })
				runtime.GC()
				runtime.GC()
				held := 0
				for _, d := range drafts {
					if d.Value() != nil {
						held++
					}
				}
				if held != 0 {
					t.Errorf("the tab still holds what it was given in %d of %d sessions that ended", held, len(drafts))
				}
			})
		})
	}
}
