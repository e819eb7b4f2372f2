package sojourn

import (
	"context"
	"sync"
)

// onceTable runs the starting actions of a session or tab in one request at a
// time: the others wait, and run them themselves if they failed.
type onceTable struct {
	mu sync.Mutex
	m  map[any]chan struct{}
}

// do runs f unless done, or unless somebody else runs it for the same key and
// it is done then.
func (o *onceTable) do(ctx context.Context, key any, done func() bool, f func() error) error {
	for !done() {
		o.mu.Lock()
		running, ok := o.m[key]
		if !ok {
			if o.m == nil {
				o.m = make(map[any]chan struct{})
			}
			running = make(chan struct{})
			o.m[key] = running
		}
		o.mu.Unlock()
		if !ok {
			defer func() {
				o.mu.Lock()
				delete(o.m, key)
				o.mu.Unlock()
				close(running)
			}()
			if done() { // it ended between the two questions
				return nil
			}
			return f()
		}
		select {
		case <-running:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
