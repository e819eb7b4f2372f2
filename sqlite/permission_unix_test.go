//go:build unix

package sqlite_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is the user id of the child that a root's test starts.
const nobody = 65534

// openDir is a temporary directory which the child can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ok(t, os.Chmod(filepath.Dir(dir), 0o755))
	ok(t, os.Chmod(dir, 0o755))
	return dir
}

// giveAway makes the child the owner of files.
func giveAway(paths ...string) error {
	if os.Getuid() != 0 {
		return nil
	}
	var errs []error
	for _, p := range paths {
		errs = append(errs, os.Chown(p, nobody, nobody))
	}
	return errors.Join(errs...)
}

// openUnprivileged opens the store in a child that may not do everything, and
// returns what it says.
func openUnprivileged(t *testing.T, path string) string {
	t.Helper()
	child := command("open", path)
	if os.Getuid() == 0 {
		// The test binary is where only root can reach it.
		binary, err := os.ReadFile(os.Args[0])
		ok(t, err)
		child.Path = filepath.Join(openDir(t), "child")
		ok(t, os.WriteFile(child.Path, binary, 0o755))
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}}
	}
	child.Dir = filepath.Dir(path)
	said, err := child.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(said)
}
