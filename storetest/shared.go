package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	changes   = "Changes calls f for what other servers do: every session they end or that ends there, and every message they publish, one at a time."
	begins    = "It calls f with the zero Change first, as soon as from then on nothing is missed"
	published = "Publish sends a message to every other server of the site: it comes out of their Changes."
)

// RunShared tests what the contract says of a store that several servers
// share. Each of its subtests calls open once, for two handles of one empty
// store, as two servers have them, and runs in parallel with the others; both
// are closed when the subtest ends. Call Run as well.
func RunShared(t *testing.T, open func(t *testing.T) (a, b sojourn.Store)) {
	for _, e := range sharedExercises {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			t.Cleanup(func() { a.Close() })
			t.Cleanup(func() { b.Close() })
			e.run(&pair{a: &check{T: t, Store: a, promise: e.promise}, b: &check{T: t, Store: b, promise: e.promise}})
		})
	}
}

// pair are two servers of one site.
type pair struct{ a, b *check }

var sharedExercises = []struct {
	name    string
	promise string
	run     func(p *pair)
}{
	{
		"what one server writes the other reads",
		"Every method may be called from any goroutine at any time until Close.",
		func(p *pair) {
			s := newSession("ada")
			p.a.create(s, 0)
			p.b.wantSession(s)
			br := p.b.browser(newBrowser(), 0)
			p.a.wantBrowser(br)
			p.b.set(own(ofSession(s), "cart"), "1")
			p.a.wantValue(own(ofSession(s), "cart"), "1")
			p.b.end(s, 0)
			p.a.wantNoSession(s.Key)
			p.a.wantNoValue(own(ofSession(s), "cart"))
		},
	},
	{
		"two servers together keep a user's limit",
		"whoever calls in parallel, no more than limit sessions remain",
		func(p *pair) {
			const limit = 5
			made := make([][]sojourn.StoredSession, callers)
			ended := make([][]sojourn.StoredSession, callers)
			p.a.inParallel(func(i int) error {
				for range 10 {
					s := newSession("ada")
					evicted, err := []*check{p.a, p.b}[i%2].CreateSession(p.a.Context(), s, limit)
					if err != nil {
						return err
					}
					made[i] = append(made[i], s)
					ended[i] = append(ended[i], evicted...)
				}
				return nil
			})
			list, err := p.b.Sessions(p.b.Context(), "ada")
			p.b.must(err, "Sessions")
			if len(list) != limit {
				p.b.broken("%d sessions are left, want %d", len(list), limit)
			}
			p.a.eachOnce(made, append(ended, list))
		},
	},
	{
		"every end on another server is reported once, with its reason and how many are left",
		changes,
		func(p *pair) {
			l := p.listen(p.b, p.a)
			a, ctx := p.a, p.a.Context()
			s := a.sessionsOf("ada", 6)
			a.end(s[0], 5)
			l.want(change{s[0], sojourn.EndRevoked, 5})

			_, _, err := a.EndSession(ctx, s[0].Key, sojourn.EndRevoked)
			a.must(err, "EndSession of an ended session")
			last := seenAt(newSession("ada"), epoch.Add(time.Hour))
			a.wantEnded(a.create(last, 5), s[1])
			l.want(change{s[1], sojourn.EndEvicted, 5})

			late := newSession("bob")
			late.Deadline = epoch
			a.create(late, 0)
			a.wantExpired(epoch, 10, false, late)
			l.want(change{late, sojourn.EndExpired, 0})

			ended, err := a.EndUser(ctx, "ada", sojourn.EndDisconnectAll, last.Key)
			a.must(err, "EndUser")
			a.wantEnded(ended, s[2:]...)
			var want []change
			for _, e := range s[2:] {
				want = append(want, change{e, sojourn.EndDisconnectAll, 1})
			}
			l.want(want...)
			a.end(last, 0)
			l.want(change{last, sojourn.EndRevoked, 0})
			l.wantNothingMore()
		},
	},
	{
		"messages arrive in order, as they were published",
		published,
		func(p *pair) {
			l := p.listen(p.b, p.a)
			var want []string
			for i := range 50 {
				want = append(want, fmt.Sprintf("message %d\x00\xff'", i))
			}
			want = append(want, "", string(make([]byte, 6000)))
			for _, m := range want {
				p.a.must(p.a.Publish(p.a.Context(), []byte(m)), "Publish")
			}
			l.wait(func() bool { return len(l.messages) >= len(want) })
			l.mu.Lock()
			defer l.mu.Unlock()
			if !slices.Equal(l.messages, want) {
				l.x.broken("messages arrived:\n\t%.2000q\nwant\n\t%.2000q", l.messages, want)
			}
		},
	},
	{
		"Changes says first that it hears",
		begins,
		func(p *pair) {
			l := p.listen(p.b, p.a)
			p.a.must(p.a.Publish(p.a.Context(), []byte("first")), "Publish")
			l.wait(func() bool { return len(l.messages) > 0 })
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.early || l.messages[0] != "first" {
				l.x.broken("arrived before anything was said or done: %.1000q", l.messages)
			}
		},
	},
	{
		"a server is not told what it does itself",
		changes,
		func(p *pair) {
			l := p.listen(p.a, p.b)
			s := p.a.sessionsOf("ada", 3)
			p.a.must(p.a.Publish(p.a.Context(), []byte("own")), "Publish")
			p.a.end(s[0], 2)
			_, err := p.a.EndUser(p.a.Context(), "ada", sojourn.EndDisconnectAll)
			p.a.must(err, "EndUser")
			l.wantNothingMore()
		},
	},
	{
		"f is called one at a time, for both kinds of change",
		"one at a time",
		func(p *pair) {
			l := p.listen(p.b, p.a)
			p.a.inParallel(func(i int) error {
				user := sojourn.UserID(fmt.Sprint("user", i))
				for range 5 {
					s := newSession(user)
					if _, err := p.a.CreateSession(p.a.Context(), s, 0); err != nil {
						return err
					}
					if err := p.a.Publish(p.a.Context(), []byte("hello")); err != nil {
						return err
					}
					if _, _, err := p.a.EndSession(p.a.Context(), s.Key, sojourn.EndDisconnect); err != nil {
						return err
					}
				}
				return nil
			})
			l.wait(func() bool { return len(l.ended) >= 5*callers && len(l.messages) >= 5*callers })
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.ended) != 5*callers || len(l.messages) != 5*callers || l.overlapped {
				l.x.broken("%d ends and %d messages arrived, want %d of each; two at a time: %t",
					len(l.ended), len(l.messages), 5*callers, l.overlapped)
			}
		},
	},
	{
		"Changes of a shared store returns when its context is done",
		"It returns when ctx is done, with its error.",
		func(p *pair) {
			l := p.listen(p.b, p.a)
			l.cancel()
			if err := <-l.returned; !errors.Is(err, context.Canceled) {
				p.b.broken("Changes returned %v, want %v", err, context.Canceled)
			}
			l.returned <- nil
			p.b.must(p.b.Publish(p.b.Context(), []byte("still open")), "Publish")
		},
	},
}

