package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// header is how every SQLite file begins.
const header = "SQLite format 3\x00"

// checkPath returns the one name of the file that path means, so that two
// ways to write it get the same lock.
func checkPath(path string) (string, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("sojourn: %q is not the path of a file: give one, such as \"sessions.db\"; to keep sessions in memory only, leave Config.Store nil", path)
	}
	if strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("sojourn: %q is not the path of a file: it contains a NUL", path)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("sojourn: %s is not a file but a directory or device: give the path of a file, such as %s", path, filepath.Join(path, "sessions.db"))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sojourn: opening %s: %w", path, err)
	}
	real := abs
	for range mostLinks {
		dir, name := filepath.Split(real)
		if dir, err = filepath.EvalSymlinks(dir); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("sojourn: opening %s: its directory does not exist: create it first: %w", abs, err)
		}
		if err != nil {
			return "", fmt.Errorf("sojourn: opening %s: %w", abs, err)
		}
		real = filepath.Join(dir, name)
		target, err := os.Readlink(real)
		if err != nil { // it is no link, and perhaps not there yet
			return real, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		real = target
	}
	return "", fmt.Errorf("sojourn: opening %s: too many links lead from one to another", abs)
}

// mostLinks is how many links may lead to the file, one to the next.
const mostLinks = 40

// checkFile makes the file if there is none, and makes sure that it is one
// which SQLite can write, without changing it.
func checkFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err) {
		return fmt.Errorf("sojourn: opening %s: it cannot be written: give the user of this process write permission on the file and on its directory: %w", path, err)
	}
	if err != nil {
		return fmt.Errorf("sojourn: opening %s: %w", path, err)
	}
	defer f.Close()
	begin := make([]byte, len(header))
	switch n, err := io.ReadFull(f, begin); {
	case err == io.EOF: // empty: a new one
		return nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return fmt.Errorf("sojourn: opening %s: %w", path, err)
	case string(begin[:n]) != header:
		return fmt.Errorf("sojourn: opening %s: it is not a SQLite database: give the path of another file, or move this one away", path)
	}
	return nil
}

// advice says what an error of SQLite means and what to do about it; "" if
// there is nothing to say.
func advice(err error) string {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return "the disk is full: nothing was written; make room, and it works again"
	case sqlite3.SQLITE_READONLY:
		return "the file cannot be written: give the user of this process write permission on the file and on its directory"
	case sqlite3.SQLITE_CANTOPEN:
		return "the file, or the -wal and -shm files beside it, cannot be opened: give the user of this process write permission on them and on the directory"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "the file is damaged: stop the program, keep a copy of the file and of those beside it, and restore a backup or use \"sqlite3 FILE .recover\""
	case sqlite3.SQLITE_IOERR:
		return "the disk failed to read or write: check it, and the room on it"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another program, such as sqlite3, holds a lock on the file: let it finish, and try again"
	default:
		return ""
	}
}
