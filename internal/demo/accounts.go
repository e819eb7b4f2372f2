package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sojourn-go/sojourn"
)

// The groups of this application.
const (
	admins sojourn.Group = "admin"
	banned sojourn.Group = "banned"
)

// account is a user of the demo. Its ID is random and never used twice, so a
// session that outlives its account can never become somebody else's.
type account struct {
	ID      sojourn.UserID
	Name    string
	Admin   bool
	Banned  bool
	Created time.Time
}

var (
	errNameTaken     = errors.New("this name is taken")
	errWrongPassword = errors.New("wrong name or password")
	errNoAccount     = errors.New("no such account")
)

// accounts is the demo's own table of users, in a file of its own: sojourn
// knows sessions, not passwords.
type accounts struct {
	db     *sql.DB
	hasher *hasher
}

const accountsVersion = 1

const accountsSchema = `
CREATE TABLE IF NOT EXISTS accounts (
	id       TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	folded   TEXT NOT NULL UNIQUE, -- the name in lower case
	password TEXT NOT NULL,        -- argon2id
	admin    INTEGER NOT NULL DEFAULT 0,
	banned   INTEGER NOT NULL DEFAULT 0,
	known    INTEGER NOT NULL DEFAULT 0, -- its password is the one printed in the source
	created  INTEGER NOT NULL      -- Unix seconds
) STRICT; -- IF NOT EXISTS: several servers may start at once
PRAGMA user_version = 1;`

// openAccounts opens the file, or makes it, readable by its owner only.
func openAccounts(ctx context.Context, path string) (*accounts, error) {
	db, err := openFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("the accounts in %s: %w", path, err)
	}
	h, err := newHasher(ctx)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &accounts{db: db, hasher: h}, nil
}

func openFile(ctx context.Context, path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is said by the caller
	}
	f.Close()
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	uri := url.URL{
		Scheme:   "file",
		Path:     filepath.ToSlash(abs),
		RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)",
	}
	db, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return nil, err
	}
	var version, tables, ours int // at one moment: another server may be making them
	err = db.QueryRowContext(ctx, `SELECT user_version, (SELECT count(*) FROM sqlite_schema),
		(SELECT count(*) FROM sqlite_schema WHERE name = 'accounts') FROM pragma_user_version`).Scan(&version, &tables, &ours)
	switch {
	case err != nil:
	case tables > 0 && (version == 0 || ours == 0):
		err = errors.New("it is the database of another application: give another file")
	case version == 0:
		_, err = db.ExecContext(ctx, "BEGIN IMMEDIATE;"+accountsSchema+"COMMIT;")
	case version != accountsVersion:
		err = fmt.Errorf("made by another version of the demo (%d, this one knows %d): move the file away", version, accountsVersion)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func (a *accounts) close() error { return a.db.Close() }

// create adds an account. It returns errNameTaken if there is one of this
// name, whatever the case.
func (a *accounts) create(ctx context.Context, name, password string) (account, error) {
	return a.insert(ctx, account{Name: name}, password, false)
}

func (a *accounts) insert(ctx context.Context, acc account, password string, known bool) (account, error) {
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return account{}, err
	}
	acc.ID = sojourn.UserID(rand.Text())
	acc.Created = time.Now().Truncate(time.Second)
	res, err := a.db.ExecContext(ctx,
		`INSERT INTO accounts (id, name, folded, password, admin, banned, known, created)
		 VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (folded) DO NOTHING`,
		acc.ID, acc.Name, strings.ToLower(acc.Name), hash, acc.Admin, acc.Banned, known, acc.Created.Unix())
	if err != nil {
		return account{}, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return account{}, err
	} else if n == 0 {
		return account{}, errNameTaken
	}
	return acc, nil
}

// authenticate returns the account of this name and password, or
// errWrongPassword. It takes as long when there is no account of this name.
func (a *accounts) authenticate(ctx context.Context, name, password string) (account, error) {
	var hash string
	acc, err := a.one(ctx, "folded = ?", []any{strings.ToLower(name)}, &hash)
	if err != nil && !errors.Is(err, errNoAccount) {
		return account{}, err
	}
	ok, err := a.hasher.matches(ctx, hash, password)
	if err != nil {
		return account{}, err
	}
	if !ok {
		return account{}, errWrongPassword
	}
	return acc, nil
}

// byID returns the account, or errNoAccount.
func (a *accounts) byID(ctx context.Context, id sojourn.UserID) (account, error) {
	var hash string
	return a.one(ctx, "id = ?", []any{id}, &hash)
}

func (a *accounts) one(ctx context.Context, where string, args []any, hash *string) (account, error) {
	var acc account
	var created int64
	err := a.db.QueryRowContext(ctx, "SELECT id, name, admin, banned, created, password FROM accounts WHERE "+where, args...).
		Scan(&acc.ID, &acc.Name, &acc.Admin, &acc.Banned, &created, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return account{}, errNoAccount
	}
	acc.Created = time.Unix(created, 0)
	return acc, err
}

// list returns all accounts, by name.
func (a *accounts) list(ctx context.Context) ([]account, error) {
	rows, err := a.db.QueryContext(ctx, "SELECT id, name, admin, banned, created FROM accounts ORDER BY folded")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []account
	for rows.Next() {
		var acc account
		var created int64
		if err := rows.Scan(&acc.ID, &acc.Name, &acc.Admin, &acc.Banned, &created); err != nil {
			return nil, err
		}
		acc.Created = time.Unix(created, 0)
		all = append(all, acc)
	}
	return all, rows.Err()
}

func (a *accounts) setBanned(ctx context.Context, id sojourn.UserID, yes bool) error {
	return a.change(ctx, "UPDATE accounts SET banned = ? WHERE id = ?", yes, id)
}

func (a *accounts) remove(ctx context.Context, id sojourn.UserID) error {
	return a.change(ctx, "DELETE FROM accounts WHERE id = ?", id)
}

func (a *accounts) change(ctx context.Context, query string, args ...any) error {
	res, err := a.db.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return errNoAccount
}

// exists is Config.Users: a session whose user is gone closes.
func (a *accounts) exists(ctx context.Context, id sojourn.UserID) (bool, error) {
	_, err := a.byID(ctx, id)
	if errors.Is(err, errNoAccount) {
		return false, nil
	}
	return err == nil, err
}

// inGroup is Config.Groups.
func (a *accounts) inGroup(ctx context.Context, id sojourn.UserID, group sojourn.Group) (bool, error) {
	acc, err := a.byID(ctx, id)
	switch {
	case errors.Is(err, errNoAccount):
		return false, nil
	case err != nil:
		return false, err
	case group == admins:
		return acc.Admin, nil
	case group == banned:
		return acc.Banned, nil
	default:
		return false, nil
	}
}

// checkName says what is wrong with a name somebody wants, or "". Any
// printable characters will do: the pages escape them.
func checkName(name string) string {
	switch {
	case name == "":
		return "Choose a name."
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > 32:
		return "A name has at most 32 characters."
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "A name has visible characters only."
	}
	return ""
}

// checkPassword says what is wrong with a password somebody wants, or "".
func checkPassword(password string) string {
	switch {
	case utf8.RuneCountInString(password) < 8:
		return "A password has at least 8 characters."
	case len(password) > 256:
		return "A password has at most 256 bytes."
	}
	return ""
}
