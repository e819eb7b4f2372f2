// Package redis keeps a site's sessions and values in Redis or Valkey, for any
// number of servers.
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

// Open connects to the engine at url and checks that it is fit to keep
// sessions. Servers of one site open the same url with the same Prefix.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := collect(opts)
	if err != nil {
		return nil, err
	}
	client, err := o.connect(url)
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
		for _, result := range s.client.DoMulti(ctx, commands...) {
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
	case errors.Is(err, context.DeadlineExceeded):
		err = errNoAnswer
	}
	var setting settingError
	if errors.As(err, &setting) {
		return err
	}
	if refused, ok := rueidis.IsRedisErr(err); ok && !away(refused) || errors.Is(err, errRecord) {
		return fmt.Errorf("redis: %s: %w", doing, err)
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
	return false
}

// number is a number as scripts take it.
func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
