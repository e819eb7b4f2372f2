package postgres

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/sojourn-go/sojourn"
)

// Value implements sojourn.Store.
func (s *Store) Value(ctx context.Context, key sojourn.ValueKey) (v sojourn.StoredValue, err error) {
	owner, ok := ownerOf(key.Owner)
	if !ok {
		return v, s.ready(ctx)
	}
	tab, _ := tabOf(key.Tab)
	err = s.do(ctx, "reading a value", reads, func(ctx context.Context, c *pgx.Conn) error {
		err := c.QueryRow(ctx, s.sql.value, owner, tab, shortened(key.Name)).Scan(&v.Version, &v.Data)
		if err == pgx.ErrNoRows {
			return nil
		}
		return err
	})
	if err != nil {
		return sojourn.StoredValue{}, err
	}
	return v, nil
}

// SetValue implements sojourn.Store.
func (s *Store) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	owner, ok := ownerOf(key.Owner)
	if !ok {
		return 0, cmp.Or(s.ready(ctx), sojourn.ErrNotFound)
	}
	// Sessions that have to exist, and of which user; a browser that has to.
	var user, browser []byte
	sessions := [][]byte{}
	if w.Session != (sojourn.Key{}) {
		sessions = append(sessions, w.Session[:])
	}
	switch key.Owner.Kind {
	case sojourn.OwnerUser:
		user = []byte(key.Owner.User)
	case sojourn.OwnerBrowser:
		browser = key.Owner.Key[:]
	case sojourn.OwnerSession:
		if key.Owner.Key != w.Session || len(sessions) == 0 {
			sessions = append(sessions, key.Owner.Key[:])
		}
	}
	tab, whole := tabOf(key.Tab)
	deadline := deadlineOf(w.Deadline)
	due := dueOf(deadline-tabSpan, deadline)
	err = s.do(ctx, "writing a value", writes, func(ctx context.Context, c *pgx.Conn) error {
		var status int32
		err := c.QueryRow(ctx, s.sql.setValue, sessions, user, browser, owner, tab, whole, shortened(key.Name),
			w.Data, w.Version, deadline, due).Scan(&status, &version)
		switch {
		case err != nil:
			return err
		case status == 1:
			return sojourn.ErrNotFound
		case status == 2:
			return sojourn.ErrConflict
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// tabSpan is how long before its deadline a tab is taken to be used.
const tabSpan = 10 * 60 * 1000

// DropValues implements sojourn.Store.
func (s *Store) DropValues(ctx context.Context, o sojourn.Owner, id string, session sojourn.Key) error {
	owner, ok := ownerOf(o)
	if !ok {
		owner = []byte{} // nobody's
	}
	tab, _ := tabOf(id)
	var witness []byte
	if session != (sojourn.Key{}) {
		witness = session[:]
	}
	return s.do(ctx, "dropping values", writes, func(ctx context.Context, c *pgx.Conn) error {
		var there bool
		err := c.QueryRow(ctx, s.sql.dropValues, witness, owner, tab).Scan(&there)
		if err == nil && !there {
			return sojourn.ErrNotFound
		}
		return err
	})
}

// Tabs implements sojourn.Store.
func (s *Store) Tabs(ctx context.Context, o sojourn.Owner) (tabs []sojourn.StoredTab, err error) {
	owner, ok := ownerOf(o)
	if !ok {
		return nil, s.ready(ctx)
	}
	err = s.do(ctx, "listing tabs", reads, func(ctx context.Context, c *pgx.Conn) error {
		rows, _ := c.Query(ctx, s.sql.tabs, owner) // Err says it, too
		tabs = nil
		var tab, whole []byte
		var deadline int64
		_, err := pgx.ForEachRow(rows, []any{&tab, &whole, &deadline}, func() error {
			if whole != nil {
				tab = whole
			}
			tabs = append(tabs, sojourn.StoredTab{ID: string(tab), Deadline: timeOfDeadline(deadline)})
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return tabs, nil
}
