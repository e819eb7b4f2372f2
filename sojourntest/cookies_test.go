package sojourntest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/sojourntest"
)

// complaints is a testing.TB that keeps what would fail the test.
type complaints struct {
	testing.TB
	mu  sync.Mutex
	all []string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf(format, args...))
}

// cookies is a handler that sets the lines it is given in the query and
// answers the Cookie header it got.
var cookies = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	for _, line := range r.URL.Query()["set"] {
		w.Header().Add("Set-Cookie", line)
	}
	_, _ = fmt.Fprint(w, strings.Join(r.Header["Cookie"], "; "))
})

func set(path string, lines ...string) string {
	return path + "?" + url.Values{"set": lines}.Encode()
}

func TestCookieIsSentBackWhereItBelongs(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.Get(set("/a/page", "all=1; Path=/", "deep=2; Path=/a/b", "folder=3", "wide=4; Domain=example.com; Path=/"))
	for path, want := range map[string]string{
		"/":                          "all=1; wide=4",
		"/a":                         "folder=3; all=1; wide=4",
		"/ab":                        "all=1; wide=4",
		"/a/b/c":                     "deep=2; folder=3; all=1; wide=4",
		"https://sub.example.com/":   "wide=4",
		"https://other.example.net/": "",
	} {
		if got := b.Get(path).Text(); got != want {
			t.Errorf("%s: the browser sent %q, want %q", path, got, want)
		}
	}
}

func TestCookieThatABrowserRefusesFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, at, line, why string }{
		{"host prefix without Secure", "", "__Host-s=1; Path=/", "__Host- without Secure"},
		{"host prefix without Path", "", "__Host-s=1; Secure", "__Host- without Path=/"},
		{"host prefix with another Path", "", "__Host-s=1; Secure; Path=/a", "__Host- without Path=/"},
		{"host prefix with Domain", "", "__Host-s=1; Secure; Path=/; Domain=example.com", "__Host- with a Domain"},
		{"host prefix in other letters", "", "__hOST-s=1; Path=/", "__Host- without Secure"},
		{"secure prefix without Secure", "", "__Secure-s=1; Path=/", "__Secure- without Secure"},
		{"SameSite=None without Secure", "", "s=1; SameSite=None", "SameSite=None without Secure"},
		{"foreign Domain", "", "s=1; Domain=example.net", "not that of example.com"},
		{"Secure over http", "http://example.com", "s=1; Secure", "in a response over http"},
		{"too big", "", "s=" + strings.Repeat("x", 4096), "longer than 4096 bytes"},
		{"no name", "", "=1", "invalid cookie name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := &complaints{TB: t}
			b := sojourntest.NewBrowser(c, cookies)
			b.Get(set(tc.at+"/", tc.line))
			if len(c.all) != 1 || !strings.Contains(c.all[0], tc.why) {
				t.Errorf("the complaints are %q, want one with %q", c.all, tc.why)
			}
			if got := b.Cookies(); len(got) != 0 {
				t.Errorf("the jar has %v, want nothing", got)
			}
		})
	}
}

func TestSecureCookieStaysOffHTTP(t *testing.T) {
	t.Parallel()
	c := &complaints{TB: t}
	b := sojourntest.NewBrowser(c, cookies)
	b.Get(set("/", "s=good; Secure; Path=/"))
	b.Insecure()
	if got := b.Get("/").Text(); got != "" {
		t.Errorf("over http the browser sent %q, want nothing", got)
	}
	b.Get(set("/", "s=evil; Path=/"))
	if len(c.all) != 1 || !strings.Contains(c.all[0], "may not replace a Secure cookie") {
		t.Errorf("the complaints are %q", c.all)
	}
	if got := b.Cookie("s").Value; got != "good" {
		t.Errorf("the Secure cookie is now %q", got)
	}
}

func TestCookieGoesWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := sojourntest.NewBrowser(t, cookies)
		in90s := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		b.Get(set("/", "age=1; Max-Age=60; Expires="+in90s, "date=2; Expires="+in90s, "exit=3", "long=4; Max-Age=99999999999"))
		for _, step := range []struct {
			pass time.Duration
			want string
		}{
			{59 * time.Second, "age=1; date=2; exit=3; long=4"},
			{time.Second, "date=2; exit=3; long=4"},
			{30 * time.Second, "exit=3; long=4"},
			{400 * 24 * time.Hour, "exit=3"},
		} {
			time.Sleep(step.pass)
			if got := b.Get("/").Text(); got != step.want {
				t.Errorf("after another %v the browser sent %q, want %q", step.pass, got, step.want)
			}
		}
	})
}

