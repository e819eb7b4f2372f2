// Package demo is a small web application that shows what sojourn does: who
// is connected from where, and what each kind of state survives. It is written
// to be read: demo.go wires it, every other file is one subject.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/sojourn-go/sojourn"
)

// Options say where a demo keeps its data and who can reach it.
type Options struct {
	// Store keeps the sessions. The App closes it. Default: memory only.
	Store sojourn.Store

	// Accounts is the SQLite file of the users, made if it is missing.
	Accounts string

	// PlainHTTP says that browsers come without TLS, so that cookies cannot be
	// Secure. Default: false.
	PlainHTTP bool

	// Public says that others than this machine can reach the demo: the
	// accounts it comes with then get random passwords. Default: false.
	Public bool

	// StoreName says for people where the sessions are. Default: "memory".
	StoreName string

	// Server names this server of several on one Store; each page shows it.
	// Default: it is the only one.
	Server string

	// Proxies are the addresses of the proxies in front of the demo.
	// Default: none.
	Proxies []netip.Prefix

	// GoPage is the folder of BuildGoPage. Default: the page in Go is missing.
	GoPage string

	// Logger gets what goes wrong. Default: discard.
	Logger *slog.Logger
}

// App is the running demo.
type App struct {
	site     *sojourn.Site
	accounts *accounts
	seeds    []Seed
	told     []Seed // what the sign-in page tells of them
	attempts *attempts
	timeline *timeline
	counters *counters
	tabs     *openTabs
	flashes  *sojourn.Ref[[]flash]
	pages    pages
	log      *slog.Logger
	handler  http.Handler

	plainHTTP bool
	shared    bool // other servers may use the store
	server    server
	storeName string
	proxies   []netip.Prefix
	goPage    string
}

// Open starts the application. Close stops it.
func Open(ctx context.Context, opts Options) (*App, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{
		attempts: newAttempts(), log: opts.Logger, plainHTTP: opts.PlainHTTP, proxies: opts.Proxies, goPage: opts.GoPage,
		shared:    opts.Store != nil && opts.Store.Fresh() != sojourn.Forever,
		server:    server{Name: opts.Server, Colour: colourOf(opts.Server)},
		storeName: cmp.Or(opts.StoreName, "memory"),
	}
	err := a.open(ctx, opts)
	if err != nil {
		if a.site == nil && opts.Store != nil {
			err = errors.Join(err, opts.Store.Close())
		}
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context, opts Options) (err error) {
	if a.pages, err = parsePages(); err != nil {
		return err
	}
	if a.accounts, err = openAccounts(ctx, opts.Accounts); err != nil {
		return err
	}
	a.site, err = sojourn.New(sojourn.Config{
		Store:          opts.Store,
		Users:          a.userExists,
		Groups:         a.accounts.inGroup,
		Cookie:         sojourn.CookieConfig{Insecure: opts.PlainHTTP},
		TrustedProxies: opts.Proxies,
		ErrorHandler:   a.fail,
		Logger:         opts.Logger,
	})
	if err != nil {
		return err
	}
	if a.seeds, err = a.accounts.seed(ctx, opts.Public); err != nil {
		return fmt.Errorf("the accounts in %s: %w", opts.Accounts, err)
	}
	if !opts.Public {
		a.told = a.seeds
	}

	// The demo's own corner of a browser, with a cookie of its own: connecting
	// and disconnecting leave it alone.
	corner := sojourn.NewHierarchy("demo").Session()
	a.flashes = sojourn.NewRef[[]flash](a.site, corner, nil)
	a.timeline = newTimeline(a, corner)
	a.counters = newCounters(a.site, opts.Store == nil)
	a.tabs = newOpenTabs(a)
	a.offerFunctions()

	a.handler = numbered(a.server.Name, a.named(secured(a.tabs.watched(a.site.Middleware(a.checked(a.routes()))))))
	return nil
}

// routes says who may come in where.
func (a *App) routes() http.Handler {
	s := a.site
	mux := http.NewServeMux()

	// Everybody.
	mux.Handle("GET /{$}", s.OptConnected(a.home))
	mux.Handle("GET /counters", s.OptConnected(a.showCounters))
	mux.Handle("POST /counters", s.OptConnected(a.pressCounter))
	mux.Handle("GET /functions", s.OptConnected(a.showFunctions))
	mux.Handle("GET /functions/go", s.OptConnected(a.showGoPage))
	mux.Handle("GET /timeline", s.OptConnected(a.showTimeline))
	mux.Handle("POST /timeline", s.OptConnected(a.recordTimeline))
	mux.Handle("GET /sign-in", s.OptConnected(a.showSignIn))
	mux.Handle("POST /sign-in", s.OptConnected(a.signIn))
	mux.Handle("GET /sign-up", s.OptConnected(a.showSignUp))
	mux.Handle("POST /sign-up", s.OptConnected(a.signUp))
	mux.Handle("POST /sign-out", s.OptConnected(a.signOut))

	// Whoever is connected.
	mux.Handle("GET /sessions", s.Connected(a.showSessions))
	mux.Handle("POST /sessions/end", s.Connected(a.endSession))
	mux.Handle("POST /sign-out/everywhere", s.Connected(a.signOutEverywhere))

	// Connected users, but not the banned.
	mux.Handle("GET /lounge", s.Connected(a.showLounge, sojourn.Deny(banned), sojourn.DenyHandler(a.refuseLounge)))

	// Admins.
	mux.Handle("GET /admin", s.Connected(a.showAdmin, sojourn.Allow(admins)))
	mux.Handle("GET /admin/timeline", s.Connected(a.showAdminTimeline, sojourn.Allow(admins)))
	mux.Handle("POST /admin/ban", s.Connected(a.ban, sojourn.Allow(admins)))
	mux.Handle("POST /admin/sign-out", s.Connected(a.signOutUser, sojourn.Allow(admins)))
	mux.Handle("POST /admin/delete", s.Connected(a.deleteUser, sojourn.Allow(admins)))

	// No guard: nothing fires, no cookie is set.
	mux.HandleFunc("GET /static/{file}", a.serveStatic)
	mux.HandleFunc("GET /functions/go/{file}", a.serveGoPage)
	mux.HandleFunc("/", a.notFound)
	return mux
}

// ServeHTTP answers a request.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Seeds returns the accounts that the demo comes with and whose passwords are
// known.
func (a *App) Seeds() []Seed { return a.seeds }

// Close stops the site, closes its store and the accounts.
func (a *App) Close() error {
	var errs []error
	if a.tabs != nil {
		a.tabs.close()
	}
	if a.site != nil {
		errs = append(errs, a.site.Close())
	}
	if a.accounts != nil {
		errs = append(errs, a.accounts.close())
	}
	return errors.Join(errs...)
}
