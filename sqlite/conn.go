package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver
)

// Settings of the connections. All of them wait for a while for programs such
// as sqlite3, which may have the file open beside us.
var (
	// checkPragmas are those of a connection that is to look whose file it is:
	// they change nothing in it.
	checkPragmas = []string{
		"busy_timeout = 5000",
		"trusted_schema = off",
	}
	writerPragmas = []string{
		"journal_mode = wal",
		"journal_size_limit = 16777216",
		"cache_size = -16000", // KiB
		"temp_store = memory",
	}
	readerPragmas = append(checkPragmas[:len(checkPragmas):len(checkPragmas)],
		"query_only = on",
		"temp_store = memory",
	)
)

// dataSource is the name by which the driver opens the file at path, whatever
// characters it has.
func dataSource(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/sessions.db
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// A conn is one connection to the file, with its prepared statements. One
// goroutine at a time uses it.
type conn struct {
	sql   *sql.Conn
	stmts map[string]*sql.Stmt // by text
}

func openConn(db *sql.DB, pragmas []string) (*conn, error) {
	c, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	conn := &conn{sql: c, stmts: map[string]*sql.Stmt{}}
	if err := conn.pragmas(pragmas); err != nil {
		conn.close()
		return nil, err
	}
	return conn, nil
}

func (c *conn) close() error {
	for _, stmt := range c.stmts {
		stmt.Close()
	}
	return c.sql.Close()
}

// pragmas changes settings. Some take effect when they are compiled, so they
// cannot be prepared.
func (c *conn) pragmas(list []string) error {
	for _, p := range list {
		if _, err := c.sql.ExecContext(context.Background(), "PRAGMA "+p); err != nil {
			return fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	return nil
}

// stmt is the statement of a text, prepared when it is first asked for.
func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.sql.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// exec runs a statement that returns nothing, and says how many rows it
// changed. What is running is not interrupted: contexts count while waiting.
func (c *conn) exec(query string, args ...any) (changed int64, err error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// each calls scan for each row that a statement returns.
func (c *conn) each(query string, args []any, scan func(rows *sql.Rows) error) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row puts the one row that a statement returns into dest, if it returns one.
func (c *conn) row(query string, args []any, dest ...any) (found bool, err error) {
	err = c.each(query, args, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(dest...)
	})
	return found, err
}

// readers are connections for reading, which go on beside the writer.
type readers struct {
	idle chan *conn

	life   sync.RWMutex // held for reading while a connection is in use
	closed bool
}

func openReaders(db *sql.DB) (*readers, error) {
	n := min(max(runtime.GOMAXPROCS(0), 4), 16)
	r := &readers{idle: make(chan *conn, n)}
	for range n {
		c, err := openConn(db, readerPragmas)
		if err != nil {
			r.close()
			return nil, err
		}
		r.idle <- c
	}
	return r, nil
}

func (r *readers) do(ctx context.Context, f func(c *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.life.RLock()
	defer r.life.RUnlock()
	if r.closed {
		return errClosed
	}
	select {
	case c := <-r.idle:
		defer func() { r.idle <- c }()
		return f(c)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close waits for the reads that have begun.
func (r *readers) close() {
	r.life.Lock()
	defer r.life.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	close(r.idle)
	for c := range r.idle {
		c.close()
	}
}
