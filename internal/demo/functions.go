package demo

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/demo/functions"
	"github.com/sojourn-go/sojourn/protocol"
)

// offerFunctions lets pages call functions. The guards are those of handlers.
func (a *App) offerFunctions() {
	s := a.site
	sojourn.HandleRPC(s, functions.Count, sojourn.ConnectedWrapper(s, a.count))
	sojourn.HandleRPC(s, functions.Greet, sojourn.ConnectedRPC(s, a.greet))
	sojourn.HandleRPC(s, functions.Accounts, sojourn.ConnectedRPC(s, a.accountNames, sojourn.Allow(admins)))
	sojourn.HandleRPC(s, functions.Wave, sojourn.ConnectedRPC(s, a.wave))
}

// An error of the application reaches the page when it has a code.
var (
	errNoCounter = &protocol.Error{Code: "no_such_counter", Message: "there is no such counter"}
	errText      = &protocol.Error{Code: "text", Message: "a text of 1 to 80 characters is needed"}
)

// count is what a press of the button on the page of counters does, called
// from a script: as the script's own tab.
func (a *App) count(ctx context.Context, key string) (n int, err error) {
	c, ok := a.counters.byKey[key]
	if !ok {
		return 0, errNoCounter
	}
	err = c.ref.Modify(ctx, func(old int) (int, error) {
		n = old + 1
		return n, nil
	})
	return n, err
}

func (a *App) greet(ctx context.Context, user sojourn.UserID, greeting string) (string, error) {
	if err := checkText(greeting); err != nil {
		return "", err
	}
	name, err := a.name(ctx, user)
	return greeting + ", " + name + ".", err
}

func (a *App) accountNames(ctx context.Context, _ sojourn.UserID, _ struct{}) ([]string, error) {
	all, err := a.accounts.list(ctx)
	names := make([]string, len(all))
	for i, acc := range all {
		names[i] = acc.Name
	}
	return names, err
}

// wave sends a text to the user's open tabs, in every browser and on every
// server.
func (a *App) wave(ctx context.Context, user sojourn.UserID, text string) (bool, error) {
	if err := checkText(text); err != nil {
		return false, err
	}
	return true, a.site.Notify(ctx, a.site.UserState(user), "wave", text)
}

func checkText(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > 80 {
		return errText
	}
	return nil
}

// functionsPage is what the two pages of functions show.
type functionsPage struct {
	Lines   map[string]string // of code, for some of the functions
	Go      bool              // the page in Go
	Ready   bool              // it is built
	Wait    string            // it is not, yet
	Missing string            // it cannot be
}

var inJavaScript = map[string]string{
	"tab":        `await call("count", "tab-persistent")`,
	"greet":      `await call("greet", "Good evening")`,
	"accounts":   `await call("accounts", {})`,
	"wave":       `await call("wave", text)`,
	"on":         `on("wave", show)`,
	"disconnect": `await disconnect()`,
}

func (a *App) showFunctions(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	return a.render(w, r, http.StatusOK, "functions", functionsPage{Lines: inJavaScript})
}
