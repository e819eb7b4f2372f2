package sqlite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// mostAtOnce is how many operations share a transaction at the most, so that
// the first of them need not wait for too many others.
const mostAtOnce = 256

// durability says when an operation's answer may be given.
type durability string

const (
	durable durability = "full"   // when it is on the disk
	lazy    durability = "normal" // when the system has it
)

// writer is the one goroutine that writes. It commits at once when an
// operation comes; those that come during a commit share the next one.
type writer struct {
	conn *conn
	now  durability // what the connection is set to

	mu      sync.Mutex
	queue   []*operation
	stopped bool
	news    chan struct{} // the queue or stopped changed
	done    chan struct{} // the goroutine returned
}

type operation struct {
	durability durability
	run        func(c *conn) error // may run more than once
	taken      atomic.Bool         // by the writer, or back by its caller
	result     chan error          // has room for it
}

// newWriter is a writer over a connection, which it closes when it stops.
func newWriter(c *conn) *writer {
	return &writer{conn: c, news: make(chan struct{}, 1)}
}

func (w *writer) start() {
	w.done = make(chan struct{})
	go w.loop()
}

// stop waits for what is in the queue, and closes the connection.
func (w *writer) stop() error {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	var err error
	if w.done != nil {
		w.wake()
		<-w.done
		err = w.conn.pragmas([]string{"wal_checkpoint(truncate)"})
	}
	return errors.Join(err, w.conn.close())
}

// do runs an operation in a transaction and returns its error, or why it could
// not be committed. While it waits for its turn it heeds ctx; once its turn
// has come it tells how it went.
func (w *writer) do(ctx context.Context, d durability, run func(c *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := &operation{durability: d, run: run, result: make(chan error, 1)}
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return errClosed
	}
	w.queue = append(w.queue, op)
	w.mu.Unlock()
	w.wake()
	select {
	case err := <-op.result:
		return err
	case <-ctx.Done():
		if op.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-op.result
	}
}

func (w *writer) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		ops, stopped := w.take()
		switch {
		case len(ops) > 0:
			w.commit(ops)
		case stopped:
			return
		default:
			<-w.news
		}
	}
}

// take takes the first operations of the queue.
func (w *writer) take() (ops []*operation, stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for ; n < len(w.queue) && len(ops) < mostAtOnce; n++ {
		if op := w.queue[n]; op.taken.CompareAndSwap(false, true) {
			ops = append(ops, op)
		}
	}
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	return ops, w.stopped
}

// commit runs operations in one transaction and answers them. If it fails,
// each has one of its own, so that none fails for another.
func (w *writer) commit(ops []*operation) {
	if err := w.begin(ops); err != nil {
		for _, op := range ops {
			op.result <- err
		}
		return
	}
	results, err := w.finish(ops)
	switch {
	case err == nil:
		for i, op := range ops {
			op.result <- results[i]
		}
	case len(ops) == 1:
		ops[0].result <- err
	default:
		for _, op := range ops {
			w.commit([]*operation{op})
		}
	}
}

func (w *writer) begin(ops []*operation) error {
	if err := w.setDurability(ops); err != nil {
		return err
	}
	_, err := w.conn.exec("BEGIN IMMEDIATE")
	return err
}

// finish runs operations in the transaction that has begun, and ends it. An
// operation that fails is undone, and the others are not; an error says that
// all are.
func (w *writer) finish(ops []*operation) (results []error, err error) {
	defer func() {
		if err != nil {
			w.conn.exec("ROLLBACK") // which SQLite may have done already
		}
	}()
	for _, op := range ops {
		result, err := w.savepoint(op)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	_, err = w.conn.exec("COMMIT")
	return results, err
}

// savepoint runs one operation of a transaction, and undoes it if it fails. An
// error says that the whole transaction is lost.
func (w *writer) savepoint(op *operation) (result, err error) {
	if _, err := w.conn.exec("SAVEPOINT operation"); err != nil {
		return nil, err
	}
	if result = op.run(w.conn); result != nil {
		if _, err := w.conn.exec("ROLLBACK TO operation"); err != nil {
			return nil, result // which SQLite answered by undoing everything
		}
	}
	_, err = w.conn.exec("RELEASE operation")
	return result, err
}

// setDurability makes the next commit wait for the disk, if one of the
// operations has to.
func (w *writer) setDurability(ops []*operation) error {
	want := lazy
	for _, op := range ops {
		if op.durability == durable {
			want = durable
			break
		}
	}
	if want == w.now {
		return nil
	}
	if err := w.conn.pragmas([]string{"synchronous = " + string(want)}); err != nil {
		return err
	}
	w.now = want
	return nil
}
