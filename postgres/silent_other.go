//go:build !unix

package postgres

import "net"

// silent reports whether an idle connection is open, as far as is known.
func silent(net.Conn) bool { return true }
