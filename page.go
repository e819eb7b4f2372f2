package sojourn

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/clientjs"
)

// ClientScript is the tag that makes a page a tab of the site, to be put into
// its head: with it the page knows its user and its tab, keeps a live
// connection, and shows and restarts when the connection has changed. It is an
// external module with data attributes and no inline script, so a
// Content-Security-Policy of default-src 'self' does. Use it in a guarded
// page: the tab of an unguarded one is started by its first call.
// Such a page is for one browser only: the response becomes Cache-Control:
// no-store, unless it says something else already. Errors are those of
// CurrentUser. It stands for what Eliom's client program does by itself.
func (s *Site) ClientScript(ctx context.Context) (template.HTML, error) {
	q, err := s.request(ctx)
	if err != nil {
		return "", err
	}
	sess, err := q.current(ctx)
	if err != nil {
		return "", err
	}
	var session Key
	user := Nobody
	if sess != nil {
		session, user = sess.key, sess.user
	}
	tab := rand.Text() // of a tab that the server does not know yet, to tell which live connection is of the one that calls
	q.mu.Lock()
	if q.tab.started {
		tab = q.tab.id
	}
	q.mu.Unlock()
	q.w.edit(func(h http.Header) {
		if h.Get("Cache-Control") == "" {
			h.Set("Cache-Control", "no-store")
		}
	})
	attr := template.HTMLEscapeString
	return template.HTML(fmt.Sprintf(
		`<script type="module" src="%sclient.js?v=%s" data-sojourn="%s" data-user="%s" data-mark="%s" data-tab="%s"></script>`,
		attr(s.path), clientjs.Version, attr(s.path), attr(string(user)), mark(session), attr(tab))), nil
}

// serveScript serves the client, which never changes under its version.
func serveScript(name, kind string, data []byte) http.HandlerFunc {
	tag := strconv.Quote(clientjs.Version)
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		if r.URL.Query().Get("v") == clientjs.Version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	}
}
