package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

func TestReferencesThatCannotBeMeantPanicWhenTheyAreMade(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	_, file, line, _ := runtime.Caller(0)
	place := func(below int) string { return fmt.Sprint(filepath.Base(file), ":", line+below) }
	sojourn.NewPersistentRef[int](a.site, sojourn.SessionScope, "twice", nil)
	second := func() { sojourn.NewPersistentRef[string](a.site, sojourn.SessionScope, "twice", nil) }
	panics(t, "a name used twice", second, "twice", place(2), place(3))
	sojourn.NewPersistentRef[int](a.site, sojourn.TabScope, "twice", nil) // of another scope
	sojourn.NewPersistentRef[int](a.site, sojourn.UserIndependentSessionScope, "twice", nil)
	sojourn.NewPersistentRef[int](a.site, sojourn.NewHierarchy("h").Session(), "twice", nil)
	panics(t, "a name used twice in a hierarchy", func() {
		sojourn.NewPersistentRef[int](a.site, sojourn.NewHierarchy("h").Session(), "twice", nil)
	}, "twice", "session of h")
	panics(t, "a persistent reference of a request", func() { sojourn.NewPersistentRef[int](a.site, sojourn.RequestScope, "x", nil) }, "RequestScope", `"x"`)
	panics(t, "an empty name", func() { sojourn.NewPersistentRef[int](a.site, sojourn.SessionScope, "", nil) }, "name")
	panics(t, "the zero Scope", func() { sojourn.NewRef[int](a.site, sojourn.Scope{}, nil) }, "Scope")
	for _, name := range []string{"", "browser", "a b", "a;b", "é", "a=b", strings.Repeat("x", 65)} {
		panics(t, fmt.Sprintf("the hierarchy %q", name), func() { sojourn.NewHierarchy(name) }, "NewHierarchy")
	}
	one, same, other := sojourn.NewHierarchy("a"), sojourn.NewHierarchy("a"), sojourn.NewHierarchy("b")
	if one != same || one == other {
		t.Error("hierarchies are not those of their names")
	}
}

func TestUnsetReferenceHasItsInitialValue(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		made := 0
		var volatile, persistent *sojourn.Ref[[]string]
		var zero, persistentZero *sojourn.Ref[*int]
		a := newApp(t, kind, withInit(func(a *app) {
			initial := func() []string { made++; return []string{"initial", fmt.Sprint(made)} }
			volatile = sojourn.NewRef(a.site, sojourn.SessionScope, initial)
			persistent = sojourn.NewPersistentRef(a.site, sojourn.SessionScope, "initial", initial)
			zero = sojourn.NewRef[*int](a.site, sojourn.SessionScope, nil)
			persistentZero = sojourn.NewPersistentRef[*int](a.site, sojourn.SessionScope, "zero", nil)
		}))
		b := a.browser()
		a.connect(b, "anna")
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			for _, r := range []*sojourn.Ref[[]string]{volatile, persistent} {
				fresh := func() {
					t.Helper()
					made = 0
					for n := 1; n <= 2; n++ { // each Get makes its own
						v, err := r.Get(ctx)
						if a.must(err); len(v) != 2 || v[1] != fmt.Sprint(n) {
							t.Errorf("Get gives %q", v)
						}
						v[0] = "spoilt"
					}
				}
				fresh()
				a.must(r.Unset(ctx))
				fresh()
				a.must(r.Set(ctx, nil))
				if v, err := r.Get(ctx); v != nil || err != nil {
					t.Errorf("after Set of nil Get gives %q, %v", v, err)
				}
				a.must(r.Unset(ctx))
				fresh()
				a.must(r.Modify(ctx, func(v []string) ([]string, error) { return append(v, "more"), nil }))
				v, err := r.Get(ctx)
				if a.must(err); len(v) != 3 || v[0] != "initial" || v[2] != "more" {
					t.Errorf("after Modify Get gives %q", v)
				}
			}
			for _, r := range []*sojourn.Ref[*int]{zero, persistentZero} {
				if v, err := r.Get(ctx); v != nil || err != nil {
					t.Errorf("without initial Get gives %v, %v", v, err)
				}
			}
			return nil
		})
	})
}

