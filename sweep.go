package sojourn

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

func nowMillis() int64 { return time.Now().UnixMilli() }

// toucher collects what was in use and is to be written to the store. Each
// session and browser is in it at most once; it is written when what the store
// knows is Timeouts' touch interval old, or left for later.
type toucher struct {
	mu       sync.Mutex
	sessions []*session
	browsers []*browser
	tabs     map[*tab]struct{}
	wake     chan struct{}
}

func (t *toucher) init() {
	t.tabs = make(map[*tab]struct{})
	t.wake = make(chan struct{}, 1)
}

func (t *toucher) session(e *session, now int64) {
	see(&e.seen, now)
	if e.state.Load()&statePending != 0 || e.saved.Load() >= now {
		return
	}
	if old := e.state.Or(statePending); old&statePending != 0 {
		return
	}
	t.mu.Lock()
	t.sessions = append(t.sessions, e)
	t.mu.Unlock()
	t.poke()
}

func (t *toucher) browser(b *browser, now int64) {
	see(&b.seen, now)
	if b.saved.Load() >= now || b.pending.Swap(true) {
		return
	}
	t.mu.Lock()
	t.browsers = append(t.browsers, b)
	t.mu.Unlock()
	t.poke()
}

// tab notes the use of a tab of which the store has values.
func (t *toucher) tab(tab *tab) {
	if !tab.stores() {
		return
	}
	t.mu.Lock()
	t.tabs[tab] = struct{}{}
	t.mu.Unlock()
	t.poke()
}

func (t *toucher) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// flushEvery is how often what is due is written.
func (s *Site) flushEvery() time.Duration {
	every := min(s.timeouts.touch, s.timeouts.tab/20) / 4
	return min(max(time.Duration(every)*time.Millisecond, 5*time.Millisecond), 2*time.Second)
}

// keepTouched writes last uses to the store, while there are any.
func (s *Site) keepTouched(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.touches.wake:
		}
		for s.touches.some() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.flushEvery()):
			}
			if err := s.flush(ctx, false); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "sojourn: writing when sessions were last seen", "error", err)
			}
		}
	}
}

func (t *toucher) some() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)+len(t.browsers)+len(t.tabs) > 0
}

// flush writes the last uses that are due, or all.
func (s *Site) flush(ctx context.Context, all bool) error {
	t, now := &s.touches, nowMillis()
	var batch []Touch
	t.mu.Lock()
	sessions, browsers, tabs := t.sessions, t.browsers, t.tabs
	t.sessions, t.browsers, t.tabs = nil, nil, make(map[*tab]struct{})
	t.mu.Unlock()
	// What is due takes along what will be soon and lies beside it: a store of
	// many shards writes each of them at once.
	var shards [256]bool
	for _, e := range sessions {
		shards[e.key[0]] = shards[e.key[0]] || all || now-e.saved.Load() >= s.timeouts.touch
	}
	for _, b := range browsers {
		shards[b.key[0]] = shards[b.key[0]] || all || now-b.saved.Load() >= s.touchBrowser(b.hierarchy)
	}
	left := func(key *Key, saved, interval int64) bool {
		return !all && (!shards[key[0]] || now-saved < interval/2)
	}
	var later []*session
	var done []func(ok bool) // what the outcome of the write changes
	for _, e := range sessions {
		if e.ended() {
			continue
		}
		if left(&e.key, e.saved.Load(), s.timeouts.touch) {
			later = append(later, e)
			continue
		}
		e.state.And(^uint32(statePending)) // before seen is read, so that no use is missed
		seen := e.seen.Load()
		batch = append(batch, Touch{
			Owner:    Owner{Kind: OwnerSession, Key: e.key},
			LastSeen: fromMillis(seen), Deadline: s.timeouts.deadline(seen, e.expires),
		})
		done = append(done, func(ok bool) {
			if ok {
				see(&e.saved, seen)
			} else {
				t.session(e, seen)
			}
		})
	}
	var laterBrowsers []*browser
	for _, b := range browsers {
		if b.ended.Load() {
			continue
		}
		unsaved := b.saved.Load() < b.seen.Load()
		if unsaved && left(&b.key, b.saved.Load(), s.touchBrowser(b.hierarchy)) {
			laterBrowsers = append(laterBrowsers, b)
			continue
		}
		b.pending.Store(false)
		seen := b.seen.Load()
		if seen <= b.saved.Load() { // it has been recorded meanwhile
			continue
		}
		batch = append(batch, Touch{
			Owner:    Owner{Kind: OwnerBrowser, Key: b.key},
			LastSeen: fromMillis(seen), Deadline: fromMillis(s.browserDeadline(b.hierarchy, seen)),
		})
		done = append(done, func(ok bool) {
			if ok {
				see(&b.saved, seen)
			} else {
				t.browser(b, seen)
			}
		})
	}
	for tab := range tabs {
		owners, seen := tab.storedOwners(), tab.lastSeen(now)
		for _, owner := range owners {
			batch = append(batch, Touch{
				Owner: owner, Tab: tab.id,
				LastSeen: fromMillis(seen), Deadline: fromMillis(seen + s.timeouts.tab),
			})
		}
	}
	t.mu.Lock()
	t.sessions = append(t.sessions, later...)
	t.browsers = append(t.browsers, laterBrowsers...)
	t.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := s.store.Touch(ctx, batch)
	for _, f := range done {
		f(err == nil)
	}
	if err != nil {
		for tab := range tabs {
			t.tab(tab)
		}
	}
	return err
}

