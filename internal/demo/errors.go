package demo

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// problem is an error with a page for people.
type problem struct {
	Status int
	Title  string
	Text   string
}

func (p problem) Error() string { return p.Title + ": " + p.Text }

// errCrossOrigin is found in the error of a POST that another site sent.
var errCrossOrigin = &protocol.Error{Code: protocol.CodeCrossOrigin}

// fail is Config.ErrorHandler: it answers a request whose guard or handler
// returned an error. What went wrong inside goes to the log, not to the page.
func (a *App) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, sojourn.ErrNotConnected):
		a.askToSignIn(w, r, "This page is for connected users. Sign in to go on.")
		return
	case errors.Is(err, sojourn.ErrSessionEnded):
		a.askToSignIn(w, r, "Your session was ended from elsewhere while this page was on its way.")
		return
	case errors.Is(err, errCrossOrigin):
		p = problem{http.StatusForbidden, "Not from here", "Another site tried to send this form. Nothing was done."}
	case errors.Is(err, sojourn.ErrPermissionDenied):
		p = problem{http.StatusForbidden, "Not for you", "You are connected, but this page is for other groups than yours."}
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "5")
		p = problem{http.StatusServiceUnavailable, "A crowd at the door", "Too many people are signing in at this moment. Try again in a few seconds."}
	case errors.Is(err, sojourn.ErrUnavailable):
		a.log.LogAttrs(r.Context(), slog.LevelError, "store unavailable", slog.Any("error", err))
		w.Header().Set("Retry-After", "1")
		p = problem{http.StatusServiceUnavailable, "One moment", "The store of the sessions cannot be asked just now, so nobody can say who you are. Try again."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // the browser has gone
	default:
		a.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		p = problem{http.StatusInternalServerError, "Our fault", "Something went wrong on the server. It is in the log."}
	}
	if err := a.render(w, r, p.Status, "problem", p); err != nil {
		a.log.LogAttrs(r.Context(), slog.LevelError, "error page failed", slog.Any("error", err))
		http.Error(w, http.StatusText(p.Status), p.Status)
	}
}

// askToSignIn is the answer to a request that needs a user: the sign-in page,
// which leads back here.
func (a *App) askToSignIn(w http.ResponseWriter, r *http.Request, why string) {
	form := signInForm{Next: "/", Seeds: a.told, Stay: true, Message: why}
	if r.Method == http.MethodGet {
		form.Next = returnPath(r.URL.RequestURI())
	}
	if err := a.render(w, r, http.StatusUnauthorized, "sign-in", form); err != nil {
		a.log.LogAttrs(r.Context(), slog.LevelError, "sign-in page failed", slog.Any("error", err))
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
	}
}

func (a *App) notFound(w http.ResponseWriter, r *http.Request) {
	a.fail(w, r, problem{http.StatusNotFound, "No such page", "Nothing is kept at this address."})
}
