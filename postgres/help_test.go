//go:build unix

package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
)

var epoch = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)

// newSession is a session of user, opened and seen n seconds after epoch.
func newSession(user sojourn.UserID, n int) sojourn.StoredSession {
	var id [16]byte
	rand.Read(id[:])
	at := epoch.Add(time.Duration(n) * time.Second)
	return sojourn.StoredSession{
		Key:        newKey(user),
		ID:         sojourn.SessionID(base64.RawURLEncoding.EncodeToString(id[:])),
		User:       user,
		Browser:    newKey(user),
		OpenedAt:   at,
		LastSeen:   at,
		ExpiresAt:  at.Add(90 * 24 * time.Hour),
		Deadline:   at.Add(14 * 24 * time.Hour),
		UserAgent:  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		RemoteAddr: netip.MustParseAddr("192.0.2.1"),
	}
}

func newKey(user sojourn.UserID) (k sojourn.Key) {
	rand.Read(k[:])
	shard := sojourn.ShardOf(user)
	copy(k[:], shard[:])
	return k
}

// inParallel runs f for 0 to n-1 at once.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// changesOf calls Changes of a store until the test ends, and returns when it
// hears what other publishes.
func changesOf(t testing.TB, store, other sojourn.Store) (heard <-chan sojourn.Change, returned <-chan error) {
	t.Helper()
	const hello = "are you there?"
	ctx, cancel := context.WithCancel(context.Background())
	all, err := make(chan sojourn.Change, 1000), make(chan error, 1)
	first, over := make(chan struct{}, 1000), make(chan struct{})
	var hears atomic.Bool
	go func() {
		defer close(over)
		for began := time.Now(); ; {
			failed := store.Changes(ctx, func(c sojourn.Change) {
				switch {
				case string(c.Message) == hello:
					hears.Store(true)
					first <- struct{}{}
				case c.Ended != nil || c.Message != nil: // else it has begun to hear
					all <- c
				}
			})
			// Until it hears, a slow machine may take longer than the store's timeout.
			if hears.Load() || !errors.Is(failed, sojourn.ErrUnavailable) || time.Since(began) > patience {
				err <- failed
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	for began := time.Now(); time.Since(began) < patience; {
		if err := other.Publish(t.Context(), []byte(hello)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-first:
			return all, err
		case <-over:
			t.Fatalf("Changes returned %v", <-err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("Changes hears nothing")
	return nil, nil
}

// next waits for a change.
func next(t testing.TB, heard <-chan sojourn.Change) sojourn.Change {
	t.Helper()
	select {
	case c := <-heard:
		return c
	case <-time.After(patience):
		t.Fatal("a change did not arrive")
		return sojourn.Change{}
	}
}

// wantOnce fails unless each session made was returned once.
func wantOnce(t *testing.T, made, returned [][]sojourn.StoredSession) {
	t.Helper()
	count := map[sojourn.Key]int{}
	for _, list := range made {
		for _, s := range list {
			count[s.Key] = 0
		}
	}
	for _, list := range returned {
		for _, s := range list {
			count[s.Key]++
		}
	}
	for key, n := range count {
		if n != 1 {
			t.Errorf("session %x was returned %d times", key, n)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func hostOf(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	must(t, err)
	return u.Host
}

// through is the URL of a server behind a proxy.
func through(t *testing.T, server string, p *testserver.Proxy) string {
	t.Helper()
	u, err := url.Parse(server)
	must(t, err)
	u.Host = p.Addr()
	return u.String()
}

// query runs a statement on a database and scans the row that it answers.
func query(t testing.TB, url, sql string, dest ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if len(dest) == 0 {
		_, err = c.Exec(ctx, sql)
	} else {
		err = c.QueryRow(ctx, sql).Scan(dest...)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
