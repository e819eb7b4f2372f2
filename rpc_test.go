package sojourn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
	"github.com/sojourn-go/sojourn/sojourntest"
)

const rpcPath = protocol.DefaultPath + "rpc/"

// call is a POST of a body from the site's own page.
func call(b *sojourntest.Browser, name, contentType, body string) *sojourntest.Response {
	r := httptest.NewRequest(http.MethodPost, rpcPath+name, strings.NewReader(body))
	r.Host = ""
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return b.Do(r)
}

type point struct {
	X, Y int
}

func TestCallThatCannotBeServedHasACode(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{Limits: sojourn.Limits{RPCBody: 100}})
	calls := 0
	sojourn.HandleRPC(s.Site, rpc.Define[point, point]("swap"), func(_ context.Context, p point) (point, error) {
		calls++
		return point{p.Y, p.X}, nil
	})
	b := sojourntest.NewBrowser(t, s.h)
	const kind = "application/json"
	resp := call(b, "swap", "application/json; charset=utf-8", ` {"X":1,"Y":2} `)
	if resp.StatusCode != http.StatusOK || resp.Text() != `{"X":2,"Y":1}` {
		t.Errorf("a call is answered %s %s", resp.Status, resp.Text())
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, tc := range []struct {
		what, name, kind, body string
		status                 int
		code                   string
	}{
		{"no such function", "swop", kind, `{}`, 404, protocol.CodeNotFound},
		{"a name with a slash", "swap/x", kind, `{}`, 404, protocol.CodeNotFound},
		{"no name", "", kind, `{}`, 404, protocol.CodeNotFound},
		{"a form", "swap", "application/x-www-form-urlencoded", `X=1`, 415, protocol.CodeContentType},
		{"text", "swap", "text/plain", `{}`, 415, protocol.CodeContentType},
		{"no type", "swap", "", `{}`, 415, protocol.CodeContentType},
		{"a type that is none", "swap", "application/json;;", `{}`, 415, protocol.CodeContentType},
		{"no JSON", "swap", kind, `X`, 400, protocol.CodeMalformed},
		{"half a value", "swap", kind, `{"X":1`, 400, protocol.CodeMalformed},
		{"two values", "swap", kind, `{} {}`, 400, protocol.CodeMalformed},
		{"a value and garbage", "swap", kind, `{} x`, 400, protocol.CodeMalformed},
		{"nothing", "swap", kind, ``, 400, protocol.CodeMalformed},
		{"another type", "swap", kind, `{"X":"1"}`, 400, protocol.CodeMalformed},
		{"an array", "swap", kind, `[]`, 400, protocol.CodeMalformed},
		{"too much", "swap", kind, `{"X":1,"Z":"` + strings.Repeat("z", 100) + `"}`, 413, protocol.CodeTooLarge},
		{"too much behind", "swap", kind, `{"X":1}` + strings.Repeat(" ", 100), 413, protocol.CodeTooLarge},
	} {
		code(t, tc.what, call(b, tc.name, tc.kind, tc.body), tc.status, tc.code)
	}
	if resp := call(b, "swap", kind, `{"Z":"`+strings.Repeat("z", 92)+`"}`); resp.StatusCode != http.StatusOK {
		t.Errorf("a body of as many bytes as may be is answered %s", resp.Status)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		r := httptest.NewRequest(method, rpcPath+"swap", nil)
		r.Host = ""
		r.Header.Set("Content-Type", kind)
		resp := b.Do(r)
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s is answered %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
		if method != "HEAD" {
			code(t, method, resp, http.StatusMethodNotAllowed, protocol.CodeMethod)
		}
	}
	foreign := httptest.NewRequest(http.MethodPost, rpcPath+"swap", strings.NewReader(`{}`))
	foreign.Host = ""
	foreign.Header.Set("Content-Type", kind)
	foreign.Header.Set("Origin", "https://evil.example")
	code(t, "from elsewhere", b.Do(foreign), http.StatusForbidden, protocol.CodeCrossOrigin)
	if calls != 2 {
		t.Errorf("the function ran %d times, want 2", calls)
	}
}

func TestBodyOfACallIsAtMostAMebibyte(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	sojourn.HandleRPC(s.Site, rpc.Define[string, int]("len"), func(_ context.Context, in string) (int, error) { return len(in), nil })
	b := sojourntest.NewBrowser(t, s.h)
	if got := call(b, "len", "application/json", `"`+strings.Repeat("x", 1<<20-2)+`"`); got.Text() != fmt.Sprint(1<<20-2) {
		t.Errorf("a mebibyte is answered %s %s", got.Status, got.Text())
	}
	code(t, "a byte more", call(b, "len", "application/json", `"`+strings.Repeat("x", 1<<20-1)+`"`), http.StatusRequestEntityTooLarge, protocol.CodeTooLarge)
}

