package storetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn"
)

// model is a store as simple as can be: what the contract says, over maps.
// A sequence of operations runs on it and on the store under test, and every
// answer is compared.
type model struct {
	sessions map[sojourn.Key]sojourn.StoredSession
	browsers map[sojourn.Key]sojourn.StoredBrowser
	values   map[sojourn.ValueKey]sojourn.StoredValue
	tabs     map[tab]time.Time // the deadlines of the tabs that have values
}

type tab struct {
	owner sojourn.Owner
	id    string
}

func newModel() *model {
	return &model{
		sessions: map[sojourn.Key]sojourn.StoredSession{},
		browsers: map[sojourn.Key]sojourn.StoredBrowser{},
		values:   map[sojourn.ValueKey]sojourn.StoredValue{},
		tabs:     map[tab]time.Time{},
	}
}

func (m *model) createSession(s sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession) {
	others := m.sessionsOf(s.User)
	m.sessions[s.Key] = s
	slices.SortFunc(others, func(a, b sojourn.StoredSession) int { return a.LastSeen.Compare(b.LastSeen) })
	if over := len(others) + 1 - limit; limit > 0 && over > 0 {
		evicted = others[:over]
	}
	for _, e := range evicted {
		m.endSession(e.Key)
	}
	return evicted
}

// sessionsOf returns the user's sessions, the last opened first.
func (m *model) sessionsOf(user sojourn.UserID) (list []sojourn.StoredSession) {
	for _, s := range m.sessions {
		if s.User == user {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b sojourn.StoredSession) int { return b.OpenedAt.Compare(a.OpenedAt) })
	return list
}

func (m *model) endSession(key sojourn.Key) (ended []sojourn.StoredSession) {
	if s, ok := m.sessions[key]; ok {
		delete(m.sessions, key)
		m.disown(sojourn.Owner{Kind: sojourn.OwnerSession, Key: key})
		ended = append(ended, s)
	}
	return ended
}

func (m *model) endUser(user sojourn.UserID, keep ...sojourn.Key) (ended []sojourn.StoredSession) {
	for _, s := range m.sessionsOf(user) {
		if !slices.Contains(keep, s.Key) {
			ended = append(ended, m.endSession(s.Key)...)
		}
	}
	return ended
}

func (m *model) createBrowser(b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key) {
	if has(m.browsers, b.Key) {
		return nil
	}
	var others []sojourn.StoredBrowser
	for _, o := range m.browsers {
		if o.Subnet == b.Subnet {
			others = append(others, o)
		}
	}
	m.browsers[b.Key] = b
	slices.SortFunc(others, func(a, b sojourn.StoredBrowser) int { return a.LastSeen.Compare(b.LastSeen) })
	if over := len(others) + 1 - limit; limit > 0 && over > 0 {
		for _, o := range others[:over] {
			m.endBrowser(o.Key)
			evicted = append(evicted, o.Key)
		}
	}
	return evicted
}

func (m *model) endBrowser(key sojourn.Key) {
	delete(m.browsers, key)
	m.disown(sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: key})
}

// disown removes the owner's values and those of its tabs.
func (m *model) disown(owner sojourn.Owner) {
	m.drop(owner, "")
	for _, t := range m.tabsOf(owner) {
		m.drop(owner, t.ID)
	}
}

// setValue says whether the store may write. The version is the one that the
// store answered with, or is about to.
func (m *model) setValue(key sojourn.ValueKey, w sojourn.Write, version int64) error {
	if !m.exists(key.Owner) || !m.maySet(key.Owner, w.Session) {
		return sojourn.ErrNotFound
	}
	if w.Version != sojourn.AnyVersion && w.Version != m.values[key].Version {
		return sojourn.ErrConflict
	}
	if w.Data == nil {
		delete(m.values, key)
		m.forgetTab(key.Owner, key.Tab)
		return nil
	}
	m.values[key] = sojourn.StoredValue{Data: w.Data, Version: version}
	if key.Tab != "" {
		t := tab{key.Owner, key.Tab}
		if old, ok := m.tabs[t]; !ok || later(w.Deadline, old) {
			m.tabs[t] = w.Deadline
		}
	}
	return nil
}

