package sqlite

import (
	"context"
	"fmt"
)

// applicationID marks our files: "sjrn" in ASCII, in the header of the file.
const applicationID = 0x736a726e

// migrations bring a file from each version of its schema to the next: the
// first makes an empty one into version 1. They are never changed, only added
// to. The version is in PRAGMA user_version.
//
// Times are in milliseconds since 1970. A deadline that never comes is the
// greatest number, so that the index on deadlines and max() need no exception.
// An owner is the byte of its kind and then its key or user. A tab has a row as
// long as it has values.
var migrations = []string{
	`
	CREATE TABLE session (
		key         BLOB    NOT NULL PRIMARY KEY,
		id          TEXT    NOT NULL,
		user        TEXT    NOT NULL,
		browser     BLOB    NOT NULL,
		opened_at   INTEGER NOT NULL,
		last_seen   INTEGER NOT NULL,
		expires_at  INTEGER NOT NULL,
		deadline    INTEGER NOT NULL,
		user_agent  TEXT    NOT NULL,
		remote_addr TEXT    NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE INDEX session_of_user ON session (user, last_seen);
	CREATE INDEX session_deadline ON session (deadline);

	CREATE TABLE browser (
		key       BLOB    NOT NULL PRIMARY KEY,
		hierarchy TEXT    NOT NULL,
		subnet    TEXT    NOT NULL,
		last_seen INTEGER NOT NULL,
		deadline  INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE INDEX browser_of_subnet ON browser (subnet, last_seen);
	CREATE INDEX browser_deadline ON browser (deadline);

	-- How many browsers come from each subnet, so that nobody has to count.
	CREATE TABLE subnet (
		subnet   TEXT    NOT NULL PRIMARY KEY,
		browsers INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE TRIGGER browser_added AFTER INSERT ON browser BEGIN
		INSERT INTO subnet (subnet, browsers) VALUES (new.subnet, 1)
			ON CONFLICT (subnet) DO UPDATE SET browsers = browsers + 1;
	END;
	CREATE TRIGGER browser_removed AFTER DELETE ON browser BEGIN
		UPDATE subnet SET browsers = browsers - 1 WHERE subnet = old.subnet;
		DELETE FROM subnet WHERE subnet = old.subnet AND browsers = 0;
	END;

	CREATE TABLE value (
		owner   BLOB    NOT NULL,
		tab     TEXT    NOT NULL,
		name    TEXT    NOT NULL,
		version INTEGER NOT NULL,
		data    BLOB    NOT NULL,
		PRIMARY KEY (owner, tab, name)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE tab (
		owner    BLOB    NOT NULL,
		tab      TEXT    NOT NULL,
		deadline INTEGER NOT NULL,
		PRIMARY KEY (owner, tab)
	) STRICT, WITHOUT ROWID;
	CREATE INDEX tab_deadline ON tab (deadline);

	-- The last version that a value was given.
	CREATE TABLE last_version (version INTEGER NOT NULL) STRICT;
	INSERT INTO last_version VALUES (0);
	`,
}

// migrate looks whose file it is, and brings the schema up to date in one
// transaction.
func migrate(c *conn, path string) error {
	var application, version, tables int
	for _, v := range []struct {
		query string
		into  *int
	}{
		{"PRAGMA application_id", &application},
		{"PRAGMA user_version", &version},
		{"SELECT count(*) FROM sqlite_schema", &tables},
	} {
		if err := c.sql.QueryRowContext(context.Background(), v.query).Scan(v.into); err != nil {
			return err
		}
	}
	empty := application == 0 && version == 0 && tables == 0
	switch {
	case application != applicationID && !empty:
		return fmt.Errorf("it is the database of another application (application_id %#x): open another file", application)
	case version > len(migrations):
		return fmt.Errorf("its schema is of version %d, and this program knows versions up to %d only: run a newer version of the program, or open another file", version, len(migrations))
	case version < 0 || version == 0 && !empty:
		return fmt.Errorf("its schema is of version %d, which no program wrote: restore a backup, or open another file", version)
	case version == len(migrations):
		return nil
	}
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, m := range migrations[version:] {
		if err := c.run(m); err != nil {
			c.run("ROLLBACK")
			return fmt.Errorf("changing its schema from version %d to %d: %w", version, len(migrations), err)
		}
	}
	for _, last := range []string{
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", len(migrations)),
		"COMMIT",
	} {
		if err := c.run(last); err != nil {
			c.run("ROLLBACK")
			return fmt.Errorf("changing its schema from version %d to %d: %w", version, len(migrations), err)
		}
	}
	return nil
}

// run runs statements that are needed once.
func (c *conn) run(statements string) error {
	_, err := c.sql.ExecContext(context.Background(), statements)
	return err
}