func TestCookieIsDeletedByItsOwnPathOnly(t *testing.T) {
	t.Parallel()
	past := time.Unix(1, 0).UTC().Format(http.TimeFormat)
	for name, lines := range map[string][2]string{
		"zero Max-Age":     {"s=; Path=/; Max-Age=0", ""},
		"negative Max-Age": {"s=; Path=/; Max-Age=-1", ""},
		"Expires":          {"s=; Path=/; Expires=" + past, ""},
		"another path":     {"s=; Path=/a; Max-Age=0", "s=1"},
		"empty value":      {"s=; Path=/", "s="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sojourntest.NewBrowser(t, cookies)
			b.Get(set("/", "s=1; Path=/"))
			b.Get(set("/", lines[0]))
			if got := b.Get("/").Text(); got != lines[1] {
				t.Errorf("the browser sent %q, want %q", got, lines[1])
			}
		})
	}
}

func TestReplacedCookieKeepsItsPlace(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.Get(set("/", "a=1; Path=/; HttpOnly", "b=2; Path=/"))
	b.Get(set("/", "a=3; Path=/; HttpOnly"))
	if got := b.Get("/").Text(); got != "a=3; b=2" {
		t.Errorf("the browser sent %q", got)
	}
	if c := b.Cookie("a"); !c.HttpOnly || c.Value != "3" || !c.Expires.IsZero() {
		t.Errorf("the cookie is %v, want an HttpOnly one of this exit", c)
	}
	if c := b.Cookie("none"); c != nil {
		t.Errorf("a cookie that is not there is %v", c)
	}
}

func TestSameSiteKeepsCookiesFromOtherSites(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.Get(set("/", "unset=1; Path=/", "lax=2; SameSite=Lax; Path=/", "strict=3; SameSite=Strict; Path=/", "none=4; SameSite=None; Secure; Path=/"))
	const all = "unset=1; lax=2; strict=3; none=4"
	for _, tc := range []struct{ name, method, header, value, want string }{
		{"own page", "POST", "", "", all},
		{"link elsewhere", "GET", "Sec-Fetch-Site", "cross-site", "unset=1; lax=2; none=4"},
		{"form elsewhere", "POST", "Origin", "https://evil.example", "none=4"},
		{"form of a sandbox", "POST", "Origin", "null", "none=4"},
		{"form over http", "POST", "Origin", "http://example.com", "none=4"},
		{"form of a subdomain", "POST", "Origin", "https://blog.example.com", all},
	} {
		r, err := http.NewRequest(tc.method, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.header != "" {
			r.Header.Set(tc.header, tc.value)
		}
		if got := b.Do(r).Text(); got != tc.want {
			t.Errorf("%s: the browser sent %q, want %q", tc.name, got, tc.want)
		}
	}
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://evil.example")
	if got := b.NewTab().Do(r).Text(); got != "none=4" {
		t.Errorf("fetch elsewhere: the browser sent %q, want none=4", got)
	}
}

func TestPlantedCookieIsSentUnasked(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.SetCookie(&http.Cookie{Name: "__Host-s", Value: "forged"})
	b.SetCookie(&http.Cookie{Name: "__Host-s", Value: "twin", Path: "/a"})
	if got := b.Get("/a").Text(); got != "__Host-s=twin; __Host-s=forged" {
		t.Errorf("the browser sent %q", got)
	}
	if got := b.Cookie("__Host-s").Value; got != "twin" {
		t.Errorf("the first cookie of the name is %q", got)
	}
	b.SetCookie(&http.Cookie{Name: "__Host-s", Path: "/a", MaxAge: -1})
	if got := b.Get("/a").Text(); got != "__Host-s=forged" {
		t.Errorf("after the removal the browser sent %q", got)
	}
	b.ClearCookies()
	if got := b.Get("/a").Text(); got != "" {
		t.Errorf("after ClearCookies the browser sent %q", got)
	}
}

func TestExitDropsCookiesOfTheExit(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.Get(set("/", "kept=1; Max-Age=60; Path=/", "exit=2; Path=/"))
	b.Exit()
	if got := b.Get("/").Text(); got != "kept=1" {
		t.Errorf("after Exit the browser sent %q, want kept=1", got)
	}
}

func TestCloneHasACopyOfTheJar(t *testing.T) {
	t.Parallel()
	b := sojourntest.NewBrowser(t, cookies)
	b.Get(set("/", "s=1; Path=/"))
	thief := b.Clone()
	b.Get(set("/", "s=2; Path=/"))
	thief.Get(set("/", "t=3; Path=/"))
	if got := thief.Get("/").Text(); got != "s=1; t=3" {
		t.Errorf("the thief sent %q", got)
	}
	if got := b.Get("/").Text(); got != "s=2" {
		t.Errorf("the browser sent %q", got)
	}
}
