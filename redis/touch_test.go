package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
)

// A Touch is a script call for every 128 touches on one node, and on a cluster
// one for each part of the store that they are in: few, if what it touches lies
// together.
func TestTouchIsFewScriptCalls(t *testing.T) {
	t.Parallel()
	const touches = 400
	for _, kind := range []string{"single", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var nodes []*testserver.RedisServer
			if kind == "cluster" {
				nodes = testserver.NewRedisCluster(t)
			} else {
				nodes = []*testserver.RedisServer{testserver.Redis(t)}
			}
			s := open(t, nodes[0].URL())
			for _, together := range []bool{false, true} {
				parts := make(map[byte]bool)
				var list []sojourn.Touch
				for i := 0; len(list) < touches; i++ {
					n := newSession(sojourn.UserID(fmt.Sprint("user", i)))
					if together && n.Key[0] >= 10 {
						continue
					}
					create(t, s, n)
					parts[n.Key[0]] = true
					list = append(list, sojourn.Touch{
						Owner:    sojourn.Owner{Kind: sojourn.OwnerSession, Key: n.Key},
						LastSeen: n.LastSeen.Add(time.Minute), Deadline: n.Deadline.Add(time.Minute),
					})
				}
				if err := s.Touch(t.Context(), list[:1]); err != nil { // now the engine knows the script, or one node of it
					t.Fatal(err)
				}
				scripts, all := commandCalls(t, nodes)
				if err := s.Touch(t.Context(), list); err != nil {
					t.Fatal(err)
				}
				after, afterAll := commandCalls(t, nodes)
				want := len(parts) + 2*len(nodes) // nodes may not know the script
				if kind == "single" {
					want = (touches + 127) / 128
				}
				t.Logf("%s, together %t: %d touches in %d parts are %d script calls, which run %d commands",
					kind, together, touches, len(parts), after-scripts, afterAll-all-(after-scripts))
				if n := after - scripts; n > want && together || n == 0 {
					t.Errorf("%d script calls, want at most %d", n, want)
				}
			}
		})
	}
}

// commandCalls is how many scripts nodes have run, and commands in all, those
// of scripts among them.
func commandCalls(t *testing.T, nodes []*testserver.RedisServer) (scripts, all int) {
	t.Helper()
	for _, node := range nodes {
		info, err := node.Command("INFO", "commandstats")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(info) {
			name, rest, found := strings.Cut(line, ":calls=")
			text, _, _ := strings.Cut(rest, ",")
			n, err := strconv.Atoi(text)
			if !found || err != nil {
				continue
			}
			all += n
			if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
				scripts += n
			}
		}
	}
	return scripts, all
}
