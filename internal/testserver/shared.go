package testserver

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// SharedRedis is a private Redis server that all tests of the program share; a
// test takes a prefix of its own. It keeps nothing on the disk. It ends by
// StopRedis.
func SharedRedis(t testing.TB) *RedisServer {
	t.Helper()
	sharedRedis.Lock()
	defer sharedRedis.Unlock()
	if sharedRedis.server == nil {
		life := &program{TB: t}
		defer func() {
			if sharedRedis.server == nil {
				_ = life.end() // the test says why there is none
			}
		}()
		sharedRedis.server = Redis(life)
		sharedRedis.life = life
	}
	return sharedRedis.server
}

// StopRedis ends the server of SharedRedis, if there is one, and removes its
// files: a TestMain calls it last.
func StopRedis() error {
	sharedRedis.Lock()
	defer sharedRedis.Unlock()
	if sharedRedis.server == nil {
		return nil
	}
	sharedRedis.server = nil
	return sharedRedis.life.end()
}

var sharedRedis struct {
	sync.Mutex
	server *RedisServer
	life   *program
}

// program stands in for a test whose end is that of the program.
type program struct {
	testing.TB
	cleanups []func() error
}

func (p *program) Cleanup(f func()) {
	p.cleanups = append(p.cleanups, func() error {
		f()
		return nil
	})
}

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "sojourn-redis-")
	if err != nil {
		p.Fatal(err)
	}
	p.cleanups = append(p.cleanups, func() error { return os.RemoveAll(dir) })
	return dir
}

func (p *program) end() (err error) {
	for i := range p.cleanups {
		if failed := p.cleanups[len(p.cleanups)-1-i](); failed != nil {
			err = errors.Join(err, fmt.Errorf("testserver: %w", failed))
		}
	}
	return err
}
