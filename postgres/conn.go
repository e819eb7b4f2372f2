package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sojourn-go/sojourn"
)

// readGrace is how long an answer may still come when its reader has gone: an
// answer that comes costs nothing, a new connection does.
const readGrace = 50 * time.Millisecond

// settings are made once on each connection. A plan is made when the tables
// are still empty and kept while they grow: it has to use the indexes.
// Functions rely on a new snapshot for each of their statements. An operator
// may ask for more than synchronous_commit = on; the contract needs as much.
const settings = `select
	set_config('statement_timeout', $1, false),
	set_config('default_transaction_isolation', 'read committed', false),
	set_config('enable_seqscan', 'off', false),
	set_config('synchronous_commit',
		case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end,
		false)`

func newPool(url string, o options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL // err may quote a part of the password
	}
	if cfg.ConnConfig.ConnectTimeout == 0 || cfg.ConnConfig.ConnectTimeout > o.timeout {
		cfg.ConnConfig.ConnectTimeout = o.timeout
	}
	if cfg.ConnConfig.ValidateConnect == nil {
		// Of several hosts, the one that takes writes.
		cfg.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if o.maxConns > 0 {
		cfg.MaxConns = int32(min(o.maxConns, 1<<16))
		cfg.MinConns = min(cfg.MinConns, cfg.MaxConns)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "sojourn"
	}
	cfg.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn(), DeadlineDelay: readGrace}
	}
	cfg.MaxConnLifetimeJitter = cfg.MaxConnLifetime / 10
	limit := milliseconds(o.timeout)
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		// The pool goes on when the caller has given up, and without a limit.
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		_, err := c.Exec(ctx, settings, limit)
		return err
	}
	// Connections are looked at instead of asked: asking is a round trip.
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	cfg.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) {
		return silent(c.PgConn().Conn()), nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: making the pool of connections: %w", err)
	}
	return pool, nil
}

// milliseconds is a duration as a setting.
func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// listenConfig is for the connection that hears notifications.
func (s *Store) listenConfig() *pgx.ConnConfig {
	cfg := s.pool.Config().ConnConfig
	cfg.RuntimeParams["application_name"] += " changes"
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	return cfg
}

// A kind of operation: what becomes of it when its caller goes away.
type kind bool

const (
	// reads end with their context.
	reads kind = false
	// writes end when the database answers, once they were sent: only then is
	// it known whether they took effect.
	writes kind = true
)

// do runs f, which sends one statement and takes in its answer, on a
// connection. Doing is what the error says was being done. F may run again, if
// what it did before had no effect.
func (s *Store) do(ctx context.Context, doing string, k kind, f func(ctx context.Context, c *pgx.Conn) error) error {
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("postgres: %s: %w", doing, err)
	}
	limit := time.Now().Add(s.timeout)
	err := s.try(ctx, limit, k, f)
	for again := 3; err != nil && again > 0 && ctx.Err() == nil && repeatable(err, k); again-- {
		err = s.try(ctx, limit, k, f)
	}
	if err != nil {
		return s.failed(ctx, doing, k, err)
	}
	return nil
}

func (s *Store) try(ctx context.Context, limit time.Time, k kind, f func(ctx context.Context, c *pgx.Conn) error) error {
	bounded, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	c, err := s.pool.Acquire(bounded)
	if err == nil {
		defer c.Release()
		err = ctx.Err()
	}
	if err != nil {
		return &failure{err: err, unsent: true}
	}
	if k == writes {
		var cancel context.CancelFunc
		bounded, cancel = context.WithDeadline(context.WithoutCancel(ctx), limit)
		defer cancel()
	}
	if err := f(bounded, c.Conn()); err != nil {
		return &failure{err: err, unsent: pgconn.SafeToRetry(err), lost: c.Conn().IsClosed()}
	}
	return nil
}

// failure is why an operation failed.
type failure struct {
	err    error
	unsent bool // nothing of it reached the database
	lost   bool // the connection is gone
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (f *failure) late() bool {
	return pgconn.Timeout(f.err) || errors.Is(f.err, context.DeadlineExceeded) || errors.Is(f.err, context.Canceled)
}

// ready is the error with which an operation must not begin.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	return ctx.Err()
}

// failed says what was being done. The error is the context's only if the
// operation had no effect.
func (s *Store) failed(ctx context.Context, doing string, k kind, err error) error {
	var f *failure
	if errors.As(err, &f) {
		switch err = f.err; {
		case s.closed.Load():
			err = errClosed
		case f.late() && ctx.Err() != nil && (f.unsent || k == reads):
			err = ctx.Err()
		case f.late():
			err = errNoAnswer
		case f.unsent || f.lost || away(err):
			err = unavailable(err)
		}
	}
	return fmt.Errorf("postgres: %s: %w", doing, err)
}

// unavailable is why the database cannot be asked at the moment.
func unavailable(err error) error { return fmt.Errorf("%w: %w", sojourn.ErrUnavailable, err) }

// away reports whether the database answered that it cannot be asked at the
// moment: that it is shutting down, starting, overloaded or a replica.
func away(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case "57014", "57P01", "57P02", "57P03", "25006", "40P01", "40001", "55P03":
		return true
	}
	return strings.HasPrefix(answer.Code, "53") || strings.HasPrefix(answer.Code, "08")
}

// repeatable reports whether an operation that failed had no effect and may
// succeed now, or on another connection.
func repeatable(err error, k kind) bool {
	var f *failure
	if !errors.As(err, &f) || f.late() {
		return false
	}
	var answer *pgconn.PgError
	if errors.As(f.err, &answer) && (answer.Code == "40P01" || answer.Code == "40001") {
		return true // a deadlock: this one was rolled back
	}
	return f.lost && (f.unsent || k == reads)
}
