package sojourn_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

const (
	disconnectPath    = protocol.DefaultPath + "disconnect"
	disconnectAllPath = protocol.DefaultPath + "disconnect-all"
)

// code fails unless the response is a JSON error of this code.
func code(t testing.TB, what string, resp *sojourntest.Response, status int, code string) {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("%s: the Content-Type is %q", what, got)
		return
	}
	resp.JSON(&body)
	if resp.StatusCode != status || body.Error.Code != code || body.Error.Message == "" {
		t.Errorf("%s: the answer is %s %q, want %d with code %q and a message", what, resp.Status, resp.Text(), status, code)
	}
}

func TestEndpointsDoNotDivertPages(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	b.Get(protocol.DefaultPath + "no-such-endpoint")
	a.is(b, "anna")
}

// crossSite is an unsafe request that a page of another site makes.
func crossSite(method, path string, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestUnsafeRequestsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	ran := false
	page := a.put(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	for _, path := range []string{page, disconnectPath, disconnectAllPath, protocol.DefaultPath + "rpc/x", protocol.DefaultPath} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "BREW"} {
			for name, header := range map[string][]string{
				"Origin":         {"Origin", "https://evil.example"},
				"another scheme": {"Origin", "http://example.com", "Sec-Fetch-Site", "cross-site"},
				"a subdomain":    {"Origin", "https://sub.example.com", "Sec-Fetch-Site", "same-site"},
				"null":           {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
				"Sec-Fetch-Site": {"Sec-Fetch-Site", "cross-site"},
			} {
				code(t, method+" "+path+" from "+name, b.Do(crossSite(method, path, header...)), http.StatusForbidden, protocol.CodeCrossOrigin)
			}
		}
	}
	if ran {
		t.Error("the handler ran")
	}
	a.is(b, "anna")
}

func TestSafeRequestsOfOtherSitesPass(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	var user sojourn.UserID
	page := a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user, _ = a.site.CurrentUser(r.Context()) }))
	for _, method := range []string{"GET", "HEAD"} {
		user = ""
		r := crossSite(method, page, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
		status(t, b.Do(r), http.StatusOK)
		if user != "anna" {
			t.Errorf("%s: by a link of another site the user is %q", method, user)
		}
	}
}

func TestTrustedOriginsPass(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, withConfig(sojourn.Config{TrustedOrigins: []string{"https://app.example.net"}}))
	b := a.browser()
	ran := 0
	page := a.put(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran++ }))
	status(t, b.Do(crossSite("POST", page, "Origin", "https://app.example.net", "Sec-Fetch-Site", "cross-site")), http.StatusOK)
	status(t, b.Do(crossSite("POST", disconnectPath, "Origin", "https://app.example.net", "Sec-Fetch-Site", "cross-site")), http.StatusNoContent)
	for _, origin := range []string{"https://app.example.net:8443", "http://app.example.net", "https://sub.app.example.net", "https://app.example.net.evil.example"} {
		status(t, b.Do(crossSite("POST", page, "Origin", origin, "Sec-Fetch-Site", "cross-site")), http.StatusForbidden)
	}
	if ran != 1 {
		t.Errorf("the handler ran %d times, want 1", ran)
	}
}

func TestMalformedOriginsAreRefusedAtNew(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"app.example.net", "https://", "https://app.example.net/", "https://*.example.net/x"} {
		site, err := sojourn.New(sojourn.Config{TrustedOrigins: []string{origin}})
		if err == nil {
			site.Close()
			t.Errorf("New accepts the origin %q", origin)
		}
	}
}

func TestErrorHandlerAnswersForeignRequests(t *testing.T) {
	t.Parallel()
	var got error
	a := newApp(t, memoryKind, withConfig(sojourn.Config{ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusTeapot)
	}}))
	resp := a.browser().Do(crossSite("POST", "/", "Origin", "https://evil.example"))
	status(t, resp, http.StatusTeapot)
	wants(t, "ErrorHandler", got, &protocol.Error{Code: protocol.CodeCrossOrigin})
}

// post sends a body to an endpoint from a page of the site itself.
func post(b visitor, path, contentType, body string) *sojourntest.Response {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return b.Do(r)
}

func TestEndpointsEndSessions(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for _, tc := range []struct {
			name, path, contentType, body string
			all, keepIndependent          bool
		}{
			{"disconnect", disconnectPath, "application/json", "{}", false, true},
			{"disconnect with charset", disconnectPath, "application/json; charset=utf-8", " {} \n", false, true},
			{"disconnect-all", disconnectAllPath, "application/json", "{}", true, false},
			{"disconnect-all false", disconnectAllPath, "application/json", `{"keepUserIndependent":false}`, true, false},
			{"disconnect-all true", disconnectAllPath, "application/json", `{"keepUserIndependent":true}`, true, true},
		} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, kind)
				b, other := a.browser(), a.browser()
				a.connect(b, "anna")
				a.connect(other, "anna")
				a.set(b, "isession", "kept")
				resp := post(b, tc.path, tc.contentType, tc.body)
				status(t, resp, http.StatusNoContent)
				if got := resp.Text(); got != "" {
					t.Errorf("the body is %q", got)
				}
				if resp.Restart() != tc.all {
					t.Errorf("Sojourn-Restart is %v, want %v", resp.Restart(), tc.all)
				}
				a.is(b, sojourn.Nobody)
				if tc.all {
					a.is(other, sojourn.Nobody)
				} else {
					a.is(other, "anna")
				}
				if tc.keepIndependent {
					a.has(b, "isession", "kept")
				} else {
					a.has(b, "isession", "")
				}
			})
		}
	})
}

