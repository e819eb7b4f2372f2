package sojourntest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Host is the host that paths without one are asked of.
const Host = "example.com"

// A Browser has a cookie jar and tabs, and asks one http.Handler. Its own
// requests are plain navigations: they carry no tab's id. It may be used by
// many goroutines at once.
type Browser struct {
	t    testing.TB
	h    http.Handler
	addr string

	mu          sync.Mutex
	jar         jar
	tabs        []*Tab
	insecure    bool
	noRedirects bool
}

var browsers atomic.Uint32

// NewBrowser returns a browser with an empty jar that asks h, over https. Each
// browser of a test has an address of its own in 192.0.2.0/24. What it finds
// wrong with a response fails t. A panic of h is the caller's.
func NewBrowser(t testing.TB, h http.Handler) *Browser {
	return &Browser{t: t, h: h, addr: nextAddr()}
}

func nextAddr() string {
	return fmt.Sprintf("192.0.2.%d:49152", 1+browsers.Add(1)%254)
}

// Insecure makes the browser ask over plain http from now on, for a site with
// CookieConfig.Insecure. It returns b.
func (b *Browser) Insecure() *Browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.insecure = true
	return b
}

// FollowRedirects says whether the browser and its tabs go where a redirect
// points, as long as it stays on the same host; at first they do. It returns b.
func (b *Browser) FollowRedirects(follow bool) *Browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noRedirects = !follow
	return b
}

// NewTab opens a tab: one running client program of this browser. It has no id
// until a response gives it one.
func (b *Browser) NewTab() *Tab {
	b.mu.Lock()
	defer b.mu.Unlock()
	tab := &Tab{b: b}
	b.tabs = append(b.tabs, tab)
	return tab
}

// Get goes to path, as by typing the address. A path may have a query, and may
// be a whole URL.
func (b *Browser) Get(path string) *Response {
	b.t.Helper()
	return b.send(b.request(http.MethodGet, path, "", nil), nil)
}

// Post submits a form of the site's own page.
func (b *Browser) Post(path string, form url.Values) *Response {
	b.t.Helper()
	return b.send(b.form(path, form), nil)
}

// PostJSON posts v as JSON from the site's own page, asking for JSON. It fails
// the test when v has no JSON.
func (b *Browser) PostJSON(path string, v any) *Response {
	b.t.Helper()
	return b.send(b.json(path, v), nil)
}

// Do sends r as a navigation, with the browser's cookies and those that r has.
// What r lacks is filled in: host, address, the headers a browser adds. A
// header that r has is left alone: with an Origin, or with the Sec-Fetch-Site
// "cross-site", the request is one that a page of another site makes, so
// SameSite keeps back the cookies it must.
//
// Two hosts are taken to be of one site if the last two labels are the same.
func (b *Browser) Do(r *http.Request) *Response {
	b.t.Helper()
	return b.send(r, nil)
}

// Cookies returns what the jar holds now, oldest first, with their attributes.
// Expires is when a cookie goes; it is zero for one that goes at Exit.
func (b *Browser) Cookies() []*http.Cookie {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.jar.all()
}

// Cookie returns the cookie of this name, or nil if there is none. If there
// are several, of different paths, it is the one that is sent first.
func (b *Browser) Cookie(name string) *http.Cookie {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.jar.named(name)
}

// SetCookie puts a cookie into the jar without asking whether a browser would
// take it, so that a test can plant a forged one. Path "" means "/"; without a
// Domain it is for Host only. One with the same name, path and domain is
// replaced; a negative MaxAge, or Expires in the past, removes it.
func (b *Browser) SetCookie(c *http.Cookie) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jar.plant(c)
}

// ClearCookies empties the jar. The tabs stay open.
func (b *Browser) ClearCookies() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jar.clear()
}

// Exit closes the browser and starts it again: cookies without Max-Age and
// Expires are gone, and so are its tabs, which means that a Tab used later has
// no id.
func (b *Browser) Exit() {
	b.mu.Lock()
	b.jar.exit()
	tabs := b.tabs
	b.tabs = nil
	b.mu.Unlock()
	for _, tab := range tabs {
		tab.setID("")
	}
}

// Clone returns another browser, at another address, with a copy of this one's
// jar and settings and no tabs: a thief of its cookies.
func (b *Browser) Clone() *Browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Browser{
		t: b.t, h: b.h, addr: nextAddr(),
		jar: b.jar.clone(), insecure: b.insecure, noRedirects: b.noRedirects,
	}
}

// request makes the client's side of a request.
func (b *Browser) request(method, path, contentType string, body []byte) *http.Request {
	b.t.Helper()
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	r, err := http.NewRequest(method, path, rd)
	if err != nil {
		b.t.Fatalf("sojourntest: %v", err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (b *Browser) form(path string, form url.Values) *http.Request {
	b.t.Helper()
	return b.request(http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

func (b *Browser) json(path string, v any) *http.Request {
	b.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		b.t.Fatalf("sojourntest: posting to %s: %v", path, err)
	}
	r := b.request(http.MethodPost, path, "application/json", data)
	r.Header.Set("Accept", "application/json")
	return r
}

// base is the URL against which paths are resolved.
func (b *Browser) base() *url.URL {
	b.mu.Lock()
	defer b.mu.Unlock()
	scheme := "https"
	if b.insecure {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: Host, Path: "/"}
}

// keep puts the cookies of a response into the jar and fails the test for
// those that a browser refuses.
func (b *Browser) keep(u *url.URL, header http.Header) {
	b.t.Helper()
	var refused []string
	b.mu.Lock()
	for _, line := range header["Set-Cookie"] {
		if err := b.jar.set(u, line); err != nil {
			name, _, _ := strings.Cut(line, "=")
			refused = append(refused, fmt.Sprintf("%s %s: a browser drops the cookie %s: %v", u.Scheme, u.Path, name, err))
		}
	}
	b.mu.Unlock()
	for _, why := range refused {
		b.t.Errorf("sojourntest: %s", why)
	}
}
