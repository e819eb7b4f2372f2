//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/postgres"
)

func TestTenServersCreateTheSchemaAtOnce(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	stores := make([]*postgres.Store, 10)
	errs := make([]error, len(stores))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			<-start
			stores[i], errs[i] = postgres.Open(t.Context(), url, postgres.Timeout(patience), postgres.MaxConns(1))
			if errs[i] == nil {
				t.Cleanup(func() { stores[i].Close() })
			}
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := newSession("ada", 0)
	if _, err := stores[0].CreateSession(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	for i, store := range stores {
		if got, err := store.Session(t.Context(), s.Key); err != nil || got.User != s.User {
			t.Errorf("server %d: %+v, %v", i, got, err)
		}
	}
	var versions int
	query(t, url, `select count(*) from sojourn.meta`, &versions)
	if versions != 1 {
		t.Errorf("the schema has %d versions at once", versions)
	}
}

func TestServerWithoutTheRightToCreateOpensWhatIsThere(t *testing.T) {
	t.Parallel()
	owner := testserver.Postgres(t)
	open(t, owner)
	guest := fmt.Sprintf("guest%d", schemas.Add(1)) // of the whole server
	for _, sql := range []string{
		`create role guest login password 'guest'`,
		`grant usage on schema sojourn to guest`,
		`grant select, insert, update, delete on all tables in schema sojourn to guest`,
		`grant usage on all sequences in schema sojourn to guest`,
	} {
		query(t, owner, strings.ReplaceAll(sql, "guest", guest))
	}
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(guest, guest)
	store := open(t, u.String())
	if _, err := store.CreateSession(t.Context(), newSession("ada", 0), 1); err != nil {
		t.Error(err)
	}
	if evicted, err := store.CreateSession(t.Context(), newSession("ada", 1), 1); err != nil || len(evicted) != 1 {
		t.Errorf("evicted %+v, %v", evicted, err)
	}
}

func TestSchemaOfANewerProgramIsRefused(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t)
	open(t, url)
	query(t, url, `update sojourn.meta set version = 1000`)
	_, err := postgres.Open(t.Context(), url, postgres.Timeout(patience))
	for _, part := range []string{`"sojourn"`, "version 1000", "newer program"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, opt := range []postgres.Option{
		postgres.Schema(""), postgres.Schema(`a"b`), postgres.Schema("pg_own"), postgres.Schema("Sojourn"),
		postgres.Schema(strings.Repeat("a", 49)), postgres.MaxStaleness(-time.Second), postgres.MaxStaleness(time.Millisecond),
		postgres.Timeout(0), postgres.MaxConns(-1),
	} {
		// Nothing listens there: the error has to come before.
		s, err := postgres.Open(t.Context(), "postgres://127.0.0.1:1/", opt)
		if err == nil {
			s.Close()
		}
		if err == nil || strings.Contains(err.Error(), "connect") {
			t.Errorf("not refused: %v", err)
		}
	}
}

func TestPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	const secret = "hunter2secret"
	server, err := url.Parse(testserver.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong := *server
	wrong.User = url.UserPassword("sojourn", secret)
	closed := wrong
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Host = l.Addr().String()
	l.Close()
	for _, u := range []string{
		wrong.String(), closed.String(),
		"postgres://ada:" + secret + "@db:port/app", "postgres://ada:" + secret + "@[::1/app", "postgres://ada:" + secret + "%zz@db/app",
		"postgres://ada:x@db/app?pool_max_conns=" + secret, "host=db password=" + secret + " port=a", "host=db password='" + secret,
		"ada:" + secret + "@db", "postgres://ada:pass/" + secret + "@db/app", "mysql://ada:" + secret + "@db/app", secret,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := postgres.Open(ctx, u)
		cancel()
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", u)
			continue
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the password is in the error: %s", u, text)
			}
		}
	}
}
