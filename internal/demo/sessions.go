package demo

import (
	"errors"
	"net/http"

	"github.com/sojourn-go/sojourn"
)

func (a *App) showSessions(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	sessions, err := a.site.Sessions(r.Context(), user)
	if err != nil {
		return err
	}
	for i := range sessions {
		sessions[i].Tabs = a.tabs.of(sessions[i].ID) // on every server
	}
	return a.render(w, r, http.StatusOK, "sessions", sessions)
}

// endSession ends one session of the user, here or elsewhere. EndSession
// checks that it is the user's: a foreign id is ErrNoSuchSession.
func (a *App) endSession(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	ctx := r.Context()
	err := a.site.EndSession(ctx, user, sojourn.SessionID(r.PostFormValue("id")))
	message := "The session is ended. Its next request is nobody's."
	if errors.Is(err, sojourn.ErrNoSuchSession) {
		err, message = nil, "There is no such session any more."
	}
	if err != nil {
		return err
	}
	if err := a.flash(ctx, "%s", message); err != nil {
		return err
	}
	return done(w, r, "/sessions")
}

// signOutEverywhere ends all sessions of the current user, with or without
// what the browsers keep for whoever uses them.
func (a *App) signOutEverywhere(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	ctx := r.Context()
	message := "You are signed out everywhere, and those browsers' own data is gone."
	var opts []sojourn.DisconnectAllOption
	if r.PostFormValue("keep") != "" {
		opts = append(opts, sojourn.KeepUserIndependent())
		message = "You are signed out everywhere. The browsers' own data was kept."
	}
	if err := a.site.DisconnectAll(ctx, opts...); err != nil {
		return err
	}
	if err := a.flash(ctx, "%s", message); err != nil {
		return err
	}
	return done(w, r, "/")
}
