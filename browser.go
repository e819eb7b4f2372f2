package sojourn

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/internal/cookie"
	"github.com/sojourn-go/sojourn/internal/token"
)

// requestBrowser is what a request knows of one hierarchy's browser.
type requestBrowser struct {
	hierarchy string
	asked     bool
	issued    bool // the response brings the cookie
	presented Key  // what the cookie names, whether it is known or not
	b         *browser
}

// slot is the request's memory of a hierarchy's browser; q.mu is held.
func (q *request) slot(hierarchy string) *requestBrowser {
	for i := range q.browsers {
		if q.browsers[i].hierarchy == hierarchy {
			return &q.browsers[i]
		}
	}
	if q.browsers == nil {
		q.browsers = q.first[:0]
	}
	q.browsers = append(q.browsers, requestBrowser{hierarchy: hierarchy})
	return &q.browsers[len(q.browsers)-1]
}

// browserOf is the browser that the hierarchy's cookie names; nil when there is
// none that the site issued and still knows. For UserIndependent the session,
// too, knows its browser. presented is what the cookie names, known or not.
func (q *request) browserOf(ctx context.Context, hierarchy string) (b *browser, presented Key, err error) {
	sess, err := q.identify(ctx)
	if err != nil {
		return nil, Key{}, err
	}
	q.mu.Lock()
	if m := q.slot(hierarchy); m.asked && (m.b == nil || !m.b.forgotten.Load()) {
		defer q.mu.Unlock()
		return m.b, m.presented, nil
	}
	key, attested := q.slot(hierarchy).presented, q.slot(hierarchy).issued
	now := q.nowLocked()
	q.mu.Unlock()

	ok := attested
	if !ok {
		key, ok = token.Parse(cookie.Find(q.r.Header["Cookie"], q.site.names.of(hierarchy)))
		attested = hierarchy == independentHierarchy && sess != nil && sess.browser == key && !q.site.dropped(sess)
	}
	if ok {
		if b, err = q.site.lookupBrowser(ctx, key, hierarchy, attested, now); err != nil {
			return nil, Key{}, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.slot(hierarchy)
	if !m.asked || m.b != nil && m.b.forgotten.Load() {
		m.asked, m.b, m.presented = true, b, key
	}
	return m.b, m.presented, nil
}

// issued reports whether the hierarchy's cookie goes with this response.
func (q *request) issued(hierarchy string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.slot(hierarchy).issued
}

// lookupBrowser is the browser of key if it holds state, or if a session
// attests that it was issued.
func (s *Site) lookupBrowser(ctx context.Context, key Key, hierarchy string, attested bool, now int64) (*browser, error) {
	for {
		b, epoch := s.browsers.get(key)
		if b == nil {
			b = &browser{key: key, hierarchy: hierarchy}
			b.seen.Store(now)
			if !attested {
				st, err := s.store.Browser(ctx, key)
				switch {
				case errors.Is(err, ErrNotFound):
					return nil, nil
				case err != nil:
					return nil, wrap("asking the store for the browser", err)
				case st.Hierarchy != hierarchy:
					return nil, nil
				case !st.Deadline.IsZero() && now >= st.Deadline.UnixMilli():
					return nil, nil
				}
				b.stored.Store(true)
				b.seen.Store(st.LastSeen.UnixMilli())
				b.saved.Store(st.LastSeen.UnixMilli())
			}
			var ok bool
			if b, ok = s.browsers.add(b, epoch); !ok {
				continue
			}
		}
		if b.hierarchy != hierarchy {
			return nil, nil
		}
		silent, err := s.silent(ctx, b, now)
		if err != nil {
			return nil, err
		}
		if silent {
			if err := s.dropBrowsers(ctx, key); err != nil || !attested {
				return nil, err
			}
			continue // the session goes on, so the browser stays the one that it knows
		}
		s.touches.browser(b, now)
		return b, nil
	}
}

// silent reports whether a browser has sent nothing for as long as its state is
// kept. Another server may have seen it since this one did.
func (s *Site) silent(ctx context.Context, b *browser, now int64) (bool, error) {
	keep := s.browserTimeout(b.hierarchy)
	if now < b.seen.Load()+keep {
		return false, nil
	}
	if !s.shared {
		return true, nil
	}
	st, err := s.store.Browser(ctx, b.key)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, wrap("asking the store for the browser", err)
	}
	see(&b.seen, st.LastSeen.UnixMilli())
	return now >= b.seen.Load()+keep+s.touchBrowser(b.hierarchy), nil
}

// browserTimeout is how long a browser's state is kept: an anonymous session
// as long as a session.
func (s *Site) browserTimeout(hierarchy string) int64 {
	if hierarchy == anonymousHierarchy && s.timeouts.idle != 0 {
		return s.timeouts.idle
	}
	return s.timeouts.browser
}

// makeBrowser is browserOf for a write: it makes the browser known, with a new
// cookie if need be, and recorded in the store.
func (q *request) makeBrowser(ctx context.Context, hierarchy string) (*browser, error) {
	b, presented, err := q.browserOf(ctx, hierarchy)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if sess, err := q.identify(ctx); err != nil {
			return nil, err
		} else if sess != nil && sess.browser == presented && q.site.dropped(sess) {
			return nil, ErrSessionEnded
		}
		if _, err = q.issueBrowser(hierarchy, presented); err != nil {
			return nil, err
		}
		if b, _, err = q.browserOf(ctx, hierarchy); err != nil {
			return nil, err
		}
	}
	return b, q.site.record(ctx, q, b)
}