func TestErrorOfAFunctionIsSeenByItsCode(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newLiveSite(t, sojourn.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	taken := &protocol.Error{Code: "taken", Message: "that name is taken"}
	for name, err := range map[string]error{
		"not-connected": sojourn.ErrNotConnected,
		"denied":        fmt.Errorf("wrapped: %w", sojourn.ErrPermissionDenied),
		"ended":         fmt.Errorf("wrapped: %w", sojourn.ErrSessionEnded),
		"own":           fmt.Errorf("the secret: %w", taken),
		"internal":      errors.New("the secret"),
	} {
		sojourn.HandleRPC(s.Site, rpc.Define[struct{}, struct{}](name), func(context.Context, struct{}) (struct{}, error) { return struct{}{}, err })
	}
	sojourn.HandleRPC(s.Site, rpc.Define[struct{}, func()]("no-json"), func(context.Context, struct{}) (func(), error) { return nil, nil })
	b := sojourntest.NewBrowser(t, s.h)
	for _, tc := range []struct {
		name   string
		status int
		code   string
	}{
		{"not-connected", 401, protocol.CodeNotConnected},
		{"denied", 403, protocol.CodePermissionDenied},
		{"ended", 401, protocol.CodeSessionEnded},
		{"own", 422, "taken"},
		{"internal", 500, protocol.CodeInternal},
		{"no-json", 500, protocol.CodeInternal},
	} {
		resp := call(b, tc.name, "application/json", "{}")
		code(t, tc.name, resp, tc.status, tc.code)
		if strings.Contains(resp.Text(), "secret") || strings.Contains(resp.Text(), "wrapped") {
			t.Errorf("%s: the answer %s tells the inner error", tc.name, resp.Text())
		}
	}
	if !strings.Contains(log.String(), "the secret") {
		t.Errorf("the log does not say why the server failed: %s", log.String())
	}
}

func TestFunctionsHaveTheGuardsOfHandlers(t *testing.T) {
	t.Parallel()
	groups := func(_ context.Context, user sojourn.UserID, group sojourn.Group) (bool, error) {
		return string(user) == string(group), nil
	}
	s := newLiveSite(t, sojourn.Config{Groups: groups})
	var fired []string
	note := func(name string) func(context.Context, sojourn.UserID) error {
		return func(_ context.Context, user sojourn.UserID) error {
			fired = append(fired, name+"("+string(user)+")")
			return nil
		}
	}
	s.OnRequest(note("request"))
	s.OnStartTab(note("start-tab"))
	s.OnConnectedRequest(note("connected-request"))
	s.OnDeniedRequest(note("denied-request"))
	s.OnUnconnectedRequest(func(context.Context) error { fired = append(fired, "unconnected-request"); return nil })
	who := func(_ context.Context, user sojourn.UserID, _ struct{}) (string, error) {
		fired = append(fired, "function("+string(user)+")")
		return string(user), nil
	}
	denied := sojourn.DenyFunc(func(_ context.Context, user sojourn.UserID) (string, error) { return "no, " + string(user), nil })
	define := rpc.Define[struct{}, string]
	sojourn.HandleRPC(s.Site, define("connected"), sojourn.ConnectedRPC(s.Site, who))
	sojourn.HandleRPC(s.Site, define("opt"), sojourn.OptConnectedRPC(s.Site, who))
	sojourn.HandleRPC(s.Site, define("allow"), sojourn.ConnectedRPC(s.Site, who, sojourn.Allow("ann")))
	sojourn.HandleRPC(s.Site, define("deny"), sojourn.ConnectedRPC(s.Site, who, sojourn.Deny("bob")))
	sojourn.HandleRPC(s.Site, define("polite"), sojourn.OptConnectedRPC(s.Site, who, sojourn.Allow("ann"), denied))
	sojourn.HandleRPC(s.Site, define("forced"), sojourn.OptConnectedRPC(s.Site, who, sojourn.ForceUnconnected()))

	b := map[string]*sojourntest.Tab{}
	for _, user := range []string{"", "ann", "bob"} {
		b[user] = sojourntest.NewBrowser(t, s.h).NewTab()
		if user != "" {
			must(t, b[user].Post("/login", asUser(user)))
		} else {
			must(t, b[user].Get("/page"))
		}
	}
	for _, tc := range []struct {
		user, name, want string // an answer, or a code
		order            []string
	}{
		{"ann", "connected", `"ann"`, []string{"request(ann)", "connected-request(ann)", "function(ann)"}},
		{"", "connected", protocol.CodeNotConnected, []string{"request()", "unconnected-request"}},
		{"", "opt", `""`, []string{"request()", "unconnected-request", "function()"}},
		{"ann", "allow", `"ann"`, []string{"request(ann)", "connected-request(ann)", "function(ann)"}},
		{"bob", "allow", protocol.CodePermissionDenied, []string{"request(bob)", "denied-request(bob)"}},
		{"", "allow", protocol.CodeNotConnected, []string{"request()", "denied-request()"}},
		{"bob", "deny", protocol.CodePermissionDenied, []string{"request(bob)", "denied-request(bob)"}},
		{"bob", "polite", `"no, bob"`, []string{"request(bob)", "denied-request(bob)"}},
		{"ann", "forced", `""`, []string{"request()", "unconnected-request", "function()"}},
	} {
		fired = nil
		resp := b[tc.user].PostJSON(rpcPath+tc.name, struct{}{})
		got := resp.Text()
		if resp.StatusCode != http.StatusOK {
			var body struct{ Error protocol.Error }
			resp.JSON(&body)
			got = body.Error.Code
		}
		if got != tc.want || !slices.Equal(fired, tc.order) {
			t.Errorf("%q calls %s: %s, after %q; want %s, after %q", tc.user, tc.name, got, fired, tc.want, tc.order)
		}
	}
	fired = nil
	resp := sojourntest.NewBrowser(t, s.h).NewTab().PostJSON(rpcPath+"opt", struct{}{})
	if want := []string{"request()", "start-tab()", "unconnected-request", "function()"}; !slices.Equal(fired, want) || resp.Header.Get(protocol.TabHeader) == "" {
		t.Errorf("a new tab: %q and the header %v, want %q and a tab's id", fired, resp.Header, want)
	}
}

func TestFunctionHandledTwicePanicsNamingBothPlaces(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	f := func(context.Context, int) (int, error) { return 0, nil }
	sojourn.HandleRPC(s.Site, rpc.Define[int, int]("twice"), f)
	defer func() {
		text := fmt.Sprint(recover())
		if !strings.Contains(text, `"twice"`) || strings.Count(text, "rpc_test.go:") != 2 {
			t.Errorf("the panic says %q, want the name and both places", text)
		}
	}()
	sojourn.HandleRPC(s.Site, rpc.Define[string, string]("twice"), func(context.Context, string) (string, error) { return "", nil })
}

func TestDefineRefusesNamesThatAreNoPathSegment(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", ".", "..", "a/b", "a b", "a?b", "é", "a%2fb", "a\x00"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Define(%q) does not panic", name)
				}
			}()
			rpc.Define[int, int](name)
		}()
	}
	if got := rpc.Define[int, int]("orders.list_v2-x~").Name(); got != "orders.list_v2-x~" {
		t.Errorf("the name is %q", got)
	}
}

