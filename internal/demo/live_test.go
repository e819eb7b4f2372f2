package demo_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
)

const shown = `document.querySelector("main").innerText`

// Every page has its picture, and none breaks its own policy: newWindow looks
// at the console.
func TestEveryPageInABrowser(t *testing.T) {
	t.Parallel()
	w := newWindow(t, serveDemo(t, demo.Options{Server: "2"}))
	tb := w.open("/")
	for _, path := range []string{"/", "/counters", "/functions", "/functions/go", "/timeline", "/sign-in", "/sign-up", "/nowhere"} {
		tb.visit(path)
		tb.isAt(path, "")
		tb.shoot("nobody" + strings.ReplaceAll(path, "/", "-"))
	}
	// Mistakes, and the longest name there can be, which has to fit in everywhere.
	form := func(path, name, password string) {
		t.Helper()
		tb.visit(path)
		value[int](tb, fmt.Sprintf(`(document.querySelector("#name").value = %q, document.querySelector("#password").value = %q, 0)`, name, password))
		tb.click(".panel button")
	}
	form("/sign-in", "ada", "guessing")
	tb.until(shown + `.includes("Wrong name or password")`)
	tb.shoot("wrong-password")
	form("/sign-up", "ada", "long enough")
	tb.until(shown + `.includes("taken")`)
	tb.shoot("name-taken")
	longest := strings.Repeat("W", 32)
	form("/sign-up", longest, "long enough")
	tb.isAt("/", longest)
	tb.shoot("longest-name")
	tb.visit("/sign-up")
	tb.isAt("/sign-up", longest)
	tb.shoot("longest-name-sign-up")

	tb.signIn("eve", "/lounge")
	tb.shoot("banned")
	tb.signIn("ada", "/")
	for _, path := range []string{"/", "/counters", "/functions", "/timeline", "/sessions", "/lounge", "/admin", "/admin/timeline"} {
		tb.visit(path)
		tb.isAt(path, "ada")
		tb.shoot("ada" + strings.ReplaceAll(path, "/", "-"))
	}
	tb.dark()
	for _, path := range []string{"/", "/counters", "/functions", "/timeline", "/sessions", "/admin", "/sign-in"} {
		tb.visit(path)
		tb.shoot("dark" + strings.ReplaceAll(path, "/", "-"))
	}
}

func TestSignOutInOneTabTellsTheOther(t *testing.T) {
	t.Parallel()
	w := newWindow(t, serveDemo(t, demo.Options{}))
	one := w.open("/")
	one.signIn("bob", "/functions")
	two := w.open("/functions")
	two.isAt("/functions", "bob")
	for _, tb := range []*tab{one, two} {
		tb.until(`document.querySelector("[data-open-tabs]").value === "2"`)
	}
	header := func(text string) string {
		return fmt.Sprintf(`document.querySelector(".who").innerText.replace(/\s+/g, " ") === %q`, text)
	}
	one.until(header("Signed in as bob Sign out"))
	one.press("disconnect")
	two.told("disconnect")
	two.shoot("changed")
	two.isAt("/functions", "")
	if user := value[string](one, `document.querySelector("[data-shown-user]").textContent`); user != "nobody" {
		t.Errorf("the tab that signed out takes itself for %q's", user)
	}
	one.until(header("Sign in Sign up"))
	if answer := one.press("greet"); !strings.HasPrefix(answer, "not_connected") {
		t.Errorf("the server still greets: %q", answer)
	}
}

func TestFunctionsAnswer(t *testing.T) {
	t.Parallel()
	w := newWindow(t, serveDemo(t, demo.Options{}))
	testFunctions(t, w, "/functions")
}

func testFunctions(t *testing.T, w *window, path string) {
	t.Helper()
	one := w.open(path)
	one.isAt(path, "")
	for name, want := range map[string]string{
		"tab": "1", "greet": "not_connected", "accounts": "not_connected", "user": "not_connected", "wave": "not_connected",
	} {
		if got := one.press(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s answers nobody %q, want %q", name, got, want)
		}
	}
	one.signIn("bob", path)
	two := w.open(path)
	two.isAt(path, "bob")
	for i, want := range []string{"1", "2", "3"} {
		if got := one.press("tab"); got != want {
			t.Errorf("press %d counts %s in the tab", i+1, got)
		}
	}
	if got := two.press("tab"); got != "1" {
		t.Errorf("the first press in another tab counts %s", got)
	}
	one.press("session")
	if got := two.press("session"); got != "2" {
		t.Errorf("two presses in one session count %s", got)
	}
	if got := value[string](one, `document.querySelector("[data-shown-user]").textContent`); got != "bob" {
		t.Errorf("the page says that its user is %q", got)
	}
	if got := one.press("greet"); got != "Good evening, bob." {
		t.Errorf("bob is greeted with %q", got)
	}
	if got := one.press("accounts"); !strings.HasPrefix(got, "permission_denied") {
		t.Errorf("bob, who is no admin, gets %q", got)
	}
	one.shoot("bob" + strings.ReplaceAll(path, "/", "-"))
	one.press("wave")
	for _, tb := range []*tab{one, two} {
		tb.until(`document.querySelector(".toast")?.textContent.includes("Hello from here")`)
	}
	two.signIn("ada", path)
	if got := two.press("accounts"); got != "ada, bob, eve" {
		t.Errorf("an admin gets %q", got)
	}
}

