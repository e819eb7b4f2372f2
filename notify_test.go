package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestNotifyReachesTheTabsOfAState(t *testing.T) {
	t.Parallel()
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	own := sojourn.NewHierarchy("own")
	mark := sojourn.NewRef[int](site, sojourn.UserIndependentSessionScope, nil)
	ownMark := sojourn.NewRef[int](site, own.Session(), nil)
	anonymous := sojourn.NewRef[int](site, sojourn.SessionScope, nil)
	states := map[string]sojourn.Scope{
		"tab": sojourn.TabScope, "session": sojourn.SessionScope, "user": sojourn.UserScope, "site": sojourn.SiteScope,
		"independent tab": sojourn.UserIndependentTabScope, "independent session": sojourn.UserIndependentSessionScope,
		"own tab": own.Tab(), "own session": own.Session(),
	}
	mux := http.NewServeMux()
	mux.Handle("/login", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil {
			t.Error(err)
		}
	})))
	mux.Handle("/mark", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(mark.Set(r.Context(), 1), ownMark.Set(r.Context(), 1), anonymous.Set(r.Context(), 1)); err != nil {
			t.Error(err)
		}
	})))
	mux.Handle("/notify", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st, err := site.CurrentState(r.Context(), states[r.FormValue("scope")])
		if err == nil {
			err = site.Notify(r.Context(), st, r.FormValue("scope"), map[string]int{"n": 7})
		}
		if err != nil {
			t.Errorf("%s: %v", r.FormValue("scope"), err)
		}
	})))
	h := site.Middleware(mux)

	tabs := map[string]*sojourntest.Tab{}
	lives := map[string]*sojourntest.Live{}
	open := func(name string, b *sojourntest.Browser, user string) {
		tabs[name] = b.NewTab()
		must(t, tabs[name].Get("/mark"))
		lives[name] = welcomed(t, tabs[name], user)
	}
	ann, other, bob, nobody := sojourntest.NewBrowser(t, h), sojourntest.NewBrowser(t, h), sojourntest.NewBrowser(t, h), sojourntest.NewBrowser(t, h)
	for user, list := range map[string][]*sojourntest.Browser{"ann": {ann, other}, "bob": {bob}} {
		for _, b := range list {
			must(t, b.Post("/login", asUser(user)))
		}
	}
	open("one", ann, "ann")
	open("two", ann, "ann")
	open("elsewhere", other, "ann")
	open("bob", bob, "bob")
	open("nobody", nobody, "")
	open("nobody too", nobody, "")

	everybody := []string{"one", "two", "elsewhere", "bob", "nobody", "nobody too"}
	for _, tc := range []struct {
		from, scope string
		reaches     []string
	}{
		{"one", "tab", []string{"one"}},
		{"one", "independent tab", []string{"one"}},
		{"one", "own tab", []string{"one"}},
		{"one", "session", []string{"one", "two"}},
		{"one", "independent session", []string{"one", "two"}},
		{"one", "own session", []string{"one", "two"}},
		{"one", "user", []string{"one", "two", "elsewhere"}},
		{"one", "site", everybody},
		{"nobody", "tab", []string{"nobody"}},
		{"nobody", "session", []string{"nobody", "nobody too"}},
		{"nobody", "independent session", []string{"nobody", "nobody too"}},
		{"nobody", "own session", []string{"nobody", "nobody too"}},
		{"nobody", "site", everybody},
	} {
		tabs[tc.from].Post("/notify", map[string][]string{"scope": {tc.scope}})
		reached := map[string]bool{}
		for _, name := range tc.reaches {
			m := lives[name].Next()
			if m.Type != protocol.LiveEvent || m.Event != tc.scope || string(m.Data) != `{"n":7}` {
				t.Errorf("%s of %s: %s is told %+v", tc.scope, tc.from, name, m)
			}
			reached[name] = true
		}
		for _, name := range everybody {
			if reached[name] {
				continue
			}
			select {
			case m := <-lives[name].Messages(): // it would have been sent before the others'
				t.Errorf("%s of %s: %s is told %+v", tc.scope, tc.from, name, m)
			default:
			}
		}
	}

	site2, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site2.Close() })
	ctx := context.Background()
	if err := site.Notify(ctx, site2.UserState("ann"), "x", nil); !errors.Is(err, sojourn.ErrWrongScope) {
		t.Errorf("a state of another site returns %v, want ErrWrongScope", err)
	}
	if err := site.Notify(ctx, sojourn.State{}, "x", nil); !errors.Is(err, sojourn.ErrWrongScope) {
		t.Errorf("no state returns %v, want ErrWrongScope", err)
	}
	if err := site.Notify(ctx, site.UserState("ann"), "x", func() {}); err == nil {
		t.Error("data that is no JSON is no error")
	}
	for _, user := range []sojourn.UserID{"cleo", ""} {
		if err := site.Notify(ctx, site.UserState(user), "x", nil); err != nil {
			t.Errorf("telling %q, who has no tab open, returns %v", user, err)
		}
	}
	select {
	case m := <-lives["nobody"].Messages():
		t.Errorf("a tab of nobody is told %+v", m)
	default:
	}
}
