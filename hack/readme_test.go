// Package hack tests what no package of the library can: that README.md and
// docs/ tell the truth.
package hack

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
)

// howRun says for each command in README.md and docs/ what runs it. A command
// that is not here fails TestEveryCommandOfDocumentsIsRun.
var howRun = map[string]string{
	"go run ./cmd/sojourn demo": "TestDemoStartsAndStops",
	"make test":                 ".ci/run",
	"go test ./...":             "hack/test.sh, with -race",
	"go mod tidy":               "TestREADMEProgramRunsFromAClone",
	"go run .":                  "TestREADMEProgramRunsFromAClone",

	"go test -run TestLatencyOfBeingTold -v ./browser_test":         "hack/test.sh, with the others",
	"go test -run TestThingsCostTheRoundTripsThatTheDocumentSays .": "hack/test.sh, with the others",
	"go test -run TestTouchesOfManyShardsAreAFewWritesASecond .":    "hack/test.sh, with the others",

	"cd bench && go run ./cmd/figures": "TestEveryComparisonRuns",
	"cd bench && go run ./cmd/engines": "TestQuickRunPrintsEveryFigure",
	"go run ./cmd/tabs":                "TestTabsAreMeasuredWithAndWithoutLanes",

	"go run ./cmd/figures":                 "TestEveryComparisonRuns",
	"go run ./cmd/figures -only connected": "TestEveryComparisonRuns",
	"go run ./cmd/figures -targets":        "TestTargetsPrintsOnlyWhatHasOne",
	"go run ./cmd/figures -quick":          "TestEveryComparisonRuns",
	"go test -bench . -full":               "hack/test.sh, without -full",
	"go run ./cmd/tabs -n 20000":           "TestTabsAreMeasuredWithAndWithoutLanes",
	"go run ./cmd/engines":                 "TestQuickRunPrintsEveryFigure",
	"go run ./nethttp":                     "TestNoteStaysWhoeverSignsInAndOut",

	"GOOS=js GOARCH=wasm go build -trimpath -ldflags '-s -w' -gcflags all=-l -o main.wasm": "TestHelloForTheBrowserIsSmall",

	"go run ./cmd/sojourn demo --store postgres://app:secret@127.0.0.1:5432/app --servers 3": "TestThreeServersAreOneSite",
	"go run ./cmd/sojourn demo --store redis://127.0.0.1:6379 --servers 3":                   "TestThreeServersAreOneSite",
	"go run ./cmd/sojourn sessions list USER":                                                "TestSessionsOfAFile",
	"go run ./cmd/sojourn sessions end --all USER":                                           "TestSessionsOfAFile",

	"export SOJOURN_STORE=postgres://app:secret@127.0.0.1:5432/app":                    "TestServersBehindABalancerOfOnesOwn",
	"go run ./cmd/sojourn demo --servers 3":                                            "TestThreeServersAreOneSite",
	"go run ./cmd/sojourn demo --name 1 --addr 127.0.0.1:8081 --trust-proxy 127.0.0.1": "TestServersBehindABalancerOfOnesOwn",
	"go run ./cmd/sojourn demo --name 2 --addr 127.0.0.1:8082 --trust-proxy 127.0.0.1": "TestServersBehindABalancerOfOnesOwn",
}

