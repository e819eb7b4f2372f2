package browsertest

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"sync"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/rpc"
)

//go:embed testdata
var testdata embed.FS

var pageTemplate = template.Must(template.ParseFS(testdata, "testdata/page.html"))

// app is the application that the tests look at: a page that says who is
// connected, forms to sign in and out, a few functions.
type app struct {
	site    *sojourn.Site
	mux     *http.ServeMux
	handler http.Handler
	release chan struct{} // lets /login-slowly answer
	closing func()
}

func newApp(store sojourn.Store) (*app, error) {
	site, err := sojourn.New(sojourn.Config{Store: store})
	if err != nil {
		return nil, err
	}
	a := &app{site: site, mux: http.NewServeMux(), release: make(chan struct{})}
	a.closing = sync.OnceFunc(func() { close(a.release) })
	for _, name := range []string{"page.js", "page.css", "icon.svg"} {
		a.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, testdata, "testdata/"+name)
		})
	}
	a.mux.Handle("GET /{$}", site.OptConnected(a.page))
	a.mux.Handle("GET /other", site.OptConnected(a.page))
	a.mux.Handle("GET /connects", site.OptConnected(a.connects))
	a.mux.HandleFunc("POST /login", a.login)
	a.mux.HandleFunc("POST /login-slowly", a.loginSlowly)
	a.mux.HandleFunc("POST /logout", a.logout)
	a.handler = strict(site.Middleware(a.mux))
	a.functions()
	return a, nil
}

// strict is the policy of a site that lets nothing in but its own files.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		next.ServeHTTP(w, r)
	})
}

func (a *app) page(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	client, err := a.site.ClientScript(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return pageTemplate.Execute(w, struct {
		Title  string
		User   sojourn.UserID
		Client template.HTML
	}{r.URL.Path, user, client})
}

// connects makes every visit a new session, as a sign-in page does that
// answers with the page itself.
func (a *app) connects(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	if err := a.site.Connect(r.Context(), "alice"); err != nil {
		return err
	}
	return a.page(w, r, "alice")
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	if err := a.site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) loginSlowly(w http.ResponseWriter, r *http.Request) {
	if err := a.site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	<-a.release
	http.Redirect(w, r, "/other", http.StatusSeeOther)
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	if err := a.site.Disconnect(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

type order struct {
	Title string `json:"title"`
}

var errSoldOut = errors.New("the application's own secret")

// functions are those that pages call.
func (a *app) functions() {
	type none = struct{}
	s := a.site
	sojourn.HandleRPC(s, rpc.Define[none, sojourn.UserID]("whoami"),
		sojourn.ConnectedRPC(s, func(_ context.Context, user sojourn.UserID, _ none) (sojourn.UserID, error) {
			return user, nil
		}))
	sojourn.HandleRPC(s, rpc.Define[order, order]("order"),
		sojourn.ConnectedRPC(s, func(ctx context.Context, user sojourn.UserID, o order) (order, error) {
			if o.Title == "" {
				return o, errSoldOut
			}
			return o, s.Notify(ctx, s.UserState(user), "order", o)
		}))
	sojourn.HandleRPC(s, rpc.Define[none, none]("admin"),
		sojourn.ConnectedWrapper(s, func(context.Context, none) (none, error) { return none{}, nil }, sojourn.Allow("admins")))
	sojourn.HandleRPC(s, rpc.Define[none, []sojourn.SessionInfo]("sessions"),
		sojourn.ConnectedRPC(s, func(ctx context.Context, user sojourn.UserID, _ none) ([]sojourn.SessionInfo, error) {
			return s.Sessions(ctx, user)
		}))
	sojourn.HandleRPC(s, rpc.Define[sojourn.SessionID, none]("sessions.end"),
		sojourn.ConnectedRPC(s, func(ctx context.Context, user sojourn.UserID, id sojourn.SessionID) (none, error) {
			return none{}, s.EndSession(ctx, user, id)
		}))
}
