// Command tabs opens many tabs of a site that runs in a process of its own, and
// prints what they cost the server: memory, processor time while nothing
// happens, and how long it takes until every tab of a user is told that all the
// user's sessions were closed.
//
//	go run ./cmd/tabs -n 20000
//
// Everything is on the loopback interface. It needs as many open files as tabs,
// in each of the two processes.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
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
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 20_000, "tabs")
	rounds := flag.Int("rounds", 5, "how often a user's sessions are closed")
	idle := flag.Duration("idle", 10*time.Second, "how long nothing happens")
	serve := flag.Bool("serve", false, "be the server")
	flag.Parse()
	if *n < theirs {
		log.Fatalf("tabs: -n has to be at least %d", theirs)
	}
	raiseFiles(*n)
	if *serve {
		log.Fatal(server())
	}
	if err := run(*n, *rounds, *idle); err != nil {
		log.Fatal("tabs: ", err)
	}
}

// raiseFiles asks for enough open files; only root gets more than the hard
// limit.
func raiseFiles(n int) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	if want := uint64(n) + 500; limit.Max < want {
		more := syscall.Rlimit{Cur: want, Max: want}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
			return
		}
		log.Printf("tabs: only %d files may be open (ulimit -Hn)", limit.Max)
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func run(n, rounds int, idle time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "-serve", "-n", strconv.Itoa(n))
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
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return errors.New("the server does not start")
	}
	s := &site{address: strings.TrimSpace(address)}

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
	for _, row := range [][2]string{
		{"tabs open", fmt.Sprint(n)},
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
	} {
		fmt.Printf("| %-56s | %16s |\n", row[0], row[1])
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
type site struct{ address string }

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
