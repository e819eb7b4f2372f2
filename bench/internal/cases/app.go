package cases

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

// An App is a small application of one session library. Its pages find out
// who is connected and pass it to Show.
type App struct {
	Name    string
	Handler http.Handler
	// Show is what a page does with the user it found; "" is nobody. Set it
	// before serving.
	Show func(w http.ResponseWriter, user string)
	// Inside runs within one request of a connected user, on pathInside.
	Inside func(ctx context.Context) error

	withNumber bool // login stores number too, where values are the session's
	close      func() error
}

// Close stops what the App started.
func (a *App) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

var ok = []byte("ok\n")

// A caller is a browser with a session.
type caller struct {
	user   string
	cookie string
	number int
}

func (c caller) request(path string) *http.Request {
	r := newRequest(c.number, path)
	if c.cookie != "" {
		r.Header["Cookie"] = []string{c.cookie}
	}
	return r
}

// login connects the user from a new browser, the i-th.
func (a *App) login(i int, user string) (caller, error) {
	r := newRequest(i, pathLogin)
	r.Header[loginHeader] = []string{user}
	w := newWriter()
	a.Handler.ServeHTTP(w, r)
	c := caller{user, w.cookies(), i}
	if w.status != http.StatusOK || c.cookie == "" {
		return c, fmt.Errorf("%s: login of %s: status %d, cookies %q", a.Name, user, w.status, c.cookie)
	}
	return c, nil
}

// Population says how many sessions are there before anything is measured.
type Population struct{ Users, PerUser int }

// sampled is how many of a population's sessions send requests in turn.
const sampled = 1000

// populate connects everybody, many at a time, and returns some of the
// browsers, spread over all.
func (a *App) populate(p Population) ([]caller, error) {
	total := p.Users * p.PerUser
	step := max(1, total/sampled)
	sample := make([]caller, (total+step-1)/step)
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for range min(64, total) {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= total {
					return
				}
				c, err := a.login(i, UserName(i/p.PerUser))
				if err != nil {
					failed.CompareAndSwap(nil, err)
					return
				}
				if i%step == 0 {
					sample[i/step] = c
				}
			}
		})
	}
	wg.Wait()
	if err, _ := failed.Load().(error); err != nil {
		return nil, err
	}
	return sample, nil
}

// serve sends the requests in turn and checks that each page saw its user.
func (a *App) serve(c Clock, requests []*http.Request, users []string) error {
	var seen string
	a.Show = func(w http.ResponseWriter, user string) {
		seen = user
		w.Write(ok)
	}
	w := newWriter()
	r := new(http.Request)
	i := 0
	for c.Loop() {
		w.reset()
		*r = *requests[i] // gorilla changes the request it is given
		seen = "no page"
		a.Handler.ServeHTTP(w, r)
		if seen != users[i] || w.status != http.StatusOK {
			return fmt.Errorf("%s: the page saw %q, status %d, want %q", a.Name, seen, w.status, users[i])
		}
		if i++; i == len(requests) {
			i = 0
		}
	}
	return nil
}

// page is the Case in which the callers ask for one page, in turn.
func (a *App) page(name, path string, callers []caller, header http.Header) Case {
	requests := make([]*http.Request, len(callers))
	users := make([]string, len(callers))
	for i, c := range callers {
		requests[i], users[i] = c.request(path), c.user
		for k, v := range header {
			requests[i].Header[k] = v
		}
	}
	return Case{name, func(c Clock) error { return a.serve(c, requests, users) }}
}

// inside runs f within one request of the caller.
func (a *App) inside(by caller, f func(ctx context.Context) error) error {
	var err error
	ran := false
	a.Inside = func(ctx context.Context) error {
		ran = true
		err = f(ctx)
		return nil
	}
	w := newWriter()
	a.Handler.ServeHTTP(w, by.request(pathInside))
	if err == nil && !ran {
		err = fmt.Errorf("%s: the page did not run, status %d", a.Name, w.status)
	}
	return err
}
