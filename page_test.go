package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/clientjs"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

var tagShape = regexp.MustCompile(`^<script type="module" src="([^"]*)" data-sojourn="([^"]*)" data-user="([^"]*)" data-mark="([^"]*)" data-tab="([^"]*)"></script>$`)

type scriptTag struct{ src, path, user, mark, tab string }

// tagOf is the tag in a page of liveSite.
func tagOf(t *testing.T, resp *sojourntest.Response) scriptTag {
	t.Helper()
	must(t, resp)
	_, text, _ := strings.Cut(resp.Text(), "<head>")
	text, _, _ = strings.Cut(text, "</head>")
	m := tagShape.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("the tag is %s", text)
	}
	for i := range m {
		m[i] = html.UnescapeString(m[i])
	}
	return scriptTag{m[1], m[2], m[3], m[4], m[5]}
}

func TestScriptTagSaysWhosePageItIs(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	b := sojourntest.NewBrowser(t, s.h)
	nobody := tagOf(t, b.Get("/page"))
	if nobody.user != "" || nobody.mark != "" || len(nobody.tab) < 22 || nobody.path != protocol.DefaultPath {
		t.Errorf("the page of nobody has the tag %+v", nobody)
	}
	const evil = `"><script>alert(1)</script>&amp;'`
	must(t, b.Post("/login", asUser(evil)))
	one, two := b.Get("/page"), b.Get("/page")
	tag, again := tagOf(t, one), tagOf(t, two)
	if tag.user != evil || len(tag.mark) != 16 || tag.tab != one.Header.Get(protocol.TabHeader) {
		t.Errorf("the page has the tag %+v, and the header %v", tag, one.Header)
	}
	if again.mark != tag.mark || again.tab == tag.tab {
		t.Errorf("two pages of one session have the tags %+v and %+v", tag, again)
	}
	if got := one.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page's Cache-Control is %q", got)
	}
	for _, c := range b.Cookies() {
		if strings.Contains(one.Text(), c.Value) {
			t.Errorf("the page tells the cookie %s", c.Name)
		}
	}
	must(t, b.Post("/login", asUser(evil)))
	if next := tagOf(t, b.Get("/page")); next.mark == tag.mark {
		t.Error("two sessions have one mark")
	}
	unguarded := b.Get("/unguarded")
	if tag := tagOf(t, unguarded); tag.user != evil || len(tag.tab) < 22 || unguarded.Header.Get(protocol.TabHeader) != "" {
		t.Errorf("an unguarded page has the tag %+v, and the header %v", tag, unguarded.Header)
	}
	if _, err := s.ClientScript(context.Background()); !errors.Is(err, sojourn.ErrNoRequest) {
		t.Errorf("outside a request the error is %v, want ErrNoRequest", err)
	}
}

func TestScriptIsCachedForEverUnderItsVersion(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/app/s/"} {
		s := newLiveSite(t, sojourn.Config{Path: path})
		b := sojourntest.NewBrowser(t, s.h)
		tag := tagOf(t, b.Get("/page"))
		for url, cached := range map[string]string{
			tag.src:                      "public, max-age=31536000, immutable",
			tag.path + "client.js":       "no-cache",
			tag.path + "client.js?v=old": "no-cache",
			tag.path + "client.d.ts":     "no-cache",
		} {
			resp := b.Get(url)
			kind, data := "text/javascript; charset=utf-8", clientjs.Script
			if strings.Contains(url, ".d.ts") {
				kind, data = "text/plain; charset=utf-8", clientjs.Types
			}
			etag := resp.Header.Get("ETag")
			if resp.StatusCode != http.StatusOK || resp.Text() != string(data) || etag == "" ||
				resp.Header.Get("Content-Type") != kind || resp.Header.Get("Cache-Control") != cached ||
				resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s is answered %s %v, %d bytes", url, resp.Status, resp.Header, len(resp.Text()))
			}
			for match, want := range map[string]int{etag: http.StatusNotModified, `"other"`: http.StatusOK} {
				r, err := http.NewRequest(http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("If-None-Match", match)
				if resp := b.Do(r); resp.StatusCode != want {
					t.Errorf("%s with If-None-Match %s is answered %s, want %d", url, match, resp.Status, want)
				}
			}
		}
		if n := len(b.Cookies()); n != 0 {
			t.Errorf("the script and a page of nobody set %d cookies", n)
		}
	}
}

func TestLatestPageOfATabIsTheOneThatCounts(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	b := sojourntest.NewBrowser(t, s.h)
	tab := b.NewTab()
	for i, user := range []string{"", "ann", "bob", ""} {
		if user != "" {
			must(t, b.Post("/login", asUser(user)))
		} else if i > 0 {
			must(t, b.Post("/logout", nil))
		}
		must(t, tab.Get("/page"))
		l := welcomed(t, tab, user)
		if got, want := fmt.Sprint(tab.ID() != ""), "true"; got != want {
			t.Error("the tab has no id")
		}
		l.Close()
	}
}
