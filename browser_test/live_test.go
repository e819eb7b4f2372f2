package browsertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Not parallel: it measures.
func TestLatencyOfBeingTold(t *testing.T) {
	s, b := newServer(t), newBrowser(t)
	one, two := b.open(s.url+"/"), b.open(s.url+"/")
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	var took []time.Duration
	for range rounds {
		one.isOf("")
		one.do(`await sojourn.fetch("/login", { method: "POST", body: new URLSearchParams({ user: "alice" }) })`)
		two.navigate(s.url + "/")
		two.isOf("alice")
		called := value[float64](one, `(() => { const now = clock(); return sojourn.disconnect().then(() => now); })()`)
		two.until(`window.toldAt > 0`)
		told := value[float64](two, `window.toldAt`)
		took = append(took, time.Duration((told-called)*float64(time.Millisecond)))
	}
	slices.Sort(took)
	t.Logf("disconnect() in one tab to the other tab told: median %v of %d, from %v to %v",
		took[len(took)/2], len(took), took[0], took[len(took)-1])
}

func TestEightTabsAreLiveAndStarveNobody(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	tabs := []*tab{b.signIn(s, "alice")}
	for len(tabs) < 8 {
		tabs = append(tabs, b.open(s.url+"/"))
	}
	for _, tb := range tabs {
		tb.isOf("alice")
	}
	for _, tb := range tabs { // all at once, while each makes calls
		tb.do(`window.calls = Promise.all(Array.from({ length: 25 }, () => sojourn.call("whoami")))`)
	}
	for _, tb := range tabs {
		if ok := value[bool](tb, `window.calls.then((all) => all.length === 25 && all.every((who) => who === "alice"))`); !ok {
			t.Error("not every call was answered")
		}
	}
	if open := value[[]int](tabs[0], `sojourn.call("sessions").then((list) => list.map((s) => s.Tabs))`); !slices.Equal(open, []int{8}) {
		t.Errorf("open tabs of the sessions: %v, want one session with 8", open)
	}
	if protocol := value[string](tabs[0], `performance.getEntriesByType("navigation")[0].nextHopProtocol`); protocol != "http/1.1" {
		t.Errorf("the pages came over %s", protocol)
	}
	tabs[3].do(`await sojourn.call("order", { title: "bread" })`)
	for _, tb := range tabs {
		tb.until(`document.querySelector("#orders").innerText === "bread"`)
	}
	tabs[7].do(`await sojourn.disconnect()`)
	for _, tb := range tabs[:7] {
		tb.isOf("")
	}
}

func TestErrorsOfFunctionsHaveTheirCodes(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.signIn(s, "alice")
	const report = `.catch((e) => [e.name, e.code, e.status, e.message])`
	for call, want := range map[string]string{
		`sojourn.call("admin")`:                                 "SojournError permission_denied 403",
		`sojourn.call("nothing-of-the-kind")`:                   "SojournError not_found 404",
		`sojourn.call("order", 3)`:                              "SojournError malformed 400",
		`sojourn.call("order", { title: "x".repeat(2 ** 21) })`: "SojournError too_large 413",
		`sojourn.call("order", { title: "" })`:                  "SojournError internal 500",
	} {
		got := value[[]any](one, call+report)
		if text := fmt.Sprint(got...); !strings.HasPrefix(fmt.Sprintf("%v %v %v", got[0], got[1], got[2]), want) || strings.Contains(text, errSoldOut.Error()) {
			t.Errorf("%s throws %v, want %s", call, got, want)
		}
	}
}

// Secure cookies are refused on plain http, but for localhost: so this is what
// a page sees where cookies are blocked.
func TestNoRestartLoopWhereCookiesAreBlocked(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.open("http://shop.test:" + s.port + "/connects")
	one.until(`noted("loads").length === 2 && window.live === "changed changed" && noted("closes").length === 2`)
	if cookies := value[string](one, "document.cookie"); cookies != "" {
		t.Fatalf("there are cookies: %s", cookies)
	}
	if told := noted[string](one, "live"); !slices.Equal(told, []string{"changed changed", "changed changed"}) {
		t.Errorf("the tab heard %q", told)
	}
	if closes := noted[int](one, "closes"); !slices.Equal(closes, []int{4000, 4000}) {
		t.Errorf("its connections were closed with %v", closes)
	}
	if value[bool](one, message+" !== null") {
		t.Error("the page is about to restart again")
	}
	if loads := noted[string](one, "loads"); !slices.Equal(loads, []string{"navigate", "reload"}) {
		t.Errorf("the page was loaded so: %q", loads)
	}
}

func TestStrictContentSecurityPolicyHolds(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.signIn(s, "alice")
	two := b.open("about:blank")
	console := chromedp.Console(two.ctx)
	two.navigate(s.url + "/")
	two.isOf("alice")
	two.do(`await sojourn.call("order", { title: "bread" })`)
	two.until(`document.querySelector("#orders").innerText === "bread"`)
	one.do(`await sojourn.disconnect()`)
	if style := two.shownMessage().Style; style != "fixed rgb(255, 255, 255)" {
		t.Errorf("the message is styled %q", style)
	}
	two.isOf("")
	for _, what := range []string{"violations", "failures"} {
		if list := noted[string](two, what); len(list) != 0 {
			t.Errorf("%s: %q", what, list)
		}
	}

	// And what would be a violation is one: the test can fail.
	two.do(`
		document.body.insertAdjacentHTML("beforeend", '<p style="color: red">inline</p>');
		console.info("the end");`)
	two.until(`noted("violations").length === 1`)
	ownFault := 0
	for m, err := range console {
		if err != nil {
			t.Fatal(err)
		}
		if m.Text == "the end" {
			break
		}
		if strings.Contains(m.Text, "inline style") {
			ownFault++
			continue
		}
		t.Errorf("on the console: %s", m)
	}
	if ownFault == 0 {
		t.Error("the console did not say that the inline style is a violation")
	}
}
