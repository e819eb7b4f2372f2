package sojourntest

import (
	"net/http"
	"net/url"
	"sync"
)

// A Tab is one running client program of a Browser: it sends the id that it
// was given last in the header Sojourn-Tab, and adopts the id that a response
// carries. Its requests are those that a page makes with fetch; the first one
// carries no id, like the navigation that opens a tab. It does not obey
// Sojourn-Restart: ask Response.Restart, and open another tab.
type Tab struct {
	b *Browser

	mu   sync.Mutex
	id   string
	mark *string // of the last page with the tag of Site.ClientScript; nil: there was none
	live []*Live
}

// Browser returns the browser whose tab it is.
func (t *Tab) Browser() *Browser { return t.b }

// ID is the tab's id, or "" as long as no response or page gave it one. Live
// makes one up, as clients do.
func (t *Tab) ID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.id
}

func (t *Tab) setID(id string) {
	t.mu.Lock()
	news := t.id != id
	t.id = id
	live := append([]*Live(nil), t.live...)
	t.mu.Unlock()
	for _, l := range live {
		if news {
			l.again.Add(1)
			l.hello(nil)
		}
	}
}

// Get fetches path. A path may have a query, and may be a whole URL.
func (t *Tab) Get(path string) *Response {
	t.b.t.Helper()
	return t.b.send(t.b.request(http.MethodGet, path, "", nil), t)
}

// Post posts a form.
func (t *Tab) Post(path string, form url.Values) *Response {
	t.b.t.Helper()
	return t.b.send(t.b.form(path, form), t)
}

// PostJSON posts v as JSON and asks for JSON. It fails the test when v has no
// JSON.
func (t *Tab) PostJSON(path string, v any) *Response {
	t.b.t.Helper()
	return t.b.send(t.b.json(path, v), t)
}

// Do sends r from this tab, as Browser.Do does. If r has a Sojourn-Tab header,
// that is sent instead of the tab's own id.
func (t *Tab) Do(r *http.Request) *Response {
	t.b.t.Helper()
	return t.b.send(r, t)
}
