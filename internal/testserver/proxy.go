package testserver

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client and a server, and does to their connections
// what networks do.
type Proxy struct {
	listener net.Listener
	target   string
	delay    atomic.Int64

	mu    sync.Mutex
	held  [2]chan struct{} // by direction: not nil while nothing gets through; closed when it does again
	back  [2]int           // by direction: how many connections have something that is held back
	conns map[net.Conn]struct{}
	over  bool
	wg    sync.WaitGroup
}

// NewProxy listens on a free port of the loopback interface for clients of
// target, until the test ends. Sent, if not nil, sees what the clients send,
// of each connection in order.
func NewProxy(t testing.TB, target string, sent func(c net.Conn, p []byte)) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.wg.Go(func() { p.accept(sent) })
	t.Cleanup(p.close)
	return p
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Hold lets nothing through any more. Connections stay open, new ones are
// taken, and nobody is told: as when a router forgot them.
func (p *Proxy) Hold() { p.hold(requests, answers) }

// HoldAnswers holds back what the server sends: it does what it is asked, and
// nobody hears of it.
func (p *Proxy) HoldAnswers() { p.hold(answers) }

// Release lets everything through again that was held back.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, held := range p.held {
		if held != nil {
			close(held)
			p.held[i] = nil
		}
	}
}

// HoldsBack reports whether something that a client sent is held back.
func (p *Proxy) HoldsBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.back[requests] > 0
}

// Delay makes everything take d longer, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// direction of what goes through.
type direction int

const (
	requests direction = iota
	answers
)

func (p *Proxy) hold(directions ...direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		if p.held[d] == nil {
			p.held[d] = make(chan struct{})
		}
	}
}

// Cut closes all connections. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.Cut()
	p.Release()
	p.wg.Wait()
}

func (p *Proxy) accept(sent func(net.Conn, []byte)) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close() // as if the port had answered so
			continue
		}
		if !p.add(client, server) {
			return
		}
		p.wg.Go(func() {
			p.copy(requests, server, client, func(b []byte) {
				if sent != nil {
					sent(client, b)
				}
			})
		})
		p.wg.Go(func() { p.copy(answers, client, server, func([]byte) {}) })
	}
}

// holdBack counts a connection that has n bytes which are held back.
func (p *Proxy) holdBack(d direction, n, by int) {
	if n == 0 { // it has ended
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back[d] += by
}

// add remembers connections to close; it is false when there are to be none.
func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.over {
			c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.over
}

func (p *Proxy) copy(d direction, to, from net.Conn, seen func([]byte)) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
		from.Close()
		to.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		held := p.held[d]
		p.mu.Unlock()
		time.Sleep(time.Duration(p.delay.Load()))
		if held != nil {
			p.holdBack(d, n, 1)
			<-held
			p.holdBack(d, n, -1)
		}
		if n > 0 {
			seen(buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
