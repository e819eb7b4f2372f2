package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sojourn-go/sojourn"
)

// CreateBrowser implements sojourn.Store.
func (s *Store) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key, err error) {
	seen, deadline, subnet := b.LastSeen.UnixMilli(), deadlineOf(b.Deadline), subnetBytes(b.Subnet)
	err = s.do(ctx, "creating a browser", writes, func(ctx context.Context, c *pgx.Conn) error {
		var gone [][]byte
		err := c.QueryRow(ctx, s.sql.createBrowser,
			s.subnetLock(subnet), int64(limit), seen, deadline, dueOf(seen, deadline), b.Key[:], []byte(b.Hierarchy), subnet).Scan(&gone)
		evicted = nil
		for _, key := range gone {
			evicted = append(evicted, sojourn.Key(key))
		}
		return err
	})
	return evicted, err
}

// Browser implements sojourn.Store.
func (s *Store) Browser(ctx context.Context, key sojourn.Key) (sojourn.StoredBrowser, error) {
	var seen, deadline int64
	var hierarchy, subnet []byte
	err := s.do(ctx, "reading a browser", reads, func(ctx context.Context, c *pgx.Conn) error {
		return notFound(c.QueryRow(ctx, s.sql.browser, key[:]).Scan(&seen, &deadline, &hierarchy, &subnet))
	})
	if err != nil {
		return sojourn.StoredBrowser{}, err
	}
	b := sojourn.StoredBrowser{
		Key:       key,
		Hierarchy: string(hierarchy),
		LastSeen:  timeOf(seen),
		Deadline:  timeOfDeadline(deadline),
	}
	b.Subnet, err = subnetOf(subnet)
	return b, err
}

// EndBrowsers implements sojourn.Store.
func (s *Store) EndBrowsers(ctx context.Context, all ...sojourn.Key) error {
	return s.do(ctx, "removing browsers", writes, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, s.sql.endBrowsers, keys(all))
		return err
	})
}

// countTimeout is how long counting may take: it looks at every row.
const countTimeout = time.Minute

// Count implements sojourn.Store.
func (s *Store) Count(ctx context.Context) (n sojourn.Counts, err error) {
	timeout := max(s.timeout, countTimeout)
	long, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = s.do(ctx, "counting", reads, func(ctx context.Context, c *pgx.Conn) error {
		tx, err := c.Begin(ctx) // a database that is away is not waited for so long
		if err != nil {
			return err
		}
		defer tx.Rollback(long)
		if _, err := tx.Exec(ctx, `select set_config('statement_timeout', $1, true)`, milliseconds(timeout)); err != nil {
			return err
		}
		return tx.QueryRow(long, s.sql.count).Scan(&n.Sessions, &n.Browsers, &n.Values)
	})
	return n, err
}
