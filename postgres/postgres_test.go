//go:build unix

package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
	"github.com/sojourn-go/sojourn/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(testserver.StopPostgres(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// patience is the timeout of stores whose timeout is not what is tested, on
// machines that have much else to do.
const patience = time.Minute

var schemas atomic.Int64

// newSchema is an option for a schema that no other test of a database uses.
func newSchema() postgres.Option {
	return postgres.Schema(fmt.Sprintf("test_%d", schemas.Add(1)))
}

// open opens a store, and closes it when the test ends.
func open(t testing.TB, url string, opts ...postgres.Option) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, append([]postgres.Option{postgres.Timeout(patience)}, opts...)...)
	for began := time.Now(); errors.Is(err, sojourn.ErrUnavailable) && time.Since(began) < patience; { // it may have little time
		s, err = postgres.Open(t.Context(), url, append([]postgres.Option{postgres.Timeout(patience)}, opts...)...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	storetest.Run(t, func(t *testing.T) sojourn.Store { return open(t, url, newSchema()) })
}

func TestStoreOfTwoServersKeepsTheContract(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	storetest.RunShared(t, func(t *testing.T) (a, b sojourn.Store) {
		schema := newSchema()
		return open(t, url, schema), open(t, url, schema, postgres.MaxStaleness(time.Minute))
	})
}
