package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// Benchmark measures what a site's requests wait for. Each of its parts calls
// open once. Under -short the store holds 1,000 sessions beside those that are
// measured, otherwise 100,000.
func Benchmark(b *testing.B, open func(b *testing.B) sojourn.Store) {
	for _, m := range []struct {
		name string
		run  func(b *testing.B, s sojourn.Store)
	}{
		{"Session", benchSession},
		{"CreateSession/callers=1", benchCreate},
		{"CreateSession/callers=64", benchCreateParallel},
		{"EndSession", benchEnd},
		{"EndUser/sessions=10", benchEndUser},
		{"Value", benchValue},
		{"SetValue", benchSet},
	} {
		b.Run(m.name, func(b *testing.B) {
			s := open(b)
			defer s.Close()
			m.run(b, s)
		})
	}
}

func benchSession(b *testing.B, s sojourn.Store) {
	var keys []sojourn.Key
	for i := range 1000 {
		n := newSession(numbered(i))
		_, err := s.CreateSession(b.Context(), n, 0)
		fail(b, err)
		keys = append(keys, n.Key)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, err := s.Session(b.Context(), keys[i%len(keys)])
		fail(b, err)
		i++
	}
}

func benchCreate(b *testing.B, s sojourn.Store) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, err := s.CreateSession(b.Context(), newSession(numbered(i%1000)), 50)
		fail(b, err)
		i++
	}
}

func benchCreateParallel(b *testing.B, s sojourn.Store) {
	b.ReportAllocs()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if _, err := s.CreateSession(b.Context(), newSession(numbered(int(i)%1000)), 50); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d of %d failed", n, b.N)
	}
}

func benchEnd(b *testing.B, s sojourn.Store) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		n := newSession("ada")
		_, err := s.CreateSession(b.Context(), n, 0)
		fail(b, err)
		b.StartTimer()
		_, _, err = s.EndSession(b.Context(), n.Key, sojourn.EndDisconnect)
		fail(b, err)
	}
}

func benchEndUser(b *testing.B, s sojourn.Store) {
	fill(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		for range 10 {
			_, err := s.CreateSession(b.Context(), newSession("ada"), 0)
			fail(b, err)
		}
		b.StartTimer()
		ended, err := s.EndUser(b.Context(), "ada", sojourn.EndDisconnectAll)
		fail(b, err)
		if len(ended) != 10 {
			b.Fatalf("%d sessions ended, want 10", len(ended))
		}
	}
}

func benchValue(b *testing.B, s sojourn.Store) {
	key := own(ofUser("ada"), "cart")
	_, err := s.SetValue(b.Context(), key, sojourn.Write{Data: make([]byte, 200)})
	fail(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Value(b.Context(), key)
		fail(b, err)
	}
}

func benchSet(b *testing.B, s sojourn.Store) {
	key := own(ofUser("ada"), "cart")
	w := sojourn.Write{Data: make([]byte, 200)}
	b.ReportAllocs()
	for b.Loop() {
		var err error
		w.Version, err = s.SetValue(b.Context(), key, w)
		fail(b, err)
	}
}

// fill makes many sessions of other users.
func fill(b *testing.B, s sojourn.Store) {
	n := 100_000
	if testing.Short() {
		n = 1000
	}
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for c := range errs {
		wg.Go(func() {
			for i := c; i < n && errs[c] == nil; i += len(errs) {
				_, errs[c] = s.CreateSession(context.Background(), newSession(numbered(i/10)), 0)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(fmt.Errorf("filling the store: %w", err))
		}
	}
}

func numbered(i int) sojourn.UserID { return sojourn.UserID("user" + strconv.Itoa(i)) }

// fail fails the benchmark if there is an error.
func fail(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
