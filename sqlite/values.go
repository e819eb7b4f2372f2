package sqlite

import (
	"context"
	"database/sql"

	"github.com/sojourn-go/sojourn"
)

const (
	selectValue   = `SELECT version, data FROM value WHERE owner = ? AND tab = ? AND name = ?`
	selectVersion = `SELECT version FROM value WHERE owner = ? AND tab = ? AND name = ?`
	nextVersion   = `UPDATE last_version SET version = version + 1 RETURNING version`
	putValue      = `
		INSERT INTO value (owner, tab, name, version, data) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (owner, tab, name) DO UPDATE SET version = excluded.version, data = excluded.data`
	deleteValue  = `DELETE FROM value WHERE owner = ? AND tab = ? AND name = ?`
	deleteValues = `DELETE FROM value WHERE owner = ? AND tab = ?`
	deleteOwned  = `DELETE FROM value WHERE owner = ?`

	selectTabs = `SELECT tab, deadline FROM tab WHERE owner = ? ORDER BY deadline, tab`
	putTab     = `
		INSERT INTO tab (owner, tab, deadline) VALUES (?, ?, ?)
		ON CONFLICT (owner, tab) DO UPDATE SET deadline = max(deadline, excluded.deadline)
		WHERE deadline < excluded.deadline`
	deleteTab      = `DELETE FROM tab WHERE owner = ? AND tab = ?`
	deleteEmptyTab = `
		DELETE FROM tab WHERE owner = ?1 AND tab = ?2
		AND NOT EXISTS (SELECT 1 FROM value WHERE owner = ?1 AND tab = ?2)`
	deleteTabs = `DELETE FROM tab WHERE owner = ?`

	sessionUser   = `SELECT user FROM session WHERE key = ?`
	browserExists = `SELECT 1 FROM browser WHERE key = ?`
)

// Value returns the value at key, with version 0 if there is none.
func (s *Store) Value(ctx context.Context, key sojourn.ValueKey) (v sojourn.StoredValue, err error) {
	err = s.read(ctx, "reading a value", func(c *conn) error {
		found, err := c.row(selectValue, []any{ownerBytes(key.Owner), key.Tab, key.Name}, &v.Version, &v.Data)
		if found && v.Data == nil {
			v.Data = []byte{} // it is a value all the same
		}
		return err
	})
	return v, err
}

// SetValue writes or removes one value, if its owner exists and the write's
// conditions hold.
func (s *Store) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	err = s.write(ctx, "writing a value", func(c *conn) (err error) {
		version, err = c.setValue(key, w)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

func (c *conn) setValue(key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	if err := c.checkOwner(key.Owner); err != nil {
		return 0, err
	}
	if err := c.checkSession(key.Owner, w.Session); err != nil {
		return 0, err
	}
	owner := ownerBytes(key.Owner)
	if w.Version != sojourn.AnyVersion {
		var now int64
		if _, err := c.row(selectVersion, []any{owner, key.Tab, key.Name}, &now); err != nil {
			return 0, err
		}
		if now != w.Version {
			return 0, sojourn.ErrConflict
		}
	}
	if w.Data == nil {
		removed, err := c.exec(deleteValue, owner, key.Tab, key.Name)
		if err == nil && removed > 0 && key.Tab != "" {
			_, err = c.exec(deleteEmptyTab, owner, key.Tab)
		}
		return 0, err
	}
	if _, err := c.row(nextVersion, nil, &version); err != nil {
		return 0, err
	}
	if _, err := c.exec(putValue, owner, key.Tab, key.Name, version, w.Data); err != nil {
		return 0, err
	}
	if key.Tab != "" {
		_, err = c.exec(putTab, owner, key.Tab, deadline(w.Deadline))
	}
	return version, err
}

// DropValues removes all values of an owner's tab, or its own.
func (s *Store) DropValues(ctx context.Context, owner sojourn.Owner, tab string, session sojourn.Key) error {
	return s.write(ctx, "removing values", func(c *conn) error {
		if err := c.checkSession(sojourn.Owner{}, session); err != nil {
			return err
		}
		return c.dropValues(ownerBytes(owner), tab)
	})
}

func (c *conn) dropValues(owner []byte, tab string) error {
	if _, err := c.exec(deleteValues, owner, tab); err != nil || tab == "" {
		return err
	}
	_, err := c.exec(deleteTab, owner, tab)
	return err
}

// Tabs returns the owner's tabs that have values, the first deadline first.
func (s *Store) Tabs(ctx context.Context, owner sojourn.Owner) (tabs []sojourn.StoredTab, err error) {
	err = s.read(ctx, "listing tabs", func(c *conn) error {
		return c.each(selectTabs, []any{ownerBytes(owner)}, func(rows *sql.Rows) error {
			var t sojourn.StoredTab
			var due int64
			if err := rows.Scan(&t.ID, &due); err != nil {
				return err
			}
			t.Deadline = comes(due)
			tabs = append(tabs, t)
			return nil
		})
	})
	return tabs, err
}

// disown removes all values of an owner that is no more, and of its tabs.
func (c *conn) disown(o sojourn.Owner) error {
	owner := ownerBytes(o)
	if _, err := c.exec(deleteOwned, owner); err != nil {
		return err
	}
	_, err := c.exec(deleteTabs, owner)
	return err
}

// checkOwner returns sojourn.ErrNotFound for a session or browser that does
// not exist.
func (c *conn) checkOwner(o sojourn.Owner) error {
	switch o.Kind {
	case sojourn.OwnerSite, sojourn.OwnerUser:
		return nil
	case sojourn.OwnerSession:
		_, err := c.userOf(o.Key)
		return err
	case sojourn.OwnerBrowser:
		var one int
		found, err := c.row(browserExists, []any{o.Key[:]}, &one)
		if err == nil && !found {
			err = sojourn.ErrNotFound
		}
		return err
	default:
		return sojourn.ErrNotFound
	}
}

// checkSession returns sojourn.ErrNotFound if a session is named that does not
// exist, or is not the user's whose value is written.
func (c *conn) checkSession(owner sojourn.Owner, session sojourn.Key) error {
	if session == (sojourn.Key{}) {
		return nil
	}
	user, err := c.userOf(session)
	if err == nil && owner.Kind == sojourn.OwnerUser && owner.User != user {
		err = sojourn.ErrNotFound
	}
	return err
}

// userOf is the user of a session, or sojourn.ErrNotFound.
func (c *conn) userOf(session sojourn.Key) (user sojourn.UserID, err error) {
	found, err := c.row(sessionUser, []any{session[:]}, (*string)(&user))
	if err == nil && !found {
		err = sojourn.ErrNotFound
	}
	return user, err
}

// ownerBytes is an owner as the tables have it.
func ownerBytes(o sojourn.Owner) []byte {
	switch o.Kind {
	case sojourn.OwnerUser:
		return append([]byte{byte(o.Kind)}, o.User...)
	case sojourn.OwnerSession, sojourn.OwnerBrowser:
		return append([]byte{byte(o.Kind)}, o.Key[:]...)
	default:
		return []byte{byte(o.Kind)}
	}
}
