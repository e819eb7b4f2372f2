package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/sojourn-go/sojourn"
)

// touchesAtOnce bounds how long one statement takes.
const touchesAtOnce = 5000

// Touch implements sojourn.Store.
func (s *Store) Touch(ctx context.Context, touches []sojourn.Touch) error {
	b := newTouchBatch(touches)
	if b.empty() {
		return s.ready(ctx)
	}
	for !b.empty() {
		args := b.take(touchesAtOnce)
		err := s.do(ctx, "touching", writes, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, s.sql.touch, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// touchBatch is what a Touch moves: each thing once.
type touchBatch struct {
	sessions, browsers, tabs []touch
}

type touch struct {
	owner, tab          []byte // of a session or browser the key only
	seen, deadline, due int64
}

func newTouchBatch(touches []sojourn.Touch) *touchBatch {
	var b touchBatch
	for i := range touches {
		t := &touches[i]
		seen, deadline := t.LastSeen.UnixMilli(), deadlineOf(t.Deadline)
		n := touch{owner: t.Owner.Key[:], seen: seen, deadline: deadline, due: dueOf(seen, deadline)}
		switch {
		case t.Tab != "":
			var ok bool
			if n.owner, ok = ownerOf(t.Owner); ok {
				n.tab, _ = tabOf(t.Tab)
				n.due = dueOf(deadline-tabSpan, deadline)
				b.tabs = append(b.tabs, n)
			}
		case t.Owner.Kind == sojourn.OwnerSession:
			b.sessions = append(b.sessions, n)
		case t.Owner.Kind == sojourn.OwnerBrowser:
			b.browsers = append(b.browsers, n)
		}
	}
	b.sessions, b.browsers, b.tabs = onceEach(b.sessions), onceEach(b.browsers), onceEach(b.tabs)
	return &b
}

// onceEach merges the touches of one thing: each of its times is the latest.
func onceEach(all []touch) []touch {
	slices.SortFunc(all, func(a, b touch) int {
		if c := bytes.Compare(a.owner, b.owner); c != 0 {
			return c
		}
		return bytes.Compare(a.tab, b.tab)
	})
	once := all[:0]
	for _, t := range all {
		if n := len(once) - 1; n >= 0 && bytes.Equal(once[n].owner, t.owner) && bytes.Equal(once[n].tab, t.tab) {
			last := &once[n]
			last.seen = max(last.seen, t.seen)
			if t.deadline > last.deadline {
				last.deadline, last.due = t.deadline, t.due
			}
			continue
		}
		once = append(once, t)
	}
	return once
}

func (b *touchBatch) empty() bool { return len(b.sessions)+len(b.browsers)+len(b.tabs) == 0 }

// take takes n of each out of the batch, as the arguments of the statement.
func (b *touchBatch) take(n int) []any {
	var args []any
	for _, all := range []*[]touch{&b.sessions, &b.browsers, &b.tabs} {
		some := (*all)[:min(n, len(*all))]
		*all = (*all)[len(some):]
		owners, tabs := make([][]byte, len(some)), make([][]byte, len(some))
		seen, deadline, due := make([]int64, len(some)), make([]int64, len(some)), make([]int64, len(some))
		for i, t := range some {
			owners[i], tabs[i], seen[i], deadline[i], due[i] = t.owner, t.tab, t.seen, t.deadline, t.due
		}
		if all == &b.tabs {
			args = append(args, owners, tabs, deadline, due)
		} else {
			args = append(args, owners, seen, deadline, due)
		}
	}
	return args
}
