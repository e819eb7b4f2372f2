//go:build unix

package main

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A lane is a connection among the many of a carrier. It costs its side this
// struct, and what has come and is not read yet.
type lane struct {
	carrier *carrier
	id      uint32

	mu       sync.Mutex
	some     sync.Cond // of mu: there is something to read, or nothing any more
	in       []byte
	over     error // there will be no more to read; io.EOF: the other side closed
	closed   bool
	deadline time.Time // of reads
	wake     *time.Timer
}

var _ net.Conn = (*lane)(nil)

func newLane(c *carrier, id uint32) *lane {
	l := &lane{carrier: c, id: id}
	l.some.L = &l.mu
	return l
}

// Read waits for something to read, for the deadline or for the end.
func (l *lane) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return 0, net.ErrClosed
		case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(l.in) > 0:
			n := copy(p, l.in)
			if l.in = l.in[n:]; len(l.in) == 0 {
				l.in = nil
			}
			return n, nil
		case l.over != nil:
			return 0, l.over
		}
		l.some.Wait()
	}
}

// Write writes to the carrier at once.
func (l *lane) Write(p []byte) (int, error) {
	l.mu.Lock()
	closed, over := l.closed, l.over
	l.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case over != nil:
		return 0, syscall.EPIPE
	}
	if err := l.carrier.send(laneData, l.id, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the lane on both sides; there, what was sent is read first.
func (l *lane) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed, l.in = true, nil
	over := l.over
	if l.wake != nil {
		l.wake.Stop()
	}
	l.some.Broadcast()
	l.mu.Unlock()
	if over != nil {
		return nil // the carrier has forgotten it
	}
	l.carrier.forget(l.id)
	return l.carrier.send(laneClose, l.id, nil)
}

// take gets what has come.
func (l *lane) take(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.in = append(l.in, p...)
		l.some.Broadcast()
	}
}

// finish says that nothing more will come, and why.
func (l *lane) finish(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = why
	l.some.Broadcast()
}

// SetReadDeadline also ends a Read that waits.
func (l *lane) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if l.wake != nil {
		l.wake.Stop()
		l.wake = nil
	}
	l.deadline = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		l.wake = time.AfterFunc(wait, l.look)
	}
	l.some.Broadcast()
	return nil
}

// look has a Read that waits look at the time.
func (l *lane) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.some.Broadcast()
}

// SetWriteDeadline does nothing: a lane writes as its carrier can.
func (l *lane) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (l *lane) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

// LocalAddr is the carrier's.
func (l *lane) LocalAddr() net.Addr { return l.carrier.conn.LocalAddr() }

// RemoteAddr is an address of the lane's own, spread as those of tabs with a
// connection each.
func (l *lane) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+l.id/10_000)), Port: 10_000 + int(l.id%10_000)}
}

// laneListener accepts the lanes of every carrier that comes to a TCP listener.
type laneListener struct {
	net.Listener
	lanes chan net.Conn
	done  chan struct{}
	close sync.Once

	mu       sync.Mutex
	carriers []*carrier
}

// listenLanes makes a laneListener of a listener, which is then its own.
func listenLanes(l net.Listener) *laneListener {
	ll := &laneListener{Listener: l, lanes: make(chan net.Conn), done: make(chan struct{})}
	go ll.acceptCarriers()
	return ll
}

func (ll *laneListener) acceptCarriers() {
	for {
		conn, err := ll.Listener.Accept()
		if err != nil {
			ll.Close()
			return
		}
		c := newCarrier(conn)
		ll.mu.Lock()
		ll.carriers = append(ll.carriers, c)
		ll.mu.Unlock()
		go c.carry(ll.offer)
		select {
		case <-ll.done: // Close may not have seen it
			conn.Close()
		default:
		}
	}
}

// offer hands a lane to Accept.
func (ll *laneListener) offer(l *lane) error {
	select {
	case ll.lanes <- l:
		return nil
	case <-ll.done:
		return io.ErrClosedPipe
	}
}

// Accept waits for a lane.
func (ll *laneListener) Accept() (net.Conn, error) {
	select {
	case l := <-ll.lanes:
		return l, nil
	case <-ll.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener and its carriers.
func (ll *laneListener) Close() error {
	err := ll.Listener.Close()
	ll.close.Do(func() { close(ll.done) })
	ll.mu.Lock()
	defer ll.mu.Unlock()
	for _, c := range ll.carriers {
		c.conn.Close()
	}
	return err
}
