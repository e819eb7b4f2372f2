//go:build unix

package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/sqlite"
)

// A link to a file that is yet to be made is another name of that file, from
// the first time on: whichever name it is opened by, one process has it.
func TestALinkToANewFileIsAnotherNameOfIt(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]func(dir string) string{
		"absolute": func(dir string) string { return filepath.Join(dir, "data", "sessions.db") },
		"relative": func(string) string { return filepath.Join("data", "sessions.db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ok(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
			file := filepath.Join(dir, "data", "sessions.db")
			link, second := filepath.Join(dir, "link.db"), filepath.Join(dir, "second.db")
			ok(t, os.Symlink(target(dir), link))
			ok(t, os.Symlink("link.db", second))
			s, err := sqlite.Open(second)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for _, name := range []string{file, link, second} {
				wantError(t, name, "is open in this process")
			}
		})
	}
}

// Links that lead nowhere are an error.
func TestALinkThatLeadsNowhereIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for link, target := range map[string]string{
		"self.db": "self.db", "one.db": "two.db", "two.db": "one.db", "lost.db": filepath.Join("missing", "sessions.db"),
	} {
		ok(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	for _, link := range []string{"self.db", "one.db", "lost.db"} {
		if s, err := sqlite.Open(filepath.Join(dir, link)); err == nil {
			s.Close()
			t.Errorf("%s can be opened", link)
		}
	}
}

// Who can make links where the file is cannot have another file emptied: the
// lock is a file, not a link to one.
func TestALinkInPlaceOfTheLockIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	diary := filepath.Join(dir, "diary")
	ok(t, os.WriteFile(diary, []byte("Dear diary\n"), 0o600))
	path := filepath.Join(dir, "sessions.db")
	ok(t, os.Symlink(diary, path+".lock"))
	wantError(t, path, path+".lock")
	if text, err := os.ReadFile(diary); string(text) != "Dear diary\n" {
		t.Errorf("the file that the link names has become %q, %v", text, err)
	}
}