// The value of a reference whose type has changed is an error, until it is set
// anew; nothing overwrites it unasked.
func TestStoredValueOfAnotherTypeIsAnError(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, ref := range []string{"session!", "site!", "tab!"} {
			a := newApp(t, kind)
			tab := a.browser().NewTab()
			a.connect(tab, "anna")
			a.set(tab, ref, "text")
			a.must(a.site.Close())
			site, err := sojourn.New(sojourn.Config{Store: a.open()})
			a.must(err)
			scope := refScopes[strings.TrimSuffix(ref, "!")]
			plain := sojourn.NewPersistentRef[int](site, scope, strings.TrimSuffix(ref, "!"), nil)
			type shared struct{ List []int }
			list := sojourn.NewPersistentRef[shared](site, scope, "list", nil)
			a.running = &running{site: site, store: a.store, h: site.Middleware(http.HandlerFunc(a.page))}
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
				for range 2 {
					_, err := plain.Get(ctx)
					if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(ref, "!")) || !strings.Contains(err.Error(), "int") {
						t.Errorf("Get of %s gives the error %v", ref, err)
					}
					err = plain.Modify(ctx, func(int) (int, error) { t.Error("Modify made something of it"); return 0, nil })
					if err == nil {
						t.Errorf("Modify of %s gives no error", ref)
					}
				}
				a.must(list.Set(ctx, shared{List: []int{1}}))
				return nil
			})
			a.must(site.Close())
			a.start()
			a.has(tab, ref, "text") // it is still there
			a.must(a.site.Close())
			site, err = sojourn.New(sojourn.Config{Store: a.open()})
			a.must(err)
			plain = sojourn.NewPersistentRef[int](site, scope, strings.TrimSuffix(ref, "!"), nil)
			a.running = &running{site: site, store: a.store, h: site.Middleware(http.HandlerFunc(a.page))}
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
				a.must(plain.Set(ctx, 7))
				v, err := plain.Get(ctx)
				if a.must(err); v != 7 {
					t.Errorf("after Set %s is %d", ref, v)
				}
				return nil
			})
		}
	})
}

// plainly is a type that copies share nothing of, and one that they do.
type plainly struct {
	N    int
	S    string
	When time.Time
	A    [3]float64
}

// holds what T can be: what is set is what is got, also after a restart when
// it persists.
func keepsType[T any](t *testing.T, kind storeKind, values ...T) {
	t.Helper()
	name := fmt.Sprintf("%T", *new(T))
	var volatile, persistent *sojourn.Ref[T]
	a := newApp(t, kind, withInit(func(a *app) {
		volatile = sojourn.NewRef[T](a.site, sojourn.SessionScope, nil)
		persistent = sojourn.NewPersistentRef[T](a.site, sojourn.SessionScope, "value", nil)
	}))
	b := a.browser()
	a.connect(b, "anna")
	same := func(r *sojourn.Ref[T], want T) {
		t.Helper()
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			for range 2 {
				got, err := r.Get(ctx)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("of type %s Get gives %#v, %v, want %#v", name, got, err, want)
				}
			}
			return nil
		})
	}
	for _, v := range values {
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			a.must(volatile.Set(ctx, v))
			a.must(persistent.Set(ctx, v))
			return nil
		})
		same(volatile, v)
		same(persistent, v)
		a.restart()
		same(volatile, *new(T))
		same(persistent, v)
	}
}

func TestReferencesOfManyTypes(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		n := 7
		keepsType(t, kind, 0, 1, -1, math.MaxInt)
		keepsType(t, kind, "", "text", "\x00 \u2028 <b>&")
		keepsType(t, kind, true, false)
		keepsType(t, kind, 0.1, math.MaxFloat64)
		keepsType(t, kind, []string{}, []string{"a"}, nil)
		keepsType(t, kind, map[string]int{}, map[string]int{"a": 1}, nil)
		keepsType(t, kind, &n, nil)
		keepsType(t, kind, plainly{}, plainly{N: 1, S: "s", When: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), A: [3]float64{1, 2, 3}})
		keepsType[any](t, kind, nil, "text", true, 1.5)
		keepsType(t, kind, []byte{}, []byte("x"), nil)
	})
}

// A volatile reference of an interface holds any value, also none.
func TestVolatileReferenceHoldsAnyValue(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	ref := sojourn.NewRef(a.site, sojourn.SessionScope, func() error { return errFault })
	function := sojourn.NewRef[func() int](a.site, sojourn.SessionScope, nil)
	b := a.browser()
	a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
		v, err := ref.Get(ctx)
		if a.must(err); v != errFault {
			t.Errorf("the initial value is %v", v)
		}
		for _, want := range []error{fs.ErrExist, nil, &fs.PathError{Op: "x"}, (*fs.PathError)(nil)} {
			a.must(ref.Set(ctx, want))
			if v, err = ref.Get(ctx); v != want || err != nil {
				t.Errorf("Get gives %v, %v, want %v", v, err, want)
			}
			a.must(ref.Modify(ctx, func(v error) (error, error) {
				if v != want {
					t.Errorf("Modify is given %v, want %v", v, want)
				}
				return v, nil
			}))
		}
		a.must(function.Set(ctx, func() int { return 42 }))
		f, err := function.Get(ctx)
		if a.must(err); f() != 42 {
			t.Error("the function is another one")
		}
		return nil
	})
}

