package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// The invariant "No lost update": Modify on one reference is atomic; two
// references never overwrite one another.

// sharedRefs are those whose state several requests can have.
var sharedRefs = []string{
	"tab", "tab!", "session", "session!", "user", "user!", "site", "site!",
	"itab", "itab!", "isession", "isession!", "otab", "otab!", "osession", "osession!",
}

// plusOne is for Modify of a number.
func plusOne(v string) (string, error) {
	n, _ := strconv.Atoi(v)
	return strconv.Itoa(n + 1), nil
}

func TestParallelModifiesAllCount(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		const callers, times = 4, 8
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range sharedRefs {
			a.set(tab, ref, "0")
		}
		path := a.put(a.site.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for _, ref := range sharedRefs {
				if err := a.refs[ref].Modify(r.Context(), plusOne); err != nil {
					t.Errorf("Modify of %s: %v", ref, err)
				}
			}
		})))
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range times {
					tab.Get(path)
				}
			})
		}
		all.Wait()
		for _, ref := range sharedRefs {
			a.has(tab, ref, strconv.Itoa(callers*times))
		}
	})
}

func TestParallelModifiesOfTwoServersAllCount(t *testing.T) {
	t.Parallel()
	const times = 100
	open := strictKind.keep(t)
	shared := storeKind{keep: func(testing.TB) func() sojourn.Store { return open }}
	servers := []*app{newApp(t, shared), newApp(t, shared)}
	b := servers[0].browser()
	servers[0].connect(b, "anna")
	var all sync.WaitGroup
	for _, a := range servers {
		all.Go(func() {
			for range times {
				if err := a.refs["user!"].ModifyIn(context.Background(), a.site.UserState("anna"), plusOne); err != nil {
					t.Errorf("ModifyIn: %v", err)
				}
				if err := a.refs["site!"].Modify(context.Background(), plusOne); err != nil {
					t.Errorf("Modify: %v", err)
				}
			}
		})
	}
	all.Wait()
	for _, a := range servers {
		if v, err := a.refs["site!"].Get(context.Background()); v != strconv.Itoa(2*times) || err != nil {
			t.Errorf("the site's value is %q, %v, want %d", v, err, 2*times)
		}
	}
	servers[0].has(b, "user!", strconv.Itoa(2*times))
}

// Each caller writes a reference of its own, again and again, in the same
// states: each finds what it wrote.
func TestReferencesDoNotOverwriteOneAnother(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		const callers, times = 4, 10
		var mine [callers]map[string]*sojourn.Ref[int]
		a := newApp(t, kind, withInit(func(a *app) {
			for i := range callers {
				mine[i] = make(map[string]*sojourn.Ref[int])
				for name, scope := range refScopes {
					if name != "request" {
						mine[i][name] = sojourn.NewRef[int](a.site, scope, nil)
						mine[i][name+"!"] = sojourn.NewPersistentRef[int](a.site, scope, fmt.Sprint("own-", i), nil)
					}
				}
			}
		}))
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range sharedRefs {
			a.set(tab, ref, "kept")
		}
		var all sync.WaitGroup
		for i := range callers {
			path := a.put(a.site.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for name, ref := range mine[i] {
					v, err := ref.Get(r.Context())
					if err == nil {
						err = ref.Set(r.Context(), v+1)
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})))
			all.Go(func() {
				for range times {
					tab.Get(path)
				}
			})
		}
		all.Wait()
		for i := range mine {
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
				for name, ref := range mine[i] {
					if v, err := ref.Get(ctx); v != times || err != nil {
						t.Errorf("%s of caller %d is %d, %v, want %d", name, i, v, err, times)
					}
				}
				return nil
			})
		}
		for _, ref := range sharedRefs {
			a.has(tab, ref, "kept")
		}
	})
}

// A write comes in between Modify's read and its write: Modify starts over.
func TestModifySeesWhatWasWrittenMeanwhile(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range sharedRefs {
			r := a.refs[ref]
			for name, meanwhile := range map[string]func(ctx context.Context) error{
				"Set": func(ctx context.Context) error { return r.Set(ctx, "meanwhile") },
				"Modify": func(ctx context.Context) error {
					return r.Modify(ctx, func(string) (string, error) { return "meanwhile", nil })
				},
				"Unset": func(ctx context.Context) error { return r.Unset(ctx) },
			} {
				want := "[before] [meanwhile]"
				if name == "Unset" {
					want = "[before] []"
				}
				a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
					a.must(r.Set(ctx, "before"))
					var saw []string
					a.must(r.Modify(ctx, func(v string) (string, error) {
						saw = append(saw, "["+v+"]")
						if len(saw) == 1 {
							a.must(meanwhile(ctx))
						}
						return v + "+", nil
					}))
					if got := strings.Join(saw, " "); got != want {
						t.Errorf("%s during Modify of %s: it saw %s, want %s", name, ref, got, want)
					}
					v, err := r.Get(ctx)
					if a.must(err); v != strings.Trim(strings.Split(want, " ")[1], "[]")+"+" {
						t.Errorf("%s during Modify of %s leaves %q", name, ref, v)
					}
					return nil
				})
			}
		}
	})
}

