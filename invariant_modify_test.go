package sojourn_test

import (
	"context"
	"testing"
)

// A state that ended and came again while Modify was at work is another one,
// however often it was written.
func TestModifyDoesNotTakeALaterStateForTheOneItRead(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		b := a.browser()
		for _, ref := range []string{"user", "tab"} {
			a.connect(b, "anna")
			var saw []string
			add := func(v string) string { saw = append(saw, v); return v + "+" }
			a.bare(b, func(ctx context.Context) {
				a.must(a.refs[ref].Set(ctx, "old"))
				modify := func(f func(string) (string, error)) error { return a.refs[ref].Modify(ctx, f) }
				if ref == "user" {
					modify = func(f func(string) (string, error)) error {
						return a.refs[ref].ModifyIn(ctx, a.site.UserState("anna"), f)
					}
				}
				a.must(modify(func(v string) (string, error) {
					if len(saw) == 0 {
						a.must(a.site.Disconnect(ctx))
						a.must(a.site.Connect(ctx, "anna"))
						a.must(a.refs[ref].Set(ctx, "new"))
					}
					return add(v), nil
				}))
				if v, err := a.refs[ref].Get(ctx); v != "new+" || err != nil {
					t.Errorf("%s: the value is %q, %v; f saw %q", ref, v, err, saw)
				}
			})
		}
	})
}
