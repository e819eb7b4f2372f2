package testserver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A RedisServer is a private redis-server, or valkey-server, with a directory
// of its own.
type RedisServer struct {
	t      testing.TB
	binary string
	port   int
	dir    string
	args   []string
	conf   string // a sentinel's
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process of cmd has ended
}

// Redis starts a server on a free port of the loopback interface, and stops it
// when the test ends. It keeps nothing on the disk unless args, which are those
// of redis-server, say so. Without redis-server or valkey-server in the PATH
// the test fails if CI is set in the environment, and otherwise is skipped.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := newRedis(t, args...)
	s.Start()
	return s
}

func newRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := &RedisServer{t: t, binary: redisBinary(t), port: testPort(t), dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	return s
}

// Addr is where the server listens, also after it was stopped and started.
func (s *RedisServer) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is Addr as redis.Open takes it.
func (s *RedisServer) URL() string { return "redis://" + s.Addr() }

// Dir is the server's working directory, which stays when it is stopped.
func (s *RedisServer) Dir() string { return s.dir }

// Process is the server's process.
func (s *RedisServer) Process() *os.Process { return s.cmd.Process }

// Start starts the server and waits until it answers, with the data that it
// left on the disk.
func (s *RedisServer) Start() {
	s.t.Helper()
	args := []string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log")}
	if s.conf != "" {
		args = append([]string{s.conf, "--sentinel"}, args...)
	} else {
		args = append(append(args, "--save", "", "--appendonly", "no"), s.args...)
	}
	s.cmd = exec.Command(s.binary, args...)
	s.exited = make(chan struct{})
	if err := startWatched(s.cmd, "KILL", s.exited); err != nil {
		s.t.Fatalf("starting %s: %v", s.binary, err)
	}
	s.await("the answer of "+s.binary, func() error {
		select {
		case <-s.exited:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("%s ended by itself: %s", s.binary, log[max(0, len(log)-2000):])
		default:
		}
		_, err := s.Command("PING")
		return err
	})
}

// Stop ends the server as an administrator does: it writes what it keeps.
func (s *RedisServer) Stop() { s.end(os.Interrupt) }

// Kill ends the server without giving it time for anything.
func (s *RedisServer) Kill() { s.end(os.Kill) }

func (s *RedisServer) end(signal os.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Signal(signal) // which fails when it has ended
	<-s.exited
}

// Command sends one command, of words without spaces, and returns the answer
// as the protocol has it: an error if the server answers with one.
func (s *RedisServer) Command(words ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	switch line = strings.TrimSpace(line); {
	case strings.HasPrefix(line, "-"):
		return "", fmt.Errorf("%s: %s", strings.Join(words, " "), line[1:])
	case strings.HasPrefix(line, "$"):
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return "", err
		}
		text := make([]byte, n)
		_, err = io.ReadFull(r, text)
		return string(text), err
	}
	return line, nil
}

// await tries something until it works.
func (s *RedisServer) await(what string, try func() error) {
	s.t.Helper()
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	s.t.Fatalf("waiting for %s: %v", what, err)
}

// RedisCluster starts a cluster of three servers, and returns their URLs.
func RedisCluster(t testing.TB, args ...string) (urls []string) {
	t.Helper()
	for _, s := range NewRedisCluster(t, args...) {
		urls = append(urls, s.URL())
	}
	return urls
}

// NewRedisCluster is RedisCluster for a test that stops and starts servers.
func NewRedisCluster(t testing.TB, args ...string) []*RedisServer {
	t.Helper()
	const slots = 16384
	nodes := make([]*RedisServer, 3)
	for i := range nodes {
		bus := testPort(t)
		n := newRedis(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus),
			// On a slow machine a node is not to be taken for one that has failed.
			"--cluster-node-timeout", strconv.FormatInt(patience.Milliseconds(), 10),
		}, args...)...)
		n.Start()
		n.do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		n.do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/3), strconv.Itoa(slots*(i+1)/3-1))
		if i > 0 {
			nodes[0].do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(n.port), strconv.Itoa(bus))
		}
		nodes[i] = n
	}
	for _, n := range nodes {
		n.await("the cluster", func() error {
			info, err := n.Command("CLUSTER", "INFO")
			if err == nil && !(strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")) {
				err = errors.New(info)
			}
			return err
		})
	}
	return nodes
}

// RedisSentinel starts a server, a replica of it and a sentinel. After takeOver
// the sentinel makes the replica the server if the server is away for half a
// second; before, it is not to do so because the machine is slow. Its url names
// the sentinel.
func RedisSentinel(t testing.TB) (url string, master, replica *RedisServer, takeOver func()) {
	t.Helper()
	sentinel, master, replica := newRedisSentinel(t)
	return sentinel.URL() + "?master_set=site", master, replica, func() {
		t.Helper()
		sentinel.do("SENTINEL", "SET", "site", "down-after-milliseconds", "500")
	}
}

func newRedisSentinel(t testing.TB) (sentinel, master, replica *RedisServer) {
	t.Helper()
	master = Redis(t)
	replica = Redis(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.port))
	replica.await("the replica", func() error {
		info, err := replica.Command("INFO", "replication")
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New(info)
		}
		return err
	})
	sentinel = newRedis(t)
	file := filepath.Join(sentinel.dir, "sentinel.conf")
	conf := fmt.Sprintf("sentinel monitor site 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds site %d\n"+
		"sentinel failover-timeout site 3000\n", // it tries again after twice that
		master.port, patience.Milliseconds())
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel.conf = file
	sentinel.Start()
	sentinel.await("the sentinel", func() error {
		info, err := sentinel.Command("INFO", "sentinel")
		if err == nil && !strings.Contains(info, "status=ok") || !strings.Contains(info, "slaves=1") {
			err = errors.Join(err, errors.New(info))
		}
		return err
	})
	return sentinel, master, replica
}

// do is Command for one that has to work.
func (s *RedisServer) do(words ...string) {
	s.t.Helper()
	if _, err := s.Command(words...); err != nil {
		s.t.Fatal(err)
	}
}

func redisBinary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if version, err := exec.Command(path, "--version").Output(); err == nil && bytes.Contains(version, []byte("v=")) {
			return path
		}
	}
	missing(t, "there is no redis-server and no valkey-server in the PATH: apt-get install redis-server, or brew install redis")
	return ""
}
