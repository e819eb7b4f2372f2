package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema.sql
var firstSchema string

// migrations make a schema of version n+1 out of one of version n. Servers of
// the version before go on running meanwhile: what they use has to stay.
var migrations = []string{firstSchema}

// migrate brings the schema to this program's version. Whoever comes first
// does it, the others wait as long as ctx lets them.
func (s *Store) migrate(ctx context.Context) error {
	doing := fmt.Sprintf("opening the schema %q", s.schema)
	connecting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := s.pool.Acquire(connecting)
	if err != nil {
		return s.failed(ctx, doing, reads, &failure{err: err, unsent: true})
	}
	defer c.Release()
	if err := s.migrateOn(ctx, c.Conn()); err != nil {
		return s.failed(ctx, doing, reads, &failure{err: err, lost: c.Conn().IsClosed()})
	}
	return nil
}

func (s *Store) migrateOn(ctx context.Context, c *pgx.Conn) error {
	if err := oldEnough(c.PgConn()); err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	version, err := s.version(asking, c)
	if err != nil || version == len(migrations) {
		return err // most servers need no right to create anything
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		// Waiting for another server that migrates may take long.
		if _, err := tx.Exec(ctx, `set local statement_timeout = 0`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, s.locks|lockMigrate); err != nil {
			return err
		}
		version, err := s.version(ctx, tx)
		if err != nil || version == len(migrations) {
			return err
		}
		var script strings.Builder
		if version == 0 {
			script.WriteString(`create schema if not exists "{schema}";
				create table "{schema}".meta (version int not null);
				insert into "{schema}".meta values (0);`)
		}
		for _, m := range migrations[version:] {
			script.WriteString(m)
		}
		fmt.Fprintf(&script, `update "{schema}".meta set version = %d;`, len(migrations))
		results := tx.Conn().PgConn().Exec(ctx, s.sql.named(script.String()))
		_, err = results.ReadAll()
		return err
	})
}

// version is the schema's, 0 if there is none.
func (s *Store) version(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (version int, err error) {
	var there bool
	// to_regclass would answer from a cache that does not know what was
	// committed while this transaction waited for the lock.
	const exists = `select exists (
		select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relname = 'meta')`
	if err := q.QueryRow(ctx, exists, s.schema).Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := q.QueryRow(ctx, s.sql.named(`select version from "{schema}".meta`)).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("it is of version %d, from a newer program; this one knows versions up to %d", version, len(migrations))
	}
	return version, nil
}

func oldEnough(c *pgconn.PgConn) error {
	var major int
	if _, err := fmt.Sscanf(c.ParameterStatus("server_version"), "%d", &major); err == nil && major < 13 {
		return fmt.Errorf("the server is PostgreSQL %d; 13 or later is needed", major)
	}
	return nil
}