// change is a session's end as it is to be reported.
type change struct {
	session sojourn.StoredSession
	reason  sojourn.EndReason
	left    int
}

// listener collects the changes that one server is told of.
type listener struct {
	x        *check // whose Changes it calls
	other    *check
	cancel   context.CancelFunc
	returned chan error
	news     chan struct{} // something arrived

	mu         sync.Mutex
	busy       bool
	begun      bool // the zero Change came
	early      bool // something came before it
	overlapped bool
	ended      []sojourn.Change
	messages   []string
	marks      int
}

// patience is how long a change may take to arrive.
var patience = 20 * time.Second

// mark is a message by which a listener knows that it has been told everything.
const mark = "storetest: that was all"

// listen calls x.Changes, and returns when that says that what other does will
// arrive.
func (p *pair) listen(x, other *check) *listener {
	x.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{x: x, other: other, cancel: cancel, returned: make(chan error, 1), news: make(chan struct{}, 1)}
	go func() { l.returned <- x.Changes(ctx, l.receive) }()
	x.Cleanup(func() {
		cancel()
		<-l.returned
	})
	select {
	case <-l.news:
	case err := <-l.returned:
		l.returned <- err
		x.broken("Changes returned %v before its context was done", err)
	case <-time.After(patience):
		x.broken("Changes called f for nothing in %v", patience)
	}
	return l
}

// receive is the f of Changes.
func (l *listener) receive(c sojourn.Change) {
	l.mu.Lock()
	l.overlapped = l.overlapped || l.busy
	l.busy = true
	l.mu.Unlock()
	runtime.Gosched() // lets another call in, which there must not be
	l.mu.Lock()
	switch {
	case c.Ended == nil && c.Message == nil:
		l.begun = true
	case !l.begun:
		l.early = true
	}
	switch {
	case c.Ended != nil:
		l.ended = append(l.ended, c)
	case string(c.Message) == mark:
		l.marks++
	case c.Message != nil:
		l.messages = append(l.messages, string(c.Message))
	}
	l.busy = false
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// wait waits until done, which is called with the lock held.
func (l *listener) wait(done func() bool) {
	l.x.Helper()
	tooLong := time.After(patience)
	for {
		l.mu.Lock()
		ok := done()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.news:
		case <-tooLong:
			l.mu.Lock()
			defer l.mu.Unlock()
			l.x.broken("waited in vain; arrived: %+v and %.1000q", l.ended, l.messages)
		}
	}
}

// want waits for these ends, in any order, and takes them off the list.
func (l *listener) want(want ...change) {
	l.x.Helper()
	l.wait(func() bool { return len(l.ended) >= len(want) })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range want {
		i := slices.IndexFunc(l.ended, func(c sojourn.Change) bool {
			return sameSession(*c.Ended, w.session) && c.Reason == w.reason && c.Left == w.left
		})
		if i < 0 {
			l.x.broken("arrived:\n\t%+v\nand not:\n\t%+v", l.ended, w)
		}
		l.ended = slices.Delete(l.ended, i, i+1)
	}
}

// wantNothingMore fails if anything arrived that was not asked for. What the
// other server publishes last arrives last.
func (l *listener) wantNothingMore() {
	l.x.Helper()
	l.other.must(l.other.Publish(l.x.Context(), []byte(mark)), "Publish")
	l.wait(func() bool { return l.marks > 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ended) > 0 || len(l.messages) > 0 {
		l.x.broken("arrived, but was not to: %+v and %q", l.ended, l.messages)
	}
}