// A read of the store that is as old as the write it met is not kept.
func TestReadThatAWriteOvertookIsNotKept(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, ref := range []string{"tab!", "session!", "user!", "site!", "isession!", "itab!", "osession!"} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			tab := a.browser().NewTab()
			a.connect(tab, "anna")
			a.set(tab, ref, "old")
			a.restart() // nothing is known of the value
			a.is(tab, "anna")
			var once atomic.Bool
			f.afterCall(func(_ context.Context, called string) {
				if called == "Value" && !once.Swap(true) {
					a.set(tab, ref, "new") // the read has "old" in its hands
				}
			})
			a.get(tab, ref)
			if !once.Load() {
				t.Error("the store was not asked")
			}
			f.afterCall(nil)
			a.has(tab, ref, "new")
		}
	})
}

// A user's value is written by a server that holds nothing of the user, while
// the user connects and reads it.
func TestWriteFromElsewhereIsSeenByWhoConnectsMeanwhile(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, again := range []bool{false, true} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			st := a.site.UserState("anna")
			a.must(a.refs["user!"].SetIn(t.Context(), st, "old"))
			b := a.browser()
			if again {
				a.connect(b, "anna")
				a.has(b, "user!", "old")
			}
			var once atomic.Bool
			f.onCall(func(_ context.Context, called string) {
				if called == "SetValue" && !once.Swap(true) {
					if again {
						a.disconnect(b)
					}
					a.connect(b, "anna")
					a.has(b, "user!", "old")
				}
			})
			a.must(a.refs["user!"].SetIn(t.Context(), st, "new"))
			f.onCall(nil)
			a.has(b, "user!", "new")
			for _, method := range []string{"Set", "Unset"} {
				want := "newer"
				if method == "Set" {
					a.must(a.refs["user!"].SetIn(t.Context(), st, want))
				} else {
					want = ""
					a.must(a.refs["user!"].UnsetIn(t.Context(), st))
				}
				a.has(b, "user!", want)
			}
		}
	})
}

// A write of unknown outcome is asked for, not guessed.
func TestWriteOfUnknownOutcomeIsNotGuessed(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, effect := range []bool{false, true} {
			for _, ref := range []string{"tab!", "session!", "user!", "site!", "isession!", "itab!", "osession!"} {
				f := new(faults)
				a := newApp(t, kind, f.option())
				tab := a.browser().NewTab()
				a.connect(tab, "anna")
				a.set(tab, ref, "old")
				f.set("SetValue", fault{times: 1, after: effect})
				a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
					wants(t, "Set", a.refs[ref].Set(ctx, "new"), errFault)
					return nil
				})
				want := "old"
				if effect {
					want = "new"
				}
				a.has(tab, ref, want)
				f.set("SetValue", fault{times: 1, after: effect})
				a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
					err := a.refs[ref].Modify(ctx, func(v string) (string, error) { return v + "+", nil })
					wants(t, "Modify", err, errFault)
					return nil
				})
				if effect {
					want += "+"
				}
				a.has(tab, ref, want)
			}
		}
	})
}

// A slow read that began before a write took effect is not remembered once
// another read has found the newer value, though the write is still under way.
func TestSlowReadIsNotRememberedDuringAWrite(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, write := range []string{"SetValue", "DropValues"} {
			f := new(faults)
			a := newApp(t, kind, f.option())
			b := a.browser()
			a.connect(b, "anna")
			a.set(b, "user!", "old")
			st, want := a.site.UserState("anna"), ""

			hasRead, goOn, done := make(chan bool), make(chan bool), make(chan bool)
			var slow, written atomic.Bool
			f.onCall(func(_ context.Context, called string) {
				if called == write && !slow.Load() {
					go func() {
						defer close(done)
						if v, err := a.refs["user!"].GetIn(context.Background(), st); v != "old" || err != nil {
							t.Errorf("%s: the slow read found %q, %v", write, v, err)
						}
					}()
					<-hasRead
				}
			})
			f.afterCall(func(_ context.Context, called string) {
				switch {
				case called == "Value" && !slow.Swap(true):
					hasRead <- true
					<-goOn
				case called == write && !written.Swap(true):
					a.has(b, "user!", want)
					close(goOn)
					<-done
					a.has(b, "user!", want)
				}
			})
			if write == "SetValue" {
				want = "new"
				a.must(a.refs["user!"].SetIn(t.Context(), st, want))
			} else {
				a.must(a.site.Discard(t.Context(), st))
			}
			if !written.Load() {
				t.Errorf("%s was not called", write)
			}
			f.onCall(nil)
			f.afterCall(nil)
			a.has(b, "user!", want)
		}
	})
}

// Readers never see a value that was not there, or an older one than before.
func TestReadsDoNotGoBack(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		const writes = 40
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		refs := []string{"session", "session!", "user!", "tab!"}
		for _, ref := range refs {
			a.set(tab, ref, "0")
		}
		var stop atomic.Bool
		var all sync.WaitGroup
		read := a.put(a.site.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			last := map[string]int{}
			for !stop.Load() {
				for _, ref := range refs {
					v, err := a.refs[ref].Get(r.Context())
					n, aerr := strconv.Atoi(v)
					if err != nil || aerr != nil || n < last[ref] {
						t.Errorf("%s is %q, %v, after %d", ref, v, err, last[ref])
						return
					}
					last[ref] = n
				}
			}
		})))
		write := a.put(a.site.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for range writes {
				for _, ref := range refs {
					if err := a.refs[ref].Modify(r.Context(), plusOne); err != nil {
						t.Errorf("Modify of %s: %v", ref, err)
					}
				}
			}
		})))
		for range 2 {
			all.Go(func() { tab.Get(read) })
		}
		tab.Get(write)
		stop.Store(true)
		all.Wait()
		for _, ref := range refs {
			a.has(tab, ref, strconv.Itoa(writes))
		}
	})
}
