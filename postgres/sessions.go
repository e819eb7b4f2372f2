package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sojourn-go/sojourn"
)

// CreateSession implements sojourn.Store.
func (s *Store) CreateSession(ctx context.Context, n sojourn.StoredSession, limit int) ([]sojourn.StoredSession, error) {
	shard := sojourn.ShardOf(n.User)
	if [2]byte(n.Key[:2]) != shard {
		return nil, errForeign
	}
	seen, deadline := n.LastSeen.UnixMilli(), deadlineOf(n.Deadline)
	evicted, _, err := s.ends(ctx, "creating a session", s.sql.createSession,
		s.channel, s.origin, []byte(sojourn.EndEvicted), s.shardLock(shard), int64(limit),
		n.OpenedAt.UnixMilli(), seen, deadlineOf(n.ExpiresAt), deadline, dueOf(seen, deadline), userHash(n.User),
		n.Key[:], n.Browser[:], []byte(n.ID), []byte(n.User), []byte(n.UserAgent), addrBytes(n.RemoteAddr))
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "23505" {
		return nil, errKeyInUse
	}
	return evicted, err
}

// Session implements sojourn.Store.
func (s *Store) Session(ctx context.Context, key sojourn.Key) (sojourn.StoredSession, error) {
	r := sessionRow{key: key[:]}
	err := s.do(ctx, "reading a session", reads, func(ctx context.Context, c *pgx.Conn) error {
		return notFound(c.QueryRow(ctx, s.sql.session, key[:]).Scan(r.fields()...))
	})
	if err != nil {
		return sojourn.StoredSession{}, err
	}
	return r.session()
}

// Sessions implements sojourn.Store.
func (s *Store) Sessions(ctx context.Context, user sojourn.UserID) (list []sojourn.StoredSession, err error) {
	err = s.do(ctx, "listing a user's sessions", reads, func(ctx context.Context, c *pgx.Conn) error {
		rows, _ := c.Query(ctx, s.sql.sessions, userHash(user), []byte(user)) // Err says it, too
		list = nil
		var r sessionRow
		_, err := pgx.ForEachRow(rows, append([]any{&r.key}, r.fields()...), func() error {
			n, err := r.session()
			list = append(list, n)
			return err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// EndSession implements sojourn.Store.
func (s *Store) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) ([]sojourn.StoredSession, int, error) {
	return s.ends(ctx, "ending a session", s.sql.endSession,
		s.channel, s.origin, []byte(reason), s.shardLock([2]byte(key[:2])), key[:])
}

// EndUser implements sojourn.Store.
func (s *Store) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) ([]sojourn.StoredSession, error) {
	ended, _, err := s.ends(ctx, "ending a user's sessions", s.sql.endUser,
		s.channel, s.origin, []byte(reason), s.shardLock(sojourn.ShardOf(user)), userHash(user), []byte(user), keys(keep))
	return ended, err
}

// ends calls a function that ends sessions and answers with a packet.
func (s *Store) ends(ctx context.Context, doing, sql string, args ...any) (ended []sojourn.StoredSession, left int, err error) {
	err = s.do(ctx, doing, writes, func(ctx context.Context, c *pgx.Conn) error {
		var packet []byte
		if err := c.QueryRow(ctx, sql, args...).Scan(&packet); err != nil {
			return err
		}
		ended, left, err = sessionsOf(packet)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return ended, left, nil
}

// Touch implements sojourn.Store.
func (s *Store) Touch(ctx context.Context, touches []sojourn.Touch) error {
	b := newTouchBatch(touches)
	for first := true; first || !b.empty(); first = false {
		args := b.take(touchesAtOnce)
		err := s.do(ctx, "touching", writes, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, s.sql.touch, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expireAtOnce bounds how many locks one transaction holds: the server has
// room for some thousands in all.
const expireAtOnce = 64

// Expire implements sojourn.Store.
func (s *Store) Expire(ctx context.Context, now time.Time, max int) (all []sojourn.StoredSession, more bool, err error) {
	at := now.UnixMilli()
	for left := max; ; {
		var again bool
		var ended []sojourn.StoredSession
		n := min(left, expireAtOnce)
		err := s.do(ctx, "expiring sessions", writes, func(ctx context.Context, c *pgx.Conn) error {
			var packet []byte
			err := c.QueryRow(ctx, s.sql.expireSessions,
				s.channel, s.origin, []byte(sojourn.EndExpired), s.locks|lockShard, at, int32(n)).Scan(&packet, &again)
			if err != nil {
				return err
			}
			ended, _, err = sessionsOf(packet)
			return err
		})
		all = append(all, ended...)
		left -= len(ended)
		switch {
		case err != nil && len(all) == 0:
			return nil, false, err
		case err != nil:
			return all, true, nil // what has ended has to be reported
		}
		if !again || left == 0 || len(ended) == 0 {
			more = again
			break
		}
	}
	for _, e := range []struct{ doing, sql string }{
		{"expiring browsers", s.sql.expireBrowsers}, {"expiring tabs", s.sql.expireTabs},
	} {
		var again bool
		err := s.do(ctx, e.doing, writes, func(ctx context.Context, c *pgx.Conn) error {
			return c.QueryRow(ctx, e.sql, at, int32(max)).Scan(&again)
		})
		switch {
		case err != nil && len(all) == 0:
			return nil, false, err
		case err != nil:
			return all, true, nil
		}
		more = more || again
	}
	return all, more, nil
}

// sessionRow takes in a row of the table session.
type sessionRow struct {
	opened, seen, expires, deadline    int64
	key, browser, id, usr, agent, addr []byte
}

func (r *sessionRow) fields() []any {
	return []any{&r.opened, &r.seen, &r.expires, &r.deadline, &r.browser, &r.id, &r.usr, &r.agent, &r.addr}
}

func (r *sessionRow) session() (sojourn.StoredSession, error) {
	n := sojourn.StoredSession{
		ID:        sojourn.SessionID(r.id),
		User:      sojourn.UserID(r.usr),
		OpenedAt:  timeOf(r.opened),
		LastSeen:  timeOf(r.seen),
		ExpiresAt: timeOfDeadline(r.expires),
		Deadline:  timeOfDeadline(r.deadline),
		UserAgent: string(r.agent),
	}
	copy(n.Key[:], r.key)
	copy(n.Browser[:], r.browser)
	return n, n.RemoteAddr.UnmarshalBinary(r.addr)
}

// notFound is ErrNotFound for no row.
func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return sojourn.ErrNotFound
	}
	return err
}

func keys(all []sojourn.Key) [][]byte {
	b := make([][]byte, len(all))
	for i := range all {
		b[i] = all[i][:]
	}
	return b
}
