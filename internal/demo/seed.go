package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// Seed is an account that the demo comes with.
type Seed struct {
	Name, Password string
	Admin, Banned  bool
}

// Role is what the account is there for: "admin", "banned" or "user".
func (s Seed) Role() string {
	switch {
	case s.Admin:
		return "admin"
	case s.Banned:
		return "banned"
	default:
		return "user"
	}
}

func seeds() []Seed {
	return []Seed{
		{Name: "ada", Password: "demo-ada", Admin: true},
		{Name: "bob", Password: "demo-bob"},
		{Name: "eve", Password: "demo-eve", Banned: true},
	}
}

// seed fills an empty table with ada, bob and eve, and returns those whose
// password can be told.
//
// Their passwords stand in this file, so they are for this machine only: with
// public set they are replaced by random ones, which are returned this once.
func (a *accounts) seed(ctx context.Context, public bool) ([]Seed, error) {
	var n int
	if err := a.db.QueryRowContext(ctx, "SELECT count(*) FROM accounts").Scan(&n); err != nil {
		return nil, err
	}
	if n == 0 {
		for _, s := range seeds() {
			_, err := a.insert(ctx, account{Name: s.Name, Admin: s.Admin, Banned: s.Banned}, s.Password, true)
			if err != nil && !errors.Is(err, errNameTaken) { // by another server, just now
				return nil, err
			}
		}
	}
	var told []Seed
	for _, s := range seeds() {
		var known bool
		err := a.db.QueryRowContext(ctx, "SELECT count(*) FROM accounts WHERE folded = ? AND known", s.Name).Scan(&known)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if public {
			s.Password = rand.Text()
			hash, err := a.hasher.hash(ctx, s.Password)
			if err != nil {
				return nil, err
			}
			if err := a.change(ctx, "UPDATE accounts SET password = ?, known = 0 WHERE folded = ?", hash, s.Name); err != nil {
				return nil, err
			}
		}
		told = append(told, s)
	}
	return told, nil
}

// Prepare makes the accounts that the demo comes with, for servers that start
// later on the same file, and returns those whose passwords are known.
func Prepare(ctx context.Context, opts Options) ([]Seed, error) {
	a, err := openAccounts(ctx, opts.Accounts)
	if err != nil {
		return nil, err
	}
	seeds, err := a.seed(ctx, opts.Public)
	if err != nil {
		err = fmt.Errorf("the accounts in %s: %w", opts.Accounts, err)
	}
	return seeds, errors.Join(err, a.close())
}
