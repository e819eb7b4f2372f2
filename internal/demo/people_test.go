package demo_test

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/sojourntest"
	"github.com/sojourn-go/sojourn/sqlite"
)

// field returns the values of the hidden fields of this name, in order.
func field(page *sojourntest.Response, name string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`name="`+name+`" value="([^"]*)"`).FindAllStringSubmatch(page.Text(), -1) {
		found = append(found, m[1])
	}
	return found
}

func TestSessionsCanBeEndedOneByOneOrAltogether(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	first, second, third := sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app)
	stranger := sojourntest.NewBrowser(t, app)
	for _, b := range []*sojourntest.Browser{first, second, third} {
		signIn(t, b, "bob")
	}
	signIn(t, stranger, "eve")

	ids := field(third.Get("/sessions"), "id") // the last opened first
	if len(ids) != 3 {
		t.Fatalf("the page lists %d sessions, want 3", len(ids))
	}
	wantPage(t, stranger.Post("/sessions/end", url.Values{"id": {ids[2]}}), 200, "There is no such session any more.")
	wantPage(t, first.Get("/sessions"), 200)

	wantPage(t, third.Post("/sessions/end", url.Values{"id": {ids[2]}}), 200, "The session is ended.")
	wantPage(t, first.Get("/sessions"), 401)
	wantPage(t, second.Get("/sessions"), 200)
	wantPage(t, second.Get("/timeline"), 200, "Ends of your sessions", "revoked")
	wantNot(t, stranger.Get("/timeline"), "revoked")

	wantPage(t, second.Post("/sign-out/everywhere", nil), 200, "You are signed out everywhere")
	wantPage(t, third.Get("/sessions"), 401)
	wantPage(t, stranger.Get("/sessions"), 200)
}

func TestAdminsRule(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	admin, bob := sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app)
	signIn(t, admin, "ada")
	signIn(t, bob, "bob")
	users := field(admin.Get("/admin"), "user") // three forms each of bob and eve
	if len(users) != 6 || users[0] == users[3] {
		t.Fatalf("the page has forms for %q", users)
	}
	user := url.Values{"user": {users[0]}}

	wantPage(t, bob.Get("/lounge"), 200)
	wantPage(t, admin.Post("/admin/ban", url.Values{"user": user["user"], "ban": {"yes"}}), 200, "bob is banned from the lounge.")
	wantPage(t, bob.Get("/lounge"), 403, "you are banned")
	wantPage(t, bob.Get("/sessions"), 200)
	wantPage(t, admin.Post("/admin/ban", url.Values{"user": user["user"], "ban": {"no"}}), 200, "bob may come into the lounge again.")
	wantPage(t, bob.Get("/lounge"), 200)

	wantPage(t, admin.Post("/admin/sign-out", user), 200, "bob is signed out everywhere.")
	wantPage(t, bob.Get("/sessions"), 401)
	wantPage(t, admin.Get("/sessions"), 200)

	signIn(t, bob, "bob")
	wantPage(t, admin.Post("/admin/delete", user), 200, "The account of bob is deleted.")
	wantPage(t, bob.Get("/sessions"), 401)
	wantPage(t, bob.Post("/sign-in", url.Values{"name": {"bob"}, "password": {"demo-bob"}}), 401)
	wantPage(t, admin.Post("/admin/delete", user), 404)
}

func TestAdminsCannotDeleteThemselves(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	admin := sojourntest.NewBrowser(t, app)
	signIn(t, admin, "ada")
	ada, err := app.UserOf(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(admin.Get("/admin").Text(), `value="`+string(ada)+`"`) {
		t.Error("the page offers the admin's own account")
	}
	form := url.Values{"user": {string(ada)}, "ban": {"yes"}}
	for _, path := range []string{"/admin/delete", "/admin/ban", "/admin/sign-out"} {
		wantPage(t, admin.Post(path, form), 409, "Not yourself")
	}
	wantPage(t, admin.Get("/lounge"), 200)
}

func TestTimelineShowsTheOrderOfThings(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	b := sojourntest.NewBrowser(t, app)
	wantPage(t, b.Get("/timeline"), 200, "Nothing is recorded in this browser yet.")
	wantPage(t, b.Post("/timeline", url.Values{"do": {"start"}}), 200, "Stop and forget")
	signIn(t, b, "bob")
	page := b.Get("/timeline").Text()
	_, login, _ := strings.Cut(page, "POST /sign-in")
	login, _, _ = strings.Cut(login, "</ol>")
	at := 0
	for _, action := range []string{
		"OnRequest", "OnStartTab", "OnStartUnconnectedTab", "OnUnconnectedRequest",
		"OnPreCloseSession", "OnPostCloseSession", "OnOpenSession <bdi>bob", "OnStartTab <bdi>bob", "OnStartConnectedTab <bdi>bob",
	} {
		i := strings.Index(login[at:], ">"+action)
		if i < 0 {
			t.Fatalf("%s is missing, or in the wrong place, in\n%s", action, login)
		}
		at += i + 1
	}
	if wrong := strings.Index(page, "POST /sign-in"); wrong < strings.Index(page, "GET /timeline") {
		t.Error("the newest request does not come first")
	}
	wantPage(t, b.Post("/timeline", url.Values{"do": {"forget"}}), 200, "Nothing is recorded in this browser yet.")
}

func TestTimelineIsOfThisBrowserOnly(t *testing.T) {
	t.Parallel()
	app := newApp(t, nil)
	bob, eve, ada := sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app), sojourntest.NewBrowser(t, app)
	signIn(t, eve, "eve")
	signIn(t, bob, "bob")
	bob.Get("/lounge?only-bob")
	if page := eve.Get("/timeline").Text(); strings.Contains(page, "<bdi>bob") || strings.Contains(page, "GET /lounge") {
		t.Errorf("eve sees what bob did:\n%s", page)
	}
	signIn(t, ada, "ada")
	wantPage(t, ada.Get("/admin/timeline"), 200, "bob", "eve", "GET /lounge")
	if page := ada.Get("/timeline").Text(); strings.Contains(page, "<bdi>bob") || strings.Contains(page, "<bdi>eve") {
		t.Errorf("an admin's own timeline shows others:\n%s", page)
	}
}

// A visitor whom nobody can identify is not an anonymous one.
func TestStoreThatCannotBeAskedIsNotNobody(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "demo.db"))
	if err != nil {
		t.Fatal(err)
	}
	app, err := demo.Open(t.Context(), demo.Options{Store: store, Accounts: filepath.Join(t.TempDir(), "accounts.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close() // it complains: the store is gone
	b := sojourntest.NewBrowser(t, app)
	signIn(t, b, "bob")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/sessions", "/counters"} {
		resp := b.Get(path)
		if resp.StatusCode < 500 {
			t.Errorf("%s without a store is answered %d", path, resp.StatusCode)
		}
		wantNot(t, resp, "sqlite", "closed", ">Sign in<")
	}
	b.FollowRedirects(false)
	if got := b.Post("/sign-out", nil).StatusCode; got < 500 {
		t.Errorf("signing out without a store is answered %d", got)
	}
}
