package sojourn_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/sojourn-go/sojourn"
)

// traceRequest is one request of a replay: its log, its guards and what its
// operations answered. One goroutine uses it at a time.
type traceRequest struct {
	site    *traceSite
	step    *traceStep
	entries []string
	guards  []*traceGuardRun // those that are running, the outer one first
	guarded bool             // a guard ran: the response gives a tab its id
	result  string           // how the outer guard ended
	checks  traceChecks

	holding chan struct{} // the request has come to a hold
	release chan struct{} // it may go on
	done    chan struct{} // it has ended
}

// traceGuardRun is one run of a guard, and how it ended.
type traceGuardRun struct {
	err    error
	denied bool // the deny function answered
}

func (g *traceGuardRun) result() string {
	if g.err == nil && g.denied {
		return "denied"
	}
	return traceErrorName(g.err)
}

type traceKey struct{}

func traceRequestOf(ctx context.Context) *traceRequest {
	x, _ := ctx.Value(traceKey{}).(*traceRequest)
	return x
}

func newTraceRequest(site *traceSite, step *traceStep) *traceRequest {
	return &traceRequest{
		site: site, step: step,
		holding: make(chan struct{}), release: make(chan struct{}), done: make(chan struct{}),
	}
}

func (x *traceRequest) log(entry string) {
	if entry == traceAskGroups && len(x.entries) > 0 && x.entries[len(x.entries)-1] == entry {
		return
	}
	x.entries = append(x.entries, entry)
}

// fail keeps the error of the guard that is running, and reports whether that
// is the outer one.
func (x *traceRequest) fail(err error) bool {
	if len(x.guards) == 0 {
		x.result = traceErrorName(err)
		return true
	}
	x.guards[len(x.guards)-1].err = err
	return len(x.guards) == 1
}

