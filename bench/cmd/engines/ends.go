//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/bench/internal/cases"
	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// lag is how long an end takes to reach other servers.
func lag(ctx context.Context, e *engine, sz size) (rows []report.Row, err error) {
	const bound = 10 * time.Second
	for _, staleness := range []time.Duration{0, bound} {
		servers, closeAll, err := e.newServers(ctx, 3, "lag"+strconv.Itoa(int(staleness/time.Second)), staleness)
		if err != nil {
			return nil, err
		}
		r, err := race(ctx, servers, sz)
		closeAll()
		if err != nil {
			return nil, err
		}
		sent := fmt.Sprintf("%s racing requests, %s DisconnectAll", report.Count(r.requests), report.Count(len(r.lags)/2))
		if staleness == 0 {
			rows = append(rows, report.Row{
				What:     "DisconnectAll on one server → refused on two others, strict, " + e.title(),
				Measured: fmt.Sprintf("%d accepted that began after it returned; %s", r.late, sent),
			}.Reaching("0 over 100,000", r.late == 0))
			continue
		}
		most := percentile(r.lags, 1)
		rows = append(rows, report.Row{
			What: fmt.Sprintf("the same, MaxStaleness %v, %s", staleness, e.title()),
			Measured: fmt.Sprintf("last accepted after it returned: p50 %s, p99 %s, at most %s; %s",
				report.Duration(percentile(r.lags, 0.5)), report.Duration(percentile(r.lags, 0.99)), report.Duration(most), sent),
		}.Reaching("at most "+staleness.String(), most <= staleness))
	}
	return rows, nil
}

// raced is what came of requests that raced with ends.
type raced struct {
	requests, late int
	lags           []time.Duration // of each end and each other server: of the last request accepted after it
}

// race ends all sessions of a user on the first server while their requests go
// to the others.
func race(ctx context.Context, servers []*server, sz size) (r raced, err error) {
	const sessions, refusals = 6, 3
	for round := 0; r.requests < sz.racing || round < sz.races; round++ {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		user := "racer" + strconv.Itoa(round)
		type sent struct {
			server int
			began  time.Time
			ok     bool
		}
		all, errs := make([][]sent, sessions), make([]error, sessions)
		var wg sync.WaitGroup
		var running atomic.Int32
		for i := range sessions {
			cookies, err := servers[i%3].connect(user, i)
			if err != nil {
				return r, err
			}
			wg.Go(func() {
				w := newWriter()
				for n, refused := 0, 0; refused < refusals && errs[i] == nil; n++ {
					q := sent{server: 1 + (n+i)%2, began: time.Now()}
					q.ok, errs[i] = servers[q.server].accepts(w, request(pagePath, cookies, "", i), user)
					if !q.ok {
						refused++
					}
					all[i] = append(all[i], q)
					time.Sleep(mathrand.N(200 * time.Microsecond)) // else the end has no turn
					if n == 1 {
						running.Add(1)
					}
				}
			})
		}
		if err := until(ctx, func() bool { return running.Load() == sessions }); err != nil {
			return r, fmt.Errorf("waiting for requests: %w", errors.Join(append(errs, err)...))
		}
		time.Sleep(mathrand.N(2 * time.Millisecond))
		err := servers[0].DisconnectAll(ctx, sojourn.OfUser(sojourn.UserID(user)))
		returned := time.Now()
		wg.Wait()
		if err := errors.Join(append(errs, err)...); err != nil {
			return r, err
		}
		lags := make([]time.Duration, len(servers))
		for _, requests := range all {
			r.requests += len(requests)
			for _, q := range requests {
				if after := q.began.Sub(returned); q.ok && after > 0 {
					r.late++
					lags[q.server] = max(lags[q.server], after)
				}
			}
		}
		r.lags = append(r.lags, lags[1:]...)
	}
	return r, nil
}

