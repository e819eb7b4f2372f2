package sqlite

import (
	"context"
	"database/sql"

	"github.com/sojourn-go/sojourn"
)

const (
	insertBrowser = `
		INSERT INTO browser (key, hierarchy, subnet, last_seen, deadline) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (key) DO NOTHING`
	selectBrowser = `SELECT hierarchy, subnet, last_seen, deadline FROM browser WHERE key = ?`
	countIn       = `SELECT browsers FROM subnet WHERE subnet = ?`
	leastSeenIn   = `SELECT key FROM browser WHERE subnet = ? AND key <> ? ORDER BY last_seen LIMIT ?`
	deleteBrowser = `DELETE FROM browser WHERE key = ?`
)

// CreateBrowser adds a browser unless it is there, and removes the least
// recently seen others of its subnet over the limit.
func (s *Store) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key, err error) {
	subnet, err := b.Subnet.MarshalText()
	if err != nil {
		return nil, s.explain("creating a browser", err)
	}
	err = s.write(ctx, "creating a browser", func(c *conn) error {
		evicted = nil
		added, err := c.exec(insertBrowser, b.Key[:], b.Hierarchy, string(subnet), millis(b.LastSeen), deadline(b.Deadline))
		if err != nil || added == 0 || limit <= 0 {
			return err
		}
		count, err := c.count(countIn, string(subnet))
		if err != nil || count <= limit {
			return err
		}
		evicted, err = c.keys(leastSeenIn, string(subnet), b.Key[:], count-limit)
		if err != nil {
			return err
		}
		return c.endBrowsers(evicted)
	})
	return onSuccess(evicted, err)
}

// Browser returns the browser of key, or sojourn.ErrNotFound.
func (s *Store) Browser(ctx context.Context, key sojourn.Key) (sojourn.StoredBrowser, error) {
	b := sojourn.StoredBrowser{Key: key}
	found := false
	err := s.read(ctx, "reading a browser", func(c *conn) error {
		return c.each(selectBrowser, []any{key[:]}, func(rows *sql.Rows) error {
			found = true
			var subnet sql.RawBytes
			var seen, due int64
			if err := rows.Scan(&b.Hierarchy, &subnet, &seen, &due); err != nil {
				return err
			}
			b.LastSeen, b.Deadline = moment(seen), comes(due)
			return b.Subnet.UnmarshalText(subnet)
		})
	})
	switch {
	case err != nil:
		return sojourn.StoredBrowser{}, err
	case !found:
		return sojourn.StoredBrowser{}, sojourn.ErrNotFound
	}
	return b, nil
}

// EndBrowsers removes browsers with their values.
func (s *Store) EndBrowsers(ctx context.Context, keys ...sojourn.Key) error {
	return s.write(ctx, "removing browsers", func(c *conn) error { return c.endBrowsers(keys) })
}

// endBrowsers removes the browsers that are there, with their values.
func (c *conn) endBrowsers(keys []sojourn.Key) error {
	for _, key := range keys {
		removed, err := c.exec(deleteBrowser, key[:])
		if err != nil {
			return err
		}
		if removed == 0 {
			continue
		}
		if err := c.disown(sojourn.Owner{Kind: sojourn.OwnerBrowser, Key: key}); err != nil {
			return err
		}
	}
	return nil
}
