// Command nethttp is a page with sign-in on net/http alone: a note that stays
// in the browser whoever is signed in, a counter of the user's, the list of the
// user's sessions, and the three ways to end them.
package main

import (
	"html/template"
	"log"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

func main() {
	app, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	defer app.site.Close()
	log.Print("http://localhost:8080, any name with the password opensesame")
	log.Print(http.ListenAndServe("localhost:8080", app.handler()))
}

type app struct {
	site   *sojourn.Site
	note   *sojourn.Ref[string] // of the browser
	visits *sojourn.Ref[int]    // of the user
}

func newApp() (*app, error) {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		return nil, err
	}
	return &app{
		site:   site,
		note:   sojourn.NewPersistentRef(site, sojourn.UserIndependentSessionScope, "note", func() string { return "" }),
		visits: sojourn.NewPersistentRef(site, sojourn.UserScope, "visits", func() int { return 0 }),
	}, nil
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", a.site.OptConnected(a.home))
	mux.Handle("POST /note", a.site.OptConnected(a.keepNote))
	mux.Handle("POST /login", a.site.OptConnected(a.login))
	mux.Handle("POST /logout", a.site.Connected(a.logout))
	mux.Handle("POST /logout-everywhere", a.site.Connected(a.logoutEverywhere))
	mux.Handle("POST /end", a.site.Connected(a.end))
	return a.site.Middleware(mux)
}

func (a *app) home(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	note, err := a.note.Get(r.Context())
	if err != nil {
		return err
	}
	data := struct {
		User     sojourn.UserID
		Note     string
		Visits   int
		Sessions []sojourn.SessionInfo
	}{User: user, Note: note}
	if user != sojourn.Nobody {
		err = a.visits.Modify(r.Context(), func(n int) (int, error) {
			data.Visits = n + 1
			return n + 1, nil
		})
		if err != nil {
			return err
		}
		if data.Sessions, err = a.site.Sessions(r.Context(), user); err != nil {
			return err
		}
	}
	return page.Execute(w, data)
}

func (a *app) keepNote(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.then(w, r, a.note.Set(r.Context(), r.FormValue("note")))
}

func (a *app) login(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	if r.FormValue("password") != "opensesame" { // your own check goes here
		return sojourn.ErrPermissionDenied
	}
	var opts []sojourn.ConnectOption
	if r.FormValue("stay") == "" {
		opts = append(opts, sojourn.ExpireAtBrowserExit())
	}
	return a.then(w, r, a.site.Connect(r.Context(), sojourn.UserID(r.FormValue("name")), opts...))
}

func (a *app) logout(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.then(w, r, a.site.Disconnect(r.Context()))
}

func (a *app) logoutEverywhere(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.then(w, r, a.site.DisconnectAll(r.Context(), sojourn.KeepUserIndependent()))
}

func (a *app) end(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	return a.then(w, r, a.site.EndSession(r.Context(), user, sojourn.SessionID(r.FormValue("id"))))
}

// then goes back to the page, unless there was an error.
func (a *app) then(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	return err
}

var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sojourn with net/http</title>
<form method="post" action="/note">
	<label>A note, kept in this browser <input name="note" value="{{.Note}}"></label> <button>Keep</button>
</form>
{{if .User}}
<p>Hello, {{.User}}. You have seen this page {{.Visits}} times, on all your devices together.</p>
<ul>
{{range .Sessions}}
	<li>{{.UserAgent}}, last seen {{.LastSeen.Format "2006-01-02 15:04"}}{{if .Current}} (this one){{end}}
	<form method="post" action="/end"><button name="id" value="{{.ID}}">End it</button></form>
{{end}}
</ul>
<form method="post" action="/logout"><button>Sign out</button></form>
<form method="post" action="/logout-everywhere"><button>Sign out everywhere</button></form>
{{else}}
<form method="post" action="/login">
	<label>Name <input name="name" required autocomplete="username"></label>
	<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
	<label><input type="checkbox" name="stay"> Keep me signed in</label>
	<button>Sign in</button>
</form>
{{end}}
</html>
`))
