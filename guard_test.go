package sojourn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// panics fails unless f panics with a text that has all these parts.
func panics(t testing.TB, what string, f func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		p := recover()
		if p == nil {
			t.Errorf("%s does not panic", what)
			return
		}
		for _, part := range parts {
			if !strings.Contains(fmt.Sprint(p), part) {
				t.Errorf("%s panics with %q, without %q", what, p, part)
			}
		}
	}()
	f()
}

func TestGuardsThatCannotBeMeantPanicWhenTheyAreBuilt(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	denyInt := sojourn.DenyFunc(func(context.Context, sojourn.UserID) (int, error) { return 0, nil })
	denyHandler := sojourn.DenyHandler(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil })
	handler := func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return nil }
	function := func(context.Context, sojourn.UserID, string) (string, error) { return "", nil }
	plain := func(context.Context, string) (string, error) { return "", nil }
	for what, f := range map[string]func(){
		"Connected with DenyFunc":    func() { a.site.Connected(handler, denyInt) },
		"OptConnected with DenyFunc": func() { a.site.OptConnected(handler, denyInt) },
		"Wrap with DenyFunc":         func() { a.site.Wrap(http.NotFoundHandler(), denyInt) },
	} {
		panics(t, what, f, "DenyFunc", "DenyHandler", "int")
	}
	for what, f := range map[string]func(){
		"ConnectedRPC with DenyHandler":     func() { sojourn.ConnectedRPC(a.site, function, denyHandler) },
		"OptConnectedRPC with DenyHandler":  func() { sojourn.OptConnectedRPC(a.site, function, denyHandler) },
		"ConnectedWrapper with DenyHandler": func() { sojourn.ConnectedWrapper(a.site, plain, denyHandler) },
	} {
		panics(t, what, f, "DenyFunc", "DenyHandler")
	}
	for what, f := range map[string]func(){
		"ConnectedRPC with a wrong Out":     func() { sojourn.ConnectedRPC(a.site, function, denyInt) },
		"OptConnectedRPC with a wrong Out":  func() { sojourn.OptConnectedRPC(a.site, function, denyInt) },
		"ConnectedWrapper with a wrong Out": func() { sojourn.ConnectedWrapper(a.site, plain, denyInt) },
	} {
		panics(t, what, f, "string", "int")
	}
	sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, string) (int, error) { return 0, nil }, denyInt)
	sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, string) (any, error) { return 0, nil },
		sojourn.DenyFunc(func(context.Context, sojourn.UserID) (any, error) { return nil, nil }))
	panics(t, "an interface for its implementation", func() {
		sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, string) (error, error) { return nil, nil },
			sojourn.DenyFunc(func(context.Context, sojourn.UserID) (any, error) { return nil, nil }))
	}, "error", "interface {}")
}

// groupsOf makes a user a member of the groups in the user's name.
func groupsOf() appOption {
	return func(a *app) {
		a.cfg.Groups = func(_ context.Context, user sojourn.UserID, g sojourn.Group) (bool, error) {
			return strings.Contains(string(user), string(g)), nil
		}
	}
}

// Who is let in, by every way to guard.
func TestGuardsLetInWhomTheyShould(t *testing.T) {
	t.Parallel()
	const in, nobody, denied = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden
	allow := func(g ...sojourn.Group) []sojourn.GuardOption { return []sojourn.GuardOption{sojourn.Allow(g...)} }
	deny := func(g ...sojourn.Group) []sojourn.GuardOption { return []sojourn.GuardOption{sojourn.Deny(g...)} }
	both := []sojourn.GuardOption{sojourn.Allow("a"), sojourn.Deny("b")}
	for _, tc := range []struct {
		name string
		opts []sojourn.GuardOption
		want map[sojourn.UserID]int // Nobody: for guards that do not need a user
	}{
		{"no option", nil, map[sojourn.UserID]int{"": in, "x": in}},
		{"allow a", allow("a"), map[sojourn.UserID]int{"": nobody, "x": denied, "a": in, "b": denied, "ab": in}},
		{"allow a or b", allow("a", "b"), map[sojourn.UserID]int{"": nobody, "x": denied, "a": in, "b": in}},
		{"allow twice", append(allow("a"), allow("b")...), map[sojourn.UserID]int{"x": denied, "a": in, "b": in}},
		{"allow none", allow(), map[sojourn.UserID]int{"": nobody, "x": denied, "a": denied}},
		{"deny b", deny("b"), map[sojourn.UserID]int{"": in, "x": in, "b": denied, "ab": denied}},
		{"deny none", deny(), map[sojourn.UserID]int{"": in, "x": in}},
		{"allow a, deny b", both, map[sojourn.UserID]int{"": nobody, "x": denied, "a": in, "b": denied, "ab": denied}},
	} {
		a := newApp(t, memoryKind, groupsOf())
		for user, want := range tc.want {
			b := a.browser()
			if user != "" {
				a.connect(b, user)
			}
			for _, g := range guards {
				want := want
				if user == "" && g.connect {
					want = nobody
				}
				ran := false
				resp := a.handle(b, g.guard(a, func(_ context.Context, got sojourn.UserID) {
					ran = true
					if got != user {
						t.Errorf("%s, %s: the user is %q, want %q", tc.name, g.name, got, user)
					}
				}, tc.opts...))
				if resp.StatusCode != want || ran != (want == in) {
					t.Errorf("%s, %s: %q is answered %s, want %d; the handler ran: %v", tc.name, g.name, user, resp.Status, want, ran)
				}
			}
		}
	}
}