// ends fills the engine, measures it, and ends sessions of one user.
func ends(ctx context.Context, e *engine, sz size) (rows []report.Row, err error) {
	const users = 5 // whose sessions are ended
	servers, closeAll, err := e.newServers(ctx, 1, "ends", 0)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	s := servers[0]
	before, err := e.bytes(ctx, "ends")
	if err != nil {
		return nil, err
	}
	others := sz.sessions - users*sz.ending
	began := time.Now()
	if err := fill(ctx, s.store, others, func(i int) sojourn.UserID { return sojourn.UserID(cases.UserName(i)) }); err != nil {
		return nil, err
	}
	filled := time.Since(began)
	after, err := e.bytes(ctx, "ends")
	if err != nil {
		return nil, err
	}
	each := float64(after-before) / float64(others)
	rows = append(rows, report.Row{
		What:     fmt.Sprintf("bytes per session in %s, %s sessions, each of another user", e.title(), report.Count(others)),
		Measured: fmt.Sprintf("%.0f", each),
	}.Reaching("600", each <= 600), report.Row{
		What:     fmt.Sprintf("Connects by 64 at a time, %s", e.title()),
		Measured: report.Count(int(float64(others)/filled.Seconds())) + " a second",
	})
	err = fill(ctx, s.store, users*sz.ending, func(i int) sojourn.UserID { return sojourn.UserID(fmt.Sprint("many", i%users)) })
	if err != nil {
		return nil, err
	}
	var whole []time.Duration
	for i := range users {
		user := sojourn.UserID(fmt.Sprint("many", i))
		began := time.Now()
		if err := s.DisconnectAll(ctx, sojourn.OfUser(user)); err != nil {
			return nil, err
		}
		whole = append(whole, time.Since(began))
		if left, err := s.Sessions(ctx, user); err != nil || len(left) != 0 {
			return nil, fmt.Errorf("%d sessions are left: %w", len(left), err)
		}
	}
	counts, err := s.store.Count(ctx)
	if err != nil {
		return nil, err
	}
	if counts.Sessions != int64(others) {
		return nil, fmt.Errorf("%d sessions are left, want %d", counts.Sessions, others)
	}
	half := percentile(whole, 0.5)
	rows = append(rows, report.Row{
		What: fmt.Sprintf("DisconnectAll of %s sessions of one user among %s, %s", report.Count(sz.ending), report.Count(sz.sessions), e.title()),
		Measured: fmt.Sprintf("%s, at most %s of %d; with telling the other servers and dropping the browsers' state",
			report.Duration(half), report.Duration(percentile(whole, 1)), users),
	}.Reaching("one transaction or script; 50 ms", half <= 50*time.Millisecond))
	return rows, nil
}

// fill makes n sessions, by 64 callers.
func fill(ctx context.Context, store sojourn.Store, n int, user func(i int) sojourn.UserID) error {
	var next atomic.Int64
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for c := range errs {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n && errs[c] == nil; i = int(next.Add(1) - 1) {
				_, errs[c] = store.CreateSession(ctx, newSession(user(i), i), 0)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// newSession is a session as Connect makes it.
func newSession(user sojourn.UserID, i int) sojourn.StoredSession {
	var id [16]byte
	rand.Read(id[:])
	now := time.Now()
	s := sojourn.StoredSession{
		ID: sojourn.SessionID(base64.RawURLEncoding.EncodeToString(id[:])), User: user,
		OpenedAt: now, LastSeen: now, ExpiresAt: now.Add(90 * 24 * time.Hour), Deadline: now.Add(14 * 24 * time.Hour),
		UserAgent: cases.UserAgent(i), RemoteAddr: netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}),
	}
	rand.Read(s.Key[:])
	rand.Read(s.Browser[:])
	shard := sojourn.ShardOf(user)
	copy(s.Key[:], shard[:])
	return s
}

// bytes is what the engine holds of a site: of Redis its memory, of PostgreSQL
// the tables with their indexes.
func (e *engine) bytes(ctx context.Context, name string) (n int64, err error) {
	if e.redis == nil {
		err = e.pool.QueryRow(ctx, `select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
			from pg_class c join pg_namespace s on s.oid = c.relnamespace where s.nspname = $1 and c.relkind = 'r'`, name).Scan(&n)
		return n, err
	}
	return e.info(ctx, "memory", "used_memory:")
}

// info is one number of what Redis tells of itself.
func (e *engine) info(ctx context.Context, section, name string) (int64, error) {
	text, err := e.redis.Do(ctx, e.redis.B().Info().Section(section).Build()).ToString()
	if err != nil {
		return 0, err
	}
	lines := strings.Split(text, "\r\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name) })
	if i < 0 {
		return 0, fmt.Errorf("INFO says nothing of %s", name)
	}
	number, _, _ := strings.Cut(lines[i][len(name):], ",")
	return strconv.ParseInt(number, 10, 64)
}
