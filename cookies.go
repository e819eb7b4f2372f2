package sojourn

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/internal/cookie"
)

// setCookie adds a cookie that holds a token, unless the response has started;
// keep is in milliseconds: 0 stands for as long as browsers keep cookies, less
// than 0 for until the browser exits.
func (s *Site) setCookie(w *writer, name, tok string, keep int64) bool {
	const most = 400 * 24 * 60 * 60 // browsers keep no cookie longer
	c := s.newCookie(name, tok)
	switch {
	case keep == 0:
		c.MaxAge = most
	case keep > 0:
		c.MaxAge = int(max(1, min(most, (keep+999)/1000)))
	}
	return w.edit(func(h http.Header) { w.putCookie(h, c) })
}

// deleteCookie makes the client forget a cookie that it has sent, or that the
// response brings.
func (q *request) deleteCookie(name string) {
	q.w.edit(func(h http.Header) {
		if cookie.Has(q.r.Header["Cookie"], name) || cookie.Has(h["Set-Cookie"], name) {
			c := q.site.newCookie(name, "")
			c.MaxAge = -1
			q.w.putCookie(h, c)
		}
	})
}

func (s *Site) newCookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/",
		HttpOnly: true, Secure: !s.cfg.Cookie.Insecure, SameSite: s.cfg.Cookie.SameSite,
	}
}

// cookieNames are the names of a site's cookies.
type cookieNames struct {
	session, browser string
	stem             string // of the hierarchies' names
}

func newCookieNames(c *CookieConfig) (cookieNames, error) {
	if c.Name == "" {
		c.Name = "sojourn"
	}
	if !validName(c.Name) {
		return cookieNames{}, fmt.Errorf("sojourn: CookieConfig.Name is %q: only letters, digits, - and _ will do", c.Name)
	}
	switch c.SameSite {
	case 0:
		c.SameSite = http.SameSiteLaxMode
	case http.SameSiteDefaultMode, http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode:
	default:
		return cookieNames{}, fmt.Errorf("sojourn: CookieConfig.SameSite is %d, which is none of http's", c.SameSite)
	}
	if c.SameSite == http.SameSiteNoneMode && c.Insecure {
		return cookieNames{}, errors.New("sojourn: CookieConfig: browsers drop SameSite=None cookies that are not Secure")
	}
	stem := "__Host-" + c.Name
	if c.Insecure {
		stem = c.Name
	}
	return cookieNames{session: stem, browser: stem + "-browser", stem: stem + "-"}, nil
}

// of is the name of the cookie of a hierarchy.
func (n *cookieNames) of(hierarchy string) string {
	switch hierarchy {
	case anonymousHierarchy:
		return n.session
	case independentHierarchy:
		return n.browser
	default:
		return n.stem + hierarchy
	}
}

func validPath(path string) bool {
	names, ok := strings.CutPrefix(path, "/")
	if !ok || !strings.HasSuffix(names, "/") {
		return false
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "/"), "/") {
		if !validName(name) {
			return false
		}
	}
	return true
}
