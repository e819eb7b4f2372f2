package demo

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

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
	if strings.HasPrefix(r.URL.Path, protocol.DefaultPath) {
		a.failCall(w, r, err)
		return
	}
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

// failCall answers a program that called an endpoint of the site, not a
// person: with the error's code, as JSON.
func (a *App) failCall(w http.ResponseWriter, r *http.Request, err error) {
	e := &protocol.Error{Code: protocol.CodeInternal, Message: "internal error"}
	switch {
	case errors.Is(err, sojourn.ErrNotConnected): // also when that is why permission is denied
		e = &protocol.Error{Code: protocol.CodeNotConnected, Message: "not connected"}
	case errors.Is(err, sojourn.ErrSessionEnded):
		e = &protocol.Error{Code: protocol.CodeSessionEnded, Message: "the session ended"}
	case errors.Is(err, sojourn.ErrUnavailable):
		e = &protocol.Error{Code: protocol.CodeUnavailable, Message: "the store is unavailable"}
	case errors.As(err, &e):
	default:
		a.log.LogAttrs(r.Context(), slog.LevelError, "call failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(protocol.Status(e.Code))
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}})
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
