package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
	"github.com/sojourn-go/sojourn/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheContractOfAStoreIsKept(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sojourn.Store { return open(t, newPath(t)) })
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) sojourn.Store { return open(b, newPath(b)) })
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

// open opens a store, which is closed at the end of the test.
func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
