package redis_test

import (
	"crypto/rand"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
	"github.com/sojourn-go/sojourn/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t).URL()
	storetest.Run(t, func(t *testing.T) sojourn.Store { return open(t, url) })
}

// open opens a store under a prefix of its own.
func open(t testing.TB, url string, opts ...redis.Option) *redis.Store {
	t.Helper()
	return openPrefix(t, url, rand.Text(), opts...)
}

func openPrefix(t testing.TB, url, prefix string, opts ...redis.Option) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url, append([]redis.Option{redis.Prefix(prefix)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
