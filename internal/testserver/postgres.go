//go:build unix

package testserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres returns the URL of a new, empty database on a private PostgreSQL
// server. All tests of the program share the server, which does not write to
// disk what it says it does; it ends with the program, or by StopPostgres.
func Postgres(t testing.TB) (url string) {
	t.Helper()
	sharedPostgres.Lock()
	defer sharedPostgres.Unlock()
	if sharedPostgres.server == nil {
		p, err := newPostgres(t, postgresBinaries(t), "fsync=off", "full_page_writes=off", "synchronous_commit=on")
		if err != nil {
			t.Fatal(err)
		}
		sharedPostgres.server = p
	}
	name := fmt.Sprintf("test%d", sharedPostgres.databases.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, sharedPostgres.server.URL())
	if err != nil {
		t.Fatalf("connecting to the shared PostgreSQL: %v", err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "create database "+name); err != nil {
		t.Fatalf("creating a database: %v", err)
	}
	return sharedPostgres.server.url(name)
}

// StopPostgres ends the shared server of Postgres, if there is one, and removes
// its files: a TestMain calls it last.
func StopPostgres() error {
	sharedPostgres.Lock()
	defer sharedPostgres.Unlock()
	p := sharedPostgres.server
	sharedPostgres.server = nil
	if p == nil {
		return nil
	}
	return p.remove()
}

var sharedPostgres struct {
	sync.Mutex
	server    *PostgresServer
	databases atomic.Int64
}

// PostgresServer is a private PostgreSQL server of one test.
type PostgresServer struct {
	bin, dir string
	as       *syscall.Credential // nil: as who runs the tests
	port     int
	release  func() error // the port, for others
	password string
	settings []string

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{} // closed when process has ended
}

// NewPostgres starts a private PostgreSQL server with settings such as
// "fsync=off", and stops it when the test ends. Without settings it keeps what
// it says it does, also when it is killed.
func NewPostgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	p, err := newPostgres(t, postgresBinaries(t), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.remove(); err != nil {
			t.Errorf("stopping PostgreSQL: %v", err)
		}
	})
	return p
}

// URL is where the server is reached, also while it is stopped.
func (p *PostgresServer) URL() string { return p.url("postgres") }

// Addr is the server's host and port.
func (p *PostgresServer) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Password is a part of URL that nobody is to tell.
func (p *PostgresServer) Password() string { return p.password }

// Start starts a server that Stop or Kill has ended, and waits until it answers.
func (p *PostgresServer) Start() error {
	if err := p.run(); err != nil {
		return err
	}
	return p.answers()
}

// Stop stops the server as an administrator does who is in a hurry: connections
// are cut, nothing that was answered is lost.
func (p *PostgresServer) Stop() error { return p.signal(syscall.SIGINT) }

// Kill ends the server and all its processes at once, as a crash does.
func (p *PostgresServer) Kill() error {
	p.mu.Lock()
	running := p.process
	p.mu.Unlock()
	if running == nil {
		return errors.New("testserver: PostgreSQL is not running")
	}
	server := running.Process.Pid
	// It is not to see its processes end, nor to start others.
	errs := []error{syscall.Kill(server, syscall.SIGSTOP)}
	all := children(server)
	for _, child := range all {
		syscall.Kill(child, syscall.SIGKILL) // it may have ended
	}
	errs = append(errs, syscall.Kill(server, syscall.SIGKILL))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("testserver: killing PostgreSQL: %w", err)
	}
	// The next server does not start while one of them has the shared memory.
	for began := time.Now(); slices.ContainsFunc(all, func(child int) bool { return !gone(child) }); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			return errors.New("testserver: the processes of PostgreSQL do not end")
		}
	}
	return p.wait()
}

