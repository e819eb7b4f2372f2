package cases

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Served is a page behind net/http on a loopback port, with one request
// that is sent again and again over connections kept alive.
type Served struct {
	Name    string
	server  *http.Server
	address string
	request []byte
	body    []byte
	app     *App
	serve   func()
}

// Loopback serves the bare page, first, and the connected pages of sojourn,
// scs and sessionup. A name in "-tab" is asked for by a running tab, the other
// pages of sojourn by plain navigation.
func Loopback(dir string) ([]*Served, *Set, error) {
	set := &Set{}
	memory, err := OpenSojourn("memory", "")
	if err != nil {
		return nil, nil, err
	}
	set.apps = append(set.apps, &memory.App)
	durable, err := OpenSojourn("sqlite", dir)
	if err != nil {
		return nil, nil, closing(set, err)
	}
	set.apps = append(set.apps, &durable.App)

	var all []*Served
	add := func(name string, a *App, header http.Header) error {
		c := caller{user: bareUser}
		if a.Name != "bare" {
			if c, err = a.login(0, bareUser); err != nil {
				return err
			}
		}
		r := c.request(pathGuard)
		for k, v := range header {
			r.Header[k] = v
		}
		s, err := listen(name, a, r, nil, "connected: "+c.user+"\n")
		if err == nil {
			all = append(all, s)
		}
		return err
	}
	pages := func() error {
		// The bare page is sent cookies of the length of ours.
		cookies := "__Host-sojourn=" + strings.Repeat("x", 43) + "; __Host-sojourn-browser=" + strings.Repeat("x", 43)
		if err := add("bare", OpenBare(), http.Header{"Cookie": {cookies}}); err != nil {
			return err
		}
		for _, s := range []*Sojourn{memory, durable} {
			if err := add(s.Name, &s.App, nil); err != nil {
				return err
			}
			c, err := s.login(0, bareUser)
			if err != nil {
				return err
			}
			tab, err := s.tab(c)
			if err != nil {
				return err
			}
			tab.Set("Cookie", c.cookie)
			if err := add(s.Name+"-tab", &s.App, tab); err != nil {
				return err
			}
		}
		for _, a := range []*App{&OpenSCS(false).App, &OpenSessionup().App} {
			if err := add(a.Name, a, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pages(); err != nil {
		for _, s := range all {
			s.Close()
		}
		return nil, nil, closing(set, err)
	}
	for _, s := range all {
		s.app.Show = greet
	}
	for _, s := range all {
		go s.serve()
	}
	return all, set, nil
}

// listen prepares to serve an App on a port of its own: the request, with this
// body, is to be answered with want.
func listen(name string, a *App, r *http.Request, body []byte, want string) (*Served, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var sent bytes.Buffer
	fmt.Fprintf(&sent, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	if body != nil {
		fmt.Fprintf(&sent, "Content-Length: %d\r\n", len(body))
	}
	if err := r.Header.Write(&sent); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	sent.WriteString("\r\n")
	sent.Write(body)
	s := &Served{
		Name: name, address: l.Addr().String(), request: sent.Bytes(),
		body: []byte(want), app: a,
	}
	s.server = &http.Server{Handler: a.Handler}
	s.serve = func() { s.server.Serve(l) }
	return s, nil
}

// greet is what every served page does with its user.
func greet(w http.ResponseWriter, user string) {
	io.WriteString(w, "connected: "+user+"\n")
}

// Close stops the server.
func (s *Served) Close() error { return s.server.Close() }

// Rate asks for the page over so many connections at once for a while and
// returns the responses per second. It fails unless every response is the
// connected user's page.
func (s *Served) Rate(connections int, d time.Duration) (float64, error) {
	var stop atomic.Bool
	var total atomic.Int64
	errs := make([]error, connections)
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for i := range connections {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			stop.Store(true)
			close(ready)
			wg.Wait()
			return 0, err
		}
		wg.Go(func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			if errs[i] = s.ask(conn, in); errs[i] != nil {
				return
			}
			<-ready
			n := int64(0)
			for !stop.Load() {
				if errs[i] = s.ask(conn, in); errs[i] != nil {
					break
				}
				n++
			}
			total.Add(n)
		})
	}
	start := time.Now()
	close(ready)
	time.Sleep(d)
	stop.Store(true)
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	return float64(total.Load()) / took.Seconds(), nil
}

// ask sends the request and reads the response, doing as little as it can:
// the client must not be what is measured.
func (s *Served) ask(conn net.Conn, in *bufio.Reader) error {
	if _, err := conn.Write(s.request); err != nil {
		return err
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if v, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	if length != len(s.body) {
		return fmt.Errorf("a body of %d bytes, want %d", length, len(s.body))
	}
	body, err := in.Peek(length)
	if err != nil {
		return err
	}
	if !bytes.Equal(body, s.body) {
		return fmt.Errorf("answered %q, want %q", body, s.body)
	}
	_, err = in.Discard(length)
	return err
}

// Case is one request after another over one connection.
func (s *Served) Case() Case {
	return Case{s.Name, func(c Clock) error {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			return err
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for c.Loop() {
			if err := s.ask(conn, in); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
		return nil
	}}
}
