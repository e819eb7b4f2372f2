package cases

import (
	"net/http"

	"github.com/gorilla/sessions"
)

// Gorilla is the App of gorilla/sessions with its cookie store: signed, not
// encrypted, nothing on the server.
type Gorilla struct {
	App
	store *sessions.CookieStore
}

// OpenGorilla opens the App.
func OpenGorilla() *Gorilla {
	g := &Gorilla{store: sessions.NewCookieStore([]byte("a key of 32 bytes, for measuring"))}
	g.Name = "gorilla-cookie"
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := g.store.Get(r, "session")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		switch r.URL.Path {
		case pathGet:
			if session.Values["number"] != number {
				http.Error(w, "wrong number", http.StatusInternalServerError)
				return
			}
		case pathSet:
			session.Values["number"] = number
			err = session.Save(r, w)
		case pathLogin:
			session.Values["user"] = r.Header.Get(loginHeader)
			if g.withNumber {
				session.Values["number"] = number
			}
			err = session.Save(r, w)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if r.URL.Path == pathLogin {
			w.Write(ok)
			return
		}
		user, _ := session.Values["user"].(string)
		g.Show(w, user)
	})
	return g
}