// With Config.Groups nil no user is in any group.
func TestWithoutGroupsNobodyIsInAny(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	nothing := func(context.Context, sojourn.UserID) error { return nil }
	status(t, a.visit(b, nothing, sojourn.Allow("a")), http.StatusForbidden)
	status(t, a.visit(b, nothing, sojourn.Deny("a")), http.StatusOK)
}

func TestErrorsAreFoundThroughAnyWrapping(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, groupsOf(), withUsers())
	b := a.browser()
	call := func(opts ...sojourn.GuardOption) (err error) {
		a.bare(b, func(ctx context.Context) {
			_, err = sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, int) (int, error) { return 0, nil }, opts...)(ctx, 0)
		})
		return err
	}
	err := call()
	wants(t, "nobody", err, sojourn.ErrNotConnected)
	if errors.Is(err, sojourn.ErrPermissionDenied) {
		t.Error("nobody is denied without Allow")
	}
	err = call(sojourn.Allow("a"))
	wants(t, "nobody with Allow", err, sojourn.ErrNotConnected)
	wants(t, "nobody with Allow", err, sojourn.ErrPermissionDenied)
	a.connect(b, "berta")
	err = call(sojourn.Allow("x"))
	wants(t, "denied", err, sojourn.ErrPermissionDenied)
	if errors.Is(err, sojourn.ErrNotConnected) {
		t.Error("a connected user is not connected")
	}
	a.gone.Store(true)
	a.bare(b, func(ctx context.Context) {
		wants(t, "an unknown user", a.site.Connect(ctx, "anna"), sojourn.ErrNoSuchUser)
		wants(t, "an empty user", a.site.Connect(ctx, sojourn.Nobody), sojourn.ErrNoSuchUser)
		wants(t, "an unknown session", a.site.EndSession(ctx, "berta", "x"), sojourn.ErrNoSuchSession)
		wants(t, "another's session", a.site.EndSession(ctx, "anna", a.sessions("berta")[0].ID), sojourn.ErrNoSuchSession)
	})
	a.is(b, "berta")

	// Outside of a request, and in another site's.
	other := newApp(t, memoryKind)
	a.bare(b, func(ctx context.Context) {
		for where, ctx := range map[string]context.Context{"outside": context.Background(), "another site": ctx} {
			s := other.site
			if where == "outside" {
				s = a.site
			}
			_, err := s.CurrentUser(ctx)
			wants(t, where+": CurrentUser", err, sojourn.ErrNoRequest)
			wants(t, where+": Connect", s.Connect(ctx, "anna"), sojourn.ErrNoRequest)
			wants(t, where+": Disconnect", s.Disconnect(ctx), sojourn.ErrNoRequest)
			wants(t, where+": DisconnectAll", s.DisconnectAll(ctx), sojourn.ErrNoRequest)
			wants(t, where+": DisconnectAll of a user", s.DisconnectAll(ctx, sojourn.OfUser("nobody of note")), nil)
			_, err = sojourn.OptConnectedRPC(s, func(context.Context, sojourn.UserID, int) (int, error) { return 0, nil })(ctx, 0)
			wants(t, where+": a guarded call", err, sojourn.ErrNoRequest)
		}
	})
	w := httptest.NewRecorder()
	a.site.Wrap(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("a guard without Middleware answers %d", w.Code)
	}
	if !strings.Contains(sojourn.ErrNoRequest.Error(), "Middleware") {
		t.Error("ErrNoRequest does not say what may be missing")
	}
	if !errors.Is(sojourn.ErrNotConnected, protocol.ErrNotConnected) || !errors.Is(sojourn.ErrPermissionDenied, protocol.ErrPermissionDenied) {
		t.Error("the errors are not those of protocol")
	}
}

