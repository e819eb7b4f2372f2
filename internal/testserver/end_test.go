//go:build unix

package testserver

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envEnd is set for a program that starts servers and ends as it says.
const envEnd = "SOJOURN_TESTSERVER_END"

// The servers of a program that ends without stopping them end with it: a
// PostgreSQL, a Redis, the nodes of a cluster, and a Sentinel with its two.
func TestServersEndWithTheirProgram(t *testing.T) {
	t.Parallel()
	redisBinary(t)
	postgresBinaries(t)
	for _, how := range []string{"killed", "exits", "panics"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			program := exec.Command(self, "-test.run=^TestProgramOfServers$")
			dir, err := os.MkdirTemp("", "sojourn-end-") // what the program does not remove
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
				t.Fatal(err)
			}
			program.Env = append(os.Environ(), envEnd+"="+how, "TMPDIR="+dir)
			stdin, err1 := program.StdinPipe()
			stdout, err2 := program.StdoutPipe()
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				program.Process.Kill()
				program.Wait()
			}()
			pids := make(map[int]bool)
			lines := bufio.NewScanner(stdout)
			var log strings.Builder
			for lines.Scan() && lines.Text() != "started" {
				name, pid, _ := strings.Cut(lines.Text(), " ")
				n, err := strconv.Atoi(pid)
				if err != nil || gone(n) {
					fmt.Fprintln(&log, lines.Text())
					continue
				}
				t.Log(name, n)
				pids[n] = true
			}
			if len(pids) < 9 {
				t.Fatalf("the program started %d servers, and said\n%s", len(pids), log.String())
			}
			if how == "killed" {
				program.Process.Kill()
			} else {
				stdin.Close()
			}
			program.Wait()
			for began := time.Now(); len(pids) > 0; time.Sleep(5 * time.Millisecond) {
				for pid := range pids {
					if gone(pid) {
						delete(pids, pid)
					}
				}
				if time.Since(began) > patience {
					t.Fatalf("the servers %v are there still", pids)
				}
			}
		})
	}
}

// TestProgramOfServers is the program of TestServersEndWithTheirProgram.
func TestProgramOfServers(t *testing.T) {
	how := os.Getenv(envEnd)
	if how == "" {
		return
	}
	say := func(name string, pid int) { fmt.Println(name, pid) }
	postgres := NewPostgres(t)
	say("postgres", postgres.process.Process.Pid)
	for _, child := range children(postgres.process.Process.Pid) {
		say("postgres", child)
	}
	alone := Redis(t)
	say("redis", alone.Process().Pid)
	again := Redis(t) // another process now
	again.Kill()
	again.Start()
	say("redis", again.Process().Pid)
	for _, node := range NewRedisCluster(t) {
		say("cluster", node.Process().Pid)
	}
	sentinel, master, replica := newRedisSentinel(t)
	for _, s := range []*RedisServer{sentinel, master, replica} {
		say("sentinel", s.Process().Pid)
	}
	// Two do not do anything at the moment.
	if err := postgres.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := alone.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fmt.Println("started")
	os.Stdin.Read(make([]byte, 1))
	if how == "exits" {
		os.Exit(3)
	}
	go panic(how) // in the test's own goroutine its cleanups would run
	select {}
}
