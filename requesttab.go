package sojourn

import (
	"context"

	"github.com/sojourn-go/sojourn/protocol"
)

// currentTab is the tab of the request. It is asked once; id is "" when the
// client named none that is known here or of which the store has state.
func (q *request) currentTab(ctx context.Context) (requestTab, error) {
	q.mu.Lock()
	tab := q.tab
	q.mu.Unlock()
	if tab.asked {
		return tab, nil
	}
	tab, err := q.findTab(ctx)
	if err != nil {
		return tab, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.tab.asked {
		q.tab = tab
	}
	return q.tab, nil
}

// findTab tells which tab the request's header names. It is one that this
// server started, and which was used since within Timeouts.Tab; or one of
// which the store has state for this browser, to be started here yet.
func (q *request) findTab(ctx context.Context) (tab requestTab, err error) {
	tab.asked = true
	id := q.tabHeader()
	if id == "" {
		return tab, nil
	}
	b, presented, err := q.browserOf(ctx, independentHierarchy)
	if err != nil {
		return tab, err
	}
	s, now := q.site, q.now()
	if b != nil {
		t, gone := b.find(id, now, s.timeouts.tab)
		if t != nil {
			tab.id, tab.t, tab.started = id, t, t.isStarted()
			s.touches.tab(t)
			return tab, nil
		}
		if gone {
			return tab, nil
		}
	}
	if s.startedHere(&q.scratch, id, b, presented, now) {
		tab.id, tab.started = id, true
		if b == nil {
			s.strays.see(id, now)
			return tab, nil
		}
		tab.t, err = s.joinTab(ctx, b, id, now, true)
		return tab, err
	}
	owners, err := q.tabOwners(ctx)
	if err != nil || b == nil {
		return tab, err
	}
	for _, owner := range owners {
		stored, err := s.store.Tabs(ctx, owner)
		if err != nil {
			return tab, wrap("asking the store for the browser's tabs", err)
		}
		for _, st := range stored {
			if st.ID != id || !st.Deadline.IsZero() && now >= st.Deadline.UnixMilli() {
				continue
			}
			if tab.t == nil {
				if tab.t, err = s.joinTab(ctx, b, id, now, false); err != nil {
					return tab, err
				}
				tab.id = id
			}
			tab.t.noteStored(owner)
		}
	}
	return tab, nil
}

// startedHere checks the id's MAC and age.
func (s *Site) startedHere(scratch *tabScratch, id string, b *browser, presented Key, now int64) bool {
	var issued int64
	var seq uint64
	ok := false
	if b != nil {
		issued, seq, ok = s.tabs.check(scratch, id, &b.key)
	}
	if !ok {
		issued, seq, ok = s.tabs.check(scratch, id, nil)
	}
	if !ok || presented != (Key{}) && seq <= s.browsers.droppedAt(presented) ||
		b != nil && seq <= s.browsers.droppedAt(b.key) {
		return false
	}
	return now < max(issued, s.strays.seen(id))+s.timeouts.tab
}

// tabOwners are the sessions and browsers of the request that may have state
// of its tab.
func (q *request) tabOwners(ctx context.Context) (owners []Owner, err error) {
	sess, err := q.identify(ctx)
	if err != nil {
		return nil, err
	}
	if sess != nil {
		owners = append(owners, Owner{Kind: OwnerSession, Key: sess.key})
	}
	hierarchies := q.site.refs.hierarchies()
	if sess == nil {
		hierarchies = append(hierarchies, anonymousHierarchy)
	}
	for _, h := range append(hierarchies, independentHierarchy) {
		b, _, err := q.browserOf(ctx, h)
		if err != nil {
			return nil, err
		}
		if b != nil {
			owners = append(owners, Owner{Kind: OwnerBrowser, Key: b.key})
		}
	}
	return owners, nil
}

// joinTab makes an id a tab of the browser, and removes the state of the tabs
// that had to go for it.
func (s *Site) joinTab(ctx context.Context, b *browser, id string, now int64, started bool) (*tab, error) {
	t, evicted := b.join(id, now, s.limits.TabsPerBrowser)
	if started {
		t.setStarted()
	}
	for _, old := range evicted {
		if err := s.dropTab(ctx, old); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// dropTab removes a tab's values from the store.
func (s *Site) dropTab(ctx context.Context, t *tab) error {
	for _, owner := range t.storedOwners() {
		if err := s.store.DropValues(ctx, owner, t.id, Key{}); err != nil {
			return wrap("removing a tab's state", err)
		}
	}
	return nil
}

// startTab starts the request's tab unless it is running: its actions, and the
// id in the response. A tab is started whole or not at all: when an
// action fails the client gets no id, and the next request starts it again.
func (q *request) startTab(ctx context.Context, user UserID) error {
	tab, err := q.currentTab(ctx)
	if err != nil {
		return err
	}
	if !tab.started {
		if tab.id == "" {
			if tab, err = q.newTab(ctx); err != nil {
				return err
			}
		}
		if q.within(tab.id) {
			return nil
		}
		if err := q.runStartTab(ctx, user, tab); err != nil {
			return err
		}
		q.mu.Lock()
		q.tab.started, q.tab.announce = true, true
		q.mu.Unlock()
	}
	q.announceTab()
	return nil
}

// runStartTab runs the start actions of a tab: in one request at a time if
// others know the tab too.
func (q *request) runStartTab(ctx context.Context, user UserID, tab requestTab) error {
	defer q.enterWithin(tab.id)()
	if tab.t == nil {
		return q.site.actions.startTab(ctx, user)
	}
	return q.site.opening.do(ctx, tab.t, tab.t.isStarted, func() error {
		if err := q.site.actions.startTab(ctx, user); err != nil {
			return err
		}
		tab.t.setStarted()
		return nil
	})
}

// newTab gives the request's tab an id.
func (q *request) newTab(ctx context.Context) (requestTab, error) {
	b, _, err := q.browserOf(ctx, independentHierarchy)
	if err != nil {
		return requestTab{}, err
	}
	var bound *Key
	if b != nil {
		bound = &b.key
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tab = requestTab{asked: true, id: q.site.tabs.issue(&q.scratch, q.nowLocked(), bound)}
	return q.tab, nil
}

// announceTab puts the id of a tab that started in this request into the
// response.
func (q *request) announceTab() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tab.announce && !q.w.started {
		q.tab.announce = false
		q.w.Header()[protocol.TabHeader] = []string{q.tab.id}
	}
}

// forgetTab makes the request's tab a new one.
func (q *request) forgetTab() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tab = requestTab{}
}

// attachTab makes the request's tab one of the browser, so that it can hold
// state there.
func (q *request) attachTab(ctx context.Context, b *browser) (*tab, error) {
	tab, err := q.currentTab(ctx)
	if err != nil || tab.id == "" {
		return nil, err
	}
	if tab.t != nil && tab.t.browser == b {
		return tab.t, nil
	}
	t, err := q.site.joinTab(ctx, b, tab.id, q.now(), tab.started)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tab.t = t
	return t, nil
}

func (t *tab) isStarted() bool {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	return t.started
}

func (t *tab) setStarted() {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	t.started = true
}
