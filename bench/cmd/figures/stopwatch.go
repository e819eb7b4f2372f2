package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/cases"
)

// stopwatch is a cases.Clock that goes round n times.
type stopwatch struct {
	n, i    int
	began   time.Time
	elapsed time.Duration
	running bool
	mallocs uint64
	stats   runtime.MemStats
}

func (s *stopwatch) Loop() bool {
	if s.i > 0 && s.i < s.n {
		s.i++
		return true
	}
	if s.i == 0 {
		runtime.ReadMemStats(&s.stats)
		s.mallocs = s.stats.Mallocs
		s.i++
		s.StartTimer()
		return true
	}
	s.StopTimer()
	runtime.ReadMemStats(&s.stats)
	s.mallocs = s.stats.Mallocs - s.mallocs
	return false
}

func (s *stopwatch) StartTimer() {
	if !s.running {
		s.running, s.began = true, time.Now()
	}
}

func (s *stopwatch) StopTimer() {
	if s.running {
		s.running = false
		s.elapsed += time.Since(s.began)
	}
}

// reading is one round of one Case.
type reading struct {
	ns     float64 // a time round
	allocs float64 // a time round; of the untimed part too
}

func take(c cases.Case, n int) (reading, error) {
	runtime.GC()
	s := &stopwatch{n: n}
	if err := c.Run(s); err != nil {
		return reading{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	if s.i != n || s.running {
		return reading{}, fmt.Errorf("%s: stopped after %d of %d rounds", c.Name, s.i, n)
	}
	return reading{float64(s.elapsed.Nanoseconds()) / float64(n), float64(s.mallocs) / float64(n)}, nil
}

// readings are the rounds of every Case of a set, by name.
type readings map[string][]reading

// side by side: in every round each Case runs for about d, in an order that
// turns, so that what disturbs one round disturbs all of them.
func side(ctx context.Context, set []cases.Case, rounds int, d time.Duration) (readings, error) {
	times := make([]int, len(set))
	for i, c := range set {
		for n := 1; ; {
			r, err := take(c, n)
			if err != nil {
				return nil, err
			}
			if total := r.ns * float64(n); total < float64(d)/4 && n < 100_000_000 {
				n = max(n+1, int(min(float64(n)*100, float64(n)*float64(d)/3/max(total, 1))))
				continue
			}
			times[i] = max(1, int(float64(d)/max(r.ns, 0.1)))
			break
		}
	}
	all := readings{}
	for round := range rounds {
		for j := range set {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (j + round) % len(set)
			r, err := take(set[i], times[i])
			if err != nil {
				return nil, err
			}
			all[set[i].Name] = append(all[set[i].Name], r)
		}
	}
	return all, nil
}

// ns is the median time of a Case.
func (r readings) ns(name string) float64 {
	return median(each(r[name], func(x reading) float64 { return x.ns }))
}

// allocs is the median number of allocations of a Case.
func (r readings) allocs(name string) float64 {
	return median(each(r[name], func(x reading) float64 { return x.allocs }))
}

// over is the median, over the rounds, of how much longer name took than base.
func (r readings) over(name, base string) float64 {
	d := make([]float64, len(r[name]))
	for i := range d {
		d[i] = r[name][i].ns - r[base][i].ns
	}
	return median(d)
}

// ratio is the median, over the rounds, of how many times as long name took as
// base.
func (r readings) ratio(name, base string) float64 {
	d := make([]float64, len(r[name]))
	for i := range d {
		d[i] = r[name][i].ns / r[base][i].ns
	}
	return median(d)
}

func (r readings) moreAllocs(name, base string) float64 { return r.allocs(name) - r.allocs(base) }

func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// median is 0 for no values.
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
