package main

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestEachTabCountsItsOwnClicks(t *testing.T) {
	t.Parallel()
	site, handler, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	b := sojourntest.NewBrowser(t, handler)

	// click sends what htmx sends: the headers that the page asks for.
	click := func(headers map[string]string) string {
		r, err := http.NewRequest(http.MethodPost, "/click", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		return b.Do(r).Text()
	}
	first, second := open(t, b), open(t, b)
	click(first)
	if text := click(first); !strings.Contains(text, "2 clicks in this tab") {
		t.Errorf("the first tab's second click: %s", text)
	}
	if text := click(second); !strings.Contains(text, "1 clicks in this tab") {
		t.Errorf("the second tab's first click: %s", text)
	}
}

var hxHeaders = regexp.MustCompile(`hx-headers="([^"]*)"`)

// open opens the page in a new tab and returns the headers of its requests.
func open(t *testing.T, b *sojourntest.Browser) map[string]string {
	t.Helper()
	page := b.Get("/").Text()
	m := hxHeaders.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no hx-headers in the page:\n%s", page)
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &headers); err != nil {
		t.Fatalf("hx-headers of the page is not JSON: %v in %s", err, m[1])
	}
	if headers["Sojourn-Tab"] == "" {
		t.Fatalf("the page does not carry its tab: %v", headers)
	}
	return headers
}
