//go:build unix

// Command tabs opens many tabs of a site that runs in a process of its own, and
// prints what they cost the server: memory, processor time while nothing
// happens, and how long it takes until every tab of a user is told that all the
// user's sessions were closed.
//
//	go run ./cmd/tabs -n 20000
//
// Everything is on the loopback interface. A tab is a TCP connection, and so an
// open file in each of the two processes. Where fewer may be open, and with
// -carriers, the tabs are lanes of a few TCP connections instead, which net/http
// serves like any other; the table then says so.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	theirs = 100 // tabs of the user whose sessions are closed
	each   = 2   // of them in one browser

	defaultCarriers = 4 // where too few files may be open
)

// options are what to measure.
type options struct {
	tabs     int
	rounds   int           // how often a user's sessions are closed
	idle     time.Duration // how long nothing happens
	carriers int           // 0: a TCP connection for each tab
}

func main() {
	log.SetFlags(0)
	var o options
	flag.IntVar(&o.tabs, "n", 20_000, "tabs")
	flag.IntVar(&o.rounds, "rounds", 5, "how often a user's sessions are closed")
	flag.DurationVar(&o.idle, "idle", 10*time.Second, "how long nothing happens")
	flag.IntVar(&o.carriers, "carriers", 0, "how many TCP connections the tabs share; 0: one each, if so many files may be open")
	serve := flag.Bool("serve", false, "be the server")
	flag.Parse()
	if o.tabs < theirs || o.rounds < 1 || o.idle <= 0 || o.carriers < 0 {
		log.Fatalf("tabs: -n has to be at least %d, -rounds 1, -idle positive, -carriers not negative", theirs)
	}
	if o.carriers == 0 && !raiseFiles(o.tabs) && !*serve {
		o.carriers = defaultCarriers
	}
	if *serve {
		log.Fatal(server(o.carriers > 0))
	}
	if err := run(os.Stdout, o); err != nil {
		log.Fatal("tabs: ", err)
	}
}

// raiseFiles asks for enough open files, and reports whether as many may be
// open; only root gets more than the hard limit.
func raiseFiles(n int) bool {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return true // who does not say does not limit
	}
	want := uint64(n) + 500
	if limit.Cur >= want {
		return true
	}
	limit.Cur, limit.Max = want, max(want, limit.Max)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil
}

// run prints the table to w.
func run(w io.Writer, o options) error {
	n, rounds, idle := o.tabs, o.rounds, o.idle
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "-serve", "-n", strconv.Itoa(n), "-carriers", strconv.Itoa(o.carriers))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer child.Wait()
	defer in.Close() // the server ends with its standard input
	line, err := bufio.NewReader(out).ReadString('\n')
	addresses := strings.Fields(line)
	if err != nil || len(addresses) != 2 {
		return errors.New("the server does not start")
	}
	s := &site{address: addresses[0]}
	for range o.carriers {
		conn, err := net.Dial("tcp", addresses[1])
		if err != nil {
			return err
		}
		defer conn.Close()
		c := newCarrier(conn)
		s.carriers = append(s.carriers, c)
		go c.carry(nil)
	}

	others := n - theirs
	cookies := make([]string, others)
	if err := parallel(others, func(i int) (err error) {
		cookies[i], err = s.login(fmt.Sprint("user-", i))
		return err
	}); err != nil {
		return err
	}
	before, err := s.usage()
	if err != nil {
		return err
	}
	start := time.Now()
	tabs := make([]*tab, others)
	if err := parallel(others, func(i int) (err error) {
		tabs[i], err = s.open(i, cookies[i], nil)
		return err
	}); err != nil {
		return err
	}
	target, err := s.openTheirs(others)
	if err != nil {
		return err
	}
	opening := time.Since(start)
	after, err := s.usage()
	if err != nil {
		return err
	}
	time.Sleep(idle)
	quiet, err := s.usage()
	if err != nil {
		return err
	}
	var last []time.Duration
	for range rounds {
		took, err := s.closeAll(target)
		if err != nil {
			return err
		}
		last = append(last, took)
		if target, err = s.openTheirs(others); err != nil {
			return err
		}
	}
	slices.Sort(last)
	lost := 0
	for _, t := range tabs {
		if t.lost.Load() {
			lost++
		}
	}
	per := func(get func(*usage) uint64) string {
		return fmt.Sprintf("%.1f KiB", float64(int64(get(after)-get(before)))/1024/float64(n))
	}
	rows := [][2]string{{"tabs open", fmt.Sprint(n)}}
	if o.carriers > 0 {
		rows = append(rows, [2]string{"  as lanes, in so many TCP connections", fmt.Sprint(o.carriers)})
	}
	rows = append(rows, [][2]string{
		{"opened within", opening.Round(time.Millisecond).String()},
		{"memory of the server with all sessions, no tab", fmt.Sprintf("%.1f MiB", float64(before.RSS)/(1<<20))},
		{"memory per tab (resident)", per(func(u *usage) uint64 { return u.RSS })},
		{"  live heap", per(func(u *usage) uint64 { return u.Heap })},
		{"  stacks", per(func(u *usage) uint64 { return u.Stack })},
		{"goroutines per tab", fmt.Sprintf("%.2f", float64(after.Goroutines-before.Goroutines)/float64(n))},
		{"processor while idle", fmt.Sprintf("%.1f %% of a core", 100*(quiet.CPU-after.CPU).Seconds()/idle.Seconds())},
		{fmt.Sprintf("DisconnectAll, the last of %d tabs told, median of %d", theirs, rounds), last[len(last)/2].Round(time.Microsecond).String()},
		{"  slowest", last[len(last)-1].Round(time.Microsecond).String()},
		{"other tabs lost", fmt.Sprint(lost)},
	}...)
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "| %-56s | %16s |\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// parallel does n things, some at a time.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// site is the server as its clients see it.
type site struct {
	address  string
	carriers []*carrier // none: tabs have connections of their own
	lanes    atomic.Uint32
}

// dial connects the i-th tab.
func (s *site) dial(i int) (net.Conn, error) {
	if len(s.carriers) > 0 {
		id := s.lanes.Add(1) - 1
		return s.carriers[int(id)%len(s.carriers)].open(id)
	}
	// One address has too few ports for all.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/10_000))}}
	return d.Dial("tcp", s.address)
}

var httpClient = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 16},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// login answers the cookies of a new session.
func (s *site) login(user string) (string, error) {
	resp, err := httpClient.Get("http://" + s.address + "/login?user=" + user)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if resp.StatusCode != http.StatusOK || len(pairs) != 2 {
		return "", fmt.Errorf("the login is answered %s with %d cookies", resp.Status, len(pairs))
	}
	return strings.Join(pairs, "; "), nil
}

func (s *site) usage() (*usage, error) {
	resp, err := httpClient.Get("http://" + s.address + "/usage")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	u := new(usage)
	return u, json.NewDecoder(resp.Body).Decode(u)
}

// openTheirs opens the tabs of the user whose sessions are to be closed.
func (s *site) openTheirs(i int) (*group, error) {
	g := &group{}
	g.told.Add(theirs)
	for range theirs / each {
		cookies, err := s.login("target")
		if err != nil {
			return nil, err
		}
		for range each {
			if _, err := s.open(i, cookies, g); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

// closeAll closes the user's sessions, and answers how long it took until the
// last tab was told.
func (s *site) closeAll(g *group) (time.Duration, error) {
	start := time.Now()
	resp, err := httpClient.Get("http://" + s.address + "/close-all?user=target")
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	g.told.Wait()
	return time.Unix(0, g.last.Load()).Sub(start), nil
}
