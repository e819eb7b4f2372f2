// Package sojourn knows who is connected, from which browsers and tabs, and
// keeps typed state for each of them. It carries the sessions of OCaml's
// Ocsigen (Os_session) over to Go and net/http.
//
// # Five lines
//
// A Site is made once. Its Middleware goes outside everything; guards go
// around handlers; Connect and Disconnect are called in them.
//
//	site, err := sojourn.New(sojourn.Config{})                 // in memory, production cookies
//	mux.Handle("GET /me", site.Connected(me))                  // me gets the user; nobody else gets in
//	err = site.Connect(r.Context(), "alice")                   // when the password was right
//	err = site.Disconnect(r.Context())                         // this browser
//	err = http.ListenAndServe(addr, site.Middleware(mux))
//
// with
//
//	func me(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error
//
// The zero Config keeps everything in memory. Config.Store takes a durable
// store, such as the one that package sqlite opens.
//
// # Tab, browser, session, user, site
//
// A tab is one running client: a browser tab, or a native program. A browser
// holds tabs and cookies. A session is one browser from Connect until it ends,
// by Disconnect or otherwise. A user has any number of sessions, on any number
// of browsers. The site is all of it, on every server that shares its store.
//
// A plain navigation that sends no Sojourn-Tab header is a new tab each time.
//
// # Access
//
// [Site.Connected] admits a handler's callers only when a user is connected,
// [Site.OptConnected] calls it with [Nobody] as well, and [Site.Wrap] runs an
// ordinary http.Handler. [ConnectedRPC], [OptConnectedRPC] and
// [ConnectedWrapper] do the same for functions. [Allow] and [Deny] ask
// Config.Groups; [DenyHandler] and [DenyFunc] answer for those who are
// refused. [ForceUnconnected] looks no session up at all.
//
// A handler returns an error instead of writing one. By default
// [ErrNotConnected] becomes 401, [ErrPermissionDenied] 403, a store that cannot
// be asked 503, and anything else 500, with the error in the log only;
// Config.ErrorHandler changes that.
//
// Without a guard nothing fires and no tab starts, but [Site.CurrentUser] and
// references work all the same.
//
// # Actions
//
// Functions registered with [Site.OnRequest], [Site.OnConnectedRequest],
// [Site.OnOpenSession] and the others run at fixed points of a request and of
// a session, in the order in which they were registered. The first that fails
// ends its queue and the request. [Site.OnSessionEnd] is told of every session
// that ends, whatever the reason. The orders are in docs/guarantees.md.
//
// # State
//
// A [Ref] is one typed value per state of its scope. [NewRef] makes a volatile
// one: any Go value, in the memory of this server. [NewPersistentRef] makes
// one that is kept in the store as JSON and shared by every server. How long
// a value lives follows from its scope:
//
//	scope                        one value for                gone after
//	RequestScope                 each HTTP request            the request; also Connect and Disconnect
//	TabScope, SessionScope       each tab, each session       the session: Disconnect, Connect of anybody, …
//	UserScope                    each user                    volatile: the user's last session; persistent: never
//	UserIndependentTabScope,     each tab, each browser,      DisconnectAll, unless KeepUserIndependent
//	UserIndependentSessionScope  whoever is connected
//	SiteScope                    the site                     never
//	NewHierarchy(n).Tab() and    each tab, each browser;      time only
//	.Session()                   a cookie of its own
//
// Time also ends them: see [Timeouts]. Volatile values do not survive a
// restart of the server. Reading stores nothing and sets no cookie.
// [Ref.Modify] is atomic, on every server at once for a persistent reference.
//
// TabScope and SessionScope work for anonymous browsers too; UserScope needs a
// user, and returns [ErrNotConnected] without one. A [State] names one state
// of a scope, so that a program can reach the state of another user, session
// or tab: [Site.UserState], [Site.CurrentState], [Site.SubStates].
//
// # Ends
//
// [Site.Disconnect] ends this browser's session, [Site.EndSession] any one of
// a user's, [Site.DisconnectAll] all of them. Once they return nil the session
// has ended for every request that starts later, on every server, also after
// a crash. A request that was running meanwhile gets [ErrSessionEnded] from
// what it tries to write.
package sojourn
