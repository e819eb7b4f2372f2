package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

func TestTabWhoseStartStoresStateStartsOnce(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, ref := range []string{"tab", "tab!", "itab", "itab!", "otab", "otab!", "session", "isession!"} {
			var d diary
			a := newApp(t, kind, withInit(func(a *app) {
				a.site.OnStartTab(func(ctx context.Context, user sojourn.UserID) error {
					d.add("start %s", user)
					return a.refs[ref].Set(ctx, "set by start")
				})
			}))
			tab := a.browser().NewTab()
			for range 3 {
				a.has(tab, ref, "set by start")
			}
			d.tells(t, "start ")
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error { return a.site.Connect(ctx, "anna") })
			for range 3 {
				a.has(tab, ref, "set by start")
			}
			d.tells(t, "start anna")
		}
	})
}

// tabStates are the states of a user's tabs, as an administrator sees them.
func tabStates(t testing.TB, a *app, user sojourn.UserID) (states []sojourn.State) {
	t.Helper()
	for session, err := range a.site.SubStates(t.Context(), a.site.UserState(user)) {
		a.must(err)
		for tab, err := range a.site.SubStates(t.Context(), session) {
			a.must(err)
			states = append(states, tab)
		}
	}
	return states
}

// A tab whose state is looked at from elsewhere is no less alive, and no more.
func TestLookingAtATabNeitherEndsNorKeepsIt(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newApp(t, memoryKind)
			tab := a.browser().NewTab()
			a.connect(tab, "anna")
			a.set(tab, "tab!", "first")
			id := tab.ID()
			if restart {
				a.restart()
			}
			look := func(want string) {
				t.Helper()
				n := 0
				for _, st := range tabStates(t, a, "anna") {
					n++
					if v, err := a.refs["tab!"].GetIn(t.Context(), st); v != want || err != nil {
						t.Errorf("the tab's value is %q, %v, want %q", v, err, want)
					}
				}
				if n != 1 {
					t.Errorf("%d tabs hold state, want 1", n)
				}
			}
			look("first")
			for _, st := range tabStates(t, a, "anna") {
				a.must(a.refs["tab!"].SetIn(t.Context(), st, "second"))
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			look("second")
			a.has(tab, "tab!", "second")
			if tab.ID() != id {
				t.Error("the tab has become another one")
			}
			for range 2 {
				time.Sleep(4 * time.Minute)
				synctest.Wait()
				look("second")
			}
			time.Sleep(2 * time.Minute)
			a.has(tab, "tab!", "")
			if tab.ID() == id {
				t.Error("the tab has lived longer than Timeouts.Tab")
			}
		})
	}
}

func TestStatesOfEveryScopeCanBeUsedFromElsewhere(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for name, scope := range refScopes {
			if name == "request" {
				continue
			}
			for _, ref := range []string{name, name + "!"} {
				var st sojourn.State
				a.visit(tab, func(ctx context.Context, _ sojourn.UserID) (err error) {
					a.must(a.refs[ref].Set(ctx, "here"))
					st, err = a.site.CurrentState(ctx, scope)
					a.must(err)
					return nil
				})
				r, ctx := a.refs[ref], context.Background()
				if v, err := r.GetIn(ctx, st); v != "here" || err != nil {
					t.Errorf("GetIn of %s: %q, %v", ref, v, err)
				}
				a.must(r.SetIn(ctx, st, "elsewhere"))
				a.has(tab, ref, "elsewhere")
				a.must(r.ModifyIn(ctx, st, func(v string) (string, error) { return v + "+", nil }))
				a.has(tab, ref, "elsewhere+")
				wants(t, "ModifyIn", r.ModifyIn(ctx, st, func(string) (string, error) { return "x", errFault }), errFault)
				a.has(tab, ref, "elsewhere+")
				a.must(r.UnsetIn(ctx, st))
				a.has(tab, ref, "")
				a.must(r.SetIn(ctx, st, "again"))
				a.has(tab, ref, "again")
				a.must(a.site.Discard(ctx, st))
				a.has(tab, ref, "")
			}
		}
	})
}

