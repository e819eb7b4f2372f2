package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// flood keeps asking from many goroutines until it is stopped; each request is
// told when it started in terms of before, which the caller may move on.
func flood(callers int, ask func(caller int)) (stop func()) {
	var all sync.WaitGroup
	var done atomic.Bool
	for i := range callers {
		all.Go(func() {
			for !done.Load() {
				ask(i)
			}
		})
	}
	return func() {
		done.Store(true)
		all.Wait()
	}
}

// None of the requests that start after an end returned is the user's, with
// thousands under way, on this server and, with a strict store, on another.
func TestNoRequestThatStartsAfterTheEndIsTheUsers(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		for name, end := range map[string]func(a *app, b visitor) error{
			"DisconnectAll": func(a *app, _ visitor) error {
				return a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna"))
			},
			"Disconnect": func(a *app, b visitor) (err error) {
				a.bare(b, func(ctx context.Context) { err = a.site.Disconnect(ctx) })
				return err
			},
			"EndSession": func(a *app, _ visitor) error {
				return a.site.EndSession(context.Background(), "anna", a.sessions("anna")[0].ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, kind, withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: -1}}))
				servers := []*app{a}
				if kind.name == "strict" {
					store := a.store
					servers = append(servers, newApp(t, storeKind{keep: func(testing.TB) func() sojourn.Store {
						return func() sojourn.Store { return store }
					}}))
				}
				type thief struct {
					round int64 // whose session it has the cookies of
					*sojourntest.Browser
				}
				var ended atomic.Int64 // the last round whose end has returned
				var seen atomic.Int64
				var thieves [2]atomic.Pointer[thief]
				path := make([]string, len(servers))
				for i, s := range servers {
					path[i] = s.put(s.site.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
						if user != sojourn.Nobody {
							r.Header.Set("Found", string(user))
							seen.Add(1)
							_ = s.refs["session"].Set(r.Context(), "late")
							_ = s.refs["session!"].Set(r.Context(), "late")
							_ = s.refs["user"].Set(r.Context(), "late")
						}
						return nil
					}))
				}
				stop := flood(4, func(caller int) {
					i := caller % len(servers)
					thief := thieves[i].Load()
					if thief == nil {
						return
					}
					late := thief.round <= ended.Load()
					var user sojourn.UserID
					servers[i].handleUser(thief, &user)
					if late && user == "anna" {
						t.Errorf("round %d: a request that started after the end is anna's", thief.round)
					}
					thief.Get(path[i])
				})
				for n := int64(1); n <= 15; n++ {
					b := a.browser()
					a.connect(b, "anna")
					for i, s := range servers {
						clone := sojourntest.NewBrowser(t, s)
						for _, c := range b.Cookies() {
							clone.SetCookie(c)
						}
						thieves[i].Store(&thief{n, clone})
					}
					for start := seen.Load(); seen.Load() < start+20; {
						a.is(b, "anna")
					}
					a.must(end(a, b))
					ended.Store(n)
					for range 20 {
						for i, s := range servers {
							var user sojourn.UserID
							s.handleUser(thieves[i].Load(), &user)
							if user != sojourn.Nobody {
								t.Errorf("round %d: after the end the user is %q", n, user)
							}
						}
					}
				}
				stop()
				a.connect(a.browser(), "anna")
				fresh := a.browser()
				a.connect(fresh, "anna")
				a.has(fresh, "session", "")
				a.has(fresh, "session!", "")
				a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser("anna")))
				if n := len(a.sessions("anna")); n != 0 {
					t.Errorf("%d sessions are left", n)
				}
			})
		}
	})
}

// handleUser asks who is connected, and takes an error for what it is: nobody
// let in.
func (a *app) handleUser(v visitor, user *sojourn.UserID) {
	a.bare(v, func(ctx context.Context) {
		got, err := a.site.CurrentUser(ctx)
		if err != nil && !errors.Is(err, sojourn.ErrSessionEnded) {
			a.Errorf("CurrentUser: %v", err)
		}
		*user = got
	})
}

