//go:build unix

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/protocol"
)

// tab is one live connection, spoken by hand: twenty thousand of a library's
// would be measured along with the server.
type tab struct {
	conn net.Conn
	lost atomic.Bool
}

// group is the tabs that are told together.
type group struct {
	told sync.WaitGroup
	last atomic.Int64 // when the last one was, in Unix nanoseconds
}

// open opens the i-th tab. One of a group waits to be told.
func (s *site) open(i int, cookies string, g *group) (*tab, error) {
	conn, err := s.dial(i)
	if err != nil {
		return nil, err
	}
	t := &tab{conn: conn}
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: %s\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Protocol: %s\r\n\r\n",
		protocol.DefaultPath, protocol.LivePath, s.address, s.address, cookies, protocol.LiveProtocol); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 512)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("the live connection is answered %s", resp.Status)
	}
	if _, err := conn.Write(frame(`{"type":"hello","tab":""}`)); err != nil {
		return nil, err
	}
	message, err := read(r)
	for strings.Contains(message, protocol.LiveHeartbeat) {
		message, err = read(r)
	}
	if err != nil || !strings.Contains(message, protocol.LiveWelcome) {
		return nil, fmt.Errorf("the hello is answered %q, %v", message, err)
	}
	go t.listen(r, g)
	return t, nil
}

// listen reads until the connection closes.
func (t *tab) listen(r *bufio.Reader, g *group) {
	defer t.conn.Close()
	for {
		message, err := read(r)
		switch {
		case err != nil || g == nil && strings.Contains(message, protocol.LiveChanged):
			t.lost.Store(true)
			return
		case g != nil && strings.Contains(message, protocol.LiveChanged):
			now := time.Now().UnixNano()
			for last := g.last.Load(); now > last && !g.last.CompareAndSwap(last, now); last = g.last.Load() {
			}
			g.told.Done()
			return
		}
	}
}

// frame is a text frame of a client, masked with zeros.
func frame(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// read reads a frame of the server.
func read(r *bufio.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	n := int(head[1])
	if n == 126 {
		var long [2]byte
		if _, err := io.ReadFull(r, long[:]); err != nil {
			return "", err
		}
		n = int(binary.BigEndian.Uint16(long[:]))
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return "", err
	}
	if head[0]&0xf == 8 {
		return "", io.EOF
	}
	return string(body), nil
}
