//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"

	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// side is one of the things that are compared.
type side struct {
	name string
	// caller makes what one goroutine does again and again.
	caller func() (func() error, error)
}

// compare lets so many callers of each side work in turns, and returns how long
// one call takes, round by round.
func compare(ctx context.Context, sz size, callers int, sides ...side) (rounds [][]time.Duration, err error) {
	calls := make([][]func() error, len(sides))
	for i, s := range sides {
		for range callers {
			call, err := s.caller()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			calls[i] = append(calls[i], call)
		}
	}
	for round := range sz.rounds + 1 {
		took := make([]time.Duration, len(sides))
		for j := range sides {
			i := (j + round) % len(sides)
			if took[i], err = together(calls[i], sz.slice); err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if round > 0 { // the first is for warming up
			rounds = append(rounds, took)
		}
	}
	return rounds, nil
}

// together lets callers call for a time; it returns the time of one call.
func together(calls []func() error, d time.Duration) (time.Duration, error) {
	n := make([]int, len(calls))
	errs := make([]error, len(calls))
	began := time.Now()
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(func() {
			for errs[i] == nil && time.Since(began) < d {
				for range 16 {
					if errs[i] = call(); errs[i] != nil {
						break
					}
					n[i]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range n {
		total += n
	}
	return time.Since(began) * time.Duration(len(calls)) / time.Duration(max(total, 1)), errors.Join(errs...)
}

// column is one side's times, over its base if that is not less than 0.
func column(rounds [][]time.Duration, i int) (all []time.Duration) {
	for _, r := range rounds {
		all = append(all, r[i])
	}
	return all
}

func ratios(rounds [][]time.Duration, i, base int) (all []float64) {
	for _, r := range rounds {
		all = append(all, float64(r[i])/float64(r[base]))
	}
	return all
}

// asking is a connected user's page.
func asking(s *server, page *url.URL) side {
	i := 0
	return side{"a connected user's " + page.Path, func() (func() error, error) {
		i++
		user := fmt.Sprintf("user-%d", i)
		cookies, err := s.connect(user, i)
		if err != nil {
			return nil, err
		}
		tab, err := s.tab(cookies)
		if err != nil {
			return nil, err
		}
		w, r := newWriter(), request(page, cookies, tab, i)
		return func() error {
			ok, err := s.accepts(w, r, user)
			if err == nil && !ok {
				err = errors.New("nobody is connected")
			}
			return err
		}, nil
	}}
}

// bare is one read of as many bytes as a session has, with the client alone.
func (e *engine) bare(ctx context.Context) (side, error) {
	const bytes = 250
	if e.redis != nil {
		const key = "bare"
		err := e.redis.Do(ctx, e.redis.B().Set().Key(key).Value(rueidis.BinaryString(make([]byte, bytes))).Build()).Error()
		return side{"a bare GET", func() (func() error, error) {
			return func() error {
				v, err := e.redis.Do(ctx, e.redis.B().Get().Key(key).Build()).ToString()
				if err == nil && len(v) != bytes {
					err = fmt.Errorf("%d bytes", len(v))
				}
				return err
			}, nil
		}}, err
	}
	_, err := e.pool.Exec(ctx, `create table bare (key bytea primary key, data bytea not null)`)
	if err != nil {
		return side{}, err
	}
	key := make([]byte, 32)
	for range 1000 {
		rand.Read(key)
		if _, err := e.pool.Exec(ctx, `insert into bare values ($1, $2)`, key, make([]byte, bytes)); err != nil {
			return side{}, err
		}
	}
	if _, err := e.pool.Exec(ctx, `vacuum analyze bare`); err != nil {
		return side{}, err
	}
	return side{"a bare point read", func() (func() error, error) {
		return func() error {
			var data []byte
			err := e.pool.QueryRow(ctx, `select data from bare where key = $1`, key).Scan(&data)
			if err == nil && len(data) != bytes || errors.Is(err, pgx.ErrNoRows) {
				err = fmt.Errorf("%d bytes: %w", len(data), err)
			}
			return err
		}, nil
	}}, nil
}

// requests compares strict requests of connected users with bare reads.
func requests(ctx context.Context, e *engine, sz size) (rows []report.Row, err error) {
	servers, closeAll, err := e.newServers(ctx, 1, "requests", 0)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	bare, err := e.bare(ctx)
	if err != nil {
		return nil, err
	}
	for _, callers := range []int{1, 4, 16} {
		before := servers[0].store.sessions.Load()
		rounds, err := compare(ctx, sz, callers, asking(servers[0], pagePath), bare)
		if err != nil {
			return nil, err
		}
		if servers[0].store.sessions.Load() == before {
			return nil, errors.New("the store was not asked")
		}
		ratio := percentile(ratios(rounds, 0, 1), 0.5)
		r := report.Row{
			What: fmt.Sprintf("connected request, strict, %s, %d at a time", e.title(), callers),
			Measured: fmt.Sprintf("%.2f times %s: %s and %s", ratio, bare.name,
				report.Duration(percentile(column(rounds, 0), 0.5)), report.Duration(percentile(column(rounds, 1), 0.5))),
		}
		if callers == 1 {
			r = r.Reaching("one round trip; 1.3 times", ratio <= 1.3)
		}
		rows = append(rows, r)
	}
	return append(rows, e.cost(ctx, sz, servers[0])...), nil
}

// cost is what a request costs the engine's processor, if that can be known.
func (e *engine) cost(ctx context.Context, sz size, s *server) []report.Row {
	var calls []func() error
	n := 0
	asks := asking(s, pagePath)
	for range 16 {
		call, err := asks.caller()
		if err != nil {
			return nil
		}
		calls = append(calls, call)
	}
	before, ok := e.cpu(ctx)
	asked := s.store.sessions.Load()
	for range sz.rounds {
		if _, err := together(calls, sz.slice); err != nil {
			return nil
		}
	}
	after, still := e.cpu(ctx)
	if n = int(s.store.sessions.Load() - asked); !ok || !still || n == 0 {
		return nil
	}
	return []report.Row{{
		What:     fmt.Sprintf("the engine's CPU for a connected request, strict, %s, 16 at a time", e.title()),
		Measured: report.Duration((after - before) / time.Duration(n)),
	}}
}

// cpu is the time that the engine's processes have worked: those that are there
// now.
func (e *engine) cpu(ctx context.Context) (sum time.Duration, ok bool) {
	var pids []int64
	if e.redis != nil {
		pid, err := e.info(ctx, "server", "process_id:")
		if err != nil {
			return 0, false
		}
		pids = append(pids, pid)
	} else {
		rows, err := e.pool.Query(ctx, `select pid::bigint from pg_stat_activity where application_name = 'sojourn'`)
		if err != nil {
			return 0, false
		}
		if pids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return 0, false
		}
	}
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, found := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if err != nil || !found || len(fields) < 13 {
			return 0, false
		}
		for _, ticks := range fields[11:13] { // user and system
			n, err := strconv.Atoi(ticks)
			if err != nil {
				return 0, false
			}
			sum += time.Duration(n) * (10 * time.Millisecond)
		}
	}
	return sum, true
}

// warm compares requests of connected users that are answered from memory with
// a page that asks nobody.
func warm(ctx context.Context, e *engine, sz size) (rows []report.Row, err error) {
	servers, closeAll, err := e.newServers(ctx, 1, "warm", time.Minute)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	s := servers[0]
	if err := until(ctx, func() bool { return s.store.Fresh() > 0 }); err != nil {
		return nil, fmt.Errorf("waiting for MaxStaleness to be certain: %w", err)
	}
	bare := side{"a bare page", func() (func() error, error) {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "user") })
		w, r := newWriter(), request(pagePath, "", "", 1)
		return func() error {
			w.reset()
			h.ServeHTTP(w, r)
			return nil
		}, nil
	}}
	current, guarded := asking(s, currentPath), asking(s, pagePath)
	asked, calls := int64(-1), 0
	counting := side{guarded.name, func() (func() error, error) {
		call, err := guarded.caller()
		asked = s.store.sessions.Load()
		return func() error { calls++; return call() }, err
	}}
	rounds, err := compare(ctx, sz, 1, bare, current, counting)
	if err != nil {
		return nil, err
	}
	asked = s.store.sessions.Load() - asked
	for i, what := range []string{"", "CurrentUser", "Connected"} {
		if i == 0 {
			continue
		}
		var over []time.Duration
		for _, r := range rounds {
			over = append(over, r[i]-r[0])
		}
		half := percentile(over, 0.5)
		rows = append(rows, report.Row{
			What: fmt.Sprintf("connected request, MaxStaleness, warm, %s, %s: over the bare page", what, e.title()),
			Measured: fmt.Sprintf("%s (the bare page: %s); the engine was asked %d times in %s requests",
				report.Duration(half), report.Duration(percentile(column(rounds, 0), 0.5)), asked, report.Count(calls)),
		}.Reaching("1 µs, no I/O", half <= time.Microsecond && asked < int64(calls)/1000+5))
	}
	return rows, nil
}

// until waits until something is so.
func until(ctx context.Context, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
