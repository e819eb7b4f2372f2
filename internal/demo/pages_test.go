package demo_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// newApp returns the demo on a store, or in memory.
func newApp(t *testing.T, store sojourn.Store) *demo.App {
	t.Helper()
	app, err := demo.Open(t.Context(), demo.Options{
		Store:    store,
		Accounts: filepath.Join(t.TempDir(), "accounts.db"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return app
}

func signIn(t *testing.T, b *sojourntest.Browser, name string) *sojourntest.Response {
	t.Helper()
	resp := b.Post("/sign-in", url.Values{"name": {name}, "password": {"demo-" + name}})
	wantPage(t, resp, http.StatusOK, "Welcome back, "+name)
	return resp
}

// wantPage fails the test unless the response has this status and this text.
func wantPage(t *testing.T, resp *sojourntest.Response, status int, texts ...string) {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("%s %s is answered %d, want %d", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, status)
	}
	for _, text := range texts {
		if !strings.Contains(resp.Text(), html.EscapeString(text)) {
			t.Errorf("%s %s does not say %q:\n%s", resp.Request.Method, resp.Request.URL.Path, text, resp.Text())
		}
	}
}

func wantNot(t *testing.T, resp *sojourntest.Response, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(resp.Text(), html.EscapeString(text)) {
			t.Errorf("%s %s says %q", resp.Request.Method, resp.Request.URL.Path, text)
		}
	}
}

func TestEveryDoor(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	type visitor struct {
		name    string
		browser *sojourntest.Browser
	}
	visitors := []visitor{{"nobody", sojourntest.NewBrowser(t, app)}}
	for _, name := range []string{"ada", "bob", "eve"} {
		b := sojourntest.NewBrowser(t, app)
		signIn(t, b, name)
		visitors = append(visitors, visitor{name, b})
	}
	for path, want := range map[string][4]int{ // nobody, ada, bob, eve
		"/":               {200, 200, 200, 200},
		"/counters":       {200, 200, 200, 200},
		"/timeline":       {200, 200, 200, 200},
		"/sign-in":        {200, 200, 200, 200},
		"/sign-up":        {200, 200, 200, 200},
		"/sessions":       {401, 200, 200, 200},
		"/lounge":         {401, 200, 200, 403},
		"/admin":          {401, 200, 403, 403},
		"/admin/timeline": {401, 200, 403, 403},
		"/nowhere":        {404, 404, 404, 404},
		"/sign-out":       {404, 404, 404, 404}, // only POST
	} {
		for i, v := range visitors {
			resp := v.browser.Get(path)
			if resp.StatusCode != want[i] {
				t.Errorf("%s at %s is answered %d, want %d", v.name, path, resp.StatusCode, want[i])
			}
			if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Errorf("%s at %s gets %s", v.name, path, got)
			}
		}
	}
	for _, path := range []string{"/admin/ban", "/admin/sign-out", "/admin/delete"} {
		for i, want := range []int{401, 404, 403, 403} { // the admin is let in, but there is no such account
			if got := visitors[i].browser.Post(path, url.Values{"user": {"x"}}).StatusCode; got != want {
				t.Errorf("%s posting to %s is answered %d, want %d", visitors[i].name, path, got, want)
			}
		}
	}
}

func TestAnonymousReaderLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	for _, path := range []string{"/", "/counters", "/timeline", "/sign-in", "/sign-up", "/sessions", "/nowhere"} {
		b.Get(path)
	}
	if cookies := b.Cookies(); len(cookies) > 0 {
		t.Errorf("reading pages set %v", cookies)
	}
}

