package sqlite_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

func TestAPathThatIsNoFileIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct{ path, says string }{
		{"", "leave Config.Store nil"},
		{":memory:", "leave Config.Store nil"},
		{"file:sessions.db?mode=memory", "leave Config.Store nil"},
		{"a\x00b", "NUL"},
		{dir, filepath.Join(dir, "sessions.db")},
		{os.DevNull, "give the path of a file"},
		{filepath.Join(dir, "missing", "sessions.db"), "create it first"},
	} {
		wantError(t, test.path, test.says)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Each of these files cannot be opened; the error says what to do, and the
// file stays as it was.
func TestAFileThatIsNotOursIsAnErrorAndStaysAsItWas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		says []string
	}{
		{"a text", func(t *testing.T, path string) {
			ok(t, os.WriteFile(path, []byte("Dear diary, today I kept no sessions.\n"), 0o600))
		}, []string{"not a SQLite database", "another file"}},
		{"a short text", func(t *testing.T, path string) {
			ok(t, os.WriteFile(path, []byte("x"), 0o600))
		}, []string{"not a SQLite database"}},
		{"another application's", func(t *testing.T, path string) {
			execute(t, path, "CREATE TABLE diary (day TEXT)", "INSERT INTO diary VALUES ('today')")
		}, []string{"another application", "open another file"}},
		{"another application's, which says so", func(t *testing.T, path string) {
			execute(t, path, "PRAGMA application_id = 12345", "PRAGMA user_version = 1")
		}, []string{"another application (application_id 0x3039)", "open another file"}},
		{"another application's, in WAL mode", func(t *testing.T, path string) {
			execute(t, path, "PRAGMA journal_mode = wal", "CREATE TABLE diary (day TEXT)")
		}, []string{"another application", "open another file"}},
		{"a newer version's", func(t *testing.T, path string) {
			filled(t, path)
			execute(t, path, "PRAGMA user_version = 1000")
		}, []string{"version 1000", "newer version of the program"}},
		{"a version that never was", func(t *testing.T, path string) {
			filled(t, path)
			execute(t, path, "PRAGMA user_version = -3")
		}, []string{"version -3", "restore a backup"}},
		{"with a header only", func(t *testing.T, path string) {
			ok(t, os.WriteFile(path, []byte("SQLite format 3\x00"), 0o600))
		}, []string{"damaged", "restore a backup"}},
		{"with its schema overwritten", func(t *testing.T, path string) {
			filled(t, path)
			damage(t, path, func(b []byte) []byte { copy(b[100:4096], bytes.Repeat([]byte{0xa5}, 4096)); return b })
		}, []string{"damaged", "restore a backup"}},
		{"with its end cut off", func(t *testing.T, path string) {
			filled(t, path)
			damage(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		}, []string{"damaged", "restore a backup"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			test.make(t, path)
			before, err := os.ReadFile(path)
			ok(t, err)
			wantError(t, path, append(test.says, path)...)
			after, err := os.ReadFile(path)
			ok(t, err)
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// A file that is damaged where Open does not look is found when it is read: the
// caller gets an error, never the answer that there is no such session.
func TestDamageIsAnErrorNotAnAnswer(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	made := filled(t, path)
	damage(t, path, func(b []byte) []byte {
		// The pages of the tables, not the schema on the first one.
		for i := 4096; i < len(b); i++ {
			b[i] = 0xa5
		}
		return b
	})
	s, err := sqlite.Open(path)
	if err != nil {
		if !strings.Contains(err.Error(), "damaged") {
			t.Errorf("Open: %v", err)
		}
		return
	}
	defer s.Close()
	for _, m := range made[:10] {
		if _, err := s.Session(t.Context(), m.Key); err == nil || errors.Is(err, sojourn.ErrNotFound) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("Session: %v", err)
		}
		if ended, _, err := s.EndSession(t.Context(), m.Key, sojourn.EndRevoked); err == nil {
			t.Errorf("EndSession: %v, nil", ended)
		}
	}
	if _, err := s.CreateSession(t.Context(), newSession("bob"), 0); err == nil {
		t.Error("CreateSession: nil")
	}
}

func TestAnEmptyFileIsANewOne(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	ok(t, os.WriteFile(path, nil, 0o600))
	s := open(t, path)
	_, err := s.CreateSession(t.Context(), newSession("ada"), 0)
	ok(t, err)
}

// Whoever has no permission to write gets an error; root, who always has, asks
// a child without.
func TestAReadOnlyFileOrFolderIsAnError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		forbid func(dir, path string) error
	}{
		{"file", func(dir, path string) error { return os.Chmod(path, 0o444) }},
		{"folder", func(dir, path string) error { return errors.Join(os.Remove(path+".lock"), os.Chmod(dir, 0o555)) }},
		{"folder, with the lock there", func(dir, path string) error { return os.Chmod(dir, 0o555) }},
		{"lock", func(dir, path string) error { return os.Chmod(path+".lock", 0o444) }},
		{"file that cannot be read", func(dir, path string) error { return os.Chmod(path, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			path := filepath.Join(dir, "sessions.db")
			filled(t, path)
			before, err := os.ReadFile(path)
			ok(t, err)
			ok(t, giveAway(dir, path, path+".lock"))
			if said := openUnprivileged(t, path); said != "opened and written\n" {
				t.Fatalf("before anything is forbidden: %s", said)
			}
			ok(t, test.forbid(dir, path))
			said := openUnprivileged(t, path)
			ok(t, os.Chmod(dir, 0o755))
			for _, want := range []string{path, "give the user of this process write permission"} {
				if !strings.Contains(said, want) {
					t.Errorf("the error %q does not say %q", said, want)
				}
			}
			ok(t, os.Chmod(path, 0o600))
			os.Chmod(path+".lock", 0o600)
			after, err := os.ReadFile(path)
			ok(t, err)
			if len(after) < len(before) {
				t.Error("the file lost something")
			}
			if n, err := open(t, path).Count(t.Context()); err != nil || n.Sessions != 501 {
				t.Errorf("the store holds %+v, %v", n, err)
			}
		})
	}
}

// filled makes a store with many sessions, and closes it.
func filled(t *testing.T, path string) (made []sojourn.StoredSession) {
	t.Helper()
	s, err := sqlite.Open(path)
	ok(t, err)
	made = make([]sojourn.StoredSession, 500)
	var wg sync.WaitGroup
	for i := range made {
		made[i] = newSession(sojourn.UserID(fmt.Sprint("user", i)))
		wg.Go(func() {
			if _, err := s.CreateSession(t.Context(), made[i], 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ok(t, s.Close())
	return made
}

// execute runs statements on the file without the store.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	ok(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		_, err := db.Exec(s)
		ok(t, err)
	}
}

// damage changes the bytes of a file, which it makes sure is a whole one.
func damage(t *testing.T, path string, f func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	if pages := binary.BigEndian.Uint32(b[28:]); int(pages)*4096 != len(b) || pages < 20 {
		t.Fatalf("%d bytes, %d pages", len(b), pages)
	}
	ok(t, os.WriteFile(path, f(b), 0o600))
}
