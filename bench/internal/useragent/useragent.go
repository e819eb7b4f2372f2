// Package useragent stands in for the module of the same name that sessionup
// needs: its domain does not serve it any more, so a build of sessionup fails
// without a replacement. sessionup asks it once, when a session is made, and
// keeps two short names; this package gives it the same two for every browser,
// so what is measured of sessionup stays what it is.
package useragent

// UserAgent is the part of a parsed user agent that sessionup reads.
type UserAgent struct {
	OS   string
	Name string
}

// Parse returns the names of one common system and browser, or nil for an
// empty header.
func Parse(header string) *UserAgent {
	if header == "" {
		return nil
	}
	return &UserAgent{OS: "Linux", Name: "Firefox"}
}
