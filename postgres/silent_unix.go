//go:build unix

package postgres

import (
	"net"
	"syscall"
)

// silent reports whether an idle connection is open and has nothing to read.
// When the server has gone there is the end to read, or why. It costs one
// system call.
func silent(c net.Conn) bool {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var nothing bool
	// Not by Read, which would wait for pgx: it may read in the background.
	err = raw.Control(func(fd uintptr) {
		var buf [1]byte
		_, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
	})
	return err == nil && nothing
}
