package sojourn

import "fmt"

// Scope says what a reference belongs to, and so how long its value lives.
// Scopes can be compared. It carries over Eliom's scopes.
type Scope struct {
	level     level
	hierarchy string
}

type level uint8

const (
	noLevel level = iota
	requestLevel
	tabLevel
	sessionLevel
	userLevel
	siteLevel
)

// String names the scope, for messages.
func (s Scope) String() string {
	name := [...]string{"no scope", "request", "tab", "session", "user", "site"}[s.level]
	if s.hierarchy != "" {
		name += " of " + s.hierarchy
	}
	return name
}

// Hierarchy is a set of scopes with a cookie of its own: a session scope and a
// tab scope. Hierarchies can be compared; two of one name are one. It carries
// over Eliom_common.scope_hierarchy.
type Hierarchy struct{ name string }

const (
	anonymousHierarchy   = ""        // of Default: a browser in which nobody is connected
	independentHierarchy = "browser" // of UserIndependent
)

var (
	// Default is the hierarchy that Connect and Disconnect act on.
	Default = Hierarchy{anonymousHierarchy}
	// UserIndependent belongs to the browser whoever is connected. It carries
	// over user_indep_state_hierarchy.
	UserIndependent = Hierarchy{independentHierarchy}
)

// NewHierarchy is a hierarchy with its own cookie, untouched by Connect,
// Disconnect and DisconnectAll. The name becomes part of the cookie's: only
// letters, digits, - and _ will do, and "browser" is taken; it panics
// otherwise.
func NewHierarchy(name string) Hierarchy {
	if !validName(name) || name == independentHierarchy {
		panic(fmt.Sprintf("sojourn: NewHierarchy(%q): a name has letters, digits, - and _ and is not %q", name, independentHierarchy))
	}
	return Hierarchy{name}
}

// Tab is the scope of one tab (Eliom: client process).
func (h Hierarchy) Tab() Scope { return Scope{tabLevel, h.name} }

// Session is the scope of one browser: in Default from Connect to Disconnect
// (Eliom: session).
func (h Hierarchy) Session() Scope { return Scope{sessionLevel, h.name} }

// The scopes that every site has.
var (
	// RequestScope: one HTTP request. Also reset by Connect and Disconnect.
	RequestScope = Scope{level: requestLevel}
	// TabScope: one tab, as long as its session lasts (default_process_scope).
	TabScope = Default.Tab()
	// SessionScope: one browser from Connect to Disconnect, or as long as
	// nobody connects there (default_session_scope).
	SessionScope = Default.Session()
	// UserScope: all sessions of a user (default_group_scope).
	UserScope = Scope{level: userLevel}
	// SiteScope: the whole site (site_scope).
	SiteScope = Scope{level: siteLevel}
	// UserIndependentTabScope: one tab, whoever is connected
	// (user_indep_process_scope).
	UserIndependentTabScope = UserIndependent.Tab()
	// UserIndependentSessionScope: one browser, whoever is connected
	// (user_indep_session_scope).
	UserIndependentSessionScope = UserIndependent.Session()
)
