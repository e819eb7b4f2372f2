package cases

import (
	"context"
	"net/http"
	"time"

	"github.com/swithek/sessionup"
	"github.com/swithek/sessionup/memstore"
)

// Sessionup is the App of swithek/sessionup with its memory store. It keeps
// who is connected, and no values.
type Sessionup struct {
	App
	manager *sessionup.Manager
	store   *memstore.MemStore
}

// OpenSessionup opens the App.
func OpenSessionup() *Sessionup {
	store := memstore.New(0)
	m := sessionup.NewManager(store, sessionup.ExpiresIn(14*24*time.Hour))
	s := &Sessionup{manager: m, store: store}
	s.Name = "sessionup-memory"
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessionup.FromContext(r.Context())
		s.Show(w, session.UserKey)
	})
	guard, opt := m.Auth(show), m.Public(show)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pathGuard:
			guard.ServeHTTP(w, r)
		case pathOpt, pathCurrent:
			opt.ServeHTTP(w, r)
		case pathLogin:
			if err := m.Init(w, r, r.Header.Get(loginHeader)); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Write(ok)
		}
	})
	return s
}

// endUser is RevokeAll as one of the user's requests would call it.
func (s *Sessionup) endUser(ctx context.Context, user string) error {
	ctx = sessionup.NewContext(ctx, sessionup.Session{UserKey: user})
	return s.manager.RevokeAll(ctx, newWriter())
}

func (s *Sessionup) sessions(ctx context.Context, user string) (int, error) {
	list, err := s.store.FetchByUserKey(ctx, user)
	return len(list), err
}