func (m *model) exists(owner sojourn.Owner) bool {
	switch owner.Kind {
	case sojourn.OwnerSession:
		return has(m.sessions, owner.Key)
	case sojourn.OwnerBrowser:
		return has(m.browsers, owner.Key)
	default:
		return true
	}
}

func (m *model) maySet(owner sojourn.Owner, session sojourn.Key) bool {
	if session == (sojourn.Key{}) {
		return true
	}
	s, ok := m.sessions[session]
	return ok && (owner.Kind != sojourn.OwnerUser || owner.User == s.User)
}

func (m *model) dropValues(owner sojourn.Owner, id string, session sojourn.Key) error {
	if session != (sojourn.Key{}) && !has(m.sessions, session) {
		return sojourn.ErrNotFound
	}
	m.drop(owner, id)
	return nil
}

func (m *model) drop(owner sojourn.Owner, id string) {
	maps.DeleteFunc(m.values, func(k sojourn.ValueKey, _ sojourn.StoredValue) bool {
		return k.Owner == owner && k.Tab == id
	})
	delete(m.tabs, tab{owner, id})
}

// forgetTab forgets a tab's deadline if it has no values left.
func (m *model) forgetTab(owner sojourn.Owner, id string) {
	for k := range m.values {
		if k.Owner == owner && k.Tab == id {
			return
		}
	}
	delete(m.tabs, tab{owner, id})
}

// tabsOf returns the owner's tabs, the first deadline first.
func (m *model) tabsOf(owner sojourn.Owner) (tabs []sojourn.StoredTab) {
	for t, deadline := range m.tabs {
		if t.owner == owner {
			tabs = append(tabs, sojourn.StoredTab{ID: t.id, Deadline: deadline})
		}
	}
	slices.SortFunc(tabs, compareTabs)
	return tabs
}

// compareTabs orders tabs by deadline, then by id.
func compareTabs(a, b sojourn.StoredTab) int {
	switch {
	case later(b.Deadline, a.Deadline):
		return -1
	case later(a.Deadline, b.Deadline):
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}

func (m *model) touch(t sojourn.Touch) {
	if t.Tab != "" {
		k := tab{t.Owner, t.Tab}
		if old, ok := m.tabs[k]; ok && later(t.Deadline, old) {
			m.tabs[k] = t.Deadline
		}
		return
	}
	switch t.Owner.Kind {
	case sojourn.OwnerSession:
		if s, ok := m.sessions[t.Owner.Key]; ok {
			s.LastSeen, s.Deadline = forward(s.LastSeen, s.Deadline, t)
			m.sessions[s.Key] = s
		}
	case sojourn.OwnerBrowser:
		if b, ok := m.browsers[t.Owner.Key]; ok {
			b.LastSeen, b.Deadline = forward(b.LastSeen, b.Deadline, t)
			m.browsers[b.Key] = b
		}
	}
}

// expire removes what has expired, max of each at the most.
func (m *model) expire(now time.Time, max int) (ended []sojourn.StoredSession, more bool) {
	over := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	var browsers, tabs int
	for _, s := range m.sessions {
		switch {
		case !over(s.Deadline):
		case len(ended) == max:
			more = true
		default:
			ended = append(ended, m.endSession(s.Key)...)
		}
	}
	for _, b := range m.browsers {
		switch {
		case !over(b.Deadline):
		case browsers == max:
			more = true
		default:
			m.endBrowser(b.Key)
			browsers++
		}
	}
	for t, deadline := range m.tabs {
		switch {
		case !over(deadline):
		case tabs == max:
			more = true
		default:
			m.drop(t.owner, t.id)
			tabs++
		}
	}
	return ended, more
}

func (m *model) count() sojourn.Counts {
	return sojourn.Counts{
		Sessions: int64(len(m.sessions)), Browsers: int64(len(m.browsers)), Values: int64(len(m.values)),
	}
}

// forward moves the two times of a session or browser, not backwards.
func forward(lastSeen, deadline time.Time, t sojourn.Touch) (time.Time, time.Time) {
	if t.LastSeen.After(lastSeen) {
		lastSeen = t.LastSeen
	}
	if later(t.Deadline, deadline) {
		deadline = t.Deadline
	}
	return lastSeen, deadline
}

// later reports whether deadline a comes after b; a zero one never comes.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, ok := m[key]
	return ok
}