func FuzzBodyOfACall(f *testing.F) {
	for _, seed := range []string{`{"X":1,"Y":2}`, `{}`, ``, `null`, `[]`, `{"X":1}{"X":2}`, `{"X":1e99}`, `{"x":1,"X":2}`, "{\"X\":1}\x00", `{"X":1} `, "\xff", `"\ud800"`} {
		f.Add([]byte(seed), "application/json")
	}
	f.Add([]byte(`{}`), "application/json; charset=\"")
	site, err := sojourn.New(sojourn.Config{Limits: sojourn.Limits{RPCBody: 256}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { site.Close() })
	sojourn.HandleRPC(site, rpc.Define[point, point]("echo"), func(_ context.Context, p point) (point, error) { return p, nil })
	h := site.Middleware(http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		r := httptest.NewRequest(http.MethodPost, rpcPath+"echo", bytes.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var want point
		valid := json.Unmarshal(body, &want) == nil && len(body) <= 256
		switch w.Code {
		case http.StatusOK:
			var got point
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !valid || got != want {
				t.Errorf("%q is answered %s, %v", body, w.Body, err)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if valid {
				t.Errorf("%q is answered %d %s", body, w.Code, w.Body)
			}
			fallthrough
		case http.StatusUnsupportedMediaType:
			var e struct{ Error protocol.Error }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || protocol.Status(e.Error.Code) != w.Code {
				t.Errorf("%q is answered %d %s", body, w.Code, w.Body)
			}
		default:
			t.Errorf("%q is answered %d %s", body, w.Code, w.Body)
		}
	})
}
