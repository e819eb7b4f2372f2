package sqlite_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
	"go.uber.org/goleak"
)

// childVariable, in the environment of the test binary, makes it play a
// second process instead of running tests.
const childVariable = "SOJOURN_SQLITE_TEST_CHILD"

// What a child can play. Its argument is the path of the file.
var children = map[string]func(path string) error{
	"open":  childOpens,
	"hold":  childHolds,
	"write": childWrites,
}

func TestMain(m *testing.M) {
	if play := children[os.Getenv(childVariable)]; play != nil {
		if err := play(os.Args[len(os.Args)-1]); err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// command is the test binary as a second process.
func command(child, path string) *exec.Cmd {
	c := exec.Command(os.Args[0], path)
	c.Env = append(os.Environ(), childVariable+"="+child)
	c.Stderr = os.Stderr
	return c
}

// childOpens opens the file, writes a session and says so.
func childOpens(path string) error {
	s, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.CreateSession(context.Background(), newSession("ada"), 0); err != nil {
		return err
	}
	fmt.Println("opened and written")
	return nil
}

// childHolds keeps the file open until its standard input is closed.
func childHolds(path string) error {
	s, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("opened")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// childWrites makes and ends sessions, from several goroutines, and says each
// time that it has been answered, until it is killed.
func childWrites(path string) error {
	s, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				if err := childWritesOne(s, sojourn.UserID(fmt.Sprintf("user-%d-%d-%d", os.Getpid(), i, n)), n%3 > 0); err != nil {
					fmt.Println(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func childWritesOne(s *sqlite.Store, user sojourn.UserID, end bool) error {
	ctx := context.Background()
	n := newSession(user)
	if _, err := s.CreateSession(ctx, n, 0); err != nil {
		return err
	}
	fmt.Printf("created %x\n", n.Key)
	version, err := s.SetValue(ctx, cartOf(n), sojourn.Write{Data: []byte("1")})
	if err != nil {
		return err
	}
	fmt.Printf("version %d\n", version)
	if !end {
		return nil
	}
	fmt.Printf("ending %x\n", n.Key)
	if _, err := s.EndUser(ctx, user, sojourn.EndDisconnectAll); err != nil {
		return err
	}
	fmt.Printf("ended %x\n", n.Key)
	return nil
}

func TestAnAnsweredWriteSurvivesKill(t *testing.T) {
	t.Parallel()
	rounds := 36
	if testing.Short() {
		rounds = 6
	}
	path := newPath(t)
	last := map[string]string{} // what was said last, by key
	var lastVersion int64
	for round := range rounds {
		lines := killed(t, path, 5+round*7%90)
		for _, line := range lines {
			var name string
			var version int64
			switch {
			case scan(line, "created %s", &name), scan(line, "ending %s", &name), scan(line, "ended %s", &name):
				last[name], _, _ = strings.Cut(line, " ")
			case scan(line, "version %d", &version):
				lastVersion = max(lastVersion, version)
			default:
				t.Fatalf("round %d: the child said %q", round, line)
			}
		}
		s, err := sqlite.Open(path)
		if err != nil {
			t.Fatalf("round %d: opening after kill: %v", round, err)
		}
		for name, said := range last {
			k := key(t, name)
			found, err := s.Session(t.Context(), k)
			switch {
			case said == "created" && err != nil:
				t.Errorf("round %d: the session whose creation was answered: %v", round, err)
			case said == "ended" && err != sojourn.ErrNotFound:
				t.Errorf("round %d: the session whose end was answered: %+v, %v", round, found, err)
			}
			if v, err := s.Value(t.Context(), cartOf(sojourn.StoredSession{Key: k})); said == "ended" && (err != nil || v.Version != 0) {
				t.Errorf("round %d: the value of an ended session: %+v, %v", round, v, err)
			}
		}
		version, err := s.SetValue(t.Context(), sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSite}, Name: "n"},
			sojourn.Write{Data: []byte{}, Version: sojourn.AnyVersion})
		if err != nil || version <= lastVersion {
			t.Errorf("round %d: version %d after %d, %v", round, version, lastVersion, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for _, said := range last {
		count[said]++
	}
	if count["created"] == 0 || count["ended"] == 0 {
		t.Errorf("nothing was tested: %v", count)
	}
}

// killed runs a child that writes, kills it when it has said n lines, and
// returns all that it said.
func killed(t *testing.T, path string, n int) (lines []string) {
	t.Helper()
	child := command("write", path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	for {
		line, err := said.ReadString('\n')
		if err != nil { // an unfinished line says nothing
			break
		}
		lines = append(lines, strings.TrimSpace(line))
		if len(lines) == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	child.Wait()
	if len(lines) < n {
		t.Fatalf("the child ended by itself, saying %q", lines)
	}
	return lines
}

// scan reports whether a line has the form of format.
func scan(line, format string, into any) bool {
	n, err := fmt.Sscanf(line, format, into)
	return n == 1 && err == nil
}

func TestASecondProcessIsToldWhoHasTheFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	child := command("hold", path)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "opened\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	wantError(t, path, path, fmt.Sprintf("process %d", child.Process.Pid), "one process at a time")
	in.Close()
	child.Wait()
	open(t, path)
}

func TestTheSameProcessCannotOpenAFileTwice(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		wantError(t, name, path, fmt.Sprintf("this process (%d) already", os.Getpid()), "one process at a time")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, link)
	wantError(t, path, path, "one process at a time")
}

// wantError fails unless the file cannot be opened and the error says all of
// this.
func wantError(t *testing.T, path string, says ...string) {
	t.Helper()
	s, err := sqlite.Open(path)
	if err == nil {
		s.Close()
		t.Fatalf("%s can be opened; want an error that says %q", path, says)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func newSession(user sojourn.UserID) sojourn.StoredSession {
	now := time.Now().Truncate(time.Millisecond)
	s := sojourn.StoredSession{User: user, ID: "0123456789abcdefghijkl", OpenedAt: now, LastSeen: now, Deadline: now.Add(time.Hour)}
	rand.Read(s.Key[:])
	return s
}

func cartOf(s sojourn.StoredSession) sojourn.ValueKey {
	return sojourn.ValueKey{Owner: sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}, Name: "cart"}
}
