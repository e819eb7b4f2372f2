// Package redis keeps a site's sessions and values in Redis 7 or later, or
// Valkey, for any number of servers: on one node, behind Sentinel, or on a
// cluster.
//
//	store, err := redis.Open(ctx, "redis://app:secret@cache.example.com:6379")
//	site, err := sojourn.New(sojourn.Config{Store: store})
//
// A connected user's request costs one round trip, a GET; Connect, every end
// and every write of a value are one call of a script, which happens as a whole
// or not at all. All sessions of a user end in one call.
//
// # What survives
//
// The engine keeps what is answered as well as it is set to. Open warns of
// settings that lose sessions, and of sessions that have ended and come back:
//
//	appendonly no                           a restart forgets all since the last snapshot, also ends
//	appendonly yes, appendfsync everysec    a power cut may lose the last second or two, the end of the process nothing
//	appendonly yes, appendfsync always      nothing that was answered is lost
//	maxmemory-policy other than noeviction  Open refuses it, see AllowEviction
//
// A full engine with noeviction refuses new sessions, browsers and values, with
// sojourn.ErrUnavailable. The sessions that there are go on being used, messages
// are sent, and what ends or has expired goes.
//
// Replicas are written to after the answer. When one takes over, by Sentinel or
// in a cluster, what was answered in the last moments before may be lost: a
// session that ended then is there again. The engine's min-replicas-to-write 1
// with min-replicas-max-lag bounds for how long a node that is cut off from
// its replicas goes on answering; it does not close the gap. Where no end may
// ever be undone, use one node with appendfsync always, or package postgres with
// synchronous replication.
//
// # On a cluster
//
// Everything is in one of 256 parts, which are spread evenly over the slots; a
// user's sessions and values are in one. Two things are less strict than on one
// node, since they concern two parts. A write of the site's or a browser's value
// by a request whose session ends at the same moment may take effect just after
// the end, as long as the write takes. And while servers add browsers of one
// subnet at the same time, there may be as many more than the limit as are being
// added. While slots are moved, operations on them may fail with
// sojourn.ErrUnavailable.
//
// # What the engine has in it
//
// Keys begin with the prefix; nothing but this package should write to them.
// What has a deadline is freed by the engine a week after it if no server has
// removed it by then: of such sessions nobody hears.
package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

var _ sojourn.Store = (*Store)(nil)

// Store is a sojourn.Store in Redis or Valkey. Open makes one.
type Store struct {
	client    rueidis.Client
	cluster   bool
	bases     *[parts]string
	channel   string
	origin    string // in messages: they are this store's own
	timeout   time.Duration
	staleness time.Duration

	began     time.Time
	certain   atomic.Int64 // answers may be used again until so long after began
	listening atomic.Bool
	closed    atomic.Bool
	life      context.Context
	end       context.CancelFunc
	close     sync.Once
}

// Open connects to the engine at url and looks whether its settings keep
// sessions. The servers of a site open it with the same Prefix.
//
//	redis://user:password@host:6379/0                           one node
//	redis://host:6379?addr=host2:6379&addr=host3:6379           a cluster, by some of its nodes
//	redis://host:26379?addr=host2:26379&master_set=sessions     what Sentinel calls sessions
//
// With rediss the connections are encrypted. A single node of a cluster will do
// to find the others. valkey and valkeys are the same as redis and rediss.
//
// Open fails when the engine cannot be reached, with sojourn.ErrUnavailable, and
// when it is too old or may evict; no error of the package tells the password.
// An engine that goes away later is found again without help: until then
// operations fail with sojourn.ErrUnavailable within the Timeout, and a write
// that was sent is never sent again.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := collect(opts)
	if err != nil {
		return nil, err
	}
	client, err := o.connect(ctx, url)
	if err != nil {
		return nil, err
	}
	origin := make([]byte, originLength)
	rand.Read(origin)
	s := &Store{
		client:    client,
		cluster:   client.Mode() == rueidis.ClientModeCluster,
		bases:     bases(o.prefix),
		channel:   o.prefix + ":changes",
		origin:    string(origin),
		timeout:   o.timeout,
		staleness: o.staleness,
		began:     time.Now(),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.check(ctx, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends what is under way and closes the connections.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.closed.Store(true)
		s.end()
		s.client.Close()
	})
	return nil
}

// Count returns how much the store holds.
func (s *Store) Count(ctx context.Context) (n sojourn.Counts, err error) {
	commands := make(rueidis.Commands, parts)
	err = s.read(ctx, "counting", func(ctx context.Context) error {
		for i, base := range s.bases {
			commands[i] = s.client.B().Hmget().Key(base+"c").Field("s", "b", "v").Build()
		}
		for _, result := range s.doAll(ctx, commands) {
			counts, err := result.ToArray()
			if err != nil {
				return err
			}
			for i, into := range []*int64{&n.Sessions, &n.Browsers, &n.Values} {
				if c, err := counts[i].AsInt64(); err == nil {
					*into += c
				} else if !rueidis.IsRedisNil(err) {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return sojourn.Counts{}, err
	}
	return n, nil
}

// read runs f, which only asks, until ctx is done or the timeout is over.
func (s *Store) read(ctx context.Context, doing string, f func(ctx context.Context) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := f(limited)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return s.explain(doing, err)
}

// write runs f, which may change something, until the timeout is over: what
// was sent may take effect, so that its answer is waited for also when ctx is
// done.
func (s *Store) write(ctx context.Context, doing string, f func(ctx context.Context) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	return s.explain(doing, f(limited))
}

// do sends a command and waits for its answer.
//
// A connection that breaks may still be about to send a command when the client
// has had its answer from another one: no command may be used again.
func (s *Store) do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	return s.client.Do(ctx, command.Pin())
}

// doAll is do for many commands at once.
func (s *Store) doAll(ctx context.Context, commands rueidis.Commands) []rueidis.RedisResult {
	for i := range commands {
		commands[i] = commands[i].Pin()
	}
	return s.client.DoMulti(ctx, commands...)
}

func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return errClosed
	}
	return nil
}

var (
	errClosed   = errors.New("redis: the store is closed")
	errNoAnswer = errors.New("no answer in time")
)

// explain says what an error means to the site.
func (s *Store) explain(doing string, err error) error {
	switch {
	case err == nil, errors.Is(err, sojourn.ErrNotFound), errors.Is(err, sojourn.ErrConflict):
		return err
	case s.closed.Load():
		return errClosed
	}
	return explain(doing, err)
}

func explain(doing string, err error) error {
	var setting settingError
	refused, answered := rueidis.IsRedisErr(err)
	switch {
	case errors.As(err, &setting):
		return err
	case answered && !away(refused), errors.Is(err, errRecord):
		return fmt.Errorf("redis: %s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		err = errNoAnswer
	}
	return fmt.Errorf("redis: %s: %w: %w", doing, sojourn.ErrUnavailable, err)
}

// away reports whether an answer says that the engine cannot do anything at the
// moment.
func away(err *rueidis.RedisError) bool {
	code, _, _ := strings.Cut(err.Error(), " ")
	switch code {
	case "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "MISCONF", "NOREPLICAS", "OOM", "MOVED", "ASK":
		return true
	}
	return strings.Contains(err.Error(), "non local key") // a script's, in a slot that moves
}

// number is a number as scripts take it.
func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
