package redis_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
	"github.com/sojourn-go/sojourn/storetest"
)

// What the engine gets is its memory only: the disk is not what is measured.
func BenchmarkStore(b *testing.B) {
	url := testserver.Redis(b).URL()
	storetest.Benchmark(b, func(b *testing.B) sojourn.Store { return open(b, url) })
}

// BenchmarkSessionBesideGET is Store.Session, beside a bare GET of as many
// bytes by a client of its own as its maker sets it, and beside one set as the
// store's.
func BenchmarkSessionBesideGET(b *testing.B) {
	url := testserver.Redis(b).URL()
	b.Run("Session", func(b *testing.B) {
		s := open(b, url)
		n := realSession(1)
		if _, err := s.CreateSession(b.Context(), n, 0); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Session(b.Context(), n.Key); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, always := range []bool{false, true} {
		b.Run(fmt.Sprintf("GET/pipelining=%t", always), func(b *testing.B) {
			options := rueidis.MustParseURL(url)
			options.DisableCache, options.AlwaysPipelining = true, always
			c, err := rueidis.NewClient(options)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			key := strings.Repeat("k", 46)
			if err := c.Do(b.Context(), c.B().Set().Key(key).Value(strings.Repeat("v", 230)).Build()).Error(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Do(b.Context(), c.B().Get().Key(key).Build()).ToString(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEndUserOf1000 ends 1,000 sessions of one user among others.
func BenchmarkEndUserOf1000(b *testing.B) {
	s := open(b, testserver.Redis(b).URL())
	fill(b, s, 20_000)
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		for range 1000 {
			n := realSession(0)
			n.User = "ada"
			n.Key = keyOf("ada")
			if _, err := s.CreateSession(b.Context(), n, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if ended, err := s.EndUser(b.Context(), "ada", sojourn.EndDisconnectAll); err != nil || len(ended) != 1000 {
			b.Fatal(len(ended), err)
		}
	}
}

// BenchmarkMemory reports how many bytes the engine uses for each of 100,000
// sessions, of as many users, as a browser of today makes them.
func BenchmarkMemory(b *testing.B) {
	sessions := 100_000
	for b.Loop() {
		server := testserver.Redis(b)
		s := openPrefix(b, server.URL(), "sojourn")
		before := usedMemory(b, server)
		fill(b, s, sessions)
		b.ReportMetric(float64(usedMemory(b, server)-before)/float64(sessions), "bytes/session")
		b.ReportMetric(0, "ns/op")
		s.Close()
		server.Stop()
	}
}

func usedMemory(b *testing.B, s *testserver.RedisServer) int {
	b.Helper()
	info, err := s.Command("INFO", "memory")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// fill makes sessions of as many users.
func fill(b *testing.B, s *redis.Store, n int) {
	b.Helper()
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for c := range errs {
		wg.Go(func() {
			for i := c; i < n && errs[c] == nil; i += len(errs) {
				_, errs[c] = s.CreateSession(b.Context(), realSession(i), 10)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// realSession is a session of a numbered user, as large as they are.
func realSession(i int) sojourn.StoredSession {
	user := sojourn.UserID(strconv.Itoa(1_000_000 + i))
	var id [16]byte
	rand.Read(id[:])
	now := time.Now()
	n := sojourn.StoredSession{
		Key: keyOf(user), ID: sojourn.SessionID(base64.RawURLEncoding.EncodeToString(id[:])), User: user,
		OpenedAt: now, LastSeen: now, ExpiresAt: now.Add(90 * 24 * time.Hour), Deadline: now.Add(14 * 24 * time.Hour),
		UserAgent:  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		RemoteAddr: netip.MustParseAddr("192.0.2.1"),
	}
	rand.Read(n.Browser[:])
	return n
}

// keyOf is a new key in the shard of a user.
func keyOf(user sojourn.UserID) (k sojourn.Key) {
	rand.Read(k[:])
	shard := sojourn.ShardOf(user)
	copy(k[:], shard[:])
	return k
}