func newPostgres(t testing.TB, bin string, settings ...string) (*PostgresServer, error) {
	t.Helper()
	p := &PostgresServer{bin: bin, password: rand.Text(), settings: settings}
	if os.Getuid() == 0 {
		as, err := postgresUser()
		if err != nil {
			missing(t, "PostgreSQL does not run as root, and there is no user postgres: "+err.Error())
		}
		p.as = as
	}
	if err := p.create(); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	var err error
	if p.port, p.release, err = reservePort(); err == nil {
		err = p.Start()
	}
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// create makes the server's directory.
func (p *PostgresServer) create() (err error) {
	if p.dir, err = os.MkdirTemp("", "sojourn-postgres-"); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	secret := filepath.Join(p.dir, "password")
	if err := os.WriteFile(secret, []byte(p.password), 0o600); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	if p.as != nil {
		for _, name := range []string{p.dir, secret} {
			if err := os.Chown(name, int(p.as.Uid), int(p.as.Gid)); err != nil {
				return fmt.Errorf("testserver: %w", err)
			}
		}
	}
	cmd := p.command("initdb", "--pgdata="+p.data(), "--username=sojourn", "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testserver: initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *PostgresServer) run() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		return errors.New("testserver: PostgreSQL is running already")
	}
	args := []string{"-D", p.data()}
	for _, set := range slices.Concat([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.port), "unix_socket_directories=",
		"max_connections=200", "shared_buffers=64MB",
	}, p.settings) {
		args = append(args, "-c", set)
	}
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	defer log.Close()
	cmd, exited := p.command("postgres", args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := startWatched(cmd, "QUIT", exited); err != nil {
		return fmt.Errorf("testserver: starting PostgreSQL: %w", err)
	}
	p.process, p.exited = cmd, exited
	return nil
}

// answers waits until the server takes connections.
func (p *PostgresServer) answers() error {
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, p.URL())
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-exited:
			log, _ := os.ReadFile(p.log()) // better the error than why its log is missing
			return errors.Join(fmt.Errorf("testserver: PostgreSQL ended:\n%s", log), p.wait())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("testserver: PostgreSQL does not answer: %w", err), p.Kill())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *PostgresServer) signal(sig syscall.Signal) error {
	p.mu.Lock()
	running := p.process
	p.mu.Unlock()
	if running == nil {
		return errors.New("testserver: PostgreSQL is not running")
	}
	if err := running.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("testserver: stopping PostgreSQL: %w", err)
	}
	return p.wait()
}

// wait waits until the server has ended.
func (p *PostgresServer) wait() error {
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	select {
	case <-exited:
	case <-time.After(patience):
		return errors.New("testserver: PostgreSQL does not end")
	}
	p.mu.Lock()
	p.process = nil
	p.mu.Unlock()
	return nil
}

// remove stops the server if it runs, and removes its files.
func (p *PostgresServer) remove() error {
	p.mu.Lock()
	running := p.process != nil
	p.mu.Unlock()
	var err error
	if running {
		err = p.signal(syscall.SIGQUIT)
	}
	if p.dir != "" {
		err = errors.Join(err, os.RemoveAll(p.dir))
	}
	if p.release != nil {
		err = errors.Join(err, p.release())
	}
	return err
}

func (p *PostgresServer) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("sojourn", p.password),
		Host: p.Addr(), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *PostgresServer) data() string { return filepath.Join(p.dir, "data") }
func (p *PostgresServer) log() string  { return filepath.Join(p.dir, "log") }

// command is one of the server's programs, run as who may run it.
func (p *PostgresServer) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// postgresUser is the system's user postgres.
func postgresUser() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// postgresBinaries is the directory of initdb and postgres: of the PATH, or the
// newest where Debian and others have them.
func postgresBinaries(t testing.TB) string {
	t.Helper()
	dirs := filepath.SplitList(os.Getenv("PATH"))
	var usual []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		usual = append(usual, found...)
	}
	slices.SortStableFunc(usual, func(a, b string) int { return postgresVersion(b) - postgresVersion(a) })
	for _, dir := range slices.Concat(dirs, usual) {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir
		}
	}
	missing(t, "there is no PostgreSQL (initdb and postgres, in the PATH or in /usr/lib/postgresql/*/bin). "+
		"Install it: apt-get install postgresql; dnf install postgresql-server; brew install postgresql@17")
	return ""
}

// postgresVersion is the number in a directory's name.
func postgresVersion(dir string) int {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, dir)
	n, _ := strconv.Atoi(digits) // 0 if there is none
	return n
}
