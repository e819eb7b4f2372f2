package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/redis"
	"github.com/sojourn-go/sojourn/sqlite"
)

// storeEnv holds the store when no flag names one: unlike a command line,
// other users of the machine cannot read it.
const storeEnv = "SOJOURN_STORE"

// storeTimeout bounds operations of engines that are reached over a network:
// also where much else goes on, opening takes not as long. People rather wait
// than be told that their engine is unavailable.
const storeTimeout = 10 * time.Second

// storeSpec is where sessions are kept, as --store says it.
type storeSpec struct {
	engine string // "sqlite", "postgres", "redis" or "memory"
	at     string // a file, or a URL with its password
	name   string // postgres.Schema or redis.Prefix; "" is the default
}

const storeForms = "sqlite:FILE, postgres://…, redis://… or memory"

// parseStore reads what --store says. No error shows it: there may be a
// password in it.
func parseStore(text string) (storeSpec, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "memory":
		if rest == "" {
			return storeSpec{engine: "memory"}, nil
		}
	case "sqlite":
		if file := strings.TrimPrefix(rest, "//"); file != "" {
			return storeSpec{engine: "sqlite", at: file}, nil
		}
	case "postgres", "postgresql":
		return storeSpec{engine: "postgres", at: text}, nil
	case "redis", "rediss":
		return storeSpec{engine: "redis", at: text}, nil
	}
	return storeSpec{}, usagef("--store has to be %s", storeForms)
}

// pickStore is the store of the flag, or else of the environment, or "".
func pickStore(flag string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(storeEnv)
}

// shared reports whether several processes can use the store at once.
func (s storeSpec) shared() bool { return s.engine == "postgres" || s.engine == "redis" }

// open opens the store; nil is memory.
func (s storeSpec) open(ctx context.Context, log *slog.Logger) (sojourn.Store, error) {
	switch s.engine {
	case "sqlite":
		return opened(sqlite.Open(s.at))
	case "postgres":
		name := postgres.Schema(cmp.Or(s.name, "sojourn"))
		return s.reached(opened(postgres.Open(ctx, s.at, name, postgres.Timeout(storeTimeout))))
	case "redis":
		name := redis.Prefix(cmp.Or(s.name, "sojourn"))
		return s.reached(opened(redis.Open(ctx, s.at, name, redis.Timeout(storeTimeout), redis.Logger(log))))
	default:
		return nil, nil
	}
}

// reached says in few words that an engine could not be reached, or does not
// let us in.
func (s storeSpec) reached(store sojourn.Store, err error) (sojourn.Store, error) {
	var (
		op      *net.OpError
		name    *net.DNSError
		refused *pgconn.PgError
		connect *pgconn.ConnectError
	)
	switch {
	case errors.As(err, &connect) && errors.As(err, &refused):
		err = fmt.Errorf("%s: %s", s, refused.Message)
	case errors.As(err, &name):
		err = fmt.Errorf("%s cannot be reached: %w", s, name)
	case errors.As(err, &op):
		err = fmt.Errorf("%s cannot be reached: %w", s, op.Err)
	}
	return store, err
}

// opened keeps a nil *Store from becoming a Store that is not nil.
func opened[S sojourn.Store](s S, err error) (sojourn.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// String says for people where the sessions are, without the password.
func (s storeSpec) String() string {
	name := map[string]string{"postgres": "PostgreSQL", "redis": "Redis"}[s.engine]
	switch {
	case s.engine == "sqlite":
		return s.at
	case name == "":
		return "memory"
	}
	if u, err := url.Parse(s.at); err == nil && u.Host != "" {
		return fmt.Sprintf("%s at %s", name, u.Host+strings.TrimSuffix(u.Path, "/"))
	}
	return name
}