// A session is loaded, touched, ended and connected anew by many at once; in
// the end memory and store agree.
func TestEverythingAtOnceAgreesInTheEnd(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		const users, callers, times = 3, 6, 25
		var d diary
		a := newApp(t, kind, d.ends(), withConfig(sojourn.Config{Limits: sojourn.Limits{SessionsPerUser: 4, TabsPerBrowser: 2}}))
		browsers := make([]*sojourntest.Browser, users*2)
		for i := range browsers {
			browsers[i] = a.browser()
		}
		ok := func(err error) {
			switch {
			case err == nil, errors.Is(err, sojourn.ErrSessionEnded), errors.Is(err, sojourn.ErrNotConnected), errors.Is(err, sojourn.ErrNoSuchSession):
			default:
				t.Errorf("an operation failed: %v", err)
			}
		}
		var connects atomic.Int64
		pages := []string{
			a.put(a.site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
				err := a.site.Connect(r.Context(), sojourn.UserID(r.URL.Query().Get("user")))
				if err == nil || errors.Is(err, sojourn.ErrSessionEnded) {
					connects.Add(1)
				}
				ok(err)
				return nil
			})),
			a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ok(a.site.Disconnect(r.Context())) })),
			a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ok(a.site.DisconnectAll(r.Context())) })),
			a.put(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				user := sojourn.UserID(r.URL.Query().Get("user"))
				list, err := a.site.Sessions(r.Context(), user)
				ok(err)
				for _, s := range list {
					ok(a.site.EndSession(r.Context(), user, s.ID))
					break
				}
			})),
			a.put(a.site.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
				for name, ref := range a.refs {
					if user == sojourn.Nobody && name[0] == 'u' {
						continue
					}
					ok(ref.Set(r.Context(), "x"))
					_, err := ref.Get(r.Context())
					ok(err)
				}
				return nil
			})),
		}
		for range 3 { // most of the time things are used, not ended
			pages = append(pages, pages[0], pages[4])
		}
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				b := browsers[i%len(browsers)]
				tab := b.NewTab()
				for n := range times {
					page := pages[(n*7+i*3)%len(pages)]
					// 401: the session ended while its guard was at work.
					if r := tab.Get(fmt.Sprint(page, "?user=", n%users)); r.StatusCode != http.StatusOK && r.StatusCode != http.StatusUnauthorized {
						t.Errorf("the status is %s", r.Status)
					}
				}
			})
		}
		all.Wait()
		left := 0
		for u := range users {
			user := sojourn.UserID(fmt.Sprint(u))
			list := a.sessions(user)
			left += len(list)
			if len(list) > 4 {
				t.Errorf("user %s has %d sessions", user, len(list))
			}
			a.must(a.site.DisconnectAll(context.Background(), sojourn.OfUser(user)))
		}
		// Every session that was opened has ended, once.
		if ends := int64(len(d.take())); ends != connects.Load() {
			t.Errorf("%d sessions were opened and %d have ended", connects.Load(), ends)
		}
		for _, b := range browsers {
			a.is(b, sojourn.Nobody)
		}
		if counts, err := a.store.Count(context.Background()); err != nil || counts.Sessions != 0 {
			t.Errorf("the store holds %+v, %v", counts, err)
		}
	})
}

// Close while requests are under way, and again: no deadlock, no panic, and what
// is asked afterwards fails or is answered, but never made up.
func TestCloseUnderLoad(t *testing.T) {
	onStores(t, func(t *testing.T, kind storeKind) {
		open := kind.keep(t)
		site, err := sojourn.New(sojourn.Config{Store: open()})
		if err != nil {
			t.Fatal(err)
		}
		ref := sojourn.NewPersistentRef[int](site, sojourn.SessionScope, "n", nil)
		var asked atomic.Int64
		h := site.Middleware(site.OptConnected(func(_ http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
			asked.Add(1)
			if err := site.Connect(r.Context(), "anna"); err != nil {
				return nil
			}
			if got, err := site.CurrentUser(r.Context()); err == nil && got != "anna" {
				t.Errorf("the user is %q", got)
			}
			_ = ref.Set(r.Context(), 1)
			_ = site.Disconnect(r.Context())
			return nil
		}))
		stop := flood(4, func(int) {
			b := sojourntest.NewBrowser(t, h)
			b.Get("/")
			b.Get("/")
		})
		for asked.Load() < 20 {
			sojourntest.NewBrowser(t, h).Get("/")
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := site.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		all.Wait()
		for start := asked.Load(); asked.Load() < start+5 && kind.name != "sqlite"; {
			sojourntest.NewBrowser(t, h).Get("/")
		}
		stop()
		if err := site.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if kind.name == "sqlite" {
			again := open() // the file is free, and whole
			if _, err := again.Sessions(t.Context(), "anna"); err != nil {
				t.Error(err)
			}
			again.Close()
		}
	})
}
