//go:build unix

package sojourn_test

import (
	"crypto/rand"
	"errors"
	"flag"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/redis"
)

// The stores that need a server: each test has a schema or a prefix of its own.

var enginesFlag = flag.Bool("engines", true, "test promises and scenarios on PostgreSQL and Redis as well")

func init() {
	for _, kind := range []storeKind{
		{name: "postgres", keep: keepPostgres},
		{name: "redis", keep: keepRedis},
	} {
		keep := func(t testing.TB) func() sojourn.Store {
			if !*enginesFlag {
				t.Skip("NOT TESTED: -engines=false")
			}
			return kind.keep(t)
		}
		storeKinds = append(storeKinds, storeKind{name: kind.name, keep: keep})
		traceStores = append(traceStores, traceStore{
			name: kind.name, durable: true, realClock: true,
			replays: map[string]int{recordedTraces: 49, ruleTraces: 27, cornerTraces: 15},
			open:    func(t *testing.T) func() sojourn.Store { return keep(t) },
		})
	}
	stopEngines = func() error { return errors.Join(testserver.StopRedis(), testserver.StopPostgres()) }
}

// enginePatience is the timeout of stores, on machines that have much else to do.
const enginePatience = 2 * time.Minute

// postgresForAll is one database for all tests.
var postgresForAll struct {
	sync.Mutex
	url string
}

func keepPostgres(t testing.TB) func() sojourn.Store {
	t.Helper()
	postgresForAll.Lock()
	defer postgresForAll.Unlock()
	if postgresForAll.url == "" {
		postgresForAll.url = testserver.Postgres(t)
	}
	url, schema := postgresForAll.url, "t"+strings.ToLower(rand.Text())
	return func() sojourn.Store {
		t.Helper()
		store, err := postgres.Open(t.Context(), url, postgres.Schema(schema), postgres.Timeout(enginePatience))
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
}

func keepRedis(t testing.TB) func() sojourn.Store {
	t.Helper()
	url, prefix := testserver.SharedRedis(t).URL(), rand.Text()
	return func() sojourn.Store {
		t.Helper()
		store, err := redis.Open(t.Context(), url, redis.Prefix(prefix), redis.Timeout(enginePatience), redis.Logger(nil))
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
}
