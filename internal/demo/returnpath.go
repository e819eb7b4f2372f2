package demo

import (
	"net/url"
	"strings"
)

// returnPath is where to go after signing in: next if it is a path of this
// site, else the home page. Anything that a browser might take for another
// site ("//evil.example", "/\evil.example", "https:…") is home.
func returnPath(next string) string {
	const home = "/"
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || len(next) > 1024 {
		return home
	}
	// Browsers drop tabs and newlines in addresses and read \ as /.
	if strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return home
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return home
	}
	// A POST cannot be repeated by going there.
	for _, p := range []string{"/sign-in", "/sign-up", "/sign-out"} {
		if strings.HasPrefix(u.Path, p) {
			return home
		}
	}
	u.Fragment = ""
	return u.String()
}