// What two readers of a persistent reference get is theirs: not so of a
// volatile one.
func TestPersistentValuesAreCopies(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		volatile := sojourn.NewRef[map[string]int](a.site, sojourn.SessionScope, nil)
		persistent := sojourn.NewPersistentRef[map[string]int](a.site, sojourn.SessionScope, "map", nil)
		b := a.browser()
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			for _, r := range []*sojourn.Ref[map[string]int]{volatile, persistent} {
				m := map[string]int{"a": 1}
				a.must(r.Set(ctx, m))
				m["a"] = 2
				got, err := r.Get(ctx)
				a.must(err)
				got["b"] = 3
				again, err := r.Get(ctx)
				a.must(err)
				want := map[string]int{"a": 1}
				if r == volatile {
					want = map[string]int{"a": 2, "b": 3}
				}
				if !reflect.DeepEqual(again, want) {
					t.Errorf("Get gives %v, want %v", again, want)
				}
				stop := errors.New("stop")
				wants(t, "Modify", r.Modify(ctx, func(m map[string]int) (map[string]int, error) { return map[string]int{"c": 4}, stop }), stop)
				again, err = r.Get(ctx)
				if a.must(err); !reflect.DeepEqual(again, want) {
					t.Errorf("after a Modify that failed Get gives %v, want %v", again, want)
				}
			}
			return nil
		})
	})
}

func TestValueWithoutJSONIsNotStored(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		ref := sojourn.NewPersistentRef[any](a.site, sojourn.SessionScope, "any", nil)
		number := sojourn.NewPersistentRef[float64](a.site, sojourn.SessionScope, "number", nil)
		b := a.browser()
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			a.must(ref.Set(ctx, "kept"))
			a.must(number.Set(ctx, 1.5))
			for _, v := range []any{func() {}, make(chan int), math.NaN()} {
				if err := ref.Set(ctx, v); err == nil || !strings.Contains(err.Error(), "any") {
					t.Errorf("Set of a %T: %v", v, err)
				}
			}
			if err := number.Set(ctx, math.Inf(1)); err == nil {
				t.Error("Set of an infinite number gives no error")
			}
			v, err := ref.Get(ctx)
			if a.must(err); v != "kept" {
				t.Errorf("the value is %v", v)
			}
			n, err := number.Get(ctx)
			if a.must(err); n != 1.5 {
				t.Errorf("the number is %v", n)
			}
			return nil
		})
	})
}

func TestPanicInModifyHoldsNoLock(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		for _, ref := range sharedRefs {
			a.set(tab, ref, "kept")
			a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
				defer func() { recover() }()
				return a.refs[ref].Modify(ctx, func(string) (string, error) { panic("f") })
			})
			a.has(tab, ref, "kept")
			a.set(tab, ref, "again")
			a.has(tab, ref, "again")
		}
	})
}

// Modify of another reference inside Modify is no deadlock.
func TestModifyMayUseOtherReferences(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	tab := a.browser().NewTab()
	a.connect(tab, "anna")
	a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
		return a.refs["session"].Modify(ctx, func(string) (string, error) {
			for _, ref := range sharedRefs {
				if ref == "session" {
					continue
				}
				a.must(a.refs[ref].Modify(ctx, plusOne))
			}
			return a.refs["session"].Get(ctx)
		})
	})
	a.has(tab, "session!", "1")
}

func TestRequestReferencesLastForOneRequest(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	for name, reset := range map[string]func(ctx context.Context) error{
		"nothing":       func(context.Context) error { return nil },
		"Connect":       func(ctx context.Context) error { return a.site.Connect(ctx, "anna") },
		"Disconnect":    func(ctx context.Context) error { return a.site.Disconnect(ctx) },
		"DisconnectAll": func(ctx context.Context) error { return a.site.DisconnectAll(ctx) },
	} {
		a.connect(b, "anna")
		a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			r := a.refs["request"]
			v, err := r.Get(ctx)
			if a.must(err); v != "" {
				t.Errorf("a new request begins with %q", v)
			}
			a.must(r.Set(ctx, "x"))
			a.must(reset(ctx))
			want := ""
			if name == "nothing" {
				want = "x"
			}
			v, err = r.Get(ctx)
			if a.must(err); v != want {
				t.Errorf("after %s the value is %q, want %q", name, v, want)
			}
			return nil
		})
	}
	if _, err := a.refs["request"].Get(t.Context()); !errors.Is(err, sojourn.ErrNoRequest) {
		t.Errorf("outside of a request: %v", err)
	}
}
