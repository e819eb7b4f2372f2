// Package rpcname knows the names that functions called from the client have.
package rpcname

// Valid reports whether a function may have this name: a path segment of
// letters, digits and - _ . ~.
func Valid(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '_' || c == '~' || c == '.') {
			return false
		}
	}
	return name != "" && name != "." && name != ".."
}
