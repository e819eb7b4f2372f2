package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sojourn-go/sojourn"
)

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
