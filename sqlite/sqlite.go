// Package sqlite keeps a site's sessions and values in one SQLite file.
//
// It is the store for a site of one process: an answer from it is good for
// ever (Store.Fresh), so that a warm request does no I/O at all. A second
// process that opens the file gets an error naming the first. For a site of
// several processes there are packages postgres and redis.
//
// Connects, ends and values are on the disk when the call returns: they
// survive a crash of the process, of the system and a power cut. Calls that
// wait at the same time share one commit. Touches may be lost with the power,
// not with the process.
//
// Beside the file there are, while it is open, the same name with -wal and
// -shm, which belong to it, and with .lock, which says who has it open. Back
// it up with SQLite's own means (VACUUM INTO, or sqlite3's .backup), not by
// copying the file while it is open.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn"
)

var _ sojourn.Store = (*Store)(nil)

// Store is a sojourn.Store in one SQLite file. Open makes one.
type Store struct {
	path    string
	lock    *fileLock
	db      *sql.DB
	readers *readers
	writer  *writer
	closed  chan struct{}
	close   func() error
}

// Open opens the store in the file at path, and makes it, readable by the
// owner only, if there is none; its directory has to exist. A file of an older
// version of this package is brought up to date.
//
// It returns an error, and changes nothing, when another process (or this
// one) has the file open, when it cannot be written, is not a SQLite database,
// is another application's or a newer version's, or is damaged. The error says
// what to do about it.
func Open(path string) (*Store, error) {
	path, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, lock: lock, closed: make(chan struct{})}
	s.close = sync.OnceValue(s.shut)
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open opens the connections of a store that holds the lock.
func (s *Store) open() error {
	if err := checkFile(s.path); err != nil {
		return err
	}
	var err error
	if s.db, err = sql.Open("sqlite", dataSource(s.path)); err != nil {
		return s.explain("opening", err)
	}
	c, err := openConn(s.db, checkPragmas)
	if err != nil {
		return s.explain("opening", err)
	}
	s.writer = newWriter(c)
	if err := migrate(c, s.path); err != nil {
		return s.explain("opening", err)
	}
	if err := c.pragmas(writerPragmas); err != nil {
		return s.explain("opening", err)
	}
	s.readers, err = openReaders(s.db)
	if err != nil {
		return s.explain("opening", err)
	}
	s.writer.start()
	return nil
}

// Close finishes the writes that were begun, stops the store's goroutine,
// moves everything into the one file and lets another process have it.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	close(s.closed)
	var errs []error
	if s.readers != nil {
		s.readers.close()
	}
	if s.writer != nil {
		errs = append(errs, s.writer.stop())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(s.explain("closing", err), s.lock.release())
	}
	return s.lock.release()
}

// Fresh returns sojourn.Forever: only this process changes the file.
func (s *Store) Fresh() time.Duration { return sojourn.Forever }

// Publish does nothing: there is no other server.
func (s *Store) Publish(ctx context.Context, _ []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return errClosed
	default:
		return nil
	}
}

// Changes waits until ctx is done, or the store closed: there is no other
// server.
func (s *Store) Changes(ctx context.Context, _ func(sojourn.Change)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errClosed
	}
}

// Count returns how much the file holds.
func (s *Store) Count(ctx context.Context) (sojourn.Counts, error) {
	var n sojourn.Counts
	err := s.read(ctx, "counting", func(c *conn) error {
		_, err := c.row(countAll, nil, &n.Sessions, &n.Browsers, &n.Values)
		return err
	})
	return n, err
}

const countAll = `
	SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM browser), (SELECT count(*) FROM value)`

// read runs f on one of the connections for reading.
func (s *Store) read(ctx context.Context, doing string, f func(c *conn) error) error {
	return s.explain(doing, s.readers.do(ctx, f))
}

// write runs f, which may run more than once, in the next transaction, and
// returns when it is on the disk.
func (s *Store) write(ctx context.Context, doing string, f func(c *conn) error) error {
	return s.explain(doing, s.writer.do(ctx, durable, f))
}

// explain adds to an error of SQLite what it means and what to do about it.
func (s *Store) explain(doing string, err error) error {
	if err == nil || err == sojourn.ErrNotFound || err == sojourn.ErrConflict || err == errClosed ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if advice := advice(err); advice != "" {
		return fmt.Errorf("sojourn: %s: %s: %s: %w", s.path, doing, advice, err)
	}
	return fmt.Errorf("sojourn: %s: %s: %w", s.path, doing, err)
}

var errClosed = errors.New("sojourn: the store is closed")
