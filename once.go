package sojourn

import (
	"context"
	"errors"
	"sync"
)

// Which request-level actions have fired: bits of request.fired. The stage is
// connected-request or unconnected-request. What fired for nobody because of
// ForceUnconnected does not count for whoever makes the request: a user whom no
// action has seen is let in nowhere.
const (
	firedRequest = 1 << iota
	firedStage
	firedForcedRequest // firedRequest * firedForced
	firedForcedStage
	firedDenied

	firedForced = firedForcedRequest / firedRequest
)

// actionRun is one run of request-level actions.
type actionRun struct {
	ended chan struct{}
	err   error // how they failed; to be read when they have ended
}

var errActionPanicked = errors.New("sojourn: an action of this request panicked")

// unseen reports whether a user's actions have yet to fire.
func (q *request) unseen(user UserID) bool {
	const own = firedRequest | firedStage
	return user != Nobody && q.fired.Load()&own != own
}

// firing is the bit that counts for a guard that asks as user: what, which is
// firedRequest or firedStage, or the same for a forced nobody.
func (q *request) firing(what uint32, user UserID) uint32 {
	fired := q.fired.Load()
	nobodys := q.identified.Load() && q.sess.Load() == nil
	if user == Nobody && fired&what == 0 && (fired&(what*firedForced) != 0 || !nobodys) {
		return what * firedForced
	}
	return what
}

// once runs request-level actions, if there are some, unless they ran in this
// request; a guard beside the one that runs them waits for it, one inside them
// does not. If they failed, no guard of the request lets anybody in any more.
func (q *request) once(ctx context.Context, bit uint32, some bool, f func(context.Context) error) error {
	if !some {
		if q.fired.Load()&bit == 0 {
			q.fired.Or(bit)
		}
		return nil
	}
	q.mu.Lock()
	first := q.fired.Or(bit)&bit == 0
	if first {
		if q.runs == nil {
			q.runs = make(map[uint32]*actionRun)
		}
		q.runs[bit] = &actionRun{make(chan struct{}), errActionPanicked}
	}
	run := q.runs[bit]
	q.mu.Unlock()
	switch {
	case run == nil: // there was nothing to run then
		return nil
	case first:
		defer close(run.ended)
		run.err = f(within(ctx, run))
		return run.err
	}
	select {
	case <-run.ended:
		return run.err
	default:
	}
	if inside(ctx, run) {
		return nil
	}
	select {
	case <-run.ended:
		return run.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// insideOf marks the context of actions by what they belong to: a guard inside
// them does not wait for their end.
type insideOf struct{ what any }

func within(ctx context.Context, what any) context.Context {
	return context.WithValue(ctx, insideOf{what}, true)
}

func inside(ctx context.Context, what any) bool { return ctx.Value(insideOf{what}) != nil }

// onceTable runs the starting actions of a session or tab in one request at a
// time: the others wait, and run them themselves if they failed.
type onceTable struct {
	mu sync.Mutex
	m  map[any]chan struct{}
}

// begin makes others wait for a key until end is called. If somebody else has
// begun, end is nil and running is closed when that one ends.
func (o *onceTable) begin(key any) (running chan struct{}, end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running, ok := o.m[key]; ok {
		return running, nil
	}
	if o.m == nil {
		o.m = make(map[any]chan struct{})
	}
	running = make(chan struct{})
	o.m[key] = running
	return running, func() {
		o.mu.Lock()
		delete(o.m, key)
		o.mu.Unlock()
		close(running)
	}
}

// do runs f unless done, or unless somebody else runs it for the same key and
// it is done then.
func (o *onceTable) do(ctx context.Context, key any, done func() bool, f func() error) error {
	for !done() {
		running, end := o.begin(key)
		if end != nil {
			defer end()
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
