package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// An Option says how Open opens a store.
type Option func(*options)

type options struct {
	prefix        string
	staleness     time.Duration
	timeout       time.Duration
	logger        *slog.Logger
	allowEviction bool
	configure     func(*rueidis.ClientOption)
}

// Prefix begins all the keys and the channel of the store, "sojourn" if it is
// not given. Servers of one site use one prefix, and sites that share an engine
// different ones. It must not have braces in it: Redis Cluster gives them a
// meaning.
func Prefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// MaxStaleness lets servers answer from memory: the answer of the engine may be
// used again for d, at least 100 milliseconds. Without it every request of a
// connected user asks the engine.
//
// An end reaches the other servers by a message, typically in milliseconds. In
// the worst case, with messages lost or delayed or connections dead, it reaches
// them within d: no request that begins later than d after the end returned is
// answered for the session. The engine numbers messages; every d/4, or every
// second if that is less, each server asks for the last numbers, and answers may
// be used again until d after a time when none was missing. As soon as that is
// not certain any more, every request asks. The numbers are one more command
// on one node, and 256 short ones on a cluster.
func MaxStaleness(d time.Duration) Option { return func(o *options) { o.staleness = d } }

// Timeout bounds every wait for the engine: an operation that has no answer in
// time fails with sojourn.ErrUnavailable. It is 2 seconds if it is not given.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Logger is told what Open finds in the engine's settings that loses sessions:
// slog.Default if it is not given, nobody if it is nil.
func Logger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// AllowEviction opens also an engine whose maxmemory-policy is not noeviction.
// Such an engine, when it is full, ends sessions and drops values as it likes,
// and tells nobody: users find themselves logged out, OnSessionEnd does not
// fire and open tabs are not told.
func AllowEviction() Option { return func(o *options) { o.allowEviction = true } }

// ClientOption changes what the URL says before the client is made: for
// certificates of one's own, credentials that change, or Sentinel's password.
func ClientOption(f func(*rueidis.ClientOption)) Option {
	return func(o *options) { o.configure = f }
}

const (
	leastStaleness = 100 * time.Millisecond
	defaultTimeout = 2 * time.Second
)

func collect(opts []Option) (*options, error) {
	o := &options{prefix: "sojourn", timeout: defaultTimeout, logger: slog.Default()}
	for _, opt := range opts {
		opt(o)
	}
	switch {
	case strings.ContainsAny(o.prefix, "{}"):
		return nil, fmt.Errorf("redis: the prefix %q has braces in it", o.prefix)
	case o.timeout <= 0:
		return nil, errors.New("redis: Timeout is not positive")
	case o.staleness != 0 && o.staleness < leastStaleness:
		return nil, fmt.Errorf("redis: MaxStaleness is less than %v", leastStaleness)
	case o.logger == nil:
		o.logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// connect makes the client that a URL stands for.
func (o *options) connect(ctx context.Context, url string) (rueidis.Client, error) {
	c, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, errURL // err may tell the password
	}
	c.DisableCache = true // the site has its own
	// Otherwise a caller whose context is done closes a connection that others
	// wait on.
	c.AlwaysPipelining = true
	c.Dialer.Timeout = o.timeout
	c.ConnWriteTimeout = o.timeout
	c.ClusterOption.ShardsRefreshInterval = refresh
	c.Sentinel.TopologyRefreshInterval = refresh
	if o.configure != nil {
		o.configure(&c)
	}
	type made struct {
		client rueidis.Client
		err    error
	}
	making := make(chan made, 1)
	go func() {
		client, err := rueidis.NewClient(c)
		making <- made{client, err}
	}()
	select {
	case m := <-making:
		if m.err != nil {
			return nil, explain("connecting to "+strings.Join(c.InitAddress, ", "), m.err)
		}
		return m.client, nil
	case <-ctx.Done():
		go func() {
			if m := <-making; m.err == nil {
				m.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// refresh is how often the client looks where the data is, beside being told.
const refresh = 5 * time.Second

var errURL = errors.New("redis: the URL is not of the form redis://user:password@host:port/database (it is not shown, since it may hold a password)")