func TestStateOfAnotherScopeIsRefused(t *testing.T) {
	t.Parallel()
	a, other := newApp(t, memoryKind), newApp(t, memoryKind)
	tab := a.browser().NewTab()
	a.connect(tab, "anna")
	states := map[string]sojourn.State{}
	for name, scope := range refScopes {
		if name == "request" {
			continue
		}
		a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
			a.must(a.refs[name].Set(ctx, "mine"))
			st, err := a.site.CurrentState(ctx, scope)
			a.must(err)
			states[name] = st
			return nil
		})
	}
	states["none"] = sojourn.State{}
	states["another site"] = other.site.UserState("anna")
	ctx := context.Background()
	for name, r := range a.refs {
		for of, st := range states {
			if of == name || of+"!" == name {
				continue
			}
			_, err := r.GetIn(ctx, st)
			wants(t, "GetIn of "+name+" in "+of, err, sojourn.ErrWrongScope)
			wants(t, "SetIn", r.SetIn(ctx, st, "x"), sojourn.ErrWrongScope)
			wants(t, "ModifyIn", r.ModifyIn(ctx, st, func(string) (string, error) { return "x", nil }), sojourn.ErrWrongScope)
			wants(t, "UnsetIn", r.UnsetIn(ctx, st), sojourn.ErrWrongScope)
		}
	}
	for name := range states {
		if name != "none" && name != "another site" {
			a.has(tab, name, "mine")
		}
	}
	for _, st := range []sojourn.State{states["none"], states["another site"]} {
		wants(t, "Discard", a.site.Discard(ctx, st), sojourn.ErrWrongScope)
		for _, err := range a.site.SubStates(ctx, st) {
			wants(t, "SubStates", err, sojourn.ErrWrongScope)
		}
	}
}

func TestCurrentStateSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	_, err := a.site.CurrentState(t.Context(), sojourn.SessionScope)
	wants(t, "outside of a request", err, sojourn.ErrNoRequest)
	_, err = a.site.CurrentState(t.Context(), sojourn.RequestScope)
	wants(t, "RequestScope", err, sojourn.ErrWrongScope)
	_, err = a.site.CurrentState(t.Context(), sojourn.Scope{})
	wants(t, "the zero Scope", err, sojourn.ErrWrongScope)
	if _, err = a.site.CurrentState(t.Context(), sojourn.SiteScope); err != nil {
		t.Errorf("the site's state outside of a request: %v", err)
	}
	b := a.browser()
	a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
		_, err := a.site.CurrentState(ctx, sojourn.UserScope)
		wants(t, "the user's with nobody connected", err, sojourn.ErrNotConnected)
		for name, scope := range refScopes {
			if name == "request" || name == "user" || name == "site" {
				continue
			}
			_, err := a.site.CurrentState(ctx, scope)
			wants(t, name+" that holds nothing", err, sojourn.ErrNoSuchSession)
		}
		return nil
	})
	if len(b.Cookies()) != 0 {
		t.Errorf("asking for a state has set cookies: %v", b.Cookies())
	}
}

func TestSubStatesAreTheUsersSessionsAndTheirTabs(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		values := func() (got []string) {
			for session, err := range a.site.SubStates(t.Context(), a.site.UserState("anna")) {
				a.must(err)
				v, err := a.refs["session!"].GetIn(t.Context(), session)
				a.must(err)
				for tab, err := range a.site.SubStates(t.Context(), session) {
					a.must(err)
					w, err := a.refs["tab!"].GetIn(t.Context(), tab)
					a.must(err)
					v += " " + w
					for range a.site.SubStates(t.Context(), tab) {
						t.Error("a tab has sub-states")
					}
				}
				got = append(got, v)
			}
			slices.Sort(got)
			return got
		}
		if got := values(); len(got) != 0 {
			t.Errorf("a user without sessions has the sub-states %q", got)
		}
		one, two, berta := a.browser(), a.browser(), a.browser()
		a.connect(one, "anna")
		a.connect(two, "anna")
		a.connect(berta, "berta")
		a.set(one, "session!", "one")
		a.set(two, "session!", "two")
		a.set(berta, "session!", "berta")
		a.set(berta.NewTab(), "tab!", "berta")
		a.set(one.NewTab(), "tab!", "tab")
		want := []string{"one tab", "two"}
		if got := values(); !slices.Equal(got, want) {
			t.Errorf("the sub-states are %q, want %q", got, want)
		}
		a.restart()
		if got := values(); !slices.Equal(got, want) {
			t.Errorf("after a restart the sub-states are %q, want %q", got, want)
		}
		a.disconnect(two)
		if got := values(); !slices.Equal(got, want[:1]) {
			t.Errorf("after an end the sub-states are %q, want %q", got, want[:1])
		}
		n := 0
		for range a.site.SubStates(t.Context(), a.site.UserState("anna")) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("a loop that breaks saw %d sub-states", n)
		}
	})
}

