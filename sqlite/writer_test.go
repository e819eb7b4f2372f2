package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn"
)

func TestOperationsThatQueueUpShareACommit(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	release := s.occupy(t)
	var wg sync.WaitGroup
	var commits sync.Map // how many sessions a reader saw while each was written
	for i := range 20 {
		wg.Go(func() {
			err := s.writer.do(t.Context(), durable, func(c *conn) error {
				seen, err := s.Count(context.Background())
				commits.Store(seen.Sessions, true)
				return errors.Join(err, c.insert(i))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	s.waitQueued(t, 20)
	release()
	wg.Wait()
	commits.Range(func(seen, _ any) bool {
		if seen.(int64) != 0 {
			t.Errorf("%d of the 20 were committed before the others", seen)
		}
		return true
	})
	s.wantSessions(t, 20)
}

func TestAFailingOperationDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		fail func(c *conn) error
	}{
		{"by its own answer", func(c *conn) error {
			return errors.Join(c.insert(1000), c.insert(1001), errors.New("no"))
		}},
		{"by a constraint", func(c *conn) error { return errors.Join(c.insert(1000), c.insert(1000)) }},
		{"by what SQLite does on some errors: it undoes the whole transaction", func(c *conn) error {
			return errors.Join(c.insert(1000), c.run("ROLLBACK"), errors.New("no"))
		}},
		{"by ending the transaction under it", func(c *conn) error {
			return errors.Join(c.run("ROLLBACK"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t)
			release := s.occupy(t)
			var wg sync.WaitGroup
			var errs [9]error
			for i := range errs {
				wg.Go(func() {
					errs[i] = s.writer.do(t.Context(), durable, func(c *conn) error {
						if i%3 == 1 {
							return test.fail(c)
						}
						return c.insert(i)
					})
				})
			}
			s.waitQueued(t, len(errs))
			release()
			wg.Wait()
			for i, err := range errs {
				if (i%3 == 1) != (err != nil) {
					t.Errorf("operation %d: %v", i, err)
				}
			}
			s.wantSessions(t, 6)
			if err := s.writer.do(t.Context(), durable, func(c *conn) error { return c.insert(2000) }); err != nil {
				t.Errorf("the next operation: %v", err)
			}
		})
	}
}

func TestAnOperationWhoseContextIsDoneInTheQueueIsNeverRun(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	release := s.occupy(t)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, err := s.CreateSession(ctx, sojourn.StoredSession{Key: sojourn.Key{1}}, 0)
		answer <- err
	}()
	s.waitQueued(t, 1)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("CreateSession: %v", err)
	}
	release()
	s.wantSessions(t, 0)
}

func TestAnOperationWhoseContextIsDoneWhileItRunsTellsTheTruth(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.writer.do(ctx, durable, func(c *conn) error {
		cancel()
		return c.insert(1)
	})
	if err != nil {
		t.Errorf("it was done, and the answer is %v", err)
	}
	s.wantSessions(t, 1)
}

func TestCloseFinishesWhatIsQueued(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	release := s.occupy(t)
	answer := make(chan error)
	go func() { answer <- s.writer.do(t.Context(), durable, func(c *conn) error { return c.insert(1) }) }()
	s.waitQueued(t, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	<-s.closed
	release()
	if err := errors.Join(<-answer, <-closed); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s.wantSessions(t, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatHasToWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	session := sojourn.StoredSession{Key: sojourn.Key{1}, User: "ada"}
	owner := sojourn.Owner{Kind: sojourn.OwnerSession, Key: session.Key}
	for _, test := range []struct {
		name string
		call func() error
		want int // PRAGMA synchronous: 1 normal, 2 full
	}{
		{"CreateSession", func() error { _, err := s.CreateSession(ctx, session, 0); return err }, 2},
		{"Touch", func() error { return s.Touch(ctx, []sojourn.Touch{{Owner: owner}}) }, 1},
		{"SetValue", func() error { _, err := s.SetValue(ctx, sojourn.ValueKey{Owner: owner}, sojourn.Write{}); return err }, 2},
		{"Touch again", func() error { return s.Touch(ctx, []sojourn.Touch{{Owner: owner}}) }, 1},
		{"EndSession", func() error { _, _, err := s.EndSession(ctx, session.Key, sojourn.EndRevoked); return err }, 2},
	} {
		if err := test.call(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var got int
		err := s.writer.conn.sql.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&got)
		if err != nil || got != test.want {
			t.Errorf("%s was committed with synchronous = %d, %v; want %d", test.name, got, err, test.want)
		}
	}
}

// Another program, such as sqlite3, may have the file open and lock it for too
// long.
func TestALockOfAnotherProgramIsAnErrorUntilItEnds(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	err := s.writer.do(t.Context(), lazy, func(c *conn) error { return c.run("PRAGMA busy_timeout = 10") })
	if err != nil {
		t.Fatal(err)
	}
	other, err := openConn(s.db, checkPragmas)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.run("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := s.CreateSession(t.Context(), sojourn.StoredSession{Key: sojourn.Key{byte(i)}}, 0)
			if err == nil || !strings.Contains(err.Error(), "another program") {
				t.Errorf("CreateSession: %v", err)
			}
		})
	}
	wg.Wait()
	if err := other.run("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.wantSessions(t, 0)
	if _, err := s.CreateSession(t.Context(), sojourn.StoredSession{Key: sojourn.Key{1}}, 0); err != nil {
		t.Errorf("with the lock released: %v", err)
	}
}

// A full disk is an error; nothing is lost, reads go on, and when there is room
// again so do writes.
func TestAFullDiskIsAnErrorUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx := t.Context()
	first := sojourn.StoredSession{Key: sojourn.Key{1}, User: "ada"}
	if _, err := s.CreateSession(ctx, first, 0); err != nil {
		t.Fatal(err)
	}
	s.limitPages(t, 40)
	kept := fillDisk(t, s)
	s.limitPages(t, 1<<30)
	for _, key := range kept {
		if _, err := s.Session(ctx, key); err != nil {
			t.Errorf("a session that was created before the disk was full: %v", err)
		}
	}
	if _, err := s.CreateSession(ctx, sojourn.StoredSession{Key: sojourn.Key{2}, User: "bob"}, 0); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if ended, _, err := s.EndSession(ctx, first.Key, sojourn.EndRevoked); err != nil || len(ended) != 1 {
		t.Errorf("with room again: %v, %v", ended, err)
	}
	s.wantSessions(t, len(kept)+1)
}

// fillDisk creates sessions, in parallel, until the disk is full, and returns
// the keys of those whose creation was answered with success.
func fillDisk(t *testing.T, s *Store) (kept []sojourn.Key) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10_000 {
				key := sojourn.Key{2: byte(i), 3: byte(n), 4: byte(n >> 8), 5: 1}
				_, err := s.CreateSession(t.Context(), sojourn.StoredSession{
					Key: key, User: sojourn.UserID(fmt.Sprint(i)), UserAgent: strings.Repeat("x", 500),
				}, 0)
				if err != nil {
					if !strings.Contains(err.Error(), "the disk is full: nothing was written; make room") {
						t.Errorf("the error is %v", err)
					}
					if _, err := s.Session(t.Context(), key); !errors.Is(err, sojourn.ErrNotFound) {
						t.Errorf("a session that was not created: %v", err)
					}
					return
				}
				mu.Lock()
				kept = append(kept, key)
				mu.Unlock()
			}
			t.Error("the disk was never full")
		})
	}
	wg.Wait()
	return kept
}

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "sessions.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// occupy makes the writer wait in an operation until release.
func (s *Store) occupy(t *testing.T) (release func()) {
	t.Helper()
	begun, end, done := make(chan bool), make(chan bool), make(chan error, 1)
	go func() {
		done <- s.writer.do(context.Background(), durable, func(*conn) error {
			begun <- true
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waitQueued waits until n operations wait for the writer.
func (s *Store) waitQueued(t *testing.T, n int) {
	t.Helper()
	for queued := 0; queued < n; {
		s.writer.mu.Lock()
		queued = len(s.writer.queue)
		s.writer.mu.Unlock()
		runtime.Gosched()
	}
}

func (s *Store) limitPages(t *testing.T, n int) {
	t.Helper()
	err := s.writer.do(t.Context(), lazy, func(c *conn) error { return c.run(fmt.Sprintf("PRAGMA max_page_count = %d", n)) })
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Store) wantSessions(t *testing.T, n int) {
	t.Helper()
	if c, err := s.Count(t.Context()); err != nil || c.Sessions != int64(n) {
		t.Errorf("the store holds %+v, %v; want %d sessions", c, err, n)
	}
}

// insert writes a session that is different for each i.
func (c *conn) insert(i int) error {
	key := sojourn.Key{1: byte(i), 2: byte(i >> 8), 3: 1}
	_, err := c.exec(insertSession, key[:], "", fmt.Sprint("user", i), key[:], 0, 0, never, never, "", "")
	return err
}
