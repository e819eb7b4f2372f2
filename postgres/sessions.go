package postgres

import (
	"context"
	"errors"

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
