package sojourn

import (
	"context"
	"errors"
)

// place is where one state is: in memory and in the store.
type place struct {
	vals  *values // nil: nothing is in memory
	loose bool    // it lives in vals only, as long as the request
	group *group  // of a user's volatile state
	sess  *session
	brow  *browser
	tabs  *browser // whose tab it is
	tabp  *tab

	owner Owner // Kind 0: there is no such state
	tab   string
	guard Key // the session that must exist for a write
}

// ended reports whether the state is no more, as far as this server knows.
func (p *place) ended() bool {
	return p.sess != nil && p.sess.ended() ||
		p.brow != nil && p.brow.ended.Load() ||
		p.tabs != nil && p.tabs.ended.Load() ||
		p.tabp != nil && p.tabp.gone.Load()
}

// retry reports whether the state may be in another memory now: a user's goes
// with the last session and comes with the next, a browser's goes when it holds
// nothing.
func (p *place) retry() bool { return (p.group != nil || p.brow != nil && p.tab == "") && !p.ended() }

func (p *place) key(name string) ValueKey {
	return ValueKey{Owner: p.owner, Tab: p.tab, Name: name}
}

// place finds the state for a reference. make is for writes: it makes the
// state, and a cookie for it if need be.
func (r *ref) place(ctx context.Context, st State, make bool) (place, error) {
	persistent := r.name != ""
	if st.current {
		return r.site.placeHere(ctx, r.scope, persistent, make)
	}
	if st.site != r.site || st.scope != r.scope {
		return place{}, ErrWrongScope
	}
	return r.site.placeIn(ctx, st, persistent, make)
}

// placeHere is the request's state of a scope.
func (s *Site) placeHere(ctx context.Context, scope Scope, persistent, make bool) (p place, err error) {
	if scope.level == siteLevel {
		return place{vals: &s.values, owner: Owner{Kind: OwnerSite}}, nil
	}
	q, err := s.request(ctx)
	if err != nil {
		return p, err
	}
	switch scope.level {
	case requestLevel:
		return place{vals: &q.vals, loose: true}, nil
	case userLevel:
		sess, err := q.current(ctx)
		if err != nil {
			return p, err
		}
		if sess == nil {
			return p, ErrNotConnected
		}
		p = s.userPlace(sess.user, persistent || make)
		p.sess, p.guard = sess, sess.key
		return p, nil
	case sessionLevel:
		return q.sessionPlace(ctx, scope, persistent, make)
	default:
		return q.tabPlace(ctx, scope, persistent, make)
	}
}

func (s *Site) userPlace(user UserID, make bool) place {
	p := place{owner: Owner{Kind: OwnerUser, User: user}}
	if p.group = s.users.get(user, make); p.group != nil {
		p.vals = &p.group.values
	}
	return p
}

func sessionPlace(sess *session, make bool) place {
	p := place{sess: sess, owner: Owner{Kind: OwnerSession, Key: sess.key}}
	if p.vals = sess.vals.Load(); p.vals == nil && make {
		p.vals = sess.values()
	}
	return p
}

func browserPlace(b *browser, make bool) place {
	p := place{brow: b, owner: Owner{Kind: OwnerBrowser, Key: b.key}}
	if p.vals = b.vals.Load(); p.vals == nil && make {
		p.vals = b.values()
	}
	return p
}

// sessionPlace is the state of the request's session, or of the browser of
// another hierarchy. Under ForceUnconnected, what is written to the session of
// nobody lives as long as the request: its cookie would replace the session's.
func (q *request) sessionPlace(ctx context.Context, scope Scope, persistent, make bool) (p place, err error) {
	if scope.hierarchy == anonymousHierarchy {
		if q.isForced() {
			return q.loosePlace(scope), nil
		}
		sess, err := q.current(ctx)
		if err != nil {
			return p, err
		}
		if sess != nil {
			return sessionPlace(sess, persistent || make), nil
		}
	}
	var b *browser
	if make {
		b, err = q.makeAnonymous(ctx, scope.hierarchy)
	} else {
		b, _, err = q.browserOf(ctx, scope.hierarchy)
	}
	if err != nil || b == nil {
		return p, err
	}
	return browserPlace(b, persistent || make), nil
}

// makeAnonymous is makeBrowser. A session whose user is no more ends first:
// the cookie of an anonymous one takes its place.
func (q *request) makeAnonymous(ctx context.Context, hierarchy string) (*browser, error) {
	q.mu.Lock()
	gone := q.gone
	q.mu.Unlock()
	if gone != nil && hierarchy == anonymousHierarchy {
		ended, err := q.end(ctx, EndUserGone)
		if err != nil {
			return nil, err
		}
		q.site.announce(ctx, ended, EndUserGone)
	}
	return q.makeBrowser(ctx, hierarchy)
}

