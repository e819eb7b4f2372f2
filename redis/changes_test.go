package redis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
)

// A site hears what a store's Changes tells.
type site struct {
	cancel   context.CancelFunc
	returned chan error
	mu       sync.Mutex
	heard    []sojourn.Change
}

// hear calls Changes and returns when it has begun to hear.
func hear(t *testing.T, s *redis.Store) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &site{cancel: cancel, returned: make(chan error, 1)}
	go func() {
		h.returned <- s.Changes(ctx, func(c sojourn.Change) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.heard = append(h.heard, c)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-h.returned
	})
	await(t, "the beginning", func() bool { return len(h.all()) > 0 || len(h.returned) > 0 })
	if c := h.all(); len(c) == 0 || c[0].Ended != nil || c[0].Message != nil {
		t.Fatalf("Changes began with %+v", c)
	}
	return h
}

func (h *site) all() []sojourn.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sojourn.Change{}, h.heard...)
}

// wantError waits for Changes to return an error of its own.
func (h *site) wantError(t *testing.T) {
	t.Helper()
	err := <-h.returned
	h.returned <- err
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Changes returned %v", err)
	}
}

const bound = 400 * time.Millisecond

// wantFreshUntil fails if answers may be used again at least bound after then;
// it returns when they may not.
func wantFreshUntil(t *testing.T, s *redis.Store, then time.Time) {
	t.Helper()
	await(t, "Fresh to be 0", func() bool {
		now := time.Now()
		fresh := s.Fresh()
		if fresh > 0 && now.Sub(then) >= bound {
			t.Fatalf("Fresh is %v, %v after", fresh, now.Sub(then))
		}
		return fresh == 0
	})
}

func awaitFresh(t *testing.T, s *redis.Store) {
	t.Helper()
	await(t, "Fresh", func() bool { return s.Fresh() == bound })
}

func TestWithoutMaxStalenessEveryRequestAsks(t *testing.T) {
	t.Parallel()
	s := open(t, testserver.Redis(t).URL())
	hear(t, s)
	if d := s.Fresh(); d != 0 {
		t.Errorf("Fresh is %v", d)
	}
}

func TestAnswersAreUsedAgainOnlyWhileChangesAreHeard(t *testing.T) {
	t.Parallel()
	s := open(t, testserver.Redis(t).URL(), redis.MaxStaleness(bound))
	if d := s.Fresh(); d != 0 {
		t.Errorf("before Changes, Fresh is %v", d)
	}
	h := hear(t, s)
	awaitFresh(t, s)
	h.cancel()
	h.returned <- <-h.returned
	if d := s.Fresh(); d != 0 {
		t.Errorf("after Changes, Fresh is %v", d)
	}
}

func TestConnectionsThatDieSilentlyEndTheCertaintyWithinTheBound(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	for _, what := range []string{"cut", "half-open"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, server.Addr())
			s := open(t, p.url(), redis.MaxStaleness(bound), redis.Timeout(3*time.Second))
			h := hear(t, s)
			awaitFresh(t, s)
			if what == "cut" {
				p.set(func() { p.refuses = true })
				p.cut()
			} else {
				p.set(func() { p.frozen = true })
			}
			wantFreshUntil(t, s, time.Now())
			h.wantError(t)
			if d := s.Fresh(); d != 0 {
				t.Errorf("after Changes, Fresh is %v", d)
			}
			p.set(func() { p.refuses, p.frozen = false, false })
			awaitAnswer(t, s)
			hear(t, s)
			awaitFresh(t, s)
		})
	}
}

func TestAnEndThatIsNotHeardEndsTheCertaintyWithinTheBound(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	p := newProxy(t, server.Addr())
	prefix := "site"
	here := openPrefix(t, p.url(), prefix, redis.MaxStaleness(bound))
	there := openPrefix(t, server.URL(), prefix)
	h := hear(t, here)
	n := newSession("ada")
	create(t, there, n)
	awaitFresh(t, here)
	p.set(func() { p.deaf = true })
	if _, _, err := there.EndSession(t.Context(), n.Key, sojourn.EndRevoked); err != nil {
		t.Fatal(err)
	}
	wantFreshUntil(t, here, time.Now())
	h.wantError(t)
	if c := h.all(); len(c) != 1 {
		t.Errorf("heard %+v", c)
	}
}

