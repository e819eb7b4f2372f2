package demo

import (
	"context"
	"strings"

	"github.com/sojourn-go/sojourn"
)

// UserOf is the id of the account of this name.
func (a *App) UserOf(ctx context.Context, name string) (sojourn.UserID, error) {
	var hash string
	acc, err := a.accounts.one(ctx, "folded = ?", []any{strings.ToLower(name)}, &hash)
	return acc.ID, err
}
