package demo

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn"
)

// signInForm is what the sign-in and sign-up pages show.
type signInForm struct {
	Name    string
	Next    string // where to go afterwards, checked
	Stay    bool   // keep me signed in
	Message string // why this page comes
	Wrong   string // what to put right
	Seeds   []Seed // accounts to try
}

func (a *App) readSignIn(r *http.Request) signInForm {
	return signInForm{
		Name:  strings.TrimSpace(r.FormValue("name")),
		Next:  returnPath(r.FormValue("next")),
		Stay:  r.FormValue("stay") != "exit",
		Seeds: a.told,
	}
}

func (a *App) showSignIn(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusOK, "sign-in", a.readSignIn(r))
}

func (a *App) signIn(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	form := a.readSignIn(r)
	if wait, ok := a.attempts.try(a.remoteAddr(r), time.Now()); !ok {
		return a.slowDown(w, r, "sign-in", form, wait)
	}
	acc, err := a.accounts.authenticate(r.Context(), form.Name, r.PostFormValue("password"))
	if errors.Is(err, errWrongPassword) {
		form.Wrong = "Wrong name or password."
		return a.render(w, r, http.StatusUnauthorized, "sign-in", form)
	}
	if err != nil {
		return err
	}
	a.attempts.giveBack(a.remoteAddr(r))
	return a.welcome(w, r, acc, form, "Welcome back, %s.")
}

func (a *App) showSignUp(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusOK, "sign-up", a.readSignIn(r))
}

func (a *App) signUp(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	form := a.readSignIn(r)
	password := r.PostFormValue("password")
	if form.Wrong = checkName(form.Name); form.Wrong == "" {
		form.Wrong = checkPassword(password)
	}
	if form.Wrong != "" {
		return a.render(w, r, http.StatusUnprocessableEntity, "sign-up", form)
	}
	// Not given back: an address can make only so many accounts.
	if wait, ok := a.attempts.try(a.remoteAddr(r), time.Now()); !ok {
		return a.slowDown(w, r, "sign-up", form, wait)
	}
	acc, err := a.accounts.create(r.Context(), form.Name, password)
	if errors.Is(err, errNameTaken) {
		form.Wrong = "This name is taken. Choose another one."
		return a.render(w, r, http.StatusConflict, "sign-up", form)
	}
	if err != nil {
		return err
	}
	return a.welcome(w, r, acc, form, "Welcome, %s.")
}

// welcome opens the session: the one line that everything here is about.
func (a *App) welcome(w http.ResponseWriter, r *http.Request, acc account, form signInForm, greeting string) error {
	ctx := r.Context()
	if err := a.timeline.start(ctx); err != nil {
		return err
	}
	var opts []sojourn.ConnectOption
	if !form.Stay {
		opts = append(opts, sojourn.ExpireAtBrowserExit())
	}
	if err := a.site.Connect(ctx, acc.ID, opts...); err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	if err := a.flash(ctx, greeting, acc.Name); err != nil {
		return err
	}
	return done(w, r, form.Next)
}

func (a *App) slowDown(w http.ResponseWriter, r *http.Request, page string, form signInForm, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	form.Wrong = fmt.Sprintf("Too many attempts from your address. Try again in %d seconds.", seconds)
	return a.render(w, r, http.StatusTooManyRequests, page, form)
}

// signOut ends this browser's session. It also works when nobody is
// connected: the anonymous session's state goes.
func (a *App) signOut(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	ctx := r.Context()
	if err := a.site.Disconnect(ctx); err != nil {
		return err
	}
	if err := a.flash(ctx, "You are signed out of this browser."); err != nil {
		return err
	}
	return done(w, r, "/")
}