func TestGoPageAnswersAsTheOtherDoes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the compiler takes its time")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("NOT TESTED: the page in Go, without the go command: %v", err)
	}
	dir := t.TempDir()
	demo.BuildGoPage(t.Context(), dir)
	wantSmall(t, filepath.Join(dir, "page.wasm"), 480_000)
	w := newWindow(t, serveDemo(t, demo.Options{GoPage: dir}))
	testFunctions(t, w, "/functions/go")
}

// wantSmall checks how much of a file goes over the wire at best.
func wantSmall(t *testing.T, file string, most int) {
	t.Helper()
	brotli, err := exec.LookPath("brotli") // under -race a compressor in Go takes minutes
	if err != nil {
		const lost = "the size of the page in Go is NOT tested (Debian's package: brotli)"
		if ci := os.Getenv("CI"); ci != "" && ci != "false" && ci != "0" {
			t.Fatalf("%v; %s", err, lost)
		}
		t.Logf("%v; %s", err, lost)
		return
	}
	small, err := exec.CommandContext(t.Context(), brotli, "-q", "11", "-c", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(small) > most {
		t.Errorf("%s has %d bytes after brotli, more than %d", filepath.Base(file), len(small), most)
	}
}

func TestTimelineArrivesLive(t *testing.T) {
	t.Parallel()
	w := newWindow(t, serveDemo(t, demo.Options{}))
	one := w.open("/")
	one.signIn("bob", "/timeline")
	two := w.open("/lounge")
	one.until(shown + `.includes("GET /lounge")`)
	one.until(`[...document.querySelectorAll("[data-requests] > li")].some((li) => li.innerText.includes("GET /lounge") && li.innerText.includes("OnConnectedRequest"))`)
	two.visit("/functions")
	two.isAt("/functions", "bob")
	two.press("tab")
	one.until(shown + `.includes("POST /_sojourn/rpc/count")`)
	one.shoot("timeline-live")
	steps := `(document.querySelector("[data-requests]").innerText.match(/GET \/lounge[^]*?(?=GET|POST)/) ?? [""])[0].replace(/\d\d:\d\d:\d\d|\s+/g, " ").trim()`
	live := value[string](one, steps)
	one.visit("/timeline")
	one.isAt("/timeline", "bob")
	if again := value[string](one, steps); live == "" || again != live {
		t.Errorf("live the page shows\n%q, loaded again\n%q", live, again)
	}
}

func TestOpenTabsAreCountedLive(t *testing.T) {
	t.Parallel()
	base := serveDemo(t, demo.Options{})
	w, other := newWindow(t, base), newWindow(t, base)
	one := w.open("/")
	one.signIn("bob", "/sessions")
	there := other.open("/")
	there.signIn("bob", "/sessions")
	count := func(tb *tab, all int, sessions ...int) {
		t.Helper()
		tb.until(fmt.Sprintf(`document.querySelector("[data-open-tabs]").value === "%d"`, all))
		tb.until(fmt.Sprintf(`JSON.stringify([...document.querySelectorAll("[data-session-tabs]")].map((e) => Number(e.value))) === %q`,
			strings.ReplaceAll(fmt.Sprint(sessions), " ", ",")))
	}
	count(there, 2, 1, 1)
	three := w.open("/counters")
	one.visit("/sessions")
	for _, tb := range []*tab{one, there} {
		count(tb, 3, 1, 2) // the last opened first
	}
	three.visit("/functions")
	three.isAt("/functions", "bob")
	three.press("disconnect")
	one.until(`location.pathname === "/sessions" && ` + shown + `.includes("Sign in")`)
	count(there, 3, 1, 0)
}

// With a script the page of counters stays the same tab.
func TestCountersOfATabGoOnWithAScript(t *testing.T) {
	t.Parallel()
	w := newWindow(t, serveDemo(t, demo.Options{}))
	tb := w.open("/counters")
	tb.isAt("/counters", "")
	for i := range 3 {
		tb.click(`#tab-volatile [value="add"]`)
		tb.until(fmt.Sprintf(`document.querySelector("#tab-volatile output").value === "%d"`, i+1))
	}
	tb.shoot("counters-pressed")
	tb.click(`#tab-volatile [value="reset"]`)
	tb.until(`document.querySelector("#tab-volatile output").value === "0"`)
	if loads := value[int](tb, `performance.getEntriesByType("navigation").length`); loads != 1 {
		t.Errorf("%d navigations", loads)
	}
}
