package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
)

func TestAReplicaTakesOverWhenTheEngineDies(t *testing.T) {
	t.Parallel()
	url, master, replica, takeOver := testserver.RedisSentinel(t)
	s := open(t, url, redis.MaxStaleness(bound), redis.Timeout(5*time.Second))
	kept, gone := newSession("ada"), newSession("ada")
	create(t, s, kept, gone)
	if _, _, err := s.EndSession(t.Context(), gone.Key, sojourn.EndRevoked); err != nil {
		t.Fatal(err)
	}
	h := hear(t, s)
	awaitFresh(t, s)
	// The replica has it all before the engine dies: otherwise it may be lost.
	c := client(t, master.URL())
	if n, err := c.Do(t.Context(), c.B().Wait().Numreplicas(1).Timeout(10_000).Build()).AsInt64(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	master.Kill()
	takeOver()
	h.wantError(t)
	await(t, "the replica to take over", func() bool {
		_, err := s.CreateSession(t.Context(), newSession("bob"), 0)
		return err == nil
	})
	if _, err := s.Session(t.Context(), kept.Key); err != nil {
		t.Errorf("the session that did not end: %v", err)
	}
	if _, err := s.Session(t.Context(), gone.Key); !errors.Is(err, sojourn.ErrNotFound) {
		t.Errorf("the session that ended: %v", err)
	}
	if info, err := replica.Command("ROLE"); err != nil || info != "*3" { // of a master
		t.Errorf("the replica's role is %q, %v", info, err)
	}
	hear(t, s)
	awaitFresh(t, s)
}

func TestAClusterWithoutANodeIsUnavailableAndResumesByItself(t *testing.T) {
	t.Parallel()
	nodes := testserver.NewRedisCluster(t, "--appendonly", "yes")
	s := open(t, nodes[0].URL(), redis.Timeout(5*time.Second))
	users := map[string]sojourn.StoredSession{}
	for _, user := range []string{"ada", "bob", "eve", "joe", "kim", "lea", "max", "sue", "tom", "zoe"} {
		users[user] = newSession(sojourn.UserID(user))
		create(t, s, users[user])
	}
	nodes[1].Stop()
	away := 0
	for _, n := range users {
		switch _, err := s.Session(t.Context(), n.Key); {
		case errors.Is(err, sojourn.ErrUnavailable):
			away++
		case err != nil:
			t.Errorf("with a node away: %v", err)
		}
	}
	if away == 0 {
		t.Error("every session was found, with a node away")
	}
	if _, err := s.Count(context.Background()); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Count with a node away: %v", err)
	}
	nodes[1].Start()
	for user, n := range users {
		await(t, "the session of "+user, func() bool {
			_, err := s.Session(t.Context(), n.Key)
			return err == nil
		})
	}
}
