package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/sqlite"
)

var (
	// program is the command, built once.
	program string
	// stopServers stops the engines that tests started.
	stopServers = func() int { return 0 }
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sojourn-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "sojourn")
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the command: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		return max(code, stopServers())
	}())
}

// sojourn runs the command to its end in an empty directory.
func sojourn(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // should it serve instead
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// wantFailure runs the command, which has to fail with this status and one
// line that says all of these.
func wantFailure(t *testing.T, args []string, status int, says ...string) {
	t.Helper()
	got, stdout, stderr := sojourn(t, args...)
	if got != status {
		t.Errorf("sojourn %q exits with %d, want %d", args, got, status)
	}
	if stdout != "" {
		t.Errorf("sojourn %q writes to stdout: %q", args, stdout)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "sojourn: ") {
		t.Errorf("sojourn %q complains with %q, want one line of its own", args, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stderr, text) {
			t.Errorf("sojourn %q complains with %q, which does not say %q", args, stderr, text)
		}
	}
}

func TestSenselessCommandLinesAreStatus2(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		says string
	}{
		{nil, "sojourn help"},
		{[]string{"frobnicate"}, `"frobnicate"`},
		{[]string{"--frobnicate"}, `"--frobnicate"`},
		{[]string{"help", "frobnicate"}, `"frobnicate"`},
		{[]string{"help", "demo", "more"}, "one verb"},
		{[]string{"version", "more"}, "no arguments"},
		{[]string{"demo", "--frobnicate"}, "unknown flag --frobnicate"},
		{[]string{"demo", "more"}, `"more"`},
		{[]string{"demo", "--db", ""}, "--db"},
		{[]string{"demo", "--db"}, "argument: --db"},
		{[]string{"demo", "--addr", "nonsense"}, "--addr nonsense"},
		{[]string{"demo", "--addr", ""}, "--addr needs"},
		{[]string{"demo", "--db", "x.db", "--accounts", "./x.db"}, "another file"},
		{[]string{"demo", "--servers", "1000"}, "1 to 16"},
		{[]string{"demo", "--servers", "x"}, "--servers"},
		{[]string{"demo", "--addr", "127.0.0.1:99999"}, "port"},
		{[]string{"demo", "--insecure=maybe"}, "insecure"},
		{[]string{"demo", "--tls-cert", "cert.pem"}, "--tls-key"},
		{[]string{"demo", "--tls-key", "key.pem"}, "--tls-cert"},
		{[]string{"demo", "--tls-key", "k", "--tls-cert", "c", "--insecure"}, "plain HTTP"},
		{[]string{"demo", "--addr", "0.0.0.0:0"}, "--insecure"},
		{[]string{"demo", "--addr", ":0"}, "--insecure"},
		{[]string{"demo", "--store", "mysql://u:sekret@h/d"}, "sqlite:FILE"},
		{[]string{"demo", "--store", ""}, "sqlite:FILE"},
		{[]string{"demo", "--store", "memory", "--db", "x.db"}, "--db is short"},
		{[]string{"demo", "--servers", "0"}, "from 1"},
		{[]string{"demo", "--servers", "3"}, "postgres://"},
		{[]string{"demo", "--servers", "3", "--store", "memory"}, "postgres://"},
		{[]string{"demo", "--servers", "3", "--store", "postgres://x/y", "--name", "a"}, "--name"},
		{[]string{"demo", "--trust-proxy", "nonsense"}, "nonsense"},
		{[]string{"demo-server"}, "--servers"},
		{[]string{"sessions"}, "list, end, count or purge"},
		{[]string{"sessions", "list"}, "one user"},
		{[]string{"sessions", "list", "a", "b"}, "one user"},
		{[]string{"sessions", "list", "a"}, "which store"},
		{[]string{"sessions", "list", "a", "--store", "memory"}, "memory"},
		{[]string{"sessions", "end", "a"}, "--all"},
		{[]string{"sessions", "end", "--all", "a", "b"}, "one user"},
		{[]string{"sessions", "count", "a"}, "no arguments"},
		{[]string{"sessions", "count", "--all"}, "--all"},
		{[]string{"sessions", "frobnicate"}, `"frobnicate"`},
		{[]string{"sessions", "count", "--frobnicate"}, "unknown flag --frobnicate"},
	} {
		wantFailure(t, tc.args, 2, tc.says)
	}
}

func TestHelpIsNotAFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		says []string
	}{
		{[]string{"help"}, []string{"demo", "version", "help"}},
		{[]string{"--help"}, []string{"demo", "version", "help"}},
		{[]string{"-h"}, []string{"demo"}},
		{[]string{"help", "demo"}, []string{"--addr", "--db", "--tls-cert", "--tls-key", "--insecure", "127.0.0.1:8080", "sojourn-demo.db"}},
		{[]string{"demo", "--help"}, []string{"--addr", "--db", "--tls-cert", "--tls-key", "--insecure"}},
		{[]string{"demo", "-h"}, []string{"--addr", "--store", "--servers"}},
		{[]string{"sessions", "--help"}, []string{"list USER", "--json", "--yes", "--store"}},
		{[]string{"help", "sessions"}, []string{"purge"}},
		{[]string{"version"}, []string{"sojourn ", "go1."}},
		{[]string{"--version"}, []string{"sojourn "}},
		{[]string{"help", "version"}, []string{"Usage: sojourn version"}},
	} {
		status, stdout, stderr := sojourn(t, tc.args...)
		if status != 0 || stderr != "" {
			t.Errorf("sojourn %q exits with %d and complains %q", tc.args, status, stderr)
		}
		for _, text := range tc.says {
			if !strings.Contains(stdout, text) {
				t.Errorf("sojourn %q does not say %q:\n%s", tc.args, text, stdout)
			}
		}
	}
}

func TestEngineThatCannotBeReachedIsStatus1WithoutThePassword(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"demo", "--addr", "127.0.0.1:0"},
		{"demo", "--addr", "127.0.0.1:0", "--servers", "3"},
		{"sessions", "count"},
	} {
		for _, scheme := range []string{"postgres", "redis"} {
			args := append(args, "--store", scheme+"://user:sekret@127.0.0.1:1/0")
			wantFailure(t, args, 1, "127.0.0.1:1", "cannot be reached")
			if _, _, stderr := sojourn(t, args...); strings.Contains(stderr, "sekret") {
				t.Errorf("sojourn %q shows the password: %s", args, stderr)
			}
		}
	}
}

func TestPortThatIsTakenIsStatus1(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	wantFailure(t, []string{"demo", "--addr", taken.Addr().String()}, 1, taken.Addr().String(), "in use", "--addr")
}

func TestFilesThatCannotBeUsedAreStatus1(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database at all ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, db := range []string{
		dir,
		text,
		filepath.Join(dir, "no", "such", "folder.db"),
		"/proc/sojourn.db",
	} {
		wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--db", db}, 1, db)
	}
	folder := filepath.Join(dir, "fine-accounts.db")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--db", filepath.Join(dir, "fine.db")}, 1, folder)
	wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--tls-cert", text, "--tls-key", text}, 1, "certificate")

	// Somebody else's database stays as it is.
	foreign := filepath.Join(dir, "foreign.db")
	store, err := sqlite.Open(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--store", "memory", "--accounts", foreign}, 1, foreign, "another application")
	if after, err := os.ReadFile(foreign); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it has changed the database of another application, or %v", err)
	}
	// What is wrong with a page of the file is said with its name.
	broken := filepath.Join(dir, "broken.db")
	startDemo(t, "--addr", "127.0.0.1:0", "--store", "memory", "--accounts", broken).stop(t, os.Interrupt)
	content, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[4096:], bytes.Repeat([]byte{0x5a}, len(content)-4096))
	if err := os.WriteFile(broken, content, 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, []string{"demo", "--addr", "127.0.0.1:0", "--store", "memory", "--accounts", broken}, 1, broken, "malformed")
}

func TestCtrlCWhileAnEngineDoesNotAnswerIsACleanStop(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "redis"} {
		for _, args := range [][]string{{"demo", "--addr", "127.0.0.1:0", "--wasm=false"}, {"demo", "--addr", "127.0.0.1:0", "--wasm=false", "--servers", "3"}, {"sessions", "count"}} {
			t.Run(scheme+" "+strings.Join(args, " "), func(t *testing.T) {
				t.Parallel()
				engine, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer engine.Close()
				cmd := exec.CommandContext(t.Context(), program, append(args, "--store", scheme+"://"+engine.Addr().String()+"/0")...)
				cmd.Dir = t.TempDir()
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				conn, err := engine.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				cmd.Wait()
				status, says, complains := 0, "Stopped.", ""
				if args[0] == "sessions" {
					status, says, complains = 1, "", "sojourn: interrupted\n"
				}
				if got := cmd.ProcessState.ExitCode(); got != status || stderr.String() != complains || !strings.Contains(stdout.String(), says) {
					t.Errorf("it exits with %d, says %q and complains %q", got, stdout.String(), stderr.String())
				}
			})
		}
	}
}