// expectSession is called before a session of a user is made. Volatile state of
// a user who has none any more goes, if nobody has seen to that yet. When the
// sessions were last used is written, if one of them is about to end for being
// the least recently used.
func (s *Site) expectSession(ctx context.Context, user UserID) error {
	mark := s.users.mark(user)
	if mark.g == nil && s.limits.SessionsPerUser == 0 {
		return nil
	}
	stored, err := s.store.Sessions(ctx, user)
	if err != nil {
		return wrap("listing the user's sessions", err)
	}
	now := nowMillis()
	if !slices.ContainsFunc(stored, func(st StoredSession) bool { return s.alive(s.known(&st), now) }) {
		s.users.drop(user, mark, 0)
	}
	if s.limits.SessionsPerUser == 0 || len(stored) < s.limits.SessionsPerUser {
		return nil
	}
	var batch []Touch
	for i := range stored {
		e, _ := s.sessions.get(&stored[i].Key)
		if e == nil {
			continue
		}
		if seen := e.seen.Load(); seen > stored[i].LastSeen.UnixMilli() {
			batch = append(batch, Touch{
				Owner:    Owner{Kind: OwnerSession, Key: e.key},
				LastSeen: fromMillis(seen), Deadline: s.timeouts.deadline(seen, e.expires),
			})
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return wrap("writing when the user's sessions were last seen", s.store.Touch(ctx, batch))
}

// touchBrowser is how old the store's word of a browser may get.
func (s *Site) touchBrowser(hierarchy string) int64 {
	if hierarchy == anonymousHierarchy && s.timeouts.idle != 0 {
		return s.timeouts.touch
	}
	return s.timeouts.touchBrowser
}

// lastSeen is when the tab was last used: now, if it has a live connection.
func (t *tab) lastSeen(now int64) int64 {
	set := &t.browser.tabs
	set.mu.Lock()
	defer set.mu.Unlock()
	if t.live > 0 {
		return max(t.seen, now)
	}
	return t.seen
}

// expire ends a session whose time has come.
func (s *Site) expire(ctx context.Context, e *session) error {
	ended, err := s.endSession(ctx, e.key, e.user, EndExpired)
	if err == nil {
		s.announce(ctx, ended, EndExpired)
	}
	return err
}

// sweepEvery is how often what has expired is looked for.
func (s *Site) sweepEvery() time.Duration {
	every := min(s.timeouts.tab, s.timeouts.browser)
	for _, t := range []int64{s.timeouts.idle, s.timeouts.absolute} {
		if t != 0 {
			every = min(every, t)
		}
	}
	return min(max(time.Duration(every/20)*time.Millisecond, 5*time.Millisecond), time.Minute)
}

// keepSwept removes what has expired and nobody asked for.
func (s *Site) keepSwept(ctx context.Context) {
	every := s.sweepEvery()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sojourn: removing what has expired", "error", err)
		}
	}
}

