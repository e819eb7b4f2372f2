package sojourntest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Browsers keep no cookie longer than this, and none that is bigger.
const (
	maxAge  = 400 * 24 * time.Hour
	maxSize = 4096
)

// jar keeps cookies, oldest first, by the rules of RFC 6265bis. The caller
// holds the lock.
type jar struct{ cookies []*stored }

// stored is a cookie with what its attributes come to. Its Expires is when it
// goes, and zero if it goes with the browser.
type stored struct {
	http.Cookie
	domain   string
	hostOnly bool
}

func (c *stored) same(o *stored) bool {
	return c.Name == o.Name && c.Path == o.Path && c.domain == o.domain && c.hostOnly == o.hostOnly
}

// set does what a browser does with a Set-Cookie line of a response from u, or
// says why it drops it.
func (j *jar) set(u *url.URL, line string) error {
	c, err := http.ParseSetCookie(line)
	if err != nil {
		return err
	}
	s := &stored{Cookie: *c, domain: strings.ToLower(u.Hostname()), hostOnly: true}
	if len(c.Name)+len(c.Value) > maxSize {
		return fmt.Errorf("name and value are longer than %d bytes", maxSize)
	}
	if d := strings.ToLower(strings.TrimPrefix(c.Domain, ".")); d != "" {
		if !domainMatch(s.domain, d) {
			return fmt.Errorf("the domain %s is not that of %s", c.Domain, u.Hostname())
		}
		s.domain, s.hostOnly = d, false
	}
	if !strings.HasPrefix(s.Path, "/") {
		s.Path = defaultPath(u.Path)
	}
	if err := checkSecure(u, c); err != nil {
		return err
	}
	if err := checkPrefix(c); err != nil {
		return err
	}
	if u.Scheme != "https" && !c.Secure && j.coversSecure(s) {
		return errors.New("a response over http may not replace a Secure cookie")
	}
	j.put(s)
	return nil
}

func checkSecure(u *url.URL, c *http.Cookie) error {
	if c.Secure && u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return errors.New("a Secure cookie in a response over http")
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		return errors.New("SameSite=None without Secure")
	}
	return nil
}

// checkPrefix holds __Host- and __Secure- to what they promise.
func checkPrefix(c *http.Cookie) error {
	name := strings.ToLower(c.Name)
	switch {
	case strings.HasPrefix(name, "__host-"):
		if !c.Secure {
			return errors.New("__Host- without Secure")
		}
		if c.Path != "/" {
			return errors.New("__Host- without Path=/")
		}
		if c.Domain != "" {
			return errors.New("__Host- with a Domain")
		}
	case strings.HasPrefix(name, "__secure-"):
		if !c.Secure {
			return errors.New("__Secure- without Secure")
		}
	}
	return nil
}

// coversSecure reports whether there is a Secure cookie that s would hide.
func (j *jar) coversSecure(s *stored) bool {
	return slices.ContainsFunc(j.cookies, func(c *stored) bool {
		return c.Secure && c.Name == s.Name && pathMatch(s.Path, c.Path) &&
			(domainMatch(s.domain, c.domain) || domainMatch(c.domain, s.domain))
	})
}

// plant puts a cookie into the jar, whatever it is.
func (j *jar) plant(c *http.Cookie) {
	s := &stored{Cookie: *c, domain: Host, hostOnly: true}
	if c.Domain != "" {
		s.domain, s.hostOnly = strings.ToLower(strings.TrimPrefix(c.Domain, ".")), false
	}
	if s.Path == "" {
		s.Path = "/"
	}
	j.put(s)
}

// put works out when s goes and stores it, in the place of the one it
// replaces; one whose time is over only removes that.
func (j *jar) put(s *stored) {
	now := time.Now()
	switch {
	case s.MaxAge < 0:
		s.Expires = now
	case s.MaxAge > 0:
		// Compared in seconds: a huge Max-Age must not overflow.
		s.Expires = now.Add(time.Duration(min(s.MaxAge, int(maxAge/time.Second))) * time.Second)
	case !s.Expires.IsZero() && s.Expires.After(now.Add(maxAge)):
		s.Expires = now.Add(maxAge)
	}
	i := slices.IndexFunc(j.cookies, s.same)
	switch {
	case s.gone(now) && i >= 0:
		j.cookies = slices.Delete(j.cookies, i, i+1)
	case s.gone(now):
	case i >= 0:
		j.cookies[i] = s
	default:
		j.cookies = append(j.cookies, s)
	}
}

func (c *stored) gone(now time.Time) bool { return !c.Expires.IsZero() && !c.Expires.After(now) }

// sweep drops what has expired.
func (j *jar) sweep() {
	now := time.Now()
	j.cookies = slices.DeleteFunc(j.cookies, func(c *stored) bool { return c.gone(now) })
}

// send returns name=value of each cookie that goes with a request to u, the
// one with the longest path first.
func (j *jar) send(u *url.URL, site string, navigates bool) []string {
	j.sweep()
	var out []*stored
	for _, c := range j.cookies {
		host := strings.ToLower(u.Hostname())
		if c.hostOnly && host != c.domain || !domainMatch(host, c.domain) || !pathMatch(u.Path, c.Path) {
			continue
		}
		if c.Secure && u.Scheme != "https" && !isLoopback(host) {
			continue
		}
		if site == "cross-site" && c.SameSite != http.SameSiteNoneMode &&
			(c.SameSite == http.SameSiteStrictMode || !navigates) {
			continue
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b *stored) int { return len(b.Path) - len(a.Path) })
	pairs := make([]string, len(out))
	for i, c := range out {
		pairs[i] = c.Name + "=" + c.Value
		if c.Quoted {
			pairs[i] = c.Name + `="` + c.Value + `"`
		}
	}
	return pairs
}

func (j *jar) all() []*http.Cookie {
	j.sweep()
	out := make([]*http.Cookie, len(j.cookies))
	for i, c := range j.cookies {
		h := c.Cookie
		out[i] = &h
	}
	return out
}

func (j *jar) named(name string) *http.Cookie {
	var found *http.Cookie
	for _, c := range j.all() {
		if c.Name == name && (found == nil || len(c.Path) > len(found.Path)) {
			found = c
		}
	}
	return found
}

func (j *jar) clear() { j.cookies = nil }

func (j *jar) exit() {
	j.cookies = slices.DeleteFunc(j.cookies, func(c *stored) bool { return c.Expires.IsZero() })
}

// clone shares the cookies, which are never changed once stored.
func (j *jar) clone() jar { return jar{cookies: slices.Clone(j.cookies)} }

func domainMatch(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

func pathMatch(path, cookie string) bool {
	if path == "" {
		path = "/"
	}
	return path == cookie || strings.HasPrefix(path, cookie) &&
		(strings.HasSuffix(cookie, "/") || path[len(cookie)] == '/')
}

// defaultPath is the path of a cookie that names none: the folder of the page.
func defaultPath(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}
