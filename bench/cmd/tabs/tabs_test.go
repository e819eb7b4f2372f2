//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The server that run starts is this program again.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args[1:], "-serve") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTabsAreMeasuredWithAndWithoutLanes(t *testing.T) {
	t.Parallel()
	const lanesRow = "  as lanes, in so many TCP connections"
	for _, c := range []struct {
		name     string
		carriers int
		lanes    string
	}{{"direct", 0, ""}, {"one carrier", 1, "1"}, {"carriers", 3, "3"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(&out, options{tabs: 200, rounds: 2, idle: time.Millisecond, carriers: c.carriers}); err != nil {
				t.Fatal(err)
			}
			table := map[string]string{}
			for line := range strings.Lines(out.String()) {
				cells := strings.Split(line, " | ")
				table[strings.TrimRight(strings.TrimPrefix(cells[0], "| "), " ")] = strings.Trim(cells[1], " |\n")
			}
			for row, want := range map[string]string{
				"tabs open": "200", lanesRow: c.lanes, "goroutines per tab": "1.00", "other tabs lost": "0",
			} {
				if got := table[row]; got != want {
					t.Errorf("%s: %q, want %q\n%s", row, got, want, out.String())
				}
			}
		})
	}
}

// carried is both ends of a carrier, and the lanes that the first opens as the
// second accepts them.
func carried(t *testing.T) (near, far *carrier, accepted chan *lane) {
	a, b := net.Pipe()
	near, far = newCarrier(a), newCarrier(b)
	accepted = make(chan *lane, 10)
	go near.carry(nil)
	go far.carry(func(l *lane) error { accepted <- l; return nil })
	t.Cleanup(func() { a.Close() })
	return near, far, accepted
}

func mustOpen(t *testing.T, c *carrier, id uint32) *lane {
	t.Helper()
	l, err := c.open(id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustWrite(t *testing.T, l *lane, text string) {
	t.Helper()
	if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func TestLanesKeepWhatTheyCarryApart(t *testing.T) {
	t.Parallel()
	near, _, accepted := carried(t)
	one, two := mustOpen(t, near, 1), mustOpen(t, near, 2)
	farOne, farTwo := <-accepted, <-accepted
	long := strings.Repeat("long", frameMax/2)
	mustWrite(t, one, "first ")
	mustWrite(t, two, long)
	mustWrite(t, one, "second")
	mustWrite(t, farTwo, "back")
	for _, l := range []*lane{one, two} {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		l    *lane
		want string
	}{{farOne, "first second"}, {farTwo, long}} {
		got, err := io.ReadAll(c.l)
		if string(got) != c.want || err != nil {
			t.Errorf("lane %d: %d bytes %.20q, %v; want %d bytes %.20q", c.l.id, len(got), got, err, len(c.want), c.want)
		}
		if _, err := c.l.Write([]byte("x")); err == nil {
			t.Errorf("lane %d: what nobody reads was written", c.l.id)
		}
	}
	if _, err := two.Read(make([]byte, 4)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed lane was read: %v", err)
	}
}

func TestReadOfALaneEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, _, accepted := carried(t)
		l := mustOpen(t, near, 7)
		far := <-accepted
		read := func() chan error {
			done := make(chan error, 1)
			go func() {
				_, err := l.Read(make([]byte, 1))
				done <- err
			}()
			synctest.Wait()
			return done
		}
		start := time.Now()
		l.SetReadDeadline(start.Add(time.Minute))
		if err := <-read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("the read ended after %v: %v", time.Since(start), err)
		}
		l.SetReadDeadline(time.Time{})
		waits := read()
		l.SetReadDeadline(time.Unix(1, 0)) // as net/http does to a Read that waits
		if err := <-waits; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read that waited ended: %v", err)
		}
		l.SetReadDeadline(time.Now().Add(time.Minute))
		waits = read()
		l.SetReadDeadline(time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-waits:
			t.Errorf("the read ended at the deadline before: %v", err)
		default:
		}
		mustWrite(t, far, "x")
		if err := <-waits; err != nil {
			t.Errorf("the read that waited for a byte: %v", err)
		}
		waits = read()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waits; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the read of the lane that was closed: %v", err)
		}
	})
}

func TestEndOfACarrierIsTheEndOfItsLanes(t *testing.T) {
	t.Parallel()
	near, far, accepted := carried(t)
	l := mustOpen(t, near, 1)
	<-accepted
	far.conn.Close()
	if _, err := l.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the lane ended as if it had been closed: %v", err)
	}
	if _, err := near.open(2); err == nil {
		t.Error("a lane was opened in a carrier that ended")
	}
}

func TestLanesAreServedByNetHTTP(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lanes := listenLanes(tcp)
	served := make(chan error, 1)
	go func() {
		served <- http.Serve(lanes, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/address" {
				io.WriteString(w, r.RemoteAddr)
				return
			}
			conn, rw, err := w.(http.Hijacker).Hijack() // waits for net/http's own Read to end
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			line, err := rw.ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			io.WriteString(conn, "said "+line)
		}))
	}()
	conn, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newCarrier(conn)
	go c.carry(nil)
	s := &site{carriers: []*carrier{c}}
	seen := map[netip.AddrPort]bool{}
	for i := range 3 {
		l, err := s.dial(i)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return l, nil },
		}}
		for range 2 { // on the same lane
			resp, err := client.Get("http://x/address")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			from, e := netip.ParseAddrPort(string(body))
			if err != nil || e != nil {
				t.Fatalf("came from %q: %v, %v", body, err, e)
			}
			seen[from] = true
		}
		client.CloseIdleConnections()
	}
	if len(seen) != 3 {
		t.Errorf("three lanes came from %v", seen)
	}
	l, err := s.dial(0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(l, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	io.WriteString(l, "hello\n")
	if got, err := io.ReadAll(l); string(got) != "said hello\n" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	lanes.Close()
	<-served
}
