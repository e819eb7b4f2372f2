package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// fileLock is the lock of the file beside the database that says which process
// has it open. The system releases it when the process ends, however it ends;
// the file stays, because removing it would let two processes lock two files
// of one name.
type fileLock struct{ file *os.File }

// errHeld is what tryLock returns when another has the lock.
var errHeld = errors.New("the lock is held")

// lockFile takes the lock of the database at path, or says who has it.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|noFollow, 0o600) // it will be emptied
	if isLink(err) {
		return nil, fmt.Errorf("sojourn: opening %s: %s.lock is a link: remove it, and see who can write to the directory: %w", path, path, err)
	}
	if errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err) {
		return nil, fmt.Errorf("sojourn: opening %s: the file that says who has it open cannot be written: give the user of this process write permission on %s.lock and on its directory: %w", path, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("sojourn: opening %s: %w", path, err)
	}
	switch err := tryLock(f); {
	case err == errHeld:
		defer f.Close()
		return nil, fmt.Errorf("sojourn: %s is open in %s: one process at a time can have it; stop that one, give this one another file, or keep the sessions in package postgres or redis", path, holder(f))
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("sojourn: locking %s.lock: %w", path, err)
	}
	l := &fileLock{f}
	if err := l.sign(); err != nil {
		l.release()
		return nil, fmt.Errorf("sojourn: writing %s.lock: %w", path, err)
	}
	return l, nil
}

// sign writes who holds the lock. A full disk is no reason not to start.
func (l *fileLock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !isDiskFull(err) {
		return err
	}
	return nil
}

// release lets another process have the lock.
func (l *fileLock) release() error {
	err := l.file.Truncate(0)
	return errors.Join(err, unlock(l.file), l.file.Close())
}

// holder says which process signed a lock.
func holder(f *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	switch pid, err := strconv.Atoi(strings.TrimSpace(string(text))); {
	case err != nil:
		return "another process"
	case pid == os.Getpid():
		return fmt.Sprintf("this process (%d) already", pid)
	default:
		return fmt.Sprintf("process %d", pid)
	}
}
