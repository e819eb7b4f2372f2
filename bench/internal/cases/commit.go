package cases

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver that package sqlite uses
)

// Commits is a bare SQLite file on which each round inserts one row and
// commits it durably: the price below which no durable login or end can go.
type Commits struct {
	db   *sql.DB
	conn *sql.Conn
	stmt *sql.Stmt
	made int64
}

// OpenCommits makes the file in dir: WAL, synchronous=FULL, one connection,
// one prepared statement.
func OpenCommits(dir string) (*Commits, error) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, "commits.db"))
	if err != nil {
		return nil, err
	}
	c := &Commits{db: db}
	if c.conn, err = db.Conn(ctx); err != nil {
		db.Close()
		return nil, err
	}
	for _, q := range []string{
		"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
		"CREATE TABLE t(key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID",
	} {
		if _, err := c.conn.ExecContext(ctx, q); err != nil {
			c.Close()
			return nil, err
		}
	}
	if c.stmt, err = c.conn.PrepareContext(ctx, "INSERT INTO t VALUES(randomblob(32), zeroblob(200))"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the file.
func (c *Commits) Close() error { return c.db.Close() }

// Case is one durable commit after another.
func (c *Commits) Case() Case {
	return Case{"bare-commit", func(clock Clock) error {
		for clock.Loop() {
			if err := c.One(); err != nil {
				return err
			}
		}
		return c.Check()
	}}
}

// One inserts and commits one row.
func (c *Commits) One() error {
	_, err := c.stmt.Exec()
	if err == nil {
		c.made++
	}
	return err
}

// Check fails unless every row is there and commits are durable.
func (c *Commits) Check() error {
	var rows int64
	var level int
	ctx := context.Background()
	if err := c.conn.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&rows); err != nil {
		return err
	}
	if err := c.conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return err
	}
	if rows != c.made || level != 2 {
		return fmt.Errorf("bare-commit: %d rows at synchronous=%d, want %d at 2", rows, level, c.made)
	}
	return nil
}
