package sojourntest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/sojourn-go/sojourn/protocol"
)

// maxRedirects is how many redirects in a row a browser follows.
const maxRedirects = 20

const userAgent = "Mozilla/5.0 (compatible; sojourntest)"

// outgoing is a request on the client's side: what a hop of redirects changes.
type outgoing struct {
	orig   *http.Request
	method string
	url    *url.URL
	host   string
	header http.Header
	body   []byte
}

// send sends r, from a tab if tab is not nil, and follows redirects.
func (b *Browser) send(r *http.Request, tab *Tab) *Response {
	b.t.Helper()
	out := b.outgoing(r)
	for hop := 0; ; hop++ {
		resp := b.roundTrip(out, tab)
		next := out.redirected(resp)
		b.mu.Lock()
		stay := b.noRedirects
		b.mu.Unlock()
		if next == nil || stay {
			return resp
		}
		if hop == maxRedirects {
			b.t.Errorf("sojourntest: %s %s: more than %d redirects", r.Method, r.URL.Path, maxRedirects)
			return resp
		}
		out = next
	}
}

func (b *Browser) outgoing(r *http.Request) *outgoing {
	b.t.Helper()
	out := &outgoing{orig: r, method: r.Method, header: r.Header.Clone(), host: r.Host}
	if out.method == "" {
		out.method = http.MethodGet
	}
	if out.header == nil {
		out.header = http.Header{}
	}
	u := *r.URL
	if u.Host == "" && r.Host != "" {
		u.Host = r.Host
		u.Scheme = b.base().Scheme
	}
	out.url = b.base().ResolveReference(&u)
	if out.host == "" {
		out.host = out.url.Host
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.t.Fatalf("sojourntest: reading the body of %s %s: %v", r.Method, r.URL.Path, err)
		}
		_ = r.Body.Close()
		out.body = body
	}
	return out
}

// redirected is the request that a browser makes after resp, or nil.
func (out *outgoing) redirected(resp *Response) *outgoing {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	to := resp.Header.Get("Location")
	if to == "" {
		return nil
	}
	ref, err := url.Parse(to)
	if err != nil {
		return nil
	}
	next := *out
	next.url = out.url.ResolveReference(ref)
	if next.url.Host != out.url.Host {
		return nil // the handler is not that host
	}
	next.header = out.header.Clone()
	keep := resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode == http.StatusPermanentRedirect ||
		out.method == http.MethodGet || out.method == http.MethodHead
	if !keep {
		next.method = http.MethodGet
		next.body = nil
		next.header.Del("Content-Type")
		next.header.Del("Content-Length")
	}
	return &next
}

// roundTrip makes one call of the handler.
func (b *Browser) roundTrip(out *outgoing, tab *Tab) *Response {
	b.t.Helper()
	header := out.header.Clone()
	site := fetchHeaders(out, header, tab != nil)
	if tab != nil && header.Get(protocol.TabHeader) == "" {
		if id := tab.ID(); id != "" {
			header.Set(protocol.TabHeader, id)
		}
	}
	mode := header.Get("Sec-Fetch-Mode")
	navigates := isSafe(out.method) && (mode == "navigate" || mode == "" && tab == nil)
	b.addCookies(header, out.url, site, navigates)

	// As with a server, the context is done once the handler has returned.
	ctx, cancel := context.WithCancel(out.orig.Context())
	defer cancel()
	w := newResponseWriter(out.method)
	b.h.ServeHTTP(w, b.incoming(ctx, out, header))
	w.finish()

	sent := &http.Request{Method: out.method, URL: out.url, Host: out.host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	resp := w.response(b.t, sent.WithContext(out.orig.Context()))
	b.keep(out.url, resp.Header)
	if tab != nil {
		if id := resp.Header.Get(protocol.TabHeader); id != "" {
			tab.setID(id)
		}
		tab.load(resp.text)
	}
	return resp
}

// addCookies adds the cookies that a browser sends.
func (b *Browser) addCookies(header http.Header, u *url.URL, site string, navigates bool) {
	b.mu.Lock()
	cookies := b.jar.send(u, site, navigates)
	b.mu.Unlock()
	if own := header.Get("Cookie"); own != "" {
		cookies = append([]string{own}, cookies...)
	}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
}

// incoming is the request as a server hands it to its handler.
func (b *Browser) incoming(ctx context.Context, out *outgoing, header http.Header) *http.Request {
	r := (&http.Request{
		Method: out.method,
		URL: &url.URL{
			Path: out.url.Path, RawPath: out.url.RawPath,
			RawQuery: out.url.RawQuery, ForceQuery: out.url.ForceQuery,
		},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: out.host, RequestURI: out.url.RequestURI(),
		RemoteAddr: b.addr, Body: http.NoBody,
	}).WithContext(ctx)
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if len(out.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(out.body))
		r.ContentLength = int64(len(out.body))
	}
	if out.orig.RemoteAddr != "" {
		r.RemoteAddr = out.orig.RemoteAddr
	}
	if out.url.Scheme == "https" {
		r.TLS = &tls.ConnectionState{
			Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: out.url.Hostname(),
		}
	}
	return r
}

// fetchHeaders adds the headers that a browser adds, and returns where the
// request comes from, in the words of Sec-Fetch-Site.
func fetchHeaders(out *outgoing, h http.Header, fromTab bool) (site string) {
	own := out.url.Scheme + "://" + out.url.Host
	site = h.Get("Sec-Fetch-Site")
	switch {
	case site != "":
	case h.Get("Origin") != "":
		site = siteOf(h.Get("Origin"), out.url)
	case fromTab || !isSafe(out.method):
		site = "same-origin"
	default:
		site = "none"
	}
	if !isSafe(out.method) && h.Get("Origin") == "" {
		if site == "cross-site" || site == "same-site" {
			h.Set("Origin", "null")
		} else {
			h.Set("Origin", own)
		}
	}
	mode, dest, accept := "navigate", "document", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	if fromTab {
		mode, dest, accept = "cors", "empty", "*/*"
	}
	setDefault(h, "User-Agent", userAgent)
	setDefault(h, "Accept", accept)
	// Browsers send these to trustworthy addresses only.
	if out.url.Scheme == "https" || isLoopback(out.url.Hostname()) {
		setDefault(h, "Sec-Fetch-Site", site)
		setDefault(h, "Sec-Fetch-Mode", mode)
		setDefault(h, "Sec-Fetch-Dest", dest)
	}
	return site
}

func setDefault(h http.Header, name, value string) {
	if _, ok := h[name]; !ok {
		h.Set(name, value)
	}
}

// siteOf says how origin is related to u.
func siteOf(origin string, u *url.URL) string {
	o, err := url.Parse(origin)
	switch {
	case err != nil || o.Host == "":
		return "cross-site"
	case o.Scheme == u.Scheme && strings.EqualFold(o.Host, u.Host):
		return "same-origin"
	case o.Scheme == u.Scheme && registrable(o.Hostname()) == registrable(u.Hostname()):
		return "same-site"
	default:
		return "cross-site"
	}
}

// registrable is the part of a host that one owner has, as far as can be told
// without the list of public suffixes: the last two labels.
func registrable(host string) string {
	host = strings.ToLower(host)
	if net.ParseIP(host) != nil {
		return host
	}
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}
