//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks the file for this open file, not for this process: the same
// process cannot lock it twice.
func tryLock(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return errHeld
		default:
			return err
		}
	}
}

// unlock does not leave it to closing the file: a child process that is just
// being started may have it open a little longer.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// noFollow makes opening a link an error.
const noFollow = syscall.O_NOFOLLOW

func isLink(err error) bool {
	return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) // the latter on FreeBSD
}

func isReadOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
