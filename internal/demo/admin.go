package demo

import (
	"errors"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

// userRow is one line of the admins' table.
type userRow struct {
	account
	Sessions int
	Self     bool
}

func (a *App) showAdmin(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	all, err := a.accounts.list(r.Context())
	if err != nil {
		return err
	}
	rows := make([]userRow, len(all))
	for i, acc := range all {
		sessions, err := a.site.Sessions(r.Context(), acc.ID)
		if err != nil {
			return err
		}
		rows[i] = userRow{account: acc, Sessions: len(sessions), Self: acc.ID == user}
	}
	return a.render(w, r, http.StatusOK, "admin", rows)
}

// ban puts a user in the group of the banned, or takes it out. The guards ask
// for groups at every request, so it holds at once and no session has to end.
func (a *App) ban(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	acc, err := a.subject(r, user)
	if err != nil {
		return err
	}
	yes := r.PostFormValue("ban") == "yes"
	if err := a.accounts.setBanned(r.Context(), acc.ID, yes); err != nil {
		return err
	}
	message := "%s may come into the lounge again."
	if yes {
		message = "%s is banned from the lounge."
	}
	return a.ruled(w, r, message, acc.Name)
}

// signOutUser ends every session of a user, wherever it is.
func (a *App) signOutUser(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	acc, err := a.subject(r, user)
	if err != nil {
		return err
	}
	if err := a.site.DisconnectAll(r.Context(), sojourn.OfUser(acc.ID)); err != nil {
		return err
	}
	return a.ruled(w, r, "%s is signed out everywhere.", acc.Name)
}

// deleteUser removes the account and what the site keeps for its user. It
// ends no session: from now on Config.Users answers that there is no such
// user, and each session closes at its next request.
func (a *App) deleteUser(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	acc, err := a.subject(r, user)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := a.accounts.remove(ctx, acc.ID); err != nil {
		return err
	}
	if err := a.site.Discard(ctx, a.site.UserState(acc.ID)); err != nil {
		return err
	}
	return a.ruled(w, r, "The account of %s is deleted.", acc.Name)
}

// subject is the account that an admin's form is about: not the admin's own,
// so that there is always one admin left.
func (a *App) subject(r *http.Request, admin sojourn.UserID) (account, error) {
	id := sojourn.UserID(r.PostFormValue("user"))
	if id == admin {
		return account{}, problem{http.StatusConflict, "Not yourself", "Admins cannot do this to their own account."}
	}
	acc, err := a.accounts.byID(r.Context(), id)
	if errors.Is(err, errNoAccount) {
		return account{}, problem{http.StatusNotFound, "No such account", "It may have been deleted in the meantime."}
	}
	return acc, err
}

// ruled tells the admin what was done.
func (a *App) ruled(w http.ResponseWriter, r *http.Request, message, name string) error {
	if err := a.flash(r.Context(), message, name); err != nil {
		return err
	}
	return done(w, r, "/admin")
}
