package redis_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

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

func TestSharedStore(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t).URL()
	storetest.RunShared(t, pairOf(url))
}

func TestStoreOnACluster(t *testing.T) {
	t.Parallel()
	urls := testserver.RedisCluster(t)
	t.Run("Run", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) sojourn.Store { return open(t, urls[1]) })
	})
	t.Run("RunShared", func(t *testing.T) {
		t.Parallel()
		storetest.RunShared(t, pairOf(urls[2]))
	})
}

func pairOf(url string) func(t *testing.T) (a, b sojourn.Store) {
	return func(t *testing.T) (a, b sojourn.Store) {
		prefix := rand.Text()
		return openPrefix(t, url, prefix), openPrefix(t, url, prefix)
	}
}

// patience is the timeout of stores whose timeout is not what is tested, on
// machines that have much else to do.
const patience = 2 * time.Minute

// open opens a store under a prefix of its own.
func open(t testing.TB, url string, opts ...redis.Option) *redis.Store {
	t.Helper()
	return openPrefix(t, url, rand.Text(), opts...)
}

func openPrefix(t testing.TB, url, prefix string, opts ...redis.Option) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url, append([]redis.Option{redis.Prefix(prefix), redis.Logger(nil), redis.Timeout(patience)}, opts...)...)
	for began := time.Now(); errors.Is(err, sojourn.ErrUnavailable) && time.Since(began) < patience; { // it may have little time
		s, err = redis.Open(t.Context(), url, append([]redis.Option{redis.Prefix(prefix), redis.Logger(nil), redis.Timeout(patience)}, opts...)...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
