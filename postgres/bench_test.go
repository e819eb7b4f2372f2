//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/storetest"
)

// The server writes to disk what it says it does.
func BenchmarkStore(b *testing.B) {
	server := testserver.NewPostgres(b)
	storetest.Benchmark(b, func(b *testing.B) sojourn.Store { return open(b, server.URL(), newSchema()) })
}

// BenchmarkRequest compares what a connected user's request costs, strict and
// with MaxStaleness, with a bare read of the same row through the same pool.
func BenchmarkRequest(b *testing.B) {
	url := testserver.NewPostgres(b).URL()
	store := open(b, url)
	rows := 10_000
	for i := range rows / 10 {
		for range 10 {
			_, err := store.CreateSession(b.Context(), newSession(sojourn.UserID(fmt.Sprint("user", i)), i), 0)
			must(b, err)
		}
	}
	s := newSession("ada", 0)
	_, err := store.CreateSession(b.Context(), s, 0)
	must(b, err)
	query(b, url, `vacuum analyze`)

	b.Run("Store.Session", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Session(b.Context(), s.Key)
			must(b, err)
		}
	})
	b.Run("bare pgx", func(b *testing.B) {
		pool, err := pgxpool.New(b.Context(), url)
		must(b, err)
		defer pool.Close()
		b.ReportAllocs()
		for b.Loop() {
			var opened, seen, expires, deadline int64
			var browser, id, user, agent, addr []byte
			must(b, pool.QueryRow(b.Context(),
				`select opened, seen, expires, deadline, browser, id, usr, agent, addr from sojourn.session where key = $1`, s.Key[:]).
				Scan(&opened, &seen, &expires, &deadline, &browser, &id, &user, &agent, &addr))
		}
	})
	b.Run("Fresh", func(b *testing.B) {
		for b.Loop() {
			store.Fresh()
		}
	})
}

// BenchmarkEndUserOf1000 ends the 1,000 sessions of one user among others, who
// are 1,000,000, or 20,000 under -short. It reports what a session takes on
// disk, with its indexes.
func BenchmarkEndUserOf1000(b *testing.B) {
	others := 1_000_000
	if testing.Short() {
		others = 20_000
	}
	url := testserver.NewPostgres(b).URL()
	store := open(b, url)
	fill(b, url, others, `'user-' || i / 10`)
	query(b, url, `vacuum analyze`)
	var size int64
	query(b, url, `select pg_total_relation_size('sojourn.session')`, &size)
	for b.Loop() {
		b.StopTimer()
		for i := range 1000 {
			_, err := store.CreateSession(b.Context(), newSession("ada", i), 0)
			must(b, err)
		}
		b.StartTimer()
		ended, err := store.EndUser(b.Context(), "ada", sojourn.EndDisconnectAll)
		must(b, err)
		if len(ended) != 1000 {
			b.Fatalf("%d sessions ended", len(ended))
		}
	}
	b.ReportMetric(float64(size)/float64(others), "B/session")
}

// BenchmarkTouch touches 1,000 sessions at once, as a
// server does with what it has collected.
func BenchmarkTouch(b *testing.B) {
	store := open(b, testserver.NewPostgres(b).URL())
	touches := make([]sojourn.Touch, 1000)
	for i := range touches {
		s := newSession(sojourn.UserID(fmt.Sprint("user", i)), 0)
		_, err := store.CreateSession(b.Context(), s, 0)
		must(b, err)
		touches[i] = sojourn.Touch{Owner: sojourn.Owner{Kind: sojourn.OwnerSession, Key: s.Key}, LastSeen: s.LastSeen, Deadline: s.Deadline}
	}
	for b.Loop() {
		for i := range touches {
			touches[i].LastSeen = touches[i].LastSeen.Add(time.Minute)
			touches[i].Deadline = touches[i].Deadline.Add(time.Minute)
		}
		must(b, store.Touch(b.Context(), touches))
	}
}

// BenchmarkLag ends sessions on one server, and reports how long after the end
// has returned another one is told.
func BenchmarkLag(b *testing.B) {
	url := testserver.NewPostgres(b).URL()
	here, there := open(b, url), open(b, url)
	heard, _ := changesOf(b, there, here)
	var lags []time.Duration
	for b.Loop() {
		b.StopTimer()
		s := newSession("ada", 0)
		_, err := here.CreateSession(b.Context(), s, 0)
		must(b, err)
		b.StartTimer()
		_, _, err = here.EndSession(b.Context(), s.Key, sojourn.EndRevoked)
		must(b, err)
		returned := time.Now()
		next(b, heard)
		lags = append(lags, time.Since(returned))
	}
	slices.Sort(lags)
	for _, q := range []int{50, 99, 100} {
		b.ReportMetric(float64(lags[(len(lags)-1)*q/100].Microseconds()), fmt.Sprintf("p%d-µs", q))
	}
}

// fill makes many sessions without the store.
func fill(b *testing.B, url string, n int, user string) {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), url)
	must(b, err)
	defer pool.Close()
	_, err = pool.Exec(context.WithoutCancel(b.Context()), `
		insert into sojourn.session (opened, seen, expires, deadline, due, userhash, key, browser, id, usr, agent, addr)
		select $2::bigint + i, $2 + i, $2 + i + 7776000000, $2 + i + 1209600000, $2 + i + 1209000000,
			('x' || substr(encode(sha256(convert_to(`+user+`, 'UTF8')), 'hex'), 1, 16))::bit(64)::bigint,
			substr(sha256(convert_to(`+user+`, 'UTF8')), 1, 2) || substr(sha256(int4send(i)), 1, 30), sha256(int4send(-i)),
			convert_to(substr(encode(sha256(int4send(i)), 'hex'), 1, 22), 'UTF8'), convert_to(`+user+`, 'UTF8'),
			convert_to('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36', 'UTF8'),
			int4send(i)
		from generate_series(1, $1::int) i`, n, epoch.UnixMilli())
	must(b, err)
}