// sweep removes what has expired. Requests see to the exact time; sweep comes a
// little later, so that a use that is not written yet is not overlooked.
func (s *Site) sweep(ctx context.Context) error {
	if err := s.flush(ctx, false); err != nil {
		return err
	}
	now := nowMillis()
	late := now - 2*s.flushEvery().Milliseconds()
	err := errors.Join(s.sweepStore(ctx, late), s.sweepSessions(ctx, late))
	s.strays.expire(now, s.timeouts.tab)
	return errors.Join(err, s.sweepBrowsers(ctx, now), s.lookAtUsers(ctx, s.clock()))
}

func (s *Site) sweepStore(ctx context.Context, now int64) error {
	for {
		ended, more, err := s.expireStored(ctx, now)
		if err != nil {
			return err
		}
		s.announceSafely(ctx, ended, EndExpired)
		if !more {
			return nil
		}
	}
}

// expireStored ends some of the sessions whose time has come.
func (s *Site) expireStored(ctx context.Context, now int64) (ended []StoredSession, more bool, err error) {
	defer s.endings.begin(Nobody)()
	if ended, more, err = s.store.Expire(ctx, fromMillis(now), 1000); err != nil {
		return nil, false, err
	}
	for i := range ended {
		s.sessions.remove(&ended[i].Key)
		s.users.suspect(ended[i].User)
	}
	return ended, more, nil
}

// announceSafely is announce where no server catches a panic.
func (s *Site) announceSafely(ctx context.Context, ended []StoredSession, reason EndReason) {
	for i := range ended {
		func() {
			defer func() {
				if p := recover(); p != nil {
					s.log.ErrorContext(ctx, "sojourn: an OnSessionEnd action panicked", "panic", p)
				}
			}()
			s.announce(ctx, ended[i:i+1], reason)
		}()
	}
}

// sweepBrowsers removes tabs that were not used, and what is known of browsers
// that hold nothing here.
func (s *Site) sweepBrowsers(ctx context.Context, now int64) (err error) {
	for _, b := range s.browsers.all() {
		expired, open, left := b.tabs.takeExpired(now, s.timeouts.tab)
		for _, t := range open {
			s.touches.tab(t)
		}
		if !s.shared { // else another server may have seen it later: the store knows
			for _, t := range expired {
				err = errors.Join(err, s.dropTab(ctx, t))
			}
		}
		if left || b.pending.Load() {
			continue
		}
		// One that holds nothing here can be had from the store again, or from
		// its session.
		idle := now - b.seen.Load()
		if idle >= s.browserTimeout(b.hierarchy) || idle >= s.timeouts.tab && b.values().killEmpty() {
			s.browsers.forget(b)
		}
	}
	s.browsers.forgetDropped(now - s.timeouts.tab)
	return err
}

// mostSessions is how many sessions of which this server has not heard for long
// the store is asked for in one sweep.
const mostSessions = 1000

// sweepSessions removes sessions that another server has ended, and nobody told.
// The store is asked for those whose time has come, as far as is known here;
// one that has no such time is asked for now and then.
func (s *Site) sweepSessions(ctx context.Context, now int64) (err error) {
	asked, long := 0, s.clock()-(24*time.Hour).Milliseconds()
	s.sessions.scan(func(e *session) {
		timeless := s.timeouts.idle == 0 && e.expires == 0
		switch {
		case err != nil || asked == mostSessions || e.ended():
			return
		case timeless && (!s.shared || e.asked.Load() > long):
			return
		case !timeless && s.alive(e, now):
			return
		}
		asked++
		at, doubt := s.clock(), s.doubt.Load()
		st, e2 := s.store.Session(ctx, e.key)
		switch {
		case errors.Is(e2, ErrNotFound):
			s.hasEnded(e)
		case e2 != nil:
			err = wrap("asking the store for a session", e2)
		default:
			e.confirm(&st, at, doubt)
		}
	})
	return err
}
