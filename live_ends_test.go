package sojourn_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

func TestTabsOfARevokedSessionAreTold(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	_, first := s.connected(t, "ann")
	_, second := s.connected(t, "ann")
	list, err := s.Sessions(t.Context(), "ann")
	if err != nil || len(list) != 2 {
		t.Fatalf("the sessions are %v, %v", list, err)
	}
	if err := s.EndSession(t.Context(), "ann", list[1].ID); err != nil { // newest first
		t.Fatal(err)
	}
	wantChanged(t, first, "revoked")
	s.wantNothing(t, second)
}

func TestTabsOfAnEvictedSessionAreTold(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 1}})
	_, first := s.connected(t, "ann")
	_, second := s.connected(t, "ann")
	wantChanged(t, first, "evicted")
	s.wantNothing(t, second)
}

// A session whose time has come ends under its open tabs, which are told within
// a second: they count as no activity.
func TestTabsOfAnExpiredSessionAreTold(t *testing.T) {
	t.Parallel()
	for name, timeouts := range map[string]sojourn.Timeouts{
		"idle":     {Idle: time.Hour},
		"absolute": {Absolute: time.Hour, Idle: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLiveSite(t, sojourn.Config{Timeouts: timeouts})
				start := time.Now()
				tab, l := s.connected(t, "ann")
				wantChanged(t, l, "expired")
				if after := time.Since(start); after < time.Hour || after > time.Hour+time.Second {
					t.Errorf("the tab was told after %v", after)
				}
				must(t, tab.Get("/page"))
				welcomed(t, tab, "")
			})
		})
	}
}

// Neither a live connection, nor a hello, nor a heartbeat is a use of the session.
func TestOpenTabsAreNoActivity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveSite(t, sojourn.Config{Timeouts: sojourn.Timeouts{Idle: time.Hour}})
		tab, l := s.connected(t, "ann")
		seen := lastSeen(t, s, "ann")
		for range 5 {
			time.Sleep(10 * time.Minute)
			again := welcomed(t, tab, "ann")
			again.Close()
		}
		if got := lastSeen(t, s, "ann"); !got.Equal(seen) {
			t.Errorf("LastSeen went from %v to %v without a request", seen, got)
		}
		must(t, tab.Get("/page"))
		time.Sleep(10*time.Minute + time.Second)
		s.wantNothing(t, l) // the request counted
		if got := lastSeen(t, s, "ann"); got.Equal(seen) {
			t.Error("LastSeen did not follow a request")
		}
	})
}

func lastSeen(t *testing.T, s *liveSite, user sojourn.UserID) time.Time {
	t.Helper()
	list, err := s.Sessions(t.Context(), user)
	if err != nil || len(list) != 1 {
		t.Fatalf("the sessions are %v, %v", list, err)
	}
	return list[0].LastSeen
}

func TestTabsOfAUserWhoIsGoneAreTold(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	s := newLiveSite(t, sojourn.Config{Users: func(context.Context, sojourn.UserID) (bool, error) { return !gone.Load(), nil }})
	tab, l := s.connected(t, "ann")
	other := tab.Browser().NewTab()
	gone.Store(true)
	must(t, other.Get("/page"))
	wantChanged(t, l, "user-gone")
}

func TestPageOfAnOlderSessionIsTold(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, sojourn.Config{})
	for what, then := range map[string]func(b *sojourntest.Browser){
		"login":  func(b *sojourntest.Browser) { must(t, b.Post("/login", asUser("ann"))) },
		"logout": func(b *sojourntest.Browser) { must(t, b.Post("/logout", nil)) },
	} {
		t.Run(what, func(t *testing.T) {
			b := sojourntest.NewBrowser(t, s.h)
			if what == "logout" {
				must(t, b.Post("/login", asUser("ann")))
			}
			tab := b.NewTab()
			must(t, tab.Get("/page"))
			then(b)
			wantChanged(t, tab.Live(), "changed")
			must(t, tab.Get("/page"))
			welcomed(t, tab, map[string]string{"login": "ann"}[what])
		})
	}
}

func TestSessionsCountTheirOpenTabs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveSite(t, sojourn.Config{})
		tab, l := s.connected(t, "ann")
		welcomed(t, tab.Browser().NewTab(), "ann")
		s.connected(t, "bob")
		for _, want := range []int{2, 1} {
			synctest.Wait()
			list, err := s.Sessions(t.Context(), "ann")
			if err != nil || len(list) != 1 || list[0].Tabs != want {
				t.Errorf("the sessions are %+v, %v; want one with %d tabs", list, err, want)
			}
			l.Close()
		}
	})
}

// A tab's state lives as long as its live connection, and Timeouts.Tab longer.
func TestOpenTabKeepsItsState(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "ann"} {
		t.Run(fmt.Sprintf("user %q", user), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site, err := sojourn.New(sojourn.Config{Timeouts: sojourn.Timeouts{Tab: time.Minute}})
				if err != nil {
					t.Fatal(err)
				}
				defer site.Close()
				ref := sojourn.NewRef[int](site, sojourn.TabScope, nil)
				independent := sojourn.NewPersistentRef[int](site, sojourn.UserIndependentTabScope, "n", nil)
				mux := http.NewServeMux()
				mux.Handle("/login", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if err := site.Connect(r.Context(), "ann"); err != nil {
						t.Error(err)
					}
				})))
				mux.Handle("/count", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n, err := ref.Get(r.Context())
					m, err2 := independent.Get(r.Context())
					if err != nil || err2 != nil || ref.Set(r.Context(), n+1) != nil || independent.Set(r.Context(), m+1) != nil {
						t.Errorf("the references fail: %v, %v", err, err2)
					}
					fmt.Fprint(w, n, m)
				})))
				tab := sojourntest.NewBrowser(t, site.Middleware(mux)).NewTab()
				if user != "" {
					tab.Post("/login", nil)
				}
				count := func(want string) {
					t.Helper()
					if got := tab.Get("/count").Text(); got != want {
						t.Errorf("the tab counts %s, want %s", got, want)
					}
				}
				count("0 0")
				l := tab.Live()
				wantWelcome(t, l, user)
				for i := 1; i <= 3; i++ {
					time.Sleep(10 * time.Minute)
					count(fmt.Sprint(i, i))
				}
				time.Sleep(10 * time.Minute)
				l.Close()
				synctest.Wait()
				time.Sleep(59 * time.Second)
				count("4 4")
				time.Sleep(61 * time.Second)
				count("0 0")
			})
		})
	}
}