func TestAMissingMessageIsNoticed(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	c := client(t, server.URL())
	for name, lose := range map[string]func(t *testing.T, there *redis.Store, number string){
		"nothing follows": func(t *testing.T, _ *redis.Store, number string) {
			if err := c.Do(t.Context(), c.B().Incrby().Key(number).Increment(1000).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		},
		"another one follows": func(t *testing.T, there *redis.Store, number string) {
			if err := c.Do(t.Context(), c.B().Incrby().Key(number).Increment(1).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			if err := there.Publish(t.Context(), []byte("the one after")); err != nil {
				t.Fatal(err)
			}
		},
		"the engine has lost what was heard": func(t *testing.T, _ *redis.Store, number string) {
			if err := c.Do(t.Context(), c.B().Del().Key(number).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := name
			here, there := openPrefix(t, server.URL(), prefix), openPrefix(t, server.URL(), prefix)
			h := hear(t, here)
			if err := there.Publish(t.Context(), []byte("one")); err != nil {
				t.Fatal(err)
			}
			await(t, "the message", func() bool { return len(h.all()) == 2 })
			numbers := keys(t, c, prefix+"{*}q")
			if len(numbers) != 1 {
				t.Fatalf("numbers are in %q", numbers)
			}
			lose(t, there, numbers[0])
			h.wantError(t)
			if c := h.all(); len(c) != 2 || string(c[1].Message) != "one" {
				t.Errorf("heard %+v", c)
			}
		})
	}
}

func TestASiteThatDoesNotTakeWhatItHearsIsToldThatItMisses(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t).URL()
	here, there := openPrefix(t, url, "site"), openPrefix(t, url, "site")
	stuck := make(chan struct{})
	returned := make(chan error, 1)
	var once sync.Once
	var began atomic.Bool
	go func() {
		returned <- here.Changes(t.Context(), func(c sojourn.Change) {
			began.Store(true)
			if c.Message != nil {
				<-stuck
			}
		})
	}()
	t.Cleanup(func() { once.Do(func() { close(stuck) }) })
	await(t, "the beginning", began.Load)
	for range 5000 {
		if err := there.Publish(t.Context(), []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	once.Do(func() { close(stuck) })
	if err := <-returned; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Changes returned %v", err)
	}
}

func TestThreeServersTogetherKeepALimitAndReportEachEndOnce(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"single": testserver.Redis(t).URL(), "cluster": testserver.RedisCluster(t)[0]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit, each = 5, 20
			var servers []*redis.Store
			var sites []*site
			for range 3 {
				s := openPrefix(t, url, "site")
				servers, sites = append(servers, s), append(sites, hear(t, s))
			}
			var mu sync.Mutex
			returned := map[sojourn.Key]int{}
			var wg sync.WaitGroup
			for i := range 9 {
				wg.Go(func() {
					for range each {
						n := newSession("ada")
						n.Deadline = time.Now().Add(-time.Hour)
						ended, err := servers[i%3].CreateSession(t.Context(), n, limit)
						if err != nil {
							t.Error(err)
						}
						if i < 3 {
							more, _, err := servers[i].Expire(t.Context(), time.Now(), 2)
							if err != nil {
								t.Error(err)
							}
							ended = append(ended, more...)
						}
						mu.Lock()
						for _, e := range ended {
							returned[e.Key]++
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			left, err := servers[0].Sessions(t.Context(), "ada")
			if err != nil || len(left) > limit || len(left)+len(returned) != 9*each {
				t.Errorf("%d sessions are left and %d were returned as ended, %v; want %d in all", len(left), len(returned), err, 9*each)
			}
			for key, n := range returned {
				if n != 1 {
					t.Errorf("session %x was returned %d times", key, n)
				}
			}
			// Each end was heard by the two servers that did not do it.
			told := map[sojourn.Key]int{}
			await(t, "all ends", func() bool {
				clear(told)
				total := 0
				for _, h := range sites {
					for _, c := range h.all() {
						if c.Ended != nil {
							told[c.Ended.Key]++
							total++
						}
					}
				}
				return total >= 2*len(returned)
			})
			for key, n := range told {
				if n != 2 || returned[key] != 1 {
					t.Errorf("the end of %x was told %d times", key, n)
				}
			}
		})
	}
}
