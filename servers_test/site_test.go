//go:build unix

package serverstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/redis"
)

// envSite is a siteConfig for a child process.
const envSite = "SOJOURN_TEST_SITE"

// siteConfig is what a server process is told.
type siteConfig struct {
	Engine    string // URL
	Name      string // prefix or schema
	Staleness time.Duration
	Timeout   time.Duration
	Limit     int
	Broken    string // what is wrong with the store on purpose: see brokenStore
}

// open opens the store of a site.
func (c siteConfig) open(ctx context.Context) (sojourn.Store, error) {
	var store sojourn.Store
	var err error
	if strings.HasPrefix(c.Engine, "redis:") {
		opts := []redis.Option{redis.Prefix(c.Name), redis.Timeout(c.Timeout), redis.Logger(nil)}
		if c.Staleness > 0 {
			opts = append(opts, redis.MaxStaleness(c.Staleness))
		}
		store, err = redis.Open(ctx, c.Engine, opts...)
	} else {
		opts := []postgres.Option{postgres.Schema(c.Name), postgres.Timeout(c.Timeout), postgres.MaxConns(8)}
		if c.Staleness > 0 {
			opts = append(opts, postgres.MaxStaleness(c.Staleness))
		}
		store, err = postgres.Open(ctx, c.Engine, opts...)
	}
	if err != nil {
		return nil, err
	}
	if c.Broken != "" {
		store = &brokenStore{Store: store, how: c.Broken}
	}
	return store, nil
}

// serveSite serves the site until its standard input ends, as it does when the
// test is no more. It says on its standard output where it listens.
func serveSite(text string) {
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
	}
	var c siteConfig
	fatal(json.Unmarshal([]byte(text), &c))
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var store sojourn.Store
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		if store, err = c.open(context.Background()); err == nil {
			break
		}
	}
	fatal(err)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("SOJOURN_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	site, err := sojourn.New(sojourn.Config{
		Store: store, Logger: log,
		Cookie: sojourn.CookieConfig{Insecure: true},
		Limits: sojourn.Limits{SessionsPerUser: c.Limit},
	})
	fatal(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	h := newPages(site)
	fmt.Println(l.Addr())
	fatal(http.Serve(l, h))
}

// newPages are the pages of a server.
func newPages(s *sojourn.Site) http.Handler {
	var (
		value    = sojourn.NewPersistentRef[int](s, sojourn.UserScope, "value", nil)
		volatile = sojourn.NewRef[string](s, sojourn.UserScope, nil)
		session  = sojourn.NewRef[string](s, sojourn.SessionScope, nil)
		opened   sync.Map // user -> *atomic.Int64
	)
	s.OnOpenSession(func(_ context.Context, user sojourn.UserID) error {
		n, _ := opened.LoadOrStore(user, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return nil
	})
	mux := http.NewServeMux()
	user := func(r *http.Request) sojourn.UserID { return sojourn.UserID(r.FormValue("user")) }
	// plain is a page without a guard; it answers errors itself.
	plain := func(path string, f func(w http.ResponseWriter, r *http.Request) error) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			switch err := f(w, r); {
			case err == nil:
			case errors.Is(err, sojourn.ErrUnavailable):
				w.Header().Set("Retry-After", "1")
				http.Error(w, "away", http.StatusServiceUnavailable)
			case errors.Is(err, sojourn.ErrSessionEnded), errors.Is(err, sojourn.ErrNotConnected):
				http.Error(w, err.Error(), http.StatusUnauthorized)
			default:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	// connected is a page for a connected user.
	connected := func(path string, f func(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error) {
		mux.Handle(path, s.Connected(f))
	}
	plain("POST /connect", func(_ http.ResponseWriter, r *http.Request) error { return s.Connect(r.Context(), user(r)) })
	plain("POST /end", func(_ http.ResponseWriter, r *http.Request) error { return s.Disconnect(r.Context()) })
	plain("POST /end-all", func(_ http.ResponseWriter, r *http.Request) error {
		return s.DisconnectAll(r.Context(), sojourn.OfUser(user(r)))
	})
	plain("POST /revoke", func(_ http.ResponseWriter, r *http.Request) error {
		list, err := s.Sessions(r.Context(), user(r))
		for i := range list {
			err = errors.Join(err, s.EndSession(r.Context(), user(r), list[i].ID))
		}
		return err
	})
	plain("POST /notify", func(_ http.ResponseWriter, r *http.Request) error {
		return s.Notify(r.Context(), s.UserState(user(r)), "told", r.FormValue("value"))
	})
	plain("GET /sessions", func(w http.ResponseWriter, r *http.Request) error {
		list, err := s.Sessions(r.Context(), user(r))
		if err == nil {
			fmt.Fprint(w, len(list))
		}
		return err
	})
	plain("GET /opened", func(w http.ResponseWriter, r *http.Request) error {
		n, ok := opened.Load(user(r))
		if !ok {
			n = new(atomic.Int64)
		}
		_, err := fmt.Fprint(w, n.(*atomic.Int64).Load())
		return err
	})
	plain("GET /plain", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "plain")
		return err
	})
	mux.Handle("GET /open", s.OptConnected(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := fmt.Fprintf(w, "%q", user)
		return err
	}))
	connected("GET /whoami", func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		_, err := io.WriteString(w, string(user))
		return err
	})
	connected("GET /get", func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		v, err := value.Get(r.Context())
		if err == nil {
			fmt.Fprint(w, v)
		}
		return err
	})
	connected("POST /set", func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		v, err := strconv.Atoi(r.FormValue("value"))
		return errors.Join(err, value.Set(r.Context(), v))
	})
	connected("POST /modify", func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		v, err := strconv.Atoi(r.FormValue("value"))
		if err != nil {
			return err
		}
		var old int
		err = value.Modify(r.Context(), func(was int) (int, error) {
			old = was
			return v, nil
		})
		if err == nil {
			fmt.Fprint(w, old)
		}
		return err
	})
	for name, ref := range map[string]*sojourn.Ref[string]{"volatile-user": volatile, "volatile-session": session} {
		connected("GET /"+name, func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
			v, err := ref.Get(r.Context())
			io.WriteString(w, v)
			return err
		})
		connected("POST /"+name, func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
			return ref.Set(r.Context(), r.FormValue("value"))
		})
	}
	return s.Middleware(mux)
}

// brokenStore has a fault that the tests of this package have to find.
type brokenStore struct {
	sojourn.Store
	how  string
	seen sync.Map // Key -> StoredSession
}

// What is wrong with a brokenStore.
const (
	staleReads  = "a session that was found once is found for some time"
	lostUpdates = "a version is not looked at"
	lateGuard   = "a write does not ask for its session"
)

func (b *brokenStore) Session(ctx context.Context, key sojourn.Key) (sojourn.StoredSession, error) {
	if b.how != staleReads {
		return b.Store.Session(ctx, key)
	}
	type found struct {
		sojourn.StoredSession
		until time.Time
	}
	if old, ok := b.seen.Load(key); ok && time.Now().Before(old.(found).until) {
		return old.(found).StoredSession, nil
	}
	s, err := b.Store.Session(ctx, key)
	if err == nil {
		b.seen.Store(key, found{s, time.Now().Add(100 * time.Millisecond)})
	}
	return s, err
}

func (b *brokenStore) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (int64, error) {
	switch b.how {
	case lostUpdates:
		w.Version = sojourn.AnyVersion
	case lateGuard:
		w.Session = sojourn.Key{}
	}
	return b.Store.SetValue(ctx, key, w)
}
