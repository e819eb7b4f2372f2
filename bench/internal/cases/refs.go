package cases

import (
	"context"
	"fmt"

	"github.com/gorilla/sessions"
	"github.com/sojourn-go/sojourn"
)

// RefsInside is reading and writing one int again and again within one
// request: the cost of the operation alone. What scs and gorilla write there
// is a Go map; they save at the end of the request, which RefsPerRequest
// shows.
func RefsInside(dir string) (*Set, error) {
	set, memory, durable, callers, err := openRefs(dir)
	if err != nil {
		return nil, err
	}
	for i, s := range []*Sojourn{memory, durable} {
		by := callers[i][0]
		set.add(
			s.reading(s.Name+"-volatile-get", by, s.volatile),
			s.writing(s.Name+"-volatile-set", by, s.volatile),
			s.reading(s.Name+"-persistent-get", by, s.persistent),
			s.writing(s.Name+"-persistent-set", by, s.persistent),
		)
	}

	other := OpenSCS(false)
	other.withNumber = true
	who, err := other.populate(Population{1, 1})
	if err != nil {
		return nil, closing(set, err)
	}
	set.add(Case{"scs-get", func(c Clock) error {
		return other.inside(who[0], func(ctx context.Context) error {
			for c.Loop() {
				if n := other.manager.GetInt(ctx, "number"); n != number {
					return wrong("scs-get", n, number)
				}
			}
			return nil
		})
	}}, Case{"scs-put", func(c Clock) error {
		return other.inside(who[0], func(ctx context.Context) error {
			n := number
			for c.Loop() {
				n++
				other.manager.Put(ctx, "number", n)
			}
			got := other.manager.GetInt(ctx, "number")
			other.manager.Put(ctx, "number", number)
			if got != n {
				return wrong("scs-put", got, n)
			}
			return nil
		})
	}}, Case{"gorilla-get", func(c Clock) error {
		session := sessions.NewSession(nil, "session")
		session.Values["number"] = number
		for c.Loop() {
			if n, _ := session.Values["number"].(int); n != number {
				return wrong("gorilla-get", n, number)
			}
		}
		return nil
	}})
	return set, nil
}

// RefsPerRequest is a page of a connected user that reads or writes one int,
// beside the same page without: the first Case of a name, "…-page", is what
// the others of that name are compared with.
func RefsPerRequest(dir string) (*Set, error) {
	set, memory, durable, callers, err := openRefs(dir)
	if err != nil {
		return nil, err
	}
	for i, s := range []*Sojourn{memory, durable} {
		for _, page := range []struct{ name, path string }{
			{"page", pathGuard},
			{"volatile-get", pathGet},
			{"volatile-set", pathSet},
			{"persistent-get", pathKeepGet},
			{"persistent-set", pathKeepSet},
		} {
			c, err := s.guardInTabs(s.Name+"-"+page.name, page.path, callers[i])
			if err != nil {
				return nil, closing(set, err)
			}
			set.add(c)
		}
	}
	for _, a := range []*App{&OpenSCS(false).App, &OpenGorilla().App} {
		a.withNumber = true
		who, err := a.populate(Population{sampled, 1})
		if err != nil {
			return nil, closing(set, err)
		}
		set.add(a.page(a.Name+"-page", pathGuard, who, nil),
			a.page(a.Name+"-get", pathGet, who, nil),
			a.page(a.Name+"-set", pathSet, who, nil))
	}
	return set, nil
}

// openRefs opens both Apps of sojourn with a hundred sessions in each of which
// every reference is set.
func openRefs(dir string) (set *Set, memory, durable *Sojourn, callers [2][]caller, err error) {
	set = &Set{}
	if memory, err = OpenSojourn("memory", ""); err != nil {
		return
	}
	set.apps = append(set.apps, &memory.App)
	if durable, err = OpenSojourn("sqlite", dir); err != nil {
		err = closing(set, err)
		return
	}
	set.apps = append(set.apps, &durable.App)
	for i, s := range []*Sojourn{memory, durable} {
		if callers[i], err = s.populate(Population{100, 1}); err != nil {
			err = closing(set, err)
			return
		}
		for _, path := range []string{pathSet, pathKeepSet} {
			c := s.page("", path, callers[i], nil)
			if err = c.Run(&Once{len(callers[i])}); err != nil {
				err = closing(set, err)
				return
			}
		}
	}
	return
}

func (s *Sojourn) reading(name string, by caller, ref *sojourn.Ref[int]) Case {
	return Case{name, func(c Clock) error {
		return s.inside(by, func(ctx context.Context) error {
			for c.Loop() {
				if n, err := ref.Get(ctx); n != number || err != nil {
					return fmt.Errorf("%s: got %d, %v, want %d", name, n, err, number)
				}
			}
			return nil
		})
	}}
}

func (s *Sojourn) writing(name string, by caller, ref *sojourn.Ref[int]) Case {
	return Case{name, func(c Clock) error {
		n := number
		err := s.inside(by, func(ctx context.Context) error {
			for c.Loop() {
				n++
				if err := ref.Set(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return s.inside(by, func(ctx context.Context) error { // another request finds it
			if got, err := ref.Get(ctx); got != n || err != nil {
				return fmt.Errorf("%s: got %d, %v, want %d", name, got, err, n)
			}
			return ref.Set(ctx, number)
		})
	}}
}
