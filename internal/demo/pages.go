package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates, by name, and the static files they use.
type pages struct {
	templates map[string]*template.Template
	static    static
}

// static are the addresses of the static files, which change with their
// content.
type static struct {
	Style, Icon, House, Script, Functions, GoStart string
}

// view is what every template gets; Data is the page's own.
type view struct {
	Path     string
	Viewer   *account // nil: nobody is connected
	Flashes  []flash
	Now      time.Time
	Data     any
	Client   template.HTML // makes the page a tab
	Answer   bool          // to a POST: loading it again would send the form again
	Server   server
	OpenTabs int
	static
}

func parsePages() (pages, error) {
	p := pages{templates: make(map[string]*template.Template)}
	layout, err := template.New("layout").Funcs(template.FuncMap{"since": since, "colour": colourOf, "until": until, "device": DeviceName}).
		ParseFS(files, "templates/layout.html")
	if err != nil {
		return p, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return p, err
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		t, err := template.Must(layout.Clone()).ParseFS(files, file)
		if err != nil {
			return p, err
		}
		p.templates[name] = t
	}
	for file, at := range map[string]*string{
		"style.css": &p.static.Style, "icon.svg": &p.static.Icon, "house.svg": &p.static.House,
		"demo.js": &p.static.Script, "functions.js": &p.static.Functions, "go.js": &p.static.GoStart,
	} {
		if *at, err = address(file); err != nil {
			return p, err
		}
	}
	return p, nil
}

// address is where a static file is served, with a mark of its content, so
// that browsers can keep it for good.
func address(file string) (string, error) {
	content, err := files.ReadFile("static/" + file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return "/static/" + file + "?v=" + hex.EncodeToString(sum[:6]), nil
}

func (a *App) serveStatic(w http.ResponseWriter, r *http.Request) {
	file := "static/" + r.PathValue("file")
	if info, err := fs.Stat(files, file); err != nil || info.IsDir() {
		a.notFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, files, file)
}

// render writes a page, whole or not at all.
func (a *App) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	ctx := r.Context()
	v := view{
		Path: r.URL.Path, Now: time.Now(), Data: data, static: a.pages.static,
		Answer: r.Method == http.MethodPost, Server: a.server, OpenTabs: a.tabs.open(),
	}
	var err error
	// An error page has to come out even when nobody can say who is looking.
	if v.Viewer, err = a.viewer(ctx); err != nil && status < 400 {
		return err
	}
	if v.Flashes, err = a.takeFlashes(ctx); err != nil && status < 400 {
		return err
	}
	if v.Client, err = a.site.ClientScript(ctx); err != nil && status < 400 {
		return err
	}
	var page bytes.Buffer
	if err := a.pages.templates[name].ExecuteTemplate(&page, "layout", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err = page.WriteTo(w)
	if err != nil {
		return nil // the browser has gone; the page was fine
	}
	return nil
}

// viewer is the account of the current user, or nil.
func (a *App) viewer(ctx context.Context) (*account, error) {
	user, err := a.site.CurrentUser(ctx)
	if err != nil || user == sojourn.Nobody {
		return nil, err
	}
	acc, err := a.accounts.byID(ctx, user)
	if errors.Is(err, errNoAccount) {
		return nil, nil // deleted this very moment
	}
	if err != nil {
		return nil, err
	}
	return &acc, nil
}

// flash is a message about what a form did, for the page that comes next.
type flash struct {
	Place string // the id of the element that it is about; "" for the top of the page
	Text  string
}

// tell keeps a message for the next page of this browser.
func (a *App) tell(ctx context.Context, f flash) error {
	return a.flashes.Modify(ctx, func(old []flash) ([]flash, error) {
		if len(old) >= 5 {
			old = old[1:]
		}
		return append(slices.Clip(old), f), nil
	})
}

// flash keeps a message for the top of the next page.
func (a *App) flash(ctx context.Context, format string, args ...any) error {
	return a.tell(ctx, flash{Text: fmt.Sprintf(format, args...)})
}

func (a *App) takeFlashes(ctx context.Context) ([]flash, error) {
	flashes, err := a.flashes.Get(ctx)
	if err != nil || len(flashes) == 0 {
		return nil, err
	}
	return flashes, a.flashes.Unset(ctx)
}

// done answers a form: to the page that shows what it did, by a GET, so that
// reloading does not send the form again.
func done(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// since is "3 minutes ago".
func since(t, now time.Time) string {
	d := now.Sub(t)
	if d < 10*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// until is "in 3 minutes", or "never" for the zero time.
func until(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return "in " + span(t.Sub(now).Round(time.Minute))
}

func span(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		switch n := int(d / unit.size); {
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", max(int(d/time.Second), 0))
}