// What the default ErrorHandler answers, as text and as JSON.
func TestErrorsAreAnsweredByTheirKind(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	secret := errors.New("the password is 1234")
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{sojourn.ErrNotConnected, 401, "not_connected"},
		{fmt.Errorf("doing: %w", sojourn.ErrNotConnected), 401, "not_connected"},
		{sojourn.ErrPermissionDenied, 403, "permission_denied"},
		{fmt.Errorf("doing: %w: %w", secret, sojourn.ErrPermissionDenied), 403, "permission_denied"},
		{errors.Join(sojourn.ErrPermissionDenied, sojourn.ErrNotConnected), 401, "not_connected"},
		{sojourn.ErrSessionEnded, 401, "session_ended"},
		{secret, 500, "internal"},
		{sojourn.ErrNoSuchUser, 500, "internal"},
		{&protocol.Error{Code: "mine", Message: "my message"}, 422, "mine"},
	} {
		for _, accept := range []string{"", "text/html", "application/json", "text/html, application/JSON;q=0.9"} {
			r := httptest.NewRequest("GET", a.put(a.site.OptConnected(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return tc.err })), nil)
			if accept != "" {
				r.Header.Set("Accept", accept)
			}
			resp := a.browser().Do(r)
			if strings.Contains(resp.Text(), "1234") {
				t.Errorf("the body tells the inner error: %s", resp.Text())
			}
			if strings.Contains(strings.ToLower(accept), "json") {
				code(t, tc.err.Error(), resp, tc.status, tc.code)
			} else {
				status(t, resp, tc.status)
				if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
					t.Errorf("the Content-Type is %q", got)
				}
			}
		}
	}
}

// An error after the response has started is too late for a status: it is logged.
func TestErrorAfterTheResponseStartedAddsNothing(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errFault, sojourn.ErrPermissionDenied} {
		var log bytes.Buffer
		a := newApp(t, memoryKind, withConfig(sojourn.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		resp := a.handle(a.browser(), a.site.OptConnected(func(w http.ResponseWriter, _ *http.Request, _ sojourn.UserID) error {
			io.WriteString(w, "half")
			return err
		}))
		if status(t, resp, http.StatusOK); resp.Text() != "half" {
			t.Errorf("the body is %q", resp.Text())
		}
		if !strings.Contains(log.String(), err.Error()) {
			t.Errorf("%v is not logged: %q", err, log.String())
		}
	}
}

// The error of a handler that connected somebody comes with the cookie.
func TestHandlerThatFailsAfterConnectHasConnected(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		b := a.browser()
		status(t, a.visit(b, func(ctx context.Context, _ sojourn.UserID) error {
			a.must(a.site.Connect(ctx, "anna"))
			return errFault
		}), http.StatusInternalServerError)
		a.is(b, "anna")
	})
}

