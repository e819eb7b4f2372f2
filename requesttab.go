package sojourn

import (
	"context"
	"net/http"

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
	b, presented, err := q.tabBrowser(ctx)
	if err != nil {
		return tab, err
	}
	s, now := q.site, q.now()
	if b == nil && presented != (Key{}) && s.boundHere(&q.scratch, id, presented) {
		// The id was bound to this browser when a session vouched for it: so it
		// was issued here, and stays the same when the session has ended.
		if b, err = q.vouch(ctx, presented); err != nil {
			return tab, err
		}
	}
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
		tab.t = s.joinTab(b, id, now, true)
		return tab, nil
	}
	owners, err := q.tabOwners(ctx)
	if err != nil || b == nil {
		return tab, err
	}
	if tab.t, err = s.adoptTab(ctx, b, id, owners, now); tab.t != nil {
		tab.id = id
	}
	return tab, err
}

// tabBrowser is the browser whose tab makes the request: the session attests
// it, else its own cookie.
func (q *request) tabBrowser(ctx context.Context) (b *browser, presented Key, err error) {
	sess, err := q.identify(ctx)
	if err != nil {
		return nil, Key{}, err
	}
	if sess == nil {
		return q.browserOf(ctx, independentHierarchy)
	}
	b, err = q.site.lookupBrowser(ctx, sess.browser, independentHierarchy, !q.site.dropped(sess), q.now())
	return b, sess.browser, err
}

// boundHere reports whether this server made the id for a tab of the browser,
// whose state was not dropped since.
func (s *Site) boundHere(scratch *tabScratch, id string, browser Key) bool {
	_, seq, ok := s.tabs.check(scratch, id, &browser)
	return ok && seq > s.browsers.droppedAt(browser)
}

// vouch makes the browser that the request's cookie names one that is known.
func (q *request) vouch(ctx context.Context, presented Key) (*browser, error) {
	b, err := q.site.lookupBrowser(ctx, presented, independentHierarchy, true, q.now())
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.slot(independentHierarchy)
	m.asked, m.b, m.presented = true, b, presented
	return b, nil
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

// joinTab makes an id a tab of the browser.
func (s *Site) joinTab(b *browser, id string, now int64, started bool) *tab {
	t, forgotten := b.join(id, now, s.limits.TabsPerBrowser)
	for _, o := range forgotten { // they are running all the same
		s.strays.see(o.id, o.seen)
	}
	if started {
		t.setStarted()
	}
	return t
}

// claimTab makes room for state of a tab: the state of those that have to go
// for it is removed.
func (s *Site) claimTab(ctx context.Context, t *tab) error {
	for _, old := range t.claim(nowMillis(), s.limits.TabsPerBrowser) {
		if err := s.dropTab(ctx, old); err != nil {
			return err
		}
	}
	return nil
}

// adoptTab makes a tab known that was started elsewhere, if one of owners has
// stored values of it: it is in use here from now on. It is nil if none has.
func (s *Site) adoptTab(ctx context.Context, b *browser, id string, owners []Owner, now int64) (t *tab, err error) {
	for _, owner := range owners {
		deadline, err := s.storedTab(ctx, owner, id, now)
		if err != nil {
			return nil, err
		}
		if deadline == 0 {
			continue
		}
		if t == nil {
			t = s.joinTab(b, id, now, false)
		}
		t.noteStored(owner)
	}
	if t != nil {
		s.touches.tab(t)
	}
	return t, nil
}

// tabOf is the tab of a State, which need not be known here: owner may have
// stored values of it. It is nil when its state has gone.
func (s *Site) tabOf(ctx context.Context, b *browser, owner Owner, id string) (*tab, error) {
	now := nowMillis()
	if t, gone := b.peek(id, now, s.timeouts.tab); t != nil || gone {
		return t, nil
	}
	deadline, err := s.storedTab(ctx, owner, id, now)
	if deadline == 0 || err != nil {
		return nil, err
	}
	t := s.joinTab(b, id, deadline-s.timeouts.tab, false)
	t.noteStored(owner)
	return t, nil
}

// storedTab is the deadline of a tab of which owner has values; 0 if there is
// none.
func (s *Site) storedTab(ctx context.Context, owner Owner, id string, now int64) (deadline int64, err error) {
	stored, err := s.store.Tabs(ctx, owner)
	if err != nil {
		return 0, wrap("asking the store for the browser's tabs", err)
	}
	for i := range stored {
		if stored[i].ID != id {
			continue
		}
		deadline = now + s.timeouts.tab
		if d := stored[i].Deadline; !d.IsZero() {
			deadline = d.UnixMilli()
		}
		if now < deadline {
			return deadline, nil
		}
	}
	return 0, nil
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
		if inside(ctx, startOf{q}) {
			return nil
		}
		if err := q.runStartTab(ctx, user, tab); err != nil {
			return err
		}
	} else if !tab.announce {
		return nil
	}
	q.announceTab()
	return nil
}

// tabStarted notes that the start actions of a tab have run in this request.
// They may have stored state of it, and so made it known to others.
func (q *request) tabStarted(id string) {
	q.mu.Lock()
	if q.tab.id != id { // it has ended since
		q.mu.Unlock()
		return
	}
	if !q.tab.started {
		q.tab.started, q.tab.announce = true, true
	}
	t := q.tab.t
	q.mu.Unlock()
	if t != nil {
		t.setStarted()
	}
}

// startOf stands for the start of a request's tab.
type startOf struct{ *request }

// runStartTab runs the start actions of a tab: in one guard at a time, also of
// another request if that knows the tab, too.
func (q *request) runStartTab(ctx context.Context, user UserID, tab requestTab) error {
	actions := &q.site.actions
	if !actions.start.any() {
		q.tabStarted(tab.id)
		return nil
	}
	var key any = startOf{q}
	done := func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.tab.started || q.tab.id != tab.id
	}
	if tab.t != nil {
		key, done = tab.t, tab.t.isStarted
	}
	err := q.site.opening.do(ctx, key, done, func() error {
		err := actions.startTab(within(ctx, startOf{q}), user)
		if err == nil {
			q.tabStarted(tab.id)
			if tab.t != nil {
				tab.t.setStarted()
			}
		}
		return err
	})
	if err == nil {
		q.tabStarted(tab.id)
	}
	return err
}

// newTab gives the request's tab an id.
func (q *request) newTab(ctx context.Context) (requestTab, error) {
	sess, err := q.identify(ctx)
	if err != nil {
		return requestTab{}, err
	}
	var bound *Key
	if sess != nil {
		bound = &sess.browser
	} else if b, _, err := q.browserOf(ctx, independentHierarchy); err != nil {
		return requestTab{}, err
	} else if b != nil {
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
	id := q.tab.id
	announced := q.tab.announce && q.w.edit(func(h http.Header) {
		q.tabLine[0] = id
		h[protocol.TabHeader] = q.tabLine[:]
	})
	q.tab.announce = false
	q.mu.Unlock()
	if announced && q.tabHeader() != "" {
		q.site.hub.renameTab(q.except(), id)
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
	if t := tab.t; t != nil && t.browser == b && !t.forgotten() {
		return t, nil
	}
	t := q.site.joinTab(b, tab.id, q.now(), tab.started)
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
