package cookie

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestOnlyASingleCookieIsFound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"id=x"}, "x"},
		{[]string{"a=b; id=x; c=d"}, "x"},
		{[]string{"a=b;id=x;c=d"}, "x"},
		{[]string{" \t id=x"}, "x"},
		{[]string{"id=x \t"}, "x"},
		{[]string{"id=x\t;a=b"}, "x"},
		{[]string{"a=b", "id=x"}, "x"},
		{[]string{"id=x; id=x"}, ""},
		{[]string{"id=x; id=y"}, ""},
		{[]string{"id=x", "id=y"}, ""},
		{[]string{"id=x; id="}, ""},
		{[]string{"id=; id=x"}, ""},
		{[]string{"id"}, ""},
		{[]string{"id; id=x"}, "x"},
		{[]string{"id="}, ""},
		{[]string{"ID=x"}, ""},
		{[]string{"id =x"}, ""},
		{[]string{"xid=x; idx=y"}, ""},
		{[]string{"a=id=x"}, ""},
		{[]string{"id=a=b"}, "a=b"},
		{[]string{`id="x"`}, `"x"`},
		{[]string{"id=x,id=y"}, "x,id=y"},
		{[]string{";;; ; id=x;"}, "x"},
		{[]string{"=x"}, ""},
	} {
		if got := Find(tc.lines, "id"); got != tc.want {
			t.Errorf("in %q Find gives %q, want %q", tc.lines, got, tc.want)
		}
		has := false
		for _, line := range tc.lines {
			for _, part := range strings.Split(line, ";") {
				name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
				has = has || name == "id"
			}
		}
		if got := Has(tc.lines, "id"); got != has {
			t.Errorf("in %q Has gives %v, want %v", tc.lines, got, has)
		}
	}
}

func TestFindingAllocatesNothing(t *testing.T) {
	lines := []string{"a=b; c=d; __Host-sojourn=0123456789; e=f", "g=h"}
	if n := testing.AllocsPerRun(100, func() { Find(lines, "__Host-sojourn") }); n != 0 {
		t.Errorf("Find allocates %v times", n)
	}
}

func TestSetReplacesItsOwnCookieOnly(t *testing.T) {
	t.Parallel()
	h := http.Header{"Set-Cookie": {"id=old; Path=/", "idx=kept", "other=kept"}}
	Set(h, &http.Cookie{Name: "id", Value: "new", Path: "/"})
	if want := []string{"idx=kept", "other=kept", "id=new; Path=/"}; !slices.Equal(h["Set-Cookie"], want) {
		t.Errorf("the cookies are %q, want %q", h["Set-Cookie"], want)
	}
	if got := h.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
}

// A cookie in a response that a shared cache keeps would be everybody's. What
// the handler has said of caches stands.
func TestSetKeepsResponsesOutOfCaches(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"":            "no-store",
		"no-store":    "no-store",
		"private":     "private",
		"no-cache":    "no-cache",
		"max-age=600": "max-age=600",
	} {
		h := http.Header{}
		if before != "" {
			h.Set("Cache-Control", before)
		}
		Set(h, &http.Cookie{Name: "id", Value: "x"})
		if got := h.Get("Cache-Control"); got != want {
			t.Errorf("Cache-Control %q becomes %q, want %q", before, got, want)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("a=b; id=x", "c=d")
	f.Add("id=x", "id=y")
	f.Add("id", "=")
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		got := Find(lines, "id")
		if got != "" && !Has(lines, "id") {
			t.Errorf("Find gives %q, and Has nothing", got)
		}
		if strings.Contains(got, ";") {
			t.Errorf("Find gives %q", got)
		}
		n := 0
		for _, line := range lines {
			for _, part := range strings.Split(line, ";") {
				if strings.HasPrefix(strings.TrimLeft(part, " \t"), "id=") {
					n++
				}
			}
		}
		if n != 1 && got != "" {
			t.Errorf("of %d cookies Find gives %q", n, got)
		}
	})
}