func TestDenyFunctionsAnswerForThoseDenied(t *testing.T) {
	t.Parallel()
	var d diary
	a := newApp(t, memoryKind, groupsOf(), withInit(func(a *app) {
		a.site.OnDeniedRequest(func(_ context.Context, user sojourn.UserID) error { d.add("denied %s", user); return nil })
	}))
	deny := sojourn.DenyHandler(func(w http.ResponseWriter, _ *http.Request, user sojourn.UserID) error {
		d.add("deny function %s", user)
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	ok := func(context.Context, sojourn.UserID) error { d.add("handler"); return nil }
	b := a.browser()
	status(t, a.visit(b, ok, sojourn.Allow("a"), deny), http.StatusTeapot)
	d.tells(t, "denied ", "deny function ")
	status(t, a.visit(b, ok, deny), http.StatusOK)
	d.tells(t, "handler")
	a.connect(b, "berta")
	status(t, a.visit(b, ok, sojourn.Deny("b"), deny), http.StatusTeapot)
	d.tells(t, "denied berta", "deny function berta")
	own := func(context.Context, sojourn.UserID) error { return fmt.Errorf("no: %w", sojourn.ErrPermissionDenied) }
	status(t, a.visit(b, own, deny), http.StatusTeapot)
	d.tells(t, "denied berta", "deny function berta")
	status(t, a.visit(b, own), http.StatusForbidden)
	d.tells(t, "denied berta")
	// A deny function's own error is the request's.
	status(t, a.visit(b, own, sojourn.DenyHandler(func(http.ResponseWriter, *http.Request, sojourn.UserID) error { return errFault })), http.StatusInternalServerError)
	d.tells(t, "denied berta")
	a.bare(b, func(ctx context.Context) {
		out, err := sojourn.ConnectedRPC(a.site, func(context.Context, sojourn.UserID, int) (string, error) { return "ran", nil },
			sojourn.Deny("b"), sojourn.DenyFunc(func(_ context.Context, user sojourn.UserID) (string, error) { return "denied to " + string(user), nil }))(ctx, 0)
		if out != "denied to berta" || err != nil {
			t.Errorf("the deny function answers %q, %v", out, err)
		}
	})
	d.tells(t, "denied berta")
}

// Under ForceUnconnected the whole request is nobody's, and leaves no trace.
func TestForcedRequestIsNobodys(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		a := newApp(t, kind)
		tab := a.browser().NewTab()
		a.connect(tab, "anna")
		refs := []string{"tab", "tab!", "session", "session!"}
		for _, ref := range refs {
			a.set(tab, ref, "kept")
		}
		for _, g := range guards {
			resp := a.handle(tab, g.guard(a, func(ctx context.Context, user sojourn.UserID) {
				if user != sojourn.Nobody {
					t.Errorf("%s: the user is %q", g.name, user)
				}
				for _, ref := range refs {
					v, err := a.refs[ref].Get(ctx)
					if a.must(err); v != "" {
						t.Errorf("%s: %s is %q", g.name, ref, v)
					}
					a.must(a.refs[ref].Set(ctx, "forced"))
					v, err = a.refs[ref].Get(ctx)
					if a.must(err); v != "forced" {
						t.Errorf("%s: %s is %q after Set", g.name, ref, v)
					}
				}
				_, err := a.refs["user"].Get(ctx)
				wants(t, "the user's reference", err, sojourn.ErrNotConnected)
				a.must(a.site.DisconnectAll(ctx)) // of nobody
			}, sojourn.ForceUnconnected()))
			want := http.StatusOK
			if g.connect {
				want = http.StatusUnauthorized
			}
			status(t, resp, want)
			if resp.Header["Set-Cookie"] != nil || resp.Header[protocol.TabHeader] != nil {
				t.Errorf("%s: the response has %v", g.name, resp.Header)
			}
		}
		a.is(tab, "anna")
		for _, ref := range refs {
			a.has(tab, ref, "kept")
		}
		// Connect there ends the browser's old session all the same.
		thief := tab.Browser().Clone()
		a.visit(tab, func(ctx context.Context, _ sojourn.UserID) error {
			a.must(a.site.Connect(ctx, "berta"))
			user, err := a.site.CurrentUser(ctx)
			if user != sojourn.Nobody || err != nil {
				t.Errorf("after Connect the forced request's user is %q, %v", user, err)
			}
			return nil
		}, sojourn.ForceUnconnected())
		a.is(tab, "berta")
		a.is(thief, sojourn.Nobody)
	})
}

// Who became the user in an action is asked the groups again.
func TestUserWhoCameInAnActionIsAskedTheGroups(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, groupsOf())
	a.site.OnConnectedRequest(func(ctx context.Context, user sojourn.UserID) error {
		if user == "anna" {
			return a.site.Connect(ctx, "banned-bob")
		}
		return nil
	})
	for name, opt := range map[string]sojourn.GuardOption{"Deny": sojourn.Deny("banned"), "Allow": sojourn.Allow("anna")} {
		b := a.browser()
		a.connect(b, "anna")
		resp := a.visit(b, func(_ context.Context, user sojourn.UserID) error {
			t.Errorf("%s: %q was let in", name, user)
			return nil
		}, opt)
		status(t, resp, http.StatusForbidden)
	}
}
