package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn"
)

// traceSite is the site of a replay: what the application would bring, under
// the control of the scenario.
type traceSite struct {
	*sojourn.Site
	cfg     sojourn.Config
	open    func() sojourn.Store
	handler http.Handler
	refs    map[string]*sojourn.Ref[string]
	labels  []string // of the registrations of the actions

	mu      sync.Mutex
	armed   map[string]string                         // action → the error it answers
	gone    map[sojourn.UserID]bool                   // deleted users
	members map[sojourn.Group]map[sojourn.UserID]bool // who is in a group
	broken  map[sojourn.Group]bool                    // groups that cannot be asked
	stray   []string                                  // what was logged outside of any request
}

func newTraceSite(setup traceSetup, scale func(traceDuration) time.Duration, open func() sojourn.Store) *traceSite {
	s := &traceSite{
		open: open, labels: []string{""},
		armed: map[string]string{}, gone: map[sojourn.UserID]bool{},
		members: map[sojourn.Group]map[sojourn.UserID]bool{}, broken: map[sojourn.Group]bool{},
	}
	s.cfg = sojourn.Config{
		Users:  s.exists,
		Groups: s.member,
		Timeouts: sojourn.Timeouts{
			Idle: scale(setup.Idle), Absolute: scale(setup.Absolute),
			Tab: scale(setup.Tab), Browser: scale(setup.Browser),
		},
		Limits:       sojourn.Limits{SessionsPerUser: setup.SessionsPerUser},
		ErrorHandler: s.failed,
	}
	return s
}

// start opens the store and makes the site, its actions and its references; it
// is called again after a restart.
func (s *traceSite) start() error {
	s.cfg.Store = s.open()
	site, err := sojourn.New(s.cfg)
	if err != nil {
		return err
	}
	s.Site = site
	for _, label := range s.labels {
		s.register(label)
	}
	s.handler = site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		traceRequestOf(r.Context()).outer(w, r)
	}))
	s.refs = map[string]*sojourn.Ref[string]{}
	zero := func() string { return "0" }
	for _, sc := range traceScopes() {
		s.refs[sc.name+".volatile"] = sojourn.NewRef(site, sc.scope, zero)
		if sc.scope != sojourn.RequestScope {
			s.refs[sc.name+".persistent"] = sojourn.NewPersistentRef(site, sc.scope, sc.name, zero)
		}
	}
	return nil
}

type traceScope struct {
	name  string
	scope sojourn.Scope
}

// traceScopes is made once: there is one hierarchy of the name "own".
var traceScopes = sync.OnceValue(func() []traceScope {
	own := sojourn.NewHierarchy("own")
	return []traceScope{
		{"request", sojourn.RequestScope},
		{"tab", sojourn.TabScope},
		{"session", sojourn.SessionScope},
		{"user", sojourn.UserScope},
		{"site", sojourn.SiteScope},
		{"independent-tab", sojourn.UserIndependentTabScope},
		{"independent-session", sojourn.UserIndependentSessionScope},
		{"own-tab", own.Tab()},
		{"own-session", own.Session()},
	}
})

// register registers all ten kinds of action, in the order of the README.
func (s *traceSite) register(label string) {
	withUser := func(name string) func(context.Context, sojourn.UserID) error {
		return func(ctx context.Context, u sojourn.UserID) error {
			return s.act(ctx, name+label, "("+traceUser(u)+")")
		}
	}
	without := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { return s.act(ctx, name+label, "") }
	}
	s.OnStartTab(withUser("start-tab"))
	s.OnStartConnectedTab(withUser("start-connected-tab"))
	s.OnStartUnconnectedTab(without("start-unconnected-tab"))
	s.OnConnectedRequest(withUser("connected-request"))
	s.OnUnconnectedRequest(without("unconnected-request"))
	s.OnOpenSession(withUser("open-session"))
	s.OnPreCloseSession(without("pre-close"))
	s.OnPostCloseSession(without("post-close"))
	s.OnRequest(withUser("request"))
	s.OnDeniedRequest(withUser("denied-request"))
}

func (s *traceSite) act(ctx context.Context, name, user string) error {
	s.log(ctx, name+user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if with, ok := s.armed[name]; ok {
		return traceError("the action "+name, with)
	}
	return nil
}

// log appends to the log of the request that ctx belongs to.
func (s *traceSite) log(ctx context.Context, entry string) {
	if x := traceRequestOf(ctx); x != nil {
		x.log(entry)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stray = append(s.stray, entry)
}

func (s *traceSite) exists(_ context.Context, u sojourn.UserID) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.gone[u], nil
}

func (s *traceSite) member(ctx context.Context, u sojourn.UserID, g sojourn.Group) (bool, error) {
	s.log(ctx, traceAskGroups)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken[g] {
		return false, fmt.Errorf("the group %s is broken", g)
	}
	return s.members[g][u], nil
}

// traceAskGroups is logged once for several calls in a row.
const traceAskGroups = "ask-groups"

// failed is Config.ErrorHandler: it keeps the error for the guard that is
// running. What a guard inside answers must not start the response.
func (s *traceSite) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := traceRequestOf(r.Context())
	if x == nil {
		s.log(r.Context(), fmt.Sprintf("ErrorHandler(%v)", err))
		return
	}
	if x.fail(err) {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// changeMember is the steps join-group and leave-group.
func (s *traceSite) changeMember(g sojourn.Group, u sojourn.UserID, member bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[g] == nil {
		s.members[g] = map[sojourn.UserID]bool{}
	}
	s.members[g][u] = member
}

// takeStray returns what was logged outside of any request since the last call.
func (s *traceSite) takeStray() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	stray := s.stray
	s.stray = nil
	return stray
}

// traceUser and traceUserID translate between users and their names in a file.
func traceUser(u sojourn.UserID) string {
	if u == sojourn.Nobody {
		return "Nobody"
	}
	return string(u)
}

func traceUserID(name string) sojourn.UserID {
	if name == "Nobody" {
		return sojourn.Nobody
	}
	return sojourn.UserID(name)
}

// traceError makes the error that a file asks for by name.
func traceError(who, name string) error {
	switch name {
	case "permission_denied":
		return fmt.Errorf("%s: %w", who, sojourn.ErrPermissionDenied)
	case "not_connected":
		return fmt.Errorf("%s: %w", who, sojourn.ErrNotConnected)
	default:
		return fmt.Errorf("%s failed", who)
	}
}

// traceErrorName is the name of an error in a file, "ok" for nil.
func traceErrorName(err error) string {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return "ok"
	case is(sojourn.ErrPermissionDenied) && is(sojourn.ErrNotConnected):
		return "permission_denied+not_connected"
	case is(sojourn.ErrPermissionDenied):
		return "permission_denied"
	case is(sojourn.ErrNotConnected):
		return "not_connected"
	case is(sojourn.ErrNoSuchUser):
		return "no_such_user"
	case is(sojourn.ErrHeadersSent):
		return "headers_sent"
	case is(sojourn.ErrSessionEnded):
		return "session_ended"
	case is(sojourn.ErrNoRequest):
		return "no_request"
	case is(sojourn.ErrNoSuchSession):
		return "no_such_session"
	default:
		return "error"
	}
}
