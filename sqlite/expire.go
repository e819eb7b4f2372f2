package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	touchSession = `
		UPDATE session SET last_seen = max(last_seen, ?2), deadline = max(deadline, ?3)
		WHERE key = ?1 AND (last_seen < ?2 OR deadline < ?3)`
	touchBrowser = `
		UPDATE browser SET last_seen = max(last_seen, ?2), deadline = max(deadline, ?3)
		WHERE key = ?1 AND (last_seen < ?2 OR deadline < ?3)`
	touchTab = `UPDATE tab SET deadline = ?3 WHERE owner = ?1 AND tab = ?2 AND deadline < ?3`

	expiredSessions = `SELECT key FROM session WHERE deadline <= ? ORDER BY deadline LIMIT ?`
	expiredBrowsers = `SELECT key FROM browser WHERE deadline <= ? ORDER BY deadline LIMIT ?`
	expiredTabs     = `SELECT owner, tab FROM tab WHERE deadline <= ? ORDER BY deadline LIMIT ?`
)

// touchesAtOnce is how many touches are one operation, so that a connect or an
// end does not wait for a long batch of them.
const touchesAtOnce = 64

// Touch moves last-seen times and deadlines forward. It does not wait for the
// disk, and what waits for the disk does not wait for it.
func (s *Store) Touch(ctx context.Context, touches []sojourn.Touch) error {
	for {
		n := min(len(touches), touchesAtOnce)
		err := s.writer.do(ctx, lazy, func(c *conn) error {
			for _, t := range touches[:n] {
				if err := c.touch(t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return s.explain("touching", err)
		}
		if touches = touches[n:]; len(touches) == 0 {
			return nil
		}
		ctx = context.WithoutCancel(ctx) // what has begun is finished
	}
}

func (c *conn) touch(t sojourn.Touch) (err error) {
	switch {
	case t.Tab != "":
		_, err = c.exec(touchTab, ownerBytes(t.Owner), t.Tab, deadline(t.Deadline))
	case t.Owner.Kind == sojourn.OwnerSession:
		_, err = c.exec(touchSession, t.Owner.Key[:], millis(t.LastSeen), deadline(t.Deadline))
	case t.Owner.Kind == sojourn.OwnerBrowser:
		_, err = c.exec(touchBrowser, t.Owner.Key[:], millis(t.LastSeen), deadline(t.Deadline))
	}
	return err
}

// Expire ends sessions, and removes browsers and tabs' values, whose deadline
// is not after now: max of each at the most.
func (s *Store) Expire(ctx context.Context, now time.Time, max int) (ended []sojourn.StoredSession, more bool, err error) {
	err = s.write(ctx, "ending what has expired", func(c *conn) error {
		sessions, moreSessions, err := c.expired(expiredSessions, now, max)
		if err != nil {
			return err
		}
		if ended, err = c.endSessions(sessions); err != nil {
			return err
		}
		browsers, moreBrowsers, err := c.expired(expiredBrowsers, now, max)
		if err != nil {
			return err
		}
		if err := c.endBrowsers(browsers); err != nil {
			return err
		}
		moreTabs, err := c.expireTabs(now, max)
		more = moreSessions || moreBrowsers || moreTabs
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return ended, more, nil
}

// expired are the first keys whose deadline has come, and whether there are
// more than max.
func (c *conn) expired(query string, now time.Time, max int) (keys []sojourn.Key, more bool, err error) {
	keys, err = c.keys(query, millis(now), max+1)
	if len(keys) > max {
		keys, more = keys[:max], true
	}
	return keys, more, err
}

func (c *conn) expireTabs(now time.Time, max int) (more bool, err error) {
	type tab struct {
		owner []byte
		id    string
	}
	var tabs []tab
	err = c.each(expiredTabs, []any{millis(now), max + 1}, func(rows *sql.Rows) error {
		var t tab
		tabs = append(tabs, t)
		last := &tabs[len(tabs)-1]
		return rows.Scan(&last.owner, &last.id)
	})
	if err != nil {
		return false, err
	}
	if len(tabs) > max {
		tabs, more = tabs[:max], true
	}
	for _, t := range tabs {
		if err := c.dropValues(t.owner, t.id); err != nil {
			return false, err
		}
	}
	return more, nil
}

// never is the deadline that never comes.
const never = math.MaxInt64

// millis is a time as the tables have it, and moment its inverse.
func millis(t time.Time) int64  { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// deadline is a deadline as the tables have it, and comes its inverse.
func deadline(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

func comes(ms int64) time.Time {
	if ms == never {
		return time.Time{}
	}
	return moment(ms)
}