func TestSignUpSignOutSignIn(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	form := url.Values{"name": {"Grace"}, "password": {"correct horse"}, "next": {"/sessions"}}
	resp := b.Post("/sign-up", form)
	wantPage(t, resp, 200, "Welcome, Grace.", "Your sessions", "this browser")
	wantNot(t, b.Get("/"), "Welcome, Grace.")

	wantPage(t, b.Post("/sign-out", nil), 200, "You are signed out of this browser.")
	wantPage(t, b.Get("/sessions"), 401, "Sign in")
	wantPage(t, b.Post("/sign-up", form), 409, "This name is taken.")
	wantPage(t, b.Post("/sign-up", url.Values{"name": {"Next"}, "password": {"short"}}), 422, "at least 8 characters")
	wantPage(t, b.Post("/sign-in", url.Values{"name": {"grace"}, "password": {"wrong horse"}}), 401, "Wrong name or password.")
	wantPage(t, b.Post("/sign-in", url.Values{"name": {"grace"}, "password": {"correct horse"}}), 200, "Welcome back, Grace.")
}

func TestSignInLeadsBackButNeverToAnotherSite(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	if resp := b.Get("/sessions?x=1"); !strings.Contains(resp.Text(), `value="/sessions?x=1"`) {
		t.Errorf("the sign-in page does not lead back:\n%s", resp.Text())
	}
	b.FollowRedirects(false)
	for next, want := range map[string]string{
		"/counters?a=b":         "/counters?a=b",
		"https://evil.example/": "/",
		"//evil.example/":       "/",
		`/\evil.example`:        "/",
		"javascript:alert(1)":   "/",
	} {
		page := b.Get("/sign-in?next=" + url.QueryEscape(next))
		if got := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(page.Text()); got == nil || html.UnescapeString(got[1]) != want {
			t.Errorf("the form keeps %q for %q, want %q", got, next, want)
		}
		resp := b.Post("/sign-in", url.Values{"name": {"bob"}, "password": {"demo-bob"}, "next": {next}})
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != want {
			t.Errorf("next=%q leads to %d %q, want 303 %q", next, resp.StatusCode, got, want)
		}
	}
}

func TestKeepMeSignedInOrUntilIClose(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	for stay, want := range map[string]int{"on": 200, "exit": 401} {
		b := sojourntest.NewBrowser(t, app)
		b.Post("/sign-in", url.Values{"name": {"bob"}, "password": {"demo-bob"}, "stay": {stay}})
		wantPage(t, b.Get("/sessions"), 200)
		b.Exit()
		if got := b.Get("/sessions").StatusCode; got != want {
			t.Errorf("stay=%s: after the browser was closed the answer is %d, want %d", stay, got, want)
		}
	}
}

func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	const name = `<script>alert("x")</script>`
	b := sojourntest.NewBrowser(t, app)
	pages := []*sojourntest.Response{
		b.Post("/sign-up", url.Values{"name": {name}, "password": {"correct horse"}}),
		b.Get("/lounge"), b.Get("/timeline"), b.Get("/sessions"),
		b.Post("/sign-in", url.Values{"name": {name + "?"}, "password": {"x"}}),
		b.Get("/<script>alert(1)</script>"),
	}
	admin := sojourntest.NewBrowser(t, app)
	signIn(t, admin, "ada")
	pages = append(pages, admin.Get("/admin"), admin.Get("/admin/timeline"))
	for _, page := range pages {
		if strings.Contains(page.Text(), "<script>") {
			t.Errorf("%s has somebody's script:\n%s", page.Request.URL.Path, page.Text())
		}
	}
	wantPage(t, pages[1], 200, name)
	wantPage(t, pages[6], 200, name)
}