func TestEveryCommandOfDocumentsIsRun(t *testing.T) {
	t.Parallel()
	if setUp, want := commands(t, "../README.md"), []string{"go run ./cmd/sojourn demo", "make test"}; !slices.Equal(setUp, want) {
		t.Errorf("the commands of README's sh blocks are %q, want the two that do all the set-up: %q", setUp, want)
	}
	inline := regexp.MustCompile("`((?:(?:cd|go|make|git|bash|sh|npm|curl) |[A-Z]+=\\S+ go )[^`]+)`")
	tests := testNames(t)
	for _, doc := range append(documents(t), "../README.md", "../bench/README.md", "../examples/README.md") {
		found := commands(t, doc)
		for _, m := range inline.FindAllStringSubmatch(prose(t, doc), -1) {
			found = append(found, m[1])
		}
		for _, command := range found {
			by := howRun[command]
			if by == "" {
				t.Errorf("nothing runs the command %q of %s: have it run, then say so in howRun", command, doc)
			}
			if strings.HasPrefix(by, "Test") && !slices.Contains(tests, by) {
				t.Errorf("%s, which is to run %q of %s, is not there", by, command, doc)
			}
		}
	}
	if ci := read(t, ".ci/run"); !strings.Contains(ci, "make test") {
		t.Error(".ci/run does not call make test")
	}
	if script := read(t, "hack/test.sh"); !regexp.MustCompile(`go test -race -shuffle=on .*\./\.\.\.`).MatchString(script) {
		t.Error("hack/test.sh does not run the tests")
	}
}

// commands are the lines of a document's sh blocks, without comments.
func commands(t *testing.T, doc string) (list []string) {
	t.Helper()
	for _, block := range blocksOf(t, doc, "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, " #")
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, line)
			}
		}
	}
	return list
}

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := regexp.MustCompile(`\]\(([^)]+)\)`)
	readmes := []string{
		"../README.md", "../SECURITY.md", "../CHANGELOG.md", "../bench/README.md", "../examples/README.md", "../clientjs/README.md",
	}
	for _, doc := range append(documents(t), readmes...) {
		for _, m := range links.FindAllStringSubmatch(prose(t, doc), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, heading, _ := strings.Cut(m[1], "#")
			file := doc
			if path != "" {
				file = filepath.Join(filepath.Dir(doc), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			} else if heading != "" && !slices.Contains(headings(t, file), heading) {
				t.Errorf("%s links to %s, and there is no such heading", doc, m[1])
			}
		}
	}
}

// headings are the names under which a document's headings can be linked to.
func headings(t *testing.T, doc string) (list []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose(t, doc), -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	return list
}

func TestTestsNamedInDocumentsExist(t *testing.T) {
	t.Parallel()
	tests := testNames(t)
	for _, doc := range append(documents(t), "../README.md", "../bench/README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(text), -1)
		if len(named) == 0 && strings.HasSuffix(doc, "guarantees.md") {
			t.Errorf("%s names no test", doc)
		}
		for _, name := range named {
			if !slices.Contains(tests, name) {
				t.Errorf("%s names %s, which is not there", doc, name)
			}
		}
	}
}

