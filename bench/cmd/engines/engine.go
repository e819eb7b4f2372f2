//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/redis"
)

// engine is a private engine with the settings that docs/scale.md names.
type engine struct {
	kind string
	url  string
	life *life

	// Clients as anybody would have them, without sojourn.
	redis rueidis.Client
	pool  *pgxpool.Pool
}

func newEngine(kind string) (e *engine, err error) {
	e = &engine{kind: kind, life: &life{}}
	defer func() {
		if p := recover(); p != nil {
			failed, ok := p.(failure)
			if !ok {
				panic(p)
			}
			err = errors.Join(errors.New(string(failed)), e.end())
		}
	}()
	switch kind {
	case "redis":
		e.url = testserver.Redis(e.life, "--appendonly", "yes", "--appendfsync", "everysec").URL()
		opt, err := rueidis.ParseURL(e.url)
		if err != nil {
			return e, err
		}
		opt.DisableCache = true
		if e.redis, err = rueidis.NewClient(opt); err != nil {
			return e, err
		}
	default:
		e.url = testserver.NewPostgres(e.life, "shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min").URL()
		if e.pool, err = pgxpool.New(context.Background(), e.url); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (e *engine) end() error {
	if e.redis != nil {
		e.redis.Close()
	}
	if e.pool != nil {
		e.pool.Close()
	}
	return e.life.end()
}

// open opens a store of a site; servers of one site take the same name.
func (e *engine) open(ctx context.Context, name string, staleness time.Duration) (sojourn.Store, error) {
	const timeout = 30 * time.Second // for sizes that no request has
	if e.kind == "redis" {
		opts := []redis.Option{redis.Prefix(name), redis.Timeout(timeout), redis.Logger(nil)}
		if staleness > 0 {
			opts = append(opts, redis.MaxStaleness(staleness))
		}
		return redis.Open(ctx, e.url, opts...)
	}
	opts := []postgres.Option{postgres.Schema(name), postgres.Timeout(timeout), postgres.MaxConns(16)}
	if staleness > 0 {
		opts = append(opts, postgres.MaxStaleness(staleness))
	}
	return postgres.Open(ctx, e.url, opts...)
}

// title is the engine's name for people.
func (e *engine) title() string {
	if e.kind == "redis" {
		return "Redis"
	}
	return "PostgreSQL"
}

// life stands in for a test whose end is that of the program.
type life struct {
	testing.TB
	cleanups []func() error
}

// failure is why there is no engine.
type failure string

func (l *life) Helper() {}

func (l *life) Fatal(args ...any) { panic(failure(fmt.Sprint(args...))) }

func (l *life) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func (l *life) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (l *life) Skip(args ...any) { l.Fatal(args...) }

func (l *life) Cleanup(f func()) {
	l.cleanups = append(l.cleanups, func() error { f(); return nil })
}

func (l *life) TempDir() string {
	dir, err := os.MkdirTemp("", "sojourn-engine-")
	if err != nil {
		l.Fatal(err)
	}
	l.cleanups = append(l.cleanups, func() error { return os.RemoveAll(dir) })
	return dir
}

func (l *life) end() (err error) {
	for i := range l.cleanups {
		err = errors.Join(err, l.cleanups[len(l.cleanups)-1-i]())
	}
	l.cleanups = nil
	return err
}