func TestEndpointsAnswerErrorsWithACode(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.connect(b, "anna")
	large := `{"x":"` + strings.Repeat("a", 2<<20) + `"}`
	for _, path := range []string{disconnectPath, disconnectAllPath} {
		for _, tc := range []struct {
			name, contentType, body string
			status                  int
			code                    string
		}{
			{"no content type", "", "{}", http.StatusUnsupportedMediaType, protocol.CodeContentType},
			{"a form", "application/x-www-form-urlencoded", "a=1", http.StatusUnsupportedMediaType, protocol.CodeContentType},
			{"text", "text/plain", "{}", http.StatusUnsupportedMediaType, protocol.CodeContentType},
			{"a broken content type", "application/json; =", "{}", http.StatusUnsupportedMediaType, protocol.CodeContentType},
			{"no body", "application/json", "", http.StatusBadRequest, protocol.CodeMalformed},
			{"no JSON", "application/json", "{", http.StatusBadRequest, protocol.CodeMalformed},
			{"another type", "application/json", `[1]`, http.StatusBadRequest, protocol.CodeMalformed},
			{"two values", "application/json", `{}{}`, http.StatusBadRequest, protocol.CodeMalformed},
			{"rubbish behind", "application/json", `{} x`, http.StatusBadRequest, protocol.CodeMalformed},
			{"too much", "application/json", large, http.StatusRequestEntityTooLarge, protocol.CodeTooLarge},
		} {
			code(t, path+": "+tc.name, post(b, path, tc.contentType, tc.body), tc.status, tc.code)
		}
		resp := b.Get(path)
		code(t, "GET "+path, resp, http.StatusMethodNotAllowed, protocol.CodeMethod)
		if got := resp.Header.Get("Allow"); got != "POST" {
			t.Errorf("GET %s: Allow is %q", path, got)
		}
	}
	code(t, "a wrong field", post(b, disconnectAllPath, "application/json", `{"keepUserIndependent":1}`), http.StatusBadRequest, protocol.CodeMalformed)
	for _, path := range []string{"", "x", "disconnect/", "disconnectx", "rpc/no-such", "../x"} {
		path = protocol.DefaultPath + path
		if resp := post(b, path, "application/json", "{}"); resp.StatusCode != http.StatusNotFound && resp.StatusCode/100 != 3 {
			t.Errorf("%s is answered %s", path, resp.Status)
		}
	}
	code(t, "an unknown endpoint", b.Get(protocol.DefaultPath+"x"), http.StatusNotFound, protocol.CodeNotFound)
	a.is(b, "anna")
}

func TestEndpointsAnswerInternalErrorsWithoutTheirText(t *testing.T) {
	t.Parallel()
	faults := new(faults)
	a := newApp(t, memoryKind, faults.option())
	b := a.browser()
	a.connect(b, "anna")
	faults.fail("EndSession")
	resp := post(b, disconnectPath, "application/json", "{}")
	code(t, "a failing store", resp, http.StatusInternalServerError, protocol.CodeInternal)
	if bytes.Contains([]byte(resp.Text()), []byte(errFault.Error())) {
		t.Errorf("the body tells the inner error: %s", resp.Text())
	}
}

func TestEndpointsMoveWithTheirPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind, withConfig(sojourn.Config{Path: "/session/"}))
	b := a.browser()
	a.connect(b, "anna")
	status(t, post(b, disconnectPath, "application/json", "{}"), http.StatusNotFound)
	a.is(b, "anna")
	status(t, post(b, "/session/disconnect", "application/json", "{}"), http.StatusNoContent)
	a.is(b, sojourn.Nobody)
}

func TestPathsThatCannotBeMeantAreRefusedAtNew(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"x", "/x", "x/", "/", "//", "//x/", "/a b/", "/{x}/", "/a/../b/", "/a?b/", "/a%20b/"} {
		site, err := sojourn.New(sojourn.Config{Path: path})
		if err == nil {
			site.Close()
			t.Errorf("New accepts the path %q", path)
		}
	}
}

func TestMiddlewareTwiceIsOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	a.running.h = a.site.Middleware(a.running.h)
	b := a.browser()
	a.connect(b, "anna")
	a.is(b, "anna")
	var user sojourn.UserID
	a.bare(b, func(ctx context.Context) { user, _ = a.site.CurrentUser(ctx) })
	if user != "anna" {
		t.Errorf("the user is %q", user)
	}
}
