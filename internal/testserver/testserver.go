// Package testserver starts private servers for tests, from what is installed,
// on free ports of the loopback interface.
package testserver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// missing ends a test that has no server: in CI it fails, elsewhere it is
// skipped, loudly.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("NOT TESTED: " + why)
	}
	t.Skip("NOT TESTED: " + why)
}

// patience is how long something is waited for that has to come, on machines
// that have much else to do.
const patience = 2 * time.Minute

// reservePort is a port of the loopback interface that nobody listens on, and
// that is kept from other tests, of other programs as well, until release is
// called: also while its server is stopped. It is none of those that systems
// give to whoever connects or asks for any port.
func reservePort() (port int, release func() error, err error) {
	const first, end = 10_000, 30_000
	for range 1000 {
		port = first + rand.IntN(end-first)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		// Who has the port has that of UDP with the same number, which nobody uses.
		var held net.PacketConn
		if held, err = net.ListenPacket("udp4", addr); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp4", addr); err != nil {
			held.Close()
			continue
		}
		return port, held.Close, l.Close()
	}
	return 0, nil, fmt.Errorf("testserver: no port is free: %w", err)
}

// Address reserves an address for a server on the loopback interface that is
// stopped and started again, until the test ends.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(testPort(t)))
}

// testPort is a port that is reserved until the test ends.
func testPort(t testing.TB) int {
	t.Helper()
	port, release, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release() })
	return port
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
