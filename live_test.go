package sojourn_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// liveSite is a site whose handlers do what a test wants to tell tabs of.
type liveSite struct {
	*sojourn.Site
	h http.Handler
}

func newLiveSite(t testing.TB, cfg sojourn.Config) *liveSite {
	t.Helper()
	site, err := sojourn.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &liveSite{Site: site}
	mux := http.NewServeMux()
	page := func(w http.ResponseWriter, r *http.Request) {
		tag, err := site.ClientScript(r.Context())
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><head>%s</head>", tag)
	}
	mux.HandleFunc("/unguarded", page)
	mux.Handle("/page", site.Wrap(http.HandlerFunc(page)))
	do := func(path string, f func(r *http.Request) error) {
		mux.Handle(path, site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := f(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			io.WriteString(w, "done")
		})))
	}
	do("/login", func(r *http.Request) error { return site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))) })
	do("/logout", func(r *http.Request) error { return site.Disconnect(r.Context()) })
	do("/logout-all", func(r *http.Request) error { return site.DisconnectAll(r.Context()) })
	do("/logout-of", func(r *http.Request) error {
		return site.DisconnectAll(r.Context(), sojourn.OfUser(sojourn.UserID(r.FormValue("user"))))
	})
	s.h = site.Middleware(mux)
	return s
}

// must fails the test unless a handler of liveSite did what it was to do.
func must(t testing.TB, resp *sojourntest.Response) {
	t.Helper()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s is answered %s %s", resp.Request.URL.Path, resp.Status, resp.Text())
	}
}

func asUser(user string) url.Values { return url.Values{"user": {user}} }

// connected is a tab of a new browser in which user is connected, and its live
// connection, welcomed.
func (s *liveSite) connected(t testing.TB, user string) (*sojourntest.Tab, *sojourntest.Live) {
	t.Helper()
	tab := sojourntest.NewBrowser(t, s.h).NewTab()
	must(t, tab.Post("/login", asUser(user)))
	must(t, tab.Get("/page"))
	return tab, welcomed(t, tab, user)
}

// welcomed opens the tab's live connection, which is to be the user's.
func welcomed(t testing.TB, tab *sojourntest.Tab, user string) *sojourntest.Live {
	t.Helper()
	l := tab.Live()
	wantWelcome(t, l, user)
	return l
}

func wantWelcome(t testing.TB, l *sojourntest.Live, user string) {
	t.Helper()
	m := l.Next()
	if m.Type != protocol.LiveWelcome || string(m.User) != user || (user == "") != (m.Mark == "") {
		t.Errorf("the tab is told %+v, want a welcome of %q", m, user)
	}
}

// wantChanged fails unless the tab is told why, and its connection closed.
func wantChanged(t testing.TB, l *sojourntest.Live, reason string) {
	t.Helper()
	m := l.Next()
	if m.Type != protocol.LiveChanged || m.Reason != reason {
		t.Errorf("the tab is told %+v, want changed: %s", m, reason)
	}
	if code := l.Code(); code != protocol.CloseChanged {
		t.Errorf("the connection closed with %d, want %d", code, protocol.CloseChanged)
	}
}

// wantNothing fails if the tab was told anything up to now: it has the site
// send it an event, which is to be the next message.
func (s *liveSite) wantNothing(t testing.TB, l *sojourntest.Live) {
	t.Helper()
	everybody, err := s.CurrentState(context.Background(), sojourn.SiteScope)
	if err == nil {
		err = s.Notify(context.Background(), everybody, "mark", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m := l.Next(); m.Type != protocol.LiveEvent || m.Event != "mark" {
		t.Errorf("the tab is told %+v, want nothing", m)
	}
}

func TestOtherTabsAreTold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, path, reason, then string
		form                     url.Values
	}{
		{"connect", "/login", "connected", "bob", asUser("bob")},
		{"connect again", "/login", "connected", "ann", asUser("ann")},
		{"disconnect", "/logout", "disconnect", "", nil},
		{"disconnect all", "/logout-all", "disconnect-all", "", nil},
		{"disconnect of", "/logout-of", "disconnect-all", "", asUser("ann")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newLiveSite(t, sojourn.Config{})
			tab, own := s.connected(t, "ann")
			other := tab.Browser().NewTab()
			must(t, other.Get("/page"))
			beside := welcomed(t, other, "ann")
			_, elsewhere := s.connected(t, "cleo")
			must(t, tab.Post(tc.path, tc.form))
			wantChanged(t, beside, tc.reason)
			wantWelcome(t, own, tc.then)
			s.wantNothing(t, own)
			s.wantNothing(t, elsewhere)
		})
	}
}

func TestTabsOfNobodyAreToldOfConnect(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/page", "/unguarded"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := newLiveSite(t, sojourn.Config{})
			b := sojourntest.NewBrowser(t, s.h)
			one, two := b.NewTab(), b.NewTab()
			must(t, one.Get(path))
			must(t, two.Get(path))
			own, other := welcomed(t, one, ""), welcomed(t, two, "")
			must(t, one.Post("/login", asUser("ann")))
			wantChanged(t, other, "connected")
			wantWelcome(t, own, "ann")
			must(t, one.Post("/logout", nil))
			wantWelcome(t, own, "")
			must(t, one.Post("/login", asUser("ann")))
			wantWelcome(t, own, "ann")
			must(t, one.Post("/logout-all", nil))
			wantWelcome(t, own, "")
			must(t, one.Post("/login", asUser("ann")))
			wantWelcome(t, own, "ann")
			s.wantNothing(t, own)
		})
	}
}

// A navigation carries no tab's id: the page that it leaves is told, too.
func TestFormOfANavigationTellsEveryTab(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	tab, own := s.connected(t, "ann")
	must(t, tab.Browser().Post("/logout", nil))
	wantChanged(t, own, "disconnect")
}

func TestDisconnectAllReachesEveryBrowser(t *testing.T) {
	t.Parallel()
	for _, outside := range []bool{false, true} {
		t.Run(fmt.Sprintf("outside a request %v", outside), func(t *testing.T) {
			t.Parallel()
			s := newLiveSite(t, sojourn.Config{})
			var lives []*sojourntest.Live
			for range 3 {
				tab, l := s.connected(t, "ann")
				must(t, tab.Get("/page"))
				lives = append(lives, l, welcomed(t, tab.Browser().NewTab(), "ann"))
			}
			tab, own := s.connected(t, "ann")
			if outside {
				if err := s.DisconnectAll(t.Context(), sojourn.OfUser("ann")); err != nil {
					t.Fatal(err)
				}
				lives = append(lives, own)
			} else {
				must(t, tab.Post("/logout-all", nil))
				wantWelcome(t, own, "")
			}
			for _, l := range lives {
				wantChanged(t, l, "disconnect-all")
			}
		})
	}
}
