package sqlite_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
	"github.com/sojourn-go/sojourn/storetest"
)

func TestTheContractOfAStoreIsKept(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sojourn.Store { return open(t, newPath(t)) })
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) sojourn.Store { return open(b, newPath(b)) })
}

func TestReopeningKeepsEverything(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sessions.db", "with space.db", "100%?a=b&c#d.db", "naïve 日本.db", ":memory:.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			session := newSession("ada")
			browser := sojourn.StoredBrowser{Hierarchy: "browser", Deadline: session.Deadline}
			rand.Read(browser.Key[:])
			tab := cartOf(session)
			tab.Tab = "tab"
			var versions []int64
			for range 3 {
				s := open(t, path)
				if len(versions) == 0 {
					_, err := s.CreateSession(t.Context(), session, 0)
					ok(t, err)
					_, err = s.CreateBrowser(t.Context(), browser, 0)
					ok(t, err)
				}
				session.LastSeen = session.LastSeen.Add(time.Minute)
				ok(t, s.Touch(t.Context(), []sojourn.Touch{{
					Owner: cartOf(session).Owner, LastSeen: session.LastSeen, Deadline: session.Deadline,
				}}))
				for _, key := range []sojourn.ValueKey{cartOf(session), tab} {
					v, err := s.SetValue(t.Context(), key, sojourn.Write{Data: []byte("1"), Version: sojourn.AnyVersion, Deadline: session.Deadline})
					ok(t, err)
					if len(versions) > 0 && v <= versions[len(versions)-1] {
						t.Errorf("version %d after %d", v, versions)
					}
					versions = append(versions, v)
				}
				ok(t, s.Close())

				s = open(t, path)
				got, err := s.Session(t.Context(), session.Key)
				ok(t, err)
				if !got.LastSeen.Equal(session.LastSeen) || got.User != "ada" {
					t.Errorf("the session is %+v, want %+v", got, session)
				}
				if n, err := s.Count(t.Context()); err != nil || n != (sojourn.Counts{Sessions: 1, Browsers: 1, Values: 2}) {
					t.Errorf("the store holds %+v, %v", n, err)
				}
				if tabs, err := s.Tabs(t.Context(), tab.Owner); err != nil || len(tabs) != 1 || !tabs[0].Deadline.Equal(session.Deadline) {
					t.Errorf("the tabs are %+v, %v", tabs, err)
				}
				v, err := s.Value(t.Context(), tab)
				ok(t, err)
				if string(v.Data) != "1" || v.Version != versions[len(versions)-1] {
					t.Errorf("the value is %+v, want version %d", v, versions[len(versions)-1])
				}
				ok(t, s.Close())
			}
		})
	}
}

func TestANewFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	_, err := s.CreateSession(t.Context(), newSession("ada"), 0)
	ok(t, err)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		ok(t, err)
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), mode)
		}
	}
}

func TestAClosedStoreIsOneFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	_, err := s.CreateSession(t.Context(), newSession("ada"), 0)
	ok(t, err)
	ok(t, s.Close())
	ok(t, s.Close())
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", suffix, err)
		}
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

// open opens a store, which is closed at the end of the test.
func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(t testing.TB, text string) (k sojourn.Key) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || copy(k[:], b) != len(k) {
		t.Fatalf("%q is no key", text)
	}
	return k
}
