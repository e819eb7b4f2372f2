package sojourn_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

// storeKinds are the stores that promises are tested on. The strict one is
// asked by every request, as one that several servers share.
var storeKinds = []storeKind{memoryKind, strictKind, sqliteKind}

var memoryKind = storeKind{
	name: "memory", bubble: true,
	keep: func(testing.TB) func() sojourn.Store {
		kept := keptStore{sojourn.NewMemoryStore()}
		return func() sojourn.Store { return kept }
	},
}

// keptStore outlives the sites that close it, as a durable one does.
type keptStore struct{ sojourn.Store }

func (keptStore) Close() error { return nil }

var strictKind = storeKind{
	name: "strict", bubble: true,
	keep: func(testing.TB) func() sojourn.Store {
		kept := strictStore{keptStore{sojourn.NewMemoryStore()}}
		return func() sojourn.Store { return kept }
	},
}

// strictStore may be changed by other servers at any time.
type strictStore struct{ keptStore }

func (strictStore) Fresh() time.Duration { return 0 }

var sqliteKind = storeKind{
	name: "sqlite",
	keep: func(t testing.TB) func() sojourn.Store {
		path := filepath.Join(t.TempDir(), "sojourn.db")
		return func() sojourn.Store {
			t.Helper()
			store, err := sqlite.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
	},
}
