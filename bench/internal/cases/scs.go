package cases

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

// SCS is the App of alexedwards/scs with its memory store.
type SCS struct {
	App
	manager *scs.SessionManager
}

// OpenSCS opens the App. With described, a session also keeps the browser's
// user agent and address, as a list of a user's sessions needs.
func OpenSCS(described bool) *SCS {
	m := scs.New()
	m.Store = memstore.NewWithCleanupInterval(0)
	m.Cookie.Secure = true
	s := &SCS{manager: m}
	s.Name = "scs-memory"
	show := func(w http.ResponseWriter, r *http.Request) { s.Show(w, m.GetString(r.Context(), "user")) }

	s.Handler = m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		switch r.URL.Path {
		case pathGuard, pathCurrent, pathOpt:
			show(w, r)
		case pathGet:
			if n := m.GetInt(ctx, "number"); n != number {
				http.Error(w, fmt.Sprint(n), http.StatusInternalServerError)
				return
			}
			show(w, r)
		case pathSet:
			m.Put(ctx, "number", number)
			show(w, r)
		case pathInside:
			if err := s.Inside(ctx); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		case pathLogin:
			if err := m.RenewToken(ctx); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			m.Put(ctx, "user", r.Header.Get(loginHeader))
			if s.withNumber {
				m.Put(ctx, "number", number)
			}
			if described {
				m.Put(ctx, "agent", r.UserAgent())
				m.Put(ctx, "address", r.RemoteAddr)
			}
			w.Write(ok)
		}
	}))
	return s
}

// endUser looks at every session, which is the way scs offers.
func (s *SCS) endUser(ctx context.Context, user string) error {
	return s.manager.Iterate(ctx, func(ctx context.Context) error {
		if s.manager.GetString(ctx, "user") == user {
			return s.manager.Destroy(ctx)
		}
		return nil
	})
}

// sessions looks for the user's name in what is stored, which is quicker than
// decoding it.
func (s *SCS) sessions(_ context.Context, user string) (int, error) {
	all, err := s.manager.Store.(scs.IterableStore).All()
	n := 0
	for _, data := range all {
		if bytes.Contains(data, []byte(user)) {
			n++
		}
	}
	return n, err
}