// Whatever the order of an end and of opening a live connection: the tab is
// told, or closed, or never welcomed.
func TestNoEndIsMissedWhileATabOpens(t *testing.T) {
	t.Parallel()
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	s := newLiveSite(t, sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: -1}})
	for i := range rounds {
		user := fmt.Sprint("user-", i)
		b := sojourntest.NewBrowser(t, s.h)
		must(t, b.Post("/login", asUser(user)))
		tab := b.NewTab()
		if i%2 == 0 {
			must(t, tab.Get("/page"))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				err = s.DisconnectAll(t.Context(), sojourn.OfUser(sojourn.UserID(user)))
			case 1:
				must(t, b.Post("/logout", nil))
			case 2:
				var list []sojourn.SessionInfo
				if list, err = s.Sessions(t.Context(), sojourn.UserID(user)); err == nil {
					err = s.EndSession(t.Context(), sojourn.UserID(user), list[0].ID)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		l := tab.Live()
		wg.Wait()
		ended := false
		for m := range l.Messages() {
			switch {
			case m.Type == protocol.LiveWelcome && m.User == "": // it opened after the end, without a page
				ended = true
			case m.Type == protocol.LiveChanged:
				ended = true
			}
			if ended {
				break
			}
		}
		if !ended && l.Code() != protocol.CloseChanged {
			t.Fatalf("round %d: the connection closed with %d, and the tab was not told", i, l.Code())
		}
		l.Close()
	}
}

// Nor is a Connect missed by a tab of the browser that opens meanwhile.
func TestNoConnectIsMissedWhileATabOpens(t *testing.T) {
	t.Parallel()
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	s := newLiveSite(t, sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: -1}})
	for i := range rounds {
		b := sojourntest.NewBrowser(t, s.h)
		first := b.NewTab().Live() // so that the browser has a cookie
		wantWelcome(t, first, "")
		tab := b.NewTab()
		var wg sync.WaitGroup
		wg.Go(func() { must(t, b.Post("/login", asUser("ann"))) })
		l := tab.Live()
		wg.Wait()
		wantChanged(t, first, "connected")
		m := l.Next()
		if m.Type == protocol.LiveWelcome && m.User == "" {
			m = l.Next()
		}
		if m.User != "ann" && m.Type != protocol.LiveChanged {
			t.Fatalf("round %d: the tab is told %+v", i, m)
		}
		l.Close()
	}
}

// An action that takes its time keeps no tab waiting.
func TestTabsAreToldBeforeSlowActionsOfTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveSite(t, sojourn.Config{})
		s.OnSessionEnd(func(context.Context, sojourn.SessionInfo, sojourn.EndReason) { time.Sleep(time.Minute) })
		tab, own := s.connected(t, "ann")
		other := welcomed(t, tab.Browser().NewTab(), "ann")
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { must(t, tab.Post("/logout", nil)) })
		wantChanged(t, other, "disconnect")
		wantWelcome(t, own, "")
		if after := time.Since(start); after > time.Second {
			t.Errorf("the tabs were told after %v", after)
		}
		wg.Wait()
		s.wantNothing(t, own)
	})
}

// Nor is a tab told of what it is doing itself, however long that takes.
func TestSlowActionsDoNotRestartTheTabThatActs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveSite(t, sojourn.Config{})
		tab, own := s.connected(t, "ann")
		slow := func(context.Context, sojourn.UserID) error { time.Sleep(5 * time.Second); return nil }
		s.OnOpenSession(slow)
		s.OnPostCloseSession(func(context.Context) error { time.Sleep(5 * time.Second); return nil })
		for _, user := range []string{"bob", "", "cleo", ""} {
			other := tab.Browser().NewTab()
			must(t, other.Get("/page"))
			beside := other.Live()
			beside.Next()
			if user == "" {
				must(t, tab.Post("/logout", nil))
			} else {
				must(t, tab.Post("/login", asUser(user)))
			}
			if m := beside.Next(); m.Type != protocol.LiveChanged {
				t.Errorf("the other tab is told %+v", m)
			}
			m := own.Next()
			for ; m.Type == protocol.LiveWelcome && string(m.User) != user; m = own.Next() {
			}
			if m.Type != protocol.LiveWelcome {
				t.Fatalf("the tab that acts is told %+v", m)
			}
		}
		time.Sleep(11 * time.Second)
		other := tab.Browser().NewTab()
		must(t, other.Post("/login", asUser("ann")))
		m := own.Next()
		for ; m.Type == protocol.LiveWelcome && m.User == ""; m = own.Next() {
		}
		if m.Type != protocol.LiveChanged {
			t.Errorf("the tab is told %+v of what another did", m)
		}
	})
}
