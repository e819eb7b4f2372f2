//go:build unix

package demo_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// command is the demo as people start it, in a process of its own.
type command struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *bufio.Reader
	base    string
	servers map[string]int // their processes, by name
}

func startCommand(t *testing.T, args ...string) *command {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "sojourn")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/sojourn").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	c := &command{t: t, cmd: exec.Command(program, append([]string{"demo", "--wasm=false", "--addr", "127.0.0.1:0"}, args...)...), servers: map[string]int{}}
	c.cmd.Dir, c.cmd.Stderr = dir, os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() }) // its servers end with it
	c.out = bufio.NewReader(out)
	var said string
	for !strings.Contains(said, "Ctrl-C") {
		line, err := c.out.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended before it served: %v\n%s", err, said)
		}
		said += line
	}
	for _, m := range regexp.MustCompile(`server (\w+) +process (\d+)`).FindAllStringSubmatch(said, -1) {
		c.servers[m[1]], _ = strconv.Atoi(m[2])
	}
	c.base = strings.Replace(regexp.MustCompile(`http://[^/\s]+`).FindString(said), "127.0.0.1", "localhost", 1)
	return c
}

// kill kills one of the servers as kill -9 does.
func (c *command) kill(server string) {
	c.t.Helper()
	pid := c.servers[server]
	if pid <= 0 {
		c.t.Fatalf("it does not say which process is server %s: %v", server, c.servers)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

// stop stops it as Ctrl-C does.
func (c *command) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		c.t.Fatal(err)
	}
	for {
		if _, err := c.out.ReadString('\n'); err != nil {
			break
		}
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("after Ctrl-C it ends with %v", err)
	}
}

// answeredBy is the server that the tab's page says it comes from.
func (tb *tab) answeredBy() string {
	tb.w.t.Helper()
	return value[string](tb, `document.querySelector(".facts .server bdi").textContent`)
}

// Two people use the demo of three servers, one of the servers is killed under
// them, both go on, and signing out everywhere in one browser is told in the
// other one.
func TestOneServerKilledUnderTwoBrowsers(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]func(*testing.T) string{
		"PostgreSQL": func(t *testing.T) string { return testserver.Postgres(t) },
		"Redis": func(t *testing.T) string {
			return testserver.Redis(t, "--maxmemory-policy", "noeviction", "--appendonly", "yes").URL()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOneServerKilled(t, startCommand(t, "--servers", "3", "--store", engine(t)), "killed-"+strings.ToLower(name))
		})
	}
}

func testOneServerKilled(t *testing.T, c *command, picture string) {
	here, there := newWindow(t, c.base), newWindow(t, c.base)
	one, other := here.open("/"), there.open("/")
	one.signIn("bob", "/functions")
	other.signIn("bob", "/sessions")

	// Each page says which server answered, and the next load is another one.
	for _, tb := range []*tab{one, other} {
		met := map[string]bool{}
		for range 3 {
			tb.visit("/functions")
			tb.isAt("/functions", "bob")
			met[tb.answeredBy()] = true
		}
		if len(met) != 3 {
			t.Errorf("three loads of a page are answered by %v, want three servers", met)
		}
	}
	second := there.open("/sessions")
	second.isAt("/sessions", "bob")
	count := 0
	goOn := func() {
		t.Helper()
		for _, tb := range []*tab{one, other, one, other} {
			count++
			if got := tb.press("user"); got != fmt.Sprint(count) {
				t.Errorf("press %d of the user's counter is counted as %q", count, got)
			}
		}
		// Every tab has a live connection, which hears of what happens in the other browser.
		text := fmt.Sprint("after ", count)
		value[int](one, fmt.Sprintf(`(document.querySelector("[data-text]").value = %q, 0)`, text))
		heard := fmt.Sprintf(`[...document.querySelectorAll(".toast")].some((toast) => toast.textContent.includes(%q))`, text)
		for _, tb := range []*tab{one, other, second} {
			for end := time.Now().Add(patience); ; { // a tab that just lost its server misses a wave
				one.press("wave")
				if ok, _ := try[bool](tb, `new Promise((done) => { let n = 0; const look = () => `+heard+` ? done(true) : ++n > 50 ? done(false) : setTimeout(look, 20); look(); })`); ok {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("a tab does not hear %q", text)
				}
			}
		}
	}
	goOn()

	c.kill("2")
	goOn()
	for range 4 { // also pages, and nobody has to sign in again
		second.visit("/sessions")
		second.isAt("/sessions", "bob")
		if by := second.answeredBy(); by == "2" {
			t.Error("the server that was killed still answers")
		}
	}
	for _, tb := range []*tab{one, other} { // their pages did not start again
		if got := value[string](tb, `document.querySelector('[data-answer="user"]').textContent`); got == "" {
			t.Error("a page started again when a server was killed")
		}
	}
	one.shoot(picture + "-functions")
	second.shoot(picture + "-sessions")

	began := time.Now()
	second.click(`[action="/sign-out/everywhere"] button`)
	one.told("disconnect-all")
	t.Logf("from the click to the other browser's tab told: %v", time.Since(began))
	one.shoot(picture + "-told")
	one.isAt("/functions", "")
	other.isAt("/functions", "")
	second.isAt("/", "")
	if answer := one.press("greet"); !strings.HasPrefix(answer, "not_connected") {
		t.Errorf("after signing out everywhere the other browser's tab is greeted %q", answer)
	}
	c.stop()
}
