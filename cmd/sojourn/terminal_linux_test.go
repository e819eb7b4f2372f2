package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sojourn-go/sojourn/sqlite"
)

// terminal is a terminal with nobody at it, and the keyboard of it.
func terminal(t *testing.T) (screen, keyboard *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return screen, keyboard
}

func TestQuestionsTakeYesForYes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, typed string
		status      int
		says        string
	}{
		{"yes", "y\n", 0, "0 sessions ended"},
		{"no", "n\n", 1, "sojourn: nothing was done\n"},
		{"return", "\n", 1, "sojourn: nothing was done\n"},
		{"Ctrl-C", "\x03", 1, "\nsojourn: nothing was done\n"},
		{"Ctrl-D", "\x04", 2, "--yes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			db := filepath.Join(t.TempDir(), "site.db")
			store, err := sqlite.Open(db)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			screen, keyboard := terminal(t)
			cmd := exec.CommandContext(t.Context(), program, "sessions", "purge", "--store", "sqlite:"+db)
			cmd.Stdin = screen
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C is its own
			out, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stdout strings.Builder
			cmd.Stdout = &stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for b := make([]byte, 1); !strings.Contains(said.String(), "[y/N] "); {
				if _, err := io.ReadFull(out, b); err != nil {
					t.Fatalf("it does not ask: %v\n%s", err, said.String())
				}
				said.Write(b)
			}
			if _, err := keyboard.WriteString(tc.typed); err != nil {
				t.Fatal(err)
			}
			io.Copy(&said, out)
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tc.status || !strings.Contains(said.String()+stdout.String(), tc.says) {
				t.Errorf("%q typed, it exits with %d, want %d, and says %q", tc.typed, got, tc.status, said.String()+stdout.String())
			}
		})
	}
}
