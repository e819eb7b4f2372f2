package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/internal/demo"
)

// serverVerb runs one of several servers of a demo: a child of the process
// with the balancer. People do not type it.
const serverVerb = "demo-server"

// serverConfig is the first line of a child's standard input. It is not on its
// command line, which other users of the machine can read. The input's end is
// the end of the parent, and the child's.
type serverConfig struct {
	Engine, At        string // of storeSpec
	Accounts, Name    string
	GoPage            string
	PlainHTTP, Public bool
}

// loopback is where the balancer is.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// runServer is a child: it says on a line where it listens, and serves until
// its input ends.
func runServer(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	var c serverConfig
	if err != nil || json.Unmarshal(line, &c) != nil {
		return usagef("%s is for sojourn demo --servers", serverVerb)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, in)
		cancel()
	}()
	served := false
	defer func() {
		if ctx.Err() != nil && !served {
			err = nil // what could not start because the parent ends
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	spec := storeSpec{engine: c.Engine, at: c.At}
	log := logger(stderr)
	store, err := spec.open(ctx, log)
	if err != nil {
		return err
	}
	app, err := demo.Open(ctx, demo.Options{
		Store: store, StoreName: spec.String(), Accounts: c.Accounts, Server: c.Name,
		PlainHTTP: c.PlainHTTP, Public: c.Public, GoPage: c.GoPage, Proxies: loopback, Logger: log,
	})
	if err != nil {
		return err
	}
	server := newServer(ctx, stderr)
	server.Handler = app
	served = true
	fmt.Fprintln(stdout, listener.Addr())
	return errors.Join(serve(ctx, server, listener), app.Close())
}

// runMany serves the demo by several child processes behind a balancer.
func (d *demonstration) runMany(ctx context.Context) error {
	// What cannot work fails here, once, and not in each child.
	store, err := d.flags.store.open(ctx, d.opts.Logger)
	if err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}
	seeds, err := demo.Prepare(ctx, d.opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &balancer{out: &lineWriter{w: d.stderr}}
	defer b.stop()
	about := "Servers, one process each. Kill one (kill -9 and its process): the others go on.\n"
	for i := range d.flags.servers {
		c, err := b.start(ctx, serverConfig{
			Engine: d.flags.store.engine, At: d.flags.store.at,
			Accounts: d.opts.Accounts, Name: strconv.Itoa(i + 1), GoPage: d.opts.GoPage,
			PlainHTTP: d.opts.PlainHTTP, Public: d.opts.Public,
		}, cancel)
		if err != nil {
			return err
		}
		about += fmt.Sprintf("  server %s  process %-8d http://%s/\n", c.name, c.cmd.Process.Pid, c.addr)
	}
	d.server.Handler = b.handler(d.server)
	d.server.WriteTimeout = 0 // the servers have theirs
	d.greet(seeds, about)
	err = serve(ctx, d.server, d.listener)
	if b.left() == 0 && err == nil {
		err = errors.New("every server has ended")
	}
	return err
}

// balancer passes requests to the servers in turn, WebSockets too.
type balancer struct {
	out *lineWriter

	mu       sync.Mutex
	children []*child
	turns    [2]int // of pages, and of what pages ask for
	stopping bool
}

// forPage is the key of a request's context that says whether a person asked
// for the page: pages take turns of their own, so that whoever loads one again
// meets the next server, however many scripts and calls there were in between.
type forPage struct{}

// child is one server in a process of its own.
type child struct {
	name, addr string
	cmd        *exec.Cmd
	stdin      io.Closer
	ended      chan struct{} // closed when it has
}

func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// start starts a server and waits until it listens. none is called when it was
// the last one and ends.
func (b *balancer) start(ctx context.Context, config serverConfig, none func()) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: config.Name, cmd: exec.Command(program, serverVerb), ended: make(chan struct{})}
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	complaints := b.out.prefixed("server " + c.name + " | ")
	c.cmd.Stderr = complaints
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.stopping = true
		b.mu.Unlock()
		stdin.Close() // it stops waiting for its store
	})()
	line, err := json.Marshal(config)
	if err == nil {
		_, err = stdin.Write(append(line, '\n'))
	}
	if err == nil {
		var addr string
		addr, err = bufio.NewReader(stdout).ReadString('\n')
		c.addr = strings.TrimSpace(addr)
	}
	b.mu.Lock()
	b.children = append(b.children, c)
	b.mu.Unlock()
	go func() {
		why := c.cmd.Wait()
		close(c.ended)
		b.mu.Lock()
		stopping := b.stopping
		b.mu.Unlock()
		if !stopping && c.addr != "" {
			if why == nil {
				why = errors.New("status 0")
			}
			fmt.Fprintf(complaints, "ended: %v\n", why)
			if b.left() == 0 {
				none()
			}
		}
	}()
	if err != nil {
		<-c.ended
		return nil, fmt.Errorf("server %s did not start", c.name)
	}
	return c, nil
}