// tabPlace is the state of the request's tab. It is reachable with the tab's
// id and the cookies of its browser only. A request that is of no tab, such as
// a plain page without a guard, has one of its own, as long as it lasts.
func (q *request) tabPlace(ctx context.Context, scope Scope, persistent, make bool) (p place, err error) {
	tab, err := q.currentTab(ctx)
	if err != nil {
		return p, err
	}
	if tab.id == "" {
		return q.loosePlace(scope), nil
	}
	p, err = q.sessionPlace(ctx, Scope{sessionLevel, scope.hierarchy}, false, make)
	switch {
	case err != nil:
		return p, err
	case p.loose:
		return q.loosePlace(scope), nil
	case p.owner.Kind == 0:
		return p, nil
	}
	if make {
		p.tabs, err = q.makeBrowser(ctx, independentHierarchy)
	} else {
		p.tabs, _, err = q.browserOf(ctx, independentHierarchy)
	}
	if err != nil || p.tabs == nil {
		return place{}, err
	}
	if p.tabp, err = q.attachTab(ctx, p.tabs); err != nil {
		return p, err
	}
	if make {
		if err := q.site.claimTab(ctx, p.tabp); err != nil {
			return p, err
		}
	}
	p.tab = tab.id
	p.vals = p.tabp.state(&p, persistent || make)
	if p.vals == nil && make {
		return p, ErrSessionEnded
	}
	return p, nil
}

// loosePlace is a state that lives as long as the request.
func (q *request) loosePlace(scope Scope) place {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.loose == nil {
		q.loose = make(map[Scope]*values)
	}
	v := q.loose[scope]
	if v == nil {
		v = new(values)
		q.loose[scope] = v
	}
	return place{vals: v, loose: true}
}

// placeIn is a given state.
func (s *Site) placeIn(ctx context.Context, st State, persistent, make bool) (p place, err error) {
	switch st.owner.Kind {
	case OwnerSite:
		return place{vals: &s.values, owner: st.owner}, nil
	case OwnerUser:
		p = s.userPlace(st.owner.User, false)
		if !make || persistent || p.group != nil {
			return p, nil // only a user with a session has memory, and a write to the store needs none
		}
		p.group = s.users.get(st.owner.User, true) // before the store is asked, so that an end after that finds it
		p.vals = &p.group.values
		stored, err := s.store.Sessions(ctx, st.owner.User)
		if err != nil {
			return p, wrap("listing the user's sessions", err)
		}
		if len(stored) == 0 {
			s.users.drop(st.owner.User, groupMark{}, 0)
			return p, ErrSessionEnded
		}
		return p, nil
	case OwnerSession:
		sess, err := s.load(ctx, st.owner.Key, nowMillis())
		if err != nil {
			return p, err
		}
		if sess == nil {
			return p, ErrSessionEnded
		}
		p = sessionPlace(sess, persistent || make)
	case OwnerBrowser:
		b, err := s.loadBrowser(ctx, st.owner.Key)
		if err != nil {
			return p, err
		}
		p = browserPlace(b, persistent || make)
	default:
		return p, ErrWrongScope
	}
	if st.tab == "" {
		return p, nil
	}
	p.tab, p.vals = st.tab, nil
	if p.tabs, _ = s.browsers.get(st.browser); p.tabs == nil {
		if p.tabs, err = s.lookupBrowser(ctx, st.browser, independentHierarchy, p.sess != nil && p.sess.browser == st.browser, nowMillis()); err != nil {
			return p, err
		}
		if p.tabs == nil {
			return p, ErrSessionEnded
		}
	}
	if p.tabp, err = s.tabOf(ctx, p.tabs, p.owner, st.tab); err != nil {
		return p, err
	}
	if p.tabp == nil {
		if make {
			err = ErrSessionEnded
		}
		return p, err
	}
	if make {
		if err := s.claimTab(ctx, p.tabp); err != nil {
			return p, err
		}
	}
	if p.vals = p.tabp.state(&p, persistent || make); p.vals == nil && make {
		return p, ErrSessionEnded
	}
	return p, nil
}

// loadBrowser is a browser that holds state, without counting it as a use.
func (s *Site) loadBrowser(ctx context.Context, key Key) (*browser, error) {
	if b, _ := s.browsers.get(key); b != nil {
		return b, nil
	}
	st, err := s.store.Browser(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrSessionEnded
	}
	if err != nil {
		return nil, wrap("asking the store for the browser", err)
	}
	b, err := s.lookupBrowser(ctx, key, st.Hierarchy, false, st.LastSeen.UnixMilli())
	if b == nil && err == nil {
		err = ErrSessionEnded
	}
	return b, err
}
