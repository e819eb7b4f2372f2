package storetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// The model itself is a store that keeps the contract.
func TestRunPassesAStoreThatKeepsTheContract(t *testing.T) {
	t.Parallel()
	Run(t, func(t *testing.T) sojourn.Store { return newPlainStore() })
}

// Every promise that a failure quotes stands in the contract.
func TestQuotationsAreFromTheContract(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../store.go")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for line := range strings.Lines(string(source)) {
		if _, comment, ok := strings.Cut(line, "//"); ok {
			text = append(text, strings.Fields(comment)...)
		}
	}
	contract := strings.Join(text, " ")
	check := func(name, promise string) {
		if !strings.Contains(contract, strings.Join(strings.Fields(promise), " ")) {
			t.Errorf("%s: store.go does not say %q", name, promise)
		}
	}
	for _, e := range exercises() {
		check(e.name, e.promise)
	}
	for _, e := range sharedExercises {
		check(e.name, e.promise)
	}
}

var errClosed = errors.New("closed")

// plainStore is the model behind one lock, as a store.
type plainStore struct {
	mu      sync.Mutex
	model   *model
	version int64
	closed  bool
}

func newPlainStore() *plainStore {
	return &plainStore{model: newModel()}
}

// do runs f on the model, unless the context is done or the store closed.
func (p *plainStore) do(ctx context.Context, f func(m *model) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	return f(p.model)
}

func (p *plainStore) CreateSession(ctx context.Context, s sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession, err error) {
	err = p.do(ctx, func(m *model) error { evicted = m.createSession(s, limit); return nil })
	return evicted, err
}

func (p *plainStore) Session(ctx context.Context, key sojourn.Key) (s sojourn.StoredSession, err error) {
	err = p.do(ctx, func(m *model) error {
		if !has(m.sessions, key) {
			return sojourn.ErrNotFound
		}
		s = m.sessions[key]
		return nil
	})
	return s, err
}

func (p *plainStore) Sessions(ctx context.Context, user sojourn.UserID) (list []sojourn.StoredSession, err error) {
	err = p.do(ctx, func(m *model) error { list = m.sessionsOf(user); return nil })
	return list, err
}

func (p *plainStore) EndSession(ctx context.Context, key sojourn.Key, _ sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	err = p.do(ctx, func(m *model) error {
		for _, s := range m.endSession(key) {
			ended, left = append(ended, s), len(m.sessionsOf(s.User))
		}
		return nil
	})
	return ended, left, err
}

func (p *plainStore) EndUser(ctx context.Context, user sojourn.UserID, _ sojourn.EndReason, keep ...sojourn.Key) (ended []sojourn.StoredSession, err error) {
	err = p.do(ctx, func(m *model) error { ended = m.endUser(user, keep...); return nil })
	return ended, err
}

func (p *plainStore) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key, err error) {
	err = p.do(ctx, func(m *model) error { evicted = m.createBrowser(b, limit); return nil })
	return evicted, err
}

func (p *plainStore) Browser(ctx context.Context, key sojourn.Key) (b sojourn.StoredBrowser, err error) {
	err = p.do(ctx, func(m *model) error {
		if !has(m.browsers, key) {
			return sojourn.ErrNotFound
		}
		b = m.browsers[key]
		return nil
	})
	return b, err
}

func (p *plainStore) EndBrowsers(ctx context.Context, keys ...sojourn.Key) error {
	return p.do(ctx, func(m *model) error {
		for _, key := range keys {
			m.endBrowser(key)
		}
		return nil
	})
}

func (p *plainStore) Value(ctx context.Context, key sojourn.ValueKey) (v sojourn.StoredValue, err error) {
	err = p.do(ctx, func(m *model) error { v = m.values[key]; return nil })
	return v, err
}

func (p *plainStore) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	w.Data = bytes.Clone(w.Data)
	err = p.do(ctx, func(m *model) error {
		p.version++
		if w.Data != nil {
			version = p.version
		}
		return m.setValue(key, w, p.version)
	})
	return version, err
}

func (p *plainStore) DropValues(ctx context.Context, owner sojourn.Owner, tab string, session sojourn.Key) error {
	return p.do(ctx, func(m *model) error { return m.dropValues(owner, tab, session) })
}

func (p *plainStore) Tabs(ctx context.Context, owner sojourn.Owner) (tabs []sojourn.StoredTab, err error) {
	err = p.do(ctx, func(m *model) error { tabs = m.tabsOf(owner); return nil })
	return tabs, err
}

func (p *plainStore) Touch(ctx context.Context, touches []sojourn.Touch) error {
	return p.do(ctx, func(m *model) error {
		for _, t := range touches {
			m.touch(t)
		}
		return nil
	})
}

func (p *plainStore) Expire(ctx context.Context, now time.Time, max int) (ended []sojourn.StoredSession, more bool, err error) {
	err = p.do(ctx, func(m *model) error { ended, more = m.expire(now, max); return nil })
	return ended, more, err
}

func (p *plainStore) Count(ctx context.Context) (c sojourn.Counts, err error) {
	err = p.do(ctx, func(m *model) error { c = m.count(); return nil })
	return c, err
}

func (p *plainStore) Publish(ctx context.Context, message []byte) error {
	return p.do(ctx, func(*model) error { return nil })
}

func (p *plainStore) Changes(ctx context.Context, _ func(sojourn.Change)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *plainStore) Fresh() time.Duration { return sojourn.Forever }

func (p *plainStore) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
