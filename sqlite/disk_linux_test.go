package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// The same with a real disk of two mebibytes, which only root can make.
func TestARealFullDiskIsAnErrorUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("NOT TESTED: a full disk that is not simulated; mounting one needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sessions.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	first := sojourn.StoredSession{Key: sojourn.Key{1}, User: "ada"}
	if _, err := s.CreateSession(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	kept := fillDisk(t, s)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if ended, _, err := s.EndSession(t.Context(), first.Key, sojourn.EndRevoked); err != nil || len(ended) != 1 {
		t.Errorf("with room again: %v, %v", ended, err)
	}
	for range 2 {
		for _, key := range kept {
			if _, err := s.Session(t.Context(), key); err != nil {
				t.Errorf("a session that was created before the disk was full: %v", err)
			}
		}
		if _, err := s.Session(t.Context(), first.Key); !errors.Is(err, sojourn.ErrNotFound) {
			t.Errorf("the session that ended: %v", err)
		}
		s.wantSessions(t, len(kept))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
