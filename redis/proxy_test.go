package redis_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy stands between a store and its engine, and fails as networks do.
type proxy struct {
	t       *testing.T
	to      string
	at      net.Listener
	done    sync.WaitGroup
	mu      sync.Mutex
	changed sync.Cond
	closed  bool
	refuses bool
	frozen  bool // nothing gets through, nobody is told
	deaf    bool // likewise, for connections that have subscribed
	silent  bool // no answer gets through
	links   map[*link]bool
}

type link struct {
	client, server net.Conn
	subscribed     bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, to: to, at: at, links: map[*link]bool{}}
	p.changed.L = &p.mu
	p.done.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.closed = true })
		at.Close()
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.at.Addr().String() }

// set changes how the proxy behaves.
func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

// cut closes all connections.
func (p *proxy) cut() {
	p.set(func() {
		for l := range p.links {
			l.client.Close()
			l.server.Close()
		}
	})
}

func (p *proxy) accept() {
	for {
		client, err := p.at.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuses := p.refuses || p.closed
		p.mu.Unlock()
		if refuses {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{client: client, server: server}
		p.set(func() { p.links[l] = true })
		var both sync.WaitGroup
		both.Go(func() { p.copy(l, server, client) })
		both.Go(func() { p.copy(l, client, server) })
		p.done.Go(func() {
			both.Wait()
			p.set(func() { delete(p.links, l) })
		})
	}
}

func (p *proxy) copy(l *link, to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		if from == l.client && bytes.Contains(buffer[:n], []byte("SUBSCRIBE")) {
			l.subscribed = true
		}
		for !p.closed && (p.frozen || p.deaf && l.subscribed || p.silent && from == l.server) {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := io.Copy(to, bytes.NewReader(buffer[:n])); err != nil {
			return
		}
	}
}
