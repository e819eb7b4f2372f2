package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/sojourn-go/sojourn"
)

const sessionColumns = `key, id, user, browser, opened_at, last_seen, expires_at, deadline, user_agent, remote_addr`

const (
	insertSession = `INSERT INTO session (` + sessionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectSession = `SELECT ` + sessionColumns + ` FROM session WHERE key = ?`
	sessionsOf    = `SELECT ` + sessionColumns + ` FROM session WHERE user = ? ORDER BY opened_at DESC, id`
	keysOf        = `SELECT key FROM session WHERE user = ?`
	countOf       = `SELECT count(*) FROM session WHERE user = ?`
	leastSeenOf   = `SELECT key FROM session WHERE user = ? AND key <> ? ORDER BY last_seen LIMIT ?`
	deleteSession = `DELETE FROM session WHERE key = ? RETURNING ` + sessionColumns
)

// CreateSession adds a session, and ends the user's least recently seen others
// over the limit.
func (s *Store) CreateSession(ctx context.Context, n sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession, err error) {
	remote, err := n.RemoteAddr.MarshalText()
	if err != nil {
		return nil, s.explain("creating a session", err)
	}
	err = s.write(ctx, "creating a session", func(c *conn) error {
		evicted = nil
		_, err := c.exec(insertSession, n.Key[:], string(n.ID), string(n.User), n.Browser[:],
			millis(n.OpenedAt), millis(n.LastSeen), deadline(n.ExpiresAt), deadline(n.Deadline), n.UserAgent, string(remote))
		if err != nil || limit <= 0 {
			return err
		}
		count, err := c.count(countOf, string(n.User))
		if err != nil || count <= limit {
			return err
		}
		keys, err := c.keys(leastSeenOf, string(n.User), n.Key[:], count-limit)
		if err != nil {
			return err
		}
		evicted, err = c.endSessions(keys)
		return err
	})
	return onSuccess(evicted, err)
}

// Session returns the session of key, or sojourn.ErrNotFound.
func (s *Store) Session(ctx context.Context, key sojourn.Key) (sojourn.StoredSession, error) {
	var found []sojourn.StoredSession
	err := s.read(ctx, "reading a session", func(c *conn) (err error) {
		found, err = c.sessions(selectSession, key[:])
		return err
	})
	switch {
	case err != nil:
		return sojourn.StoredSession{}, err
	case len(found) == 0:
		return sojourn.StoredSession{}, sojourn.ErrNotFound
	}
	return found[0], nil
}

// Sessions returns the sessions of user, the last opened first.
func (s *Store) Sessions(ctx context.Context, user sojourn.UserID) (list []sojourn.StoredSession, err error) {
	err = s.read(ctx, "listing sessions", func(c *conn) (err error) {
		list, err = c.sessions(sessionsOf, string(user))
		return err
	})
	return list, err
}

// EndSession ends a session, if it exists, and says how many its user has left.
func (s *Store) EndSession(ctx context.Context, key sojourn.Key, _ sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	err = s.write(ctx, "ending a session", func(c *conn) (err error) {
		left = 0
		ended, err = c.endSessions([]sojourn.Key{key})
		if err == nil && len(ended) > 0 {
			left, err = c.count(countOf, string(ended[0].User))
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return ended, left, nil
}

// EndUser ends all sessions of user but those of keep.
func (s *Store) EndUser(ctx context.Context, user sojourn.UserID, _ sojourn.EndReason, keep ...sojourn.Key) (ended []sojourn.StoredSession, err error) {
	err = s.write(ctx, "ending a user's sessions", func(c *conn) error {
		keys, err := c.keys(keysOf, string(user))
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k sojourn.Key) bool { return slices.Contains(keep, k) })
		ended, err = c.endSessions(keys)
		return err
	})
	return onSuccess(ended, err)
}

// endSessions ends sessions, with their values, and returns those that were
// there.
func (c *conn) endSessions(keys []sojourn.Key) (ended []sojourn.StoredSession, err error) {
	for _, key := range keys {
		gone, err := c.sessions(deleteSession, key[:])
		if err != nil {
			return nil, err
		}
		if len(gone) == 0 {
			continue
		}
		if err := c.disown(sojourn.Owner{Kind: sojourn.OwnerSession, Key: key}); err != nil {
			return nil, err
		}
		ended = append(ended, gone...)
	}
	return ended, nil
}

// sessions are the rows of a statement that returns sessionColumns.
func (c *conn) sessions(query string, args ...any) (list []sojourn.StoredSession, err error) {
	err = c.each(query, args, func(rows *sql.Rows) error {
		var s sojourn.StoredSession
		var key, browser, remote sql.RawBytes
		var opened, seen, expires, due int64
		err := rows.Scan(&key, (*string)(&s.ID), (*string)(&s.User), &browser, &opened, &seen, &expires, &due, &s.UserAgent, &remote)
		if err != nil {
			return err
		}
		copy(s.Key[:], key)
		copy(s.Browser[:], browser)
		s.OpenedAt, s.LastSeen, s.ExpiresAt, s.Deadline = moment(opened), moment(seen), comes(expires), comes(due)
		if err := s.RemoteAddr.UnmarshalText(remote); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	return list, err
}

// keys are the rows of a statement that returns keys.
func (c *conn) keys(query string, args ...any) (keys []sojourn.Key, err error) {
	err = c.each(query, args, func(rows *sql.Rows) error {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return err
		}
		var key sojourn.Key
		copy(key[:], b)
		keys = append(keys, key)
		return nil
	})
	return keys, err
}

// count is the one number that a statement returns; 0 if it returns nothing.
func (c *conn) count(query string, args ...any) (n int, err error) {
	_, err = c.row(query, args, &n)
	return n, err
}

// onSuccess is v, unless there is an error: what was undone is not reported.
func onSuccess[T any](v []T, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