func TestEveryPageIsStrict(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	cross := httptest.NewRequest(http.MethodPost, "/sign-out", nil)
	cross.Header.Set("Origin", "https://evil.example")
	refused := b.Do(cross)
	wantPage(t, refused, 403, "Another site tried to send this form.")
	for _, resp := range []*sojourntest.Response{b.Get("/"), b.Get("/sessions"), b.Get("/nowhere"), b.Get("/static/nothing.css"), refused} {
		where := resp.Request.Method + " " + resp.Request.URL.Path
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s has the policy %q", where, csp)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Referrer-Policy") == "" {
			t.Errorf("%s lacks headers: %v", where, resp.Header)
		}
		for _, inline := range []string{" style=", "<style", "<script>", " onclick", "javascript:", "http://", "https://"} {
			if strings.Contains(resp.Text(), inline) {
				t.Errorf("%s contains %q", where, inline)
			}
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s has Cache-Control %q", where, got)
		}
	}
	home := b.Get("/").Text()
	for _, m := range regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(home, -1) {
		resp := b.Get(m[1])
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s is answered %d with Cache-Control %q", m[1], resp.StatusCode, resp.Header.Get("Cache-Control"))
		}
	}
}

func TestFormsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	for body, want := range map[string]int{
		"name=%zz":                             400,
		"name=" + strings.Repeat("x", 100<<10): 413,
	} {
		r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := b.Do(r).StatusCode; got != want {
			t.Errorf("a form of %d bytes is answered %d, want %d", len(body), got, want)
		}
	}
}

func TestCallsOfProgramsFailWithACode(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	cross := httptest.NewRequest(http.MethodPost, protocol.DefaultPath+"disconnect", strings.NewReader("{}"))
	cross.Header.Set("Content-Type", "application/json")
	cross.Header.Set("Origin", "https://evil.example")
	for _, tc := range []struct {
		resp   *sojourntest.Response
		status int
		code   string
	}{
		{b.Get(protocol.DefaultPath + "nothing"), 404, protocol.CodeNotFound},
		{b.Get(protocol.DefaultPath + "disconnect"), 405, protocol.CodeMethod},
		{b.Do(cross), 403, protocol.CodeCrossOrigin},
	} {
		var body struct{ Error struct{ Code string } }
		tc.resp.JSON(&body)
		if tc.resp.StatusCode != tc.status || body.Error.Code != tc.code {
			t.Errorf("%s is answered %d %q, want %d %q", tc.resp.Request.URL.Path, tc.resp.StatusCode, body.Error.Code, tc.status, tc.code)
		}
	}
	b.Get("/")
	signIn(t, b, "bob")
	if got := b.PostJSON(protocol.DefaultPath+"disconnect", struct{}{}).StatusCode; got != 204 {
		t.Errorf("disconnect is answered %d, want 204", got)
	}
	wantPage(t, b.Get("/sessions"), 401)
}

func TestGuessingPasswordsIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a slow machine does not take so long that tries come back
		app := newApp(t, nil)
		b := sojourntest.NewBrowser(t, app)
		var last *sojourntest.Response
		for i := range 12 {
			last = b.Post("/sign-in", url.Values{"name": {"ada"}, "password": {fmt.Sprint("guess", i)}})
		}
		wantPage(t, last, 429, "Too many attempts")
		if last.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
		wantPage(t, b.Post("/sign-in", url.Values{"name": {"ada"}, "password": {"demo-ada"}}), 429)
		// Others are not locked out, not even of this account.
		signIn(t, sojourntest.NewBrowser(t, app), "ada")
	})
}

func TestWhoKnowsThePasswordIsNotSlowedDown(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	for range 12 {
		signIn(t, b, "bob")
	}
}

func TestTabCountersNeedTheTabHeader(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, newApp(t, nil))
	form := url.Values{"counter": {"tab-volatile"}, "do": {"add"}}
	wantPage(t, b.Post("/counters", form), 200, "It was 1 in the tab of your press.", "another tab")
	wantPage(t, b.Post("/counters", form), 200, "It was 1 in the tab of your press.")
	tab := b.NewTab()
	tab.Get("/counters")
	if tab.ID() == "" {
		t.Fatalf("no %s in the response", protocol.TabHeader)
	}
	tab.Post("/counters", form)
	wantNot(t, tab.Post("/counters", form), "in the tab of your press")
	if got := values(t, tab)["tab-volatile"]; got != "2" {
		t.Errorf("the tab's next page shows %s, want 2", got)
	}
}
