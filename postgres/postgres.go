// Package postgres keeps a site's sessions in PostgreSQL 13 or later, for any
// number of servers.
//
//	store, err := postgres.Open(ctx, "postgres://app:secret@db.example.com/app")
//	site, err := sojourn.New(sojourn.Config{Store: store})
//
// A connected user's request costs one round trip: the read of one row by its
// key. Connect, every end and every write of a value are one round trip and one
// transaction each. Ends are told to the other servers by NOTIFY, in the
// transaction that ends.
//
// The store needs connections of its own for LISTEN and prepared statements: a
// pooler in between has to pool sessions, not transactions.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sojourn-go/sojourn"
)

// Store is a sojourn.Store in a PostgreSQL database. Open makes one.
type Store struct {
	pool      *pgxpool.Pool
	schema    string
	sql       statements
	timeout   time.Duration
	staleness time.Duration
	channel   string
	origin    string // in notifications: they are this store's own
	locks     int64  // the first of the schema's advisory locks

	began  time.Time
	heard  atomic.Int64 // certain of changes until so long after began
	life   context.Context
	end    context.CancelFunc
	closed atomic.Bool
	close  sync.Once
}

var _ sojourn.Store = (*Store)(nil)

// An Option says how Open opens a store.
type Option func(*options)

type options struct {
	schema    string
	staleness time.Duration
	timeout   time.Duration
	maxConns  int
}

// Schema names the schema that holds the store's tables, "sojourn" if it is not
// given. Open creates it. The name consists of lower-case letters, digits and
// underscores, 48 at most. Servers of one site use one schema.
func Schema(name string) Option { return func(o *options) { o.schema = name } }

// MaxStaleness lets servers answer from memory: the answer of the database may
// be used again for d, at least 100 milliseconds. Without it every request of a
// connected user asks the database.
//
// An end reaches the other servers by notification, typically in milliseconds.
// In the worst case, with notifications lost, delayed or their connection dead,
// it reaches them within d: no request that begins later than d after the end
// returned is answered for the session. While it is uncertain that
// notifications arrive, every request asks. They are taken as certain for d/2,
// two seconds at the most, after a round trip on their connection began that
// succeeded; one begins every d/4, or every second.
func MaxStaleness(d time.Duration) Option { return func(o *options) { o.staleness = d } }

// Timeout bounds every operation, with the wait for a connection: one that has
// no answer in time fails. It is 2 seconds if it is not given. Count takes a
// minute if it has to.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// MaxConns is how many connections the store opens at the most, beside the one
// that hears notifications. Without it, pool_max_conns in the URL says so, or
// else it is 4, or the number of CPUs if that is greater.
func MaxConns(n int) Option { return func(o *options) { o.maxConns = n } }

const (
	leastStaleness = 100 * time.Millisecond
	defaultTimeout = 2 * time.Second
)

var (
	errClosed   = errors.New("postgres: the store is closed")
	errNoAnswer = unavailable(errors.New("no answer from the database in time"))
	errURL      = errors.New("postgres: the URL is not of the form postgres://user:password@host:port/database (it is not shown, since it may hold a password)")
	errForeign  = errors.New("postgres: the session's key is not in the shard of its user")
	errKeyInUse = errors.New("postgres: there is a session of this key already")
)

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// Open connects to the database of a URL of the form
// postgres://user:password@host:port/database, or of any other form that
// libpq takes, and creates or migrates the store's schema if it has to. Any
// number of servers may do so at once. It fails when the database cannot be
// reached and when the schema is of a newer program. No error of the package
// tells the password.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	o := options{schema: "sojourn", timeout: defaultTimeout}
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case !schemaName.MatchString(o.schema) || strings.HasPrefix(o.schema, "pg_"):
		return nil, fmt.Errorf("postgres: %q is no name of a schema: it takes lower-case letters, digits and underscores, 48 at most", o.schema)
	case o.staleness != 0 && o.staleness < leastStaleness:
		return nil, fmt.Errorf("postgres: MaxStaleness of %v is less than %v: leave it out to ask for every request", o.staleness, leastStaleness)
	case o.timeout <= 0:
		return nil, fmt.Errorf("postgres: Timeout of %v is not positive", o.timeout)
	case o.maxConns < 0:
		return nil, fmt.Errorf("postgres: MaxConns of %d is negative", o.maxConns)
	}
	name := fnv.New32a()
	name.Write([]byte(o.schema))
	s := &Store{
		schema:    o.schema,
		sql:       newStatements(o.schema),
		timeout:   o.timeout,
		staleness: o.staleness,
		channel:   o.schema + "_changes",
		origin:    newOrigin(),
		locks:     int64(name.Sum32()) << 32,
		began:     time.Now(),
	}
	s.life, s.end = context.WithCancel(context.Background())
	var err error
	if s.pool, err = newPool(url, o); err != nil {
		s.end()
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for the operations that are running and closes all connections.
// It takes twice the Timeout at the most: those of a database that does not
// answer are closed after it has returned. Operations that begin later return
// an error.
func (s *Store) Close() error {
	err := errClosed
	s.close.Do(func() {
		s.closed.Store(true)
		s.end()
		closed := make(chan struct{})
		go func() {
			s.pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(2 * s.timeout): // operations have failed by now
		}
		err = nil
	})
	return err
}

// The advisory locks of a schema: its own 32 bits, then one of these.
const (
	lockShard   = 1 << 28 // and the 16 bits of a user's shard
	lockSubnet  = 2 << 28 // and 28 bits of a subnet
	lockMigrate = 3 << 28
)