func TestStateThatIsNoMoreIsNotWritten(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		ctx := context.Background()
		b := a.browser()
		tab := b.NewTab()
		a.connect(tab, "anna")
		states := map[string]sojourn.State{}
		for _, name := range []string{"session", "tab", "isession", "itab"} {
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
				a.must(a.refs[name].Set(ctx, "x"))
				a.must(a.refs[name+"!"].Set(ctx, "x"))
				st, err := a.site.CurrentState(ctx, refScopes[name])
				a.must(err)
				states[name] = st
				return nil
			})
		}
		refused := func(when string, names ...string) {
			t.Helper()
			for _, name := range names {
				for _, ref := range []string{name, name + "!"} {
					r := a.refs[ref]
					wants(t, when+": SetIn "+ref, r.SetIn(ctx, states[name], "late"), sojourn.ErrSessionEnded)
					err := r.ModifyIn(ctx, states[name], func(string) (string, error) { return "late", nil })
					wants(t, when+": ModifyIn "+ref, err, sojourn.ErrSessionEnded)
				}
			}
		}
		a.disconnect(tab)
		refused("after Disconnect", "session", "tab")
		for _, name := range []string{"isession", "itab"} {
			a.must(a.refs[name+"!"].SetIn(ctx, states[name], "kept"))
		}
		a.connect(tab, "anna")
		a.set(tab, "session!", "new")
		refused("after the next Connect", "session", "tab")
		a.disconnectAll(tab)
		refused("after DisconnectAll", "session", "tab", "isession", "itab")
		wants(t, "a user without session", a.refs["user"].SetIn(ctx, a.site.UserState("anna"), "x"), sojourn.ErrSessionEnded)
		a.must(a.refs["user!"].SetIn(ctx, a.site.UserState("anna"), "data"))
		a.holds(sojourn.Counts{Values: 1})
	})
}

func TestPersistentStateOfAUserNeedsNoSession(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		ctx, st := context.Background(), a.site.UserState("anna")
		a.must(a.refs["user!"].SetIn(ctx, st, "before"))
		b := a.browser()
		a.connect(b, "anna")
		a.has(b, "user!", "before")
		a.must(a.refs["user!"].SetIn(ctx, st, "while"))
		a.has(b, "user!", "while")
		a.disconnectAll(b)
		a.must(a.refs["user!"].SetIn(ctx, st, "after"))
		a.restart()
		a.connect(b, "anna")
		a.has(b, "user!", "after")
	})
}

func TestDiscardResetsOneStateOnly(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		b := a.browser()
		tab := b.NewTab()
		a.connect(tab, "anna")
		all := []string{"tab", "tab!", "session", "session!", "user", "user!", "site", "site!", "isession", "isession!", "itab!"}
		for _, ref := range all {
			a.set(tab, ref, "x")
		}
		var st sojourn.State
		a.visit(tab, func(ctx context.Context, _ sojourn.UserID) (err error) {
			st, err = a.site.CurrentState(ctx, sojourn.SessionScope)
			return err
		})
		a.must(a.site.Discard(t.Context(), st))
		for _, ref := range all {
			want := "x"
			if ref == "session" || ref == "session!" {
				want = ""
			}
			a.has(tab, ref, want)
		}
		a.is(tab, "anna")
		a.disconnect(tab)
		if err := a.site.Discard(t.Context(), st); !errors.Is(err, sojourn.ErrSessionEnded) {
			t.Errorf("discarding the state of a session that has ended: %v", err)
		}
	})
}

// A long request holds on to a browser that the server has forgotten since, for
// it held nothing: what it writes is the browser's all the same.
func TestLongRequestWritesWhereOthersRead(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"session", "session!", "isession", "isession!", "osession", "osession!", "user", "user!"} {
		for _, connected := range []bool{false, true} {
			if !connected && ref[0] == 'u' {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, memoryKind, withConfig(sojourn.Config{Timeouts: sojourn.Timeouts{Tab: 5 * time.Minute, Browser: hour}}))
				b := a.browser()
				if connected {
					a.connect(b, "anna")
				}
				// All cookies are there, and nothing else is.
				for _, name := range []string{"session!", "isession!", "osession!"} {
					a.set(b, name, "x")
					a.set(b, name, "")
				}
				q := a.hold(b, func(h http.Handler) http.Handler { return a.site.Wrap(h) }, func(_ http.ResponseWriter, ctx context.Context) {
					for i := range 3 {
						value := strconv.Itoa(i)
						a.must(a.refs[ref].Set(ctx, value))
						if v, err := a.refs[ref].Get(ctx); v != value || err != nil {
							t.Errorf("%s is %q, %v for the request itself", ref, v, err)
						}
						a.has(b, ref, value)
						a.must(a.refs[ref].Unset(ctx))
						a.has(b, ref, "")
						time.Sleep(15 * time.Minute)
						synctest.Wait()
						a.has(b, ref, "")
					}
				})
				a.get(b, ref)
				time.Sleep(15 * time.Minute)
				synctest.Wait()
				a.has(b, ref, "")
				q.release()
			})
		}
	}
}