// issueBrowser names a browser and sends its cookie. Nothing is stored, here or
// in the store, before the browser holds something.
func (q *request) issueBrowser(hierarchy string, presented Key) (Key, error) {
	s := q.site
	key, err := q.issueKey(hierarchy, presented)
	if presented == (Key{}) || key == presented || err != nil {
		return key, err
	}
	// Tabs opened their live connections under the cookie that is replaced.
	s.hub.rename(presented, key)
	if err := s.publish(q, siteMessage{Kind: messageRenamed, Keys: [][]byte{presented[:], key[:]}}); err != nil {
		s.log.WarnContext(q, "sojourn: telling the other servers of a browser's new cookie", "error", err)
	}
	return key, nil
}

// issueKey is issueBrowser without what follows from it.
func (q *request) issueKey(hierarchy string, presented Key) (Key, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.slot(hierarchy)
	if m.issued { // another goroutine of the request was first
		return m.presented, nil
	}
	s := q.site
	tok, key := token.New(token.Anywhere())
	keep := int64(0) // Timeouts.Browser begins anew with every request, the cookie's age does not
	if hierarchy == anonymousHierarchy {
		keep = s.timeouts.absolute
	}
	if !s.setCookie(&q.w, s.names.of(hierarchy), tok, keep) {
		return Key{}, ErrHeadersSent
	}
	s.browsers.inherit(presented, key)
	*m = requestBrowser{hierarchy: hierarchy, issued: true, presented: key}
	return key, nil
}

// record makes sure that the store has the browser, before state is stored.
func (s *Site) record(ctx context.Context, q *request, b *browser) error {
	if b.ended.Load() {
		return ErrSessionEnded
	}
	if b.stored.Load() {
		return nil
	}
	sess, err := q.identify(ctx)
	if err != nil {
		return err
	}
	// Of a browser that its session vouches for nobody has asked the store yet.
	attested := b.hierarchy == independentHierarchy && sess != nil && sess.browser == b.key
	there := false
	if attested {
		_, err := s.store.Browser(ctx, b.key)
		if there = err == nil; !there && !errors.Is(err, ErrNotFound) {
			return wrap("asking the store for the browser", err)
		}
	}
	if !there {
		if err := s.createBrowser(ctx, q, b); err != nil {
			return err
		}
	}
	// DisconnectAll ends the session, then drops the browser's state. If that
	// happened before the record was made, nobody else will remove it. Of an
	// end on another server we cannot tell in time whether it was one.
	unsure := false
	if attested && !there && s.shared {
		if _, err := s.store.Session(ctx, sess.key); errors.Is(err, ErrNotFound) {
			s.hasEnded(sess)
			unsure = true
		} else if err != nil {
			return wrap("asking the store for the session", err)
		}
	}
	if b.ended.Load() || attested && sess.ended() && (unsure || s.browsers.wasDropped(b.key)) {
		return errors.Join(ErrSessionEnded, s.dropBrowsers(ctx, b.key))
	}
	b.stored.Store(true)
	return nil
}

// createBrowser makes the store's record of a browser.
func (s *Site) createBrowser(ctx context.Context, q *request, b *browser) error {
	now := q.now()
	evicted, err := s.store.CreateBrowser(ctx, StoredBrowser{
		Key: b.key, Hierarchy: b.hierarchy, Subnet: subnet(q.remoteAddr()),
		LastSeen: fromMillis(now), Deadline: fromMillis(s.browserDeadline(b.hierarchy, now)),
	}, s.limits.AnonymousPerSubnet)
	if err != nil {
		return wrap("storing the browser", err)
	}
	for _, key := range evicted {
		s.browsers.remove(key, s.tabs.seq.Load(), now)
	}
	b.saved.Store(now)
	return nil
}

func (s *Site) browserDeadline(hierarchy string, seen int64) int64 {
	if hierarchy == anonymousHierarchy {
		if s.timeouts.idle != 0 {
			return seen + s.timeouts.idle
		}
	}
	return seen + s.timeouts.browser
}

// dropBrowsers removes the state of browsers and of their tabs: here first, so
// that requests under way notice, then in the store.
func (s *Site) dropBrowsers(ctx context.Context, keys ...Key) error {
	if len(keys) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // their sessions have ended: the client may go
	now := nowMillis()
	m := siteMessage{Kind: messageDropped}
	for _, key := range keys {
		s.browsers.remove(key, s.tabs.seq.Load(), now)
		m.Keys = append(m.Keys, key[:])
	}
	if err := s.store.EndBrowsers(ctx, keys...); err != nil {
		return wrap("removing the browser's state", err)
	}
	return s.publish(ctx, m)
}
