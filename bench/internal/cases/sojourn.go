package cases

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sqlite"
)

// Sojourn is the App of this project.
type Sojourn struct {
	App
	Site  *sojourn.Site
	Store sojourn.Store // nil for memory

	volatile   *sojourn.Ref[int]
	persistent *sojourn.Ref[int]
}

// OpenSojourn opens the App with sessions in memory, or in a new SQLite file
// in dir.
func OpenSojourn(store, dir string) (*Sojourn, error) {
	switch store {
	case "memory":
		return openSojourn("sojourn-memory", nil)
	case "sqlite":
		file, err := sqlite.Open(filepath.Join(dir, "sojourn.db"))
		if err != nil {
			return nil, err
		}
		return openSojourn("sojourn-sqlite", file)
	default:
		return nil, fmt.Errorf("no store %q", store)
	}
}

func openSojourn(name string, store sojourn.Store) (*Sojourn, error) {
	site, err := sojourn.New(sojourn.Config{Store: store})
	if err != nil {
		return nil, err
	}
	s := &Sojourn{Site: site, Store: store}
	s.Name = name
	s.close = site.Close
	s.volatile = sojourn.NewRef[int](site, sojourn.SessionScope, nil)
	s.persistent = sojourn.NewPersistentRef[int](site, sojourn.SessionScope, "number", nil)

	show := func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		s.Show(w, string(user))
		return nil
	}
	guard, opt := site.Connected(show), site.OptConnected(show)
	reading := func(ref *sojourn.Ref[int]) http.Handler {
		return site.Connected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			n, err := ref.Get(r.Context())
			if err != nil || n != number {
				return fmt.Errorf("read %d, want %d: %v", n, number, err)
			}
			return show(w, r, user)
		})
	}
	writing := func(ref *sojourn.Ref[int]) http.Handler {
		return site.Connected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			if err := ref.Set(r.Context(), number); err != nil {
				return err
			}
			return show(w, r, user)
		})
	}
	get, set := reading(s.volatile), writing(s.volatile)
	keepGet, keepSet := reading(s.persistent), writing(s.persistent)
	inside := site.Connected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		return s.Inside(r.Context())
	})

	peek := site.OptConnected(func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
		for _, ref := range []*sojourn.Ref[int]{s.volatile, s.persistent} {
			if n, err := ref.Get(r.Context()); n != 0 || err != nil || user != sojourn.Nobody {
				return fmt.Errorf("nobody read %d as %q: %v", n, user, err)
			}
		}
		w.Write(ok)
		return nil
	})

	others := functions(site)
	s.Handler = site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pathGuard:
			guard.ServeHTTP(w, r)
		case pathOpt:
			opt.ServeHTTP(w, r)
		case pathCurrent:
			user, err := site.CurrentUser(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			s.Show(w, string(user))
		case pathGet:
			get.ServeHTTP(w, r)
		case pathSet:
			set.ServeHTTP(w, r)
		case pathKeepGet:
			keepGet.ServeHTTP(w, r)
		case pathKeepSet:
			keepSet.ServeHTTP(w, r)
		case pathPeek:
			peek.ServeHTTP(w, r)
		case pathInside:
			inside.ServeHTTP(w, r)
		case pathLogin:
			if err := site.Connect(r.Context(), sojourn.UserID(r.Header.Get(loginHeader))); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Write(ok)
		default:
			others.ServeHTTP(w, r)
		}
	}))
	return s, nil
}

// number is what values hold when they are read.
const number = 123456

// tab is the header of a tab of the caller that has been started already.
func (s *Sojourn) tab(by caller) (http.Header, error) {
	s.Show = func(w http.ResponseWriter, user string) { w.Write(ok) }
	w := newWriter()
	s.Handler.ServeHTTP(w, by.request(pathGuard))
	id := w.header.Get(protocol.TabHeader)
	if id == "" {
		return nil, fmt.Errorf("%s: no %s in the response, status %d", s.Name, protocol.TabHeader, w.status)
	}
	return http.Header{protocol.TabHeader: {id}}, nil
}

// guardInTabs is the Case of a guarded page asked for by a running tab of each
// caller.
func (s *Sojourn) guardInTabs(name, path string, callers []caller) (Case, error) {
	requests := make([]*http.Request, len(callers))
	users := make([]string, len(callers))
	for i, c := range callers {
		tab, err := s.tab(c)
		if err != nil {
			return Case{}, err
		}
		requests[i], users[i] = c.request(path), c.user
		for k, v := range tab {
			requests[i].Header[k] = v
		}
	}
	return Case{name, func(c Clock) error {
		if err := s.serve(c, requests, users); err != nil {
			return err
		}
		// The tab was known: a response tells an id only to a tab that starts.
		w := newWriter()
		s.Handler.ServeHTTP(w, requests[0].Clone(context.Background()))
		if got := w.header.Get(protocol.TabHeader); got != "" {
			return wrong(s.Name+": a running tab was started again", got, "no id")
		}
		return nil
	}}, nil
}

// endUser ends all sessions of a user.
func (s *Sojourn) endUser(ctx context.Context, user string) error {
	return s.Site.DisconnectAll(ctx, sojourn.OfUser(sojourn.UserID(user)))
}

// sessions counts a user's sessions.
func (s *Sojourn) sessions(ctx context.Context, user string) (int, error) {
	list, err := s.Site.Sessions(ctx, sojourn.UserID(user))
	return len(list), err
}