// testNames are the tests of all modules here.
func testNames(t *testing.T) (tests []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(code, -1) {
			tests = append(tests, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// README's program and its go.mod, as they stand there, in a module beside a
// clone of this repository.
func TestREADMEProgramRunsFromAClone(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: builds a module")
	}
	programs, mods := blocks(t, "go"), blocks(t, "go.mod")
	if len(programs) != 1 || len(mods) != 1 {
		t.Fatalf("README has %d programs and %d go.mod files, want one of each", len(programs), len(mods))
	}
	const address = "localhost:8080"
	if !strings.Contains(programs[0], address) {
		t.Fatalf("README's program does not listen on %s", address)
	}
	free := testserver.Address(t)
	hello := besideClone(t, mods[0], strings.Replace(programs[0], address, free, 1))
	run(t, hello, "go", "mod", "tidy")
	run(t, hello, "go", "vet", ".")
	run(t, hello, "go", "build", "-o", "hello", ".")
	start(t, hello, "./hello")

	base := "http://" + free
	status, _, _ := get(t, base+"/", "")
	if status != http.StatusUnauthorized {
		t.Errorf("the page of nobody answers %d, want 401", status)
	}
	wrong := post(t, base+"/login", "", url.Values{"name": {"alice"}, "password": {"guess"}})
	if wrong.StatusCode != http.StatusForbidden || len(sessionCookies(wrong)) != 0 {
		t.Errorf("a wrong password answers %d with cookies %q, want 403 and no session", wrong.StatusCode, sessionCookies(wrong))
	}
	login := post(t, base+"/login", "", url.Values{"name": {"alice"}, "password": {"opensesame"}})
	cookie := strings.Join(sessionCookies(login), "; ")
	if login.StatusCode != http.StatusOK || cookie == "" {
		t.Fatalf("login answers %d with cookie %q", login.StatusCode, cookie)
	}
	if status, body, _ := get(t, base+"/", cookie); status != http.StatusOK || body != "Hello, alice\n" {
		t.Errorf("the page of alice answers %d %q", status, body)
	}
	post(t, base+"/logout", cookie, nil)
	if status, _, _ := get(t, base+"/", cookie); status != http.StatusUnauthorized {
		t.Errorf("after the logout the old cookie is answered %d, want 401", status)
	}
}

// The same with the store on SQLite, which has dependencies.
func TestProgramOnSQLiteRunsFromAClone(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: builds a module")
	}
	mods := blocks(t, "go.mod")
	if len(mods) != 1 {
		t.Fatalf("README has %d go.mod files, want one", len(mods))
	}
	hello := besideClone(t, mods[0], `package main

import (
	"log"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

func main() {
	store, err := sqlite.Open("sessions.db")
	if err != nil {
		log.Fatal(err)
	}
	site, err := sojourn.New(sojourn.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := site.Close(); err != nil {
		log.Fatal(err)
	}
}
`)
	run(t, hello, "go", "mod", "tidy")
	run(t, hello, "go", "run", ".")
	if _, err := os.Stat(filepath.Join(hello, "sessions.db")); err != nil {
		t.Errorf("the program made no file: %v", err)
	}
}

// README's first command, on a free port and a file of its own; Ctrl-C stops
// it with status 0.
func TestDemoStartsAndStops(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: builds the command")
	}
	dir := t.TempDir()
	run(t, "..", "go", "build", "-o", filepath.Join(dir, "sojourn"), "./cmd/sojourn")
	address := testserver.Address(t)
	demo := start(t, dir, "./sojourn", "demo", "--addr", address, "--db", filepath.Join(dir, "demo.db"))
	status, body, header := get(t, "http://"+address+"/", "")
	if status != http.StatusOK || !strings.Contains(body, "<html") || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		t.Errorf("the demo's first page answers %d %s: %.200s", status, header.Get("Content-Type"), body)
	}
	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("after Ctrl-C the demo ends with %v:\n%s", err, demo.Stdout)
	}
	if out := demo.Stdout.(*buffer).String(); !strings.Contains(out, address) {
		t.Errorf("the demo does not print its address %s:\n%s", address, out)
	}
}

// besideClone makes the folder hello of a module, with this repository beside
// it as sojourn.
func besideClone(t *testing.T, mod, program string) (hello string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	beside := t.TempDir()
	hello = filepath.Join(beside, "hello")
	if err := os.Mkdir(hello, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(beside, "sojourn")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": mod, "main.go": program} {
		if err := os.WriteFile(filepath.Join(hello, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return hello
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the fenced blocks of README.md in one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	return blocksOf(t, "../README.md", language)
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// buffer is a bytes.Buffer that a process writes while a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a program that runs until the test ends, or until the test
// waits for it.
func start(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if cmd.ProcessState == nil {
			cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out)
		}
	})
	return cmd
}

// get asks until somebody listens.
func get(t *testing.T, url, cookie string) (status int, body string, header http.Header) {
	t.Helper()
	for tries := 0; ; tries++ {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", cookie)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			if tries == 2400 {
				t.Fatalf("nobody listens: %v", err)
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header
	}
}

// post sends a form as a page of the same origin would.
func post(t *testing.T, to, cookie string, form url.Values) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Cookie", cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// sessionCookies are name=value of the cookies a response sets. The test
// carries them itself: they are Secure, and this is plain HTTP.
func sessionCookies(resp *http.Response) []string {
	var list []string
	for _, c := range resp.Cookies() {
		if c.MaxAge >= 0 && c.Value != "" {
			list = append(list, c.Name+"="+c.Value)
		}
	}
	return list
}