// stop ends the servers and waits for them, all together ten seconds.
func (b *balancer) stop() {
	b.mu.Lock()
	b.stopping = true
	children := b.children
	b.mu.Unlock()
	for _, c := range children {
		c.stdin.Close()
	}
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, c := range children {
		select {
		case <-c.ended:
		case <-patience.Done():
			c.cmd.Process.Kill()
			<-c.ended
		}
	}
}

// left is how many servers are running.
func (b *balancer) left() int { return len(b.running()) }

// running are the servers that run.
func (b *balancer) running() []*child {
	b.mu.Lock()
	defer b.mu.Unlock()
	var alive []*child
	for _, c := range b.children {
		if c.alive() {
			alive = append(alive, c)
		}
	}
	return alive
}

var errNoServer = errors.New("no server is running")

// dial connects to the server whose turn it is, or to the next one that
// answers.
func (b *balancer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	of := 1
	if ctx.Value(forPage{}) != nil {
		of = 0
	}
	b.mu.Lock()
	turn := b.turns[of]
	b.turns[of]++
	b.mu.Unlock()
	err := errNoServer
	alive := b.running()
	for i := range alive {
		c := alive[(turn+i)%len(alive)]
		conn, e := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
		if e == nil {
			return conn, nil
		}
		err = e
	}
	return nil, err
}

// handler is the balancer's own HTTP.
func (b *balancer) handler(server *http.Server) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "demo" // dial decides
			if r.In.Method == http.MethodGet && strings.Contains(r.In.Header.Get("Accept"), "text/html") {
				r.Out = r.Out.WithContext(context.WithValue(r.Out.Context(), forPage{}, true))
			}
		},
		// A connection for each request: the next one goes to the next server.
		Transport: &http.Transport{DialContext: b.dial, DisableKeepAlives: true, DisableCompression: true},
		ErrorLog:  server.ErrorLog,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				server.ErrorLog.Printf("no answer to %s %s: %v", r.Method, r.URL.Path, err)
			}
			w.Header().Set("Retry-After", "1")
			http.Error(w, "The server that was asked has ended. Load the page again: the next one answers.", http.StatusBadGateway)
		},
	}
}

// lineWriter writes whole lines of several processes.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// prefixed is a writer whose lines begin with prefix.
func (l *lineWriter) prefixed(prefix string) io.Writer { return &prefixWriter{to: l, prefix: prefix} }

type prefixWriter struct {
	to      *lineWriter
	prefix  string
	mu      sync.Mutex
	pending []byte
}

func (p *prefixWriter) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, data...)
	for {
		line, rest, ok := strings.Cut(string(p.pending), "\n")
		if !ok {
			return len(data), nil
		}
		p.pending = []byte(rest)
		p.to.mu.Lock()
		fmt.Fprintf(p.to.w, "%s%s\n", p.prefix, line)
		p.to.mu.Unlock()
	}
}
