// Package cookie reads and writes the cookies of a site, strictly.
package cookie

import (
	"net/http"
	"strings"
)

// Find looks for the cookie of a name in Cookie header lines. It answers ""
// unless there is exactly one: a second one of the same name can only be
// somebody else's, so neither is believed.
func Find(lines []string, name string) string {
	value, found := "", false
	for _, line := range lines {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			for part != "" && (part[0] == ' ' || part[0] == '\t') {
				part = part[1:]
			}
			if len(part) > len(name) && part[len(name)] == '=' && part[:len(name)] == name {
				if found {
					return ""
				}
				value, found = strings.TrimRight(part[len(name)+1:], " \t"), true
			}
		}
	}
	return value
}

// Has reports whether any cookie of the name is in the lines.
func Has(lines []string, name string) bool {
	for _, line := range lines {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			n, _, _ := strings.Cut(strings.TrimSpace(part), "=")
			if n == name {
				return true
			}
		}
	}
	return false
}

// Set puts a cookie into a response's header, in place of one of the same name
// that is already there. Who sets a cookie must not be cached by others, so a
// response without Cache-Control becomes no-store.
func Set(h http.Header, c *http.Cookie) {
	prefix := c.Name + "="
	lines := h["Set-Cookie"]
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	h["Set-Cookie"] = append(kept, c.String())
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
}