// serve sends the request through the site and keeps a panic as what it is: a
// disagreement.
func (x *traceRequest) serve(w http.ResponseWriter, r *http.Request) {
	defer close(x.done)
	defer func() {
		if p := recover(); p != nil {
			x.checks.compare("the request", "no panic", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	x.site.handler.ServeHTTP(w, r)
}

// outer is the handler under Middleware.
func (x *traceRequest) outer(w http.ResponseWriter, r *http.Request) {
	x.result = x.guard(w, r, x.step.Guard, x.step.Do)
}

// guard calls a handler that does do, through the guard g, and returns how
// that ended.
func (x *traceRequest) guard(w http.ResponseWriter, r *http.Request, g traceGuard, do []traceOp) string {
	run := &traceGuardRun{}
	x.guards = append(x.guards, run)
	defer func() { x.guards = x.guards[:len(x.guards)-1] }()
	if g.Kind != "none" {
		x.guarded = true
	}
	body := func(w http.ResponseWriter, r *http.Request, who string) error {
		x.log("handler" + who)
		err := x.do(w, r, do)
		if err == nil && len(x.guards) == 1 {
			_, _ = io.WriteString(w, "done\n")
		}
		return err
	}
	withUser := func(w http.ResponseWriter, r *http.Request, u sojourn.UserID) error {
		return body(w, r, "("+traceUser(u)+")")
	}
	rpcWithUser := func(ctx context.Context, u sojourn.UserID, _ struct{}) (string, error) {
		return "", withUser(w, r.WithContext(ctx), u)
	}
	rpc := func(ctx context.Context, _ struct{}) (string, error) {
		return "", body(w, r.WithContext(ctx), "")
	}
	site, in := x.site.Site, struct{}{}
	switch g.Kind {
	case "none":
		run.err = body(w, r, "")
	case "connected":
		site.Connected(withUser, x.options(g, run, false)...).ServeHTTP(w, r)
	case "opt-connected":
		site.OptConnected(withUser, x.options(g, run, false)...).ServeHTTP(w, r)
	case "wrap":
		// Such a handler answers no error; the replay keeps it all the same.
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { run.err = body(w, r, "") })
		site.Wrap(h, x.options(g, run, false)...).ServeHTTP(w, r)
	case "connected-rpc":
		_, run.err = sojourn.ConnectedRPC(site, rpcWithUser, x.options(g, run, true)...)(r.Context(), in)
	case "opt-connected-rpc":
		_, run.err = sojourn.OptConnectedRPC(site, rpcWithUser, x.options(g, run, true)...)(r.Context(), in)
	case "wrapper-rpc":
		_, run.err = sojourn.ConnectedWrapper(site, rpc, x.options(g, run, true)...)(r.Context(), in)
	default:
		panic("unknown kind of guard: " + g.Kind)
	}
	return run.result()
}

func (x *traceRequest) options(g traceGuard, run *traceGuardRun, rpc bool) []sojourn.GuardOption {
	var opts []sojourn.GuardOption
	if g.Allow != nil {
		opts = append(opts, sojourn.Allow(*g.Allow...))
	}
	if g.Deny != nil {
		opts = append(opts, sojourn.Deny(*g.Deny...))
	}
	deny := func(u sojourn.UserID) {
		x.log("deny-function(" + traceUser(u) + ")")
		run.denied = true
	}
	switch {
	case g.DenyFunction && rpc:
		opts = append(opts, sojourn.DenyFunc(func(_ context.Context, u sojourn.UserID) (string, error) {
			deny(u)
			return "", nil
		}))
	case g.DenyFunction:
		opts = append(opts, sojourn.DenyHandler(func(_ http.ResponseWriter, _ *http.Request, u sojourn.UserID) error {
			deny(u)
			return nil
		}))
	}
	if g.ForceUnconnected {
		opts = append(opts, sojourn.ForceUnconnected())
	}
	return opts
}

// do runs the operations of a handler; the error is that of a fail.
func (x *traceRequest) do(w http.ResponseWriter, r *http.Request, ops []traceOp) error {
	for i := range ops {
		op := &ops[i]
		if op.Op == "fail" {
			return traceError("the handler", op.With)
		}
		x.operation(w, r, op, fmt.Sprintf("operation %d, %s", i+1, op.Op))
	}
	return nil
}

func (x *traceRequest) operation(w http.ResponseWriter, r *http.Request, op *traceOp, where string) {
	ctx, site := r.Context(), x.site
	check := func(what, want, got string) {
		if !op.Unchecked {
			x.checks.compare(where+what, want, got)
		}
	}
	answer := func(err error) { check("", orOK(op.WantError.one), traceErrorName(err)) }
	switch op.Op {
	case "connect":
		var opts []sojourn.ConnectOption
		if op.ExpireAtBrowserExit {
			opts = append(opts, sojourn.ExpireAtBrowserExit())
		}
		answer(site.Connect(ctx, traceUserID(op.User), opts...))
	case "disconnect":
		answer(site.Disconnect(ctx))
	case "disconnect-all":
		opts := traceDisconnectAll(op.OfUser, op.KeepUserIndependent)
		if op.WithoutRestart {
			opts = append(opts, sojourn.WithoutRestart())
		}
		answer(site.DisconnectAll(ctx, opts...))
	case "set":
		for _, name := range op.Refs {
			err := site.ref(name).Set(ctx, op.Value)
			check(" "+name, orOK(op.WantError.of[name]), traceErrorName(err))
		}
	case "get":
		for _, name := range slices.Sorted(maps.Keys(op.Want.of)) {
			got, err := site.ref(name).Get(ctx)
			if err != nil {
				got = "error:" + traceErrorName(err)
			}
			check(" "+name, op.Want.of[name], got)
		}
	case "current-user":
		user, err := site.CurrentUser(ctx)
		got := traceUser(user)
		if err != nil {
			got = "error:" + traceErrorName(err)
		}
		want := op.Want.one
		if op.WantError.one != "" {
			want = "error:" + op.WantError.one
		}
		check("", want, got)
	case "sessions":
		check(" of user "+op.User, op.Want.one, site.sessions(ctx, op.User))
	case "end-session":
		id, err := site.pick(ctx, traceUserID(op.User), op.Value)
		if err == nil {
			err = site.EndSession(ctx, traceUserID(op.User), id)
		}
		answer(err)
	case "guard":
		check(" "+op.Guard.Kind, orOK(op.WantResult), x.guard(w, r, op.Guard, op.Do))
	case "start-response":
		w.WriteHeader(http.StatusOK)
		answer(http.NewResponseController(w).Flush())
	case "hold":
		x.holding <- struct{}{}
		<-x.release
	default:
		panic("unknown operation: " + op.Op)
	}
}

func orOK(want string) string {
	if want == "" {
		return "ok"
	}
	return want
}

func traceDisconnectAll(user string, keepUserIndependent bool) []sojourn.DisconnectAllOption {
	var opts []sojourn.DisconnectAllOption
	if user != "" {
		opts = append(opts, sojourn.OfUser(traceUserID(user)))
	}
	if keepUserIndependent {
		opts = append(opts, sojourn.KeepUserIndependent())
	}
	return opts
}

func (s *traceSite) ref(name string) *sojourn.Ref[string] {
	ref, ok := s.refs[name]
	if !ok {
		panic("unknown reference: " + name)
	}
	return ref
}

// sessions is how many sessions a user has, or an error.
func (s *traceSite) sessions(ctx context.Context, user string) string {
	all, err := s.Sessions(ctx, traceUserID(user))
	if err != nil {
		return "error:" + traceErrorName(err)
	}
	return strconv.Itoa(len(all))
}

// pick chooses what end-session is to end: the request's own session, whoever
// its user is, or another one of user. If there is none it makes up an id.
func (s *traceSite) pick(ctx context.Context, user sojourn.UserID, which string) (sojourn.SessionID, error) {
	const none = "AAAAAAAAAAAAAAAAAAAAAA"
	if which != "current" && which != "other" {
		panic("unknown value of end-session: " + which)
	}
	users := []sojourn.UserID{user}
	if which == "current" {
		own, err := s.CurrentUser(ctx)
		if err != nil {
			return "", err
		}
		if own == sojourn.Nobody {
			return none, nil
		}
		users[0] = own
	}
	all, err := s.Sessions(ctx, users[0])
	if err != nil {
		return "", err
	}
	for _, session := range all {
		if session.Current == (which == "current") {
			return session.ID, nil
		}
	}
	return none, nil
}
