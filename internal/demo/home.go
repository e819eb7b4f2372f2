package demo

import (
	"net/http"

	"github.com/sojourn-go/sojourn"
)

func (a *App) home(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusOK, "home", a.told)
}

func (a *App) showLounge(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusOK, "lounge", nil)
}

// refuseLounge is what the banned see instead.
func (a *App) refuseLounge(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusForbidden, "banned", nil)
}
