//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// touches counts what sessions in use cost the engine.
func touches(ctx context.Context, e *engine, sz size) ([]report.Row, error) {
	s, err := e.newServer(ctx, "touches", time.Minute, sz.idle)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	cookies := make([]string, sz.active)
	for i := range cookies {
		if cookies[i], err = s.connect(fmt.Sprint("user-", i), i); err != nil {
			return nil, err
		}
	}
	writes, err := e.writes(ctx)
	if err != nil {
		return nil, err
	}
	began, calls, touched := time.Now(), s.store.touches.Load(), s.store.touched.Load()
	// Every session asks for a page every ten seconds.
	const every, callers = 10 * time.Second, 4
	errs := make([]error, callers)
	asked := make([]int, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			w := newWriter()
			for n := 0; time.Since(began) < sz.touching && ctx.Err() == nil; n++ {
				i := (n*callers + c) % len(cookies)
				var ok bool
				ok, errs[c] = s.accepts(w, request(pagePath, cookies[i], "", i), fmt.Sprint("user-", i))
				if !ok || errs[c] != nil {
					errs[c] = errors.Join(errs[c], errors.New("nobody is connected"))
					return
				}
				asked[c]++
				due := began.Add(every * time.Duration(n*callers) / time.Duration(len(cookies)))
				time.Sleep(time.Until(due))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	after, err := e.writes(ctx)
	if err != nil {
		return nil, err
	}
	calls, touched = s.store.touches.Load()-calls, s.store.touched.Load()-touched
	pages := 0
	for _, n := range asked {
		pages += n
	}
	r := report.Row{
		What: fmt.Sprintf("touches of %s active sessions of one server, %s", report.Count(sz.active), e.title()),
		Measured: fmt.Sprintf("%.2f batches a second with %.0f sessions a second in them; %.0f %s a second; %s pages a second",
			float64(calls)/took, float64(touched)/took, float64(after-writes)/took, e.writeUnit(), report.Count(int(float64(pages)/took))),
	}
	if calls == 0 {
		return nil, errors.New("nothing was written")
	}
	return []report.Row{r.Reaching("a few writes a second", float64(calls)/took <= 5)}, nil
}

func (e *engine) writeUnit() string {
	if e.redis != nil {
		return "script calls"
	}
	return "bytes of WAL"
}

// writes is how much the engine has written: of Redis the script calls, of
// PostgreSQL the bytes of its log.
func (e *engine) writes(ctx context.Context) (n int64, err error) {
	if e.redis == nil {
		err = e.pool.QueryRow(ctx, `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`).Scan(&n)
		return n, err
	}
	return e.info(ctx, "commandstats", "cmdstat_evalsha:calls=")
}
