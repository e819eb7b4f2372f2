package sojourn_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// traceChecks counts what was compared and keeps what disagreed.
type traceChecks struct {
	compared  int
	disagreed []string
}

func (c *traceChecks) compare(what, want, got string) {
	c.compared++
	if want != got {
		c.disagreed = append(c.disagreed, fmt.Sprintf("%s\n    wanted %s\n    got    %s", what, want, got))
	}
}

// add takes over what was found in one step.
func (c *traceChecks) add(step string, o traceChecks) {
	c.compared += o.compared
	for _, d := range o.disagreed {
		c.disagreed = append(c.disagreed, step+": "+d)
	}
}

// traceReplay is one scenario being replayed.
type traceReplay struct {
	scenario *traceScenario
	site     *traceSite
	scale    func(traceDuration) time.Duration
	browsers map[string]*traceBrowser
	held     map[string]*traceExchange // by the name of each hold that a request may come to
}

// replayTrace replays one scenario on a new site. Durations are divided by
// divide.
func replayTrace(sc *traceScenario, open func() sojourn.Store, divide int) (checks traceChecks) {
	scale := func(d traceDuration) time.Duration { return time.Duration(d) / time.Duration(divide) }
	p := &traceReplay{
		scenario: sc, scale: scale, site: newTraceSite(sc.Setup, scale, open),
		browsers: map[string]*traceBrowser{}, held: map[string]*traceExchange{},
	}
	where := "start"
	defer func() {
		if v := recover(); v != nil {
			checks.compare(where, "no panic", fmt.Sprintf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	if err := p.site.start(); err != nil {
		checks.compare(where, "a site", err.Error())
		return checks
	}
	defer func() {
		p.letGo()
		if err := p.site.Close(); err != nil {
			checks.compare("Close", "ok", err.Error())
		}
	}()
	for i := range sc.Steps {
		step := &sc.Steps[i]
		where = fmt.Sprintf("step %d of %d (%s)", i+1, len(sc.Steps), step)
		for n := range max(1, step.Repeat) {
			if step.Repeat > 1 {
				where = fmt.Sprintf("step %d of %d (%s, time %d)", i+1, len(sc.Steps), step, n+1)
			}
			checks.add(where, p.step(step))
			if stray := p.site.takeStray(); len(stray) > 0 {
				checks.compare(where+": actions outside of any request", "none", strings.Join(stray, " → "))
			}
		}
	}
	return checks
}

func (p *traceReplay) step(step *traceStep) traceChecks {
	switch {
	case step.World != "":
		return p.world(step)
	case step.Finish != "":
		ex := p.held[step.Finish]
		if ex == nil {
			return traceChecks{compared: 1, disagreed: []string{"no request is held under this name"}}
		}
		for name, other := range p.held {
			if other == ex {
				delete(p.held, name)
			}
		}
		ex.resume()
		return ex.finish(step.Expect)
	default:
		ex := p.send(step)
		if ex.held {
			for _, name := range traceHolds(step.Do) {
				p.held[name] = ex
			}
			return traceChecks{}
		}
		return ex.finish(step.Expect)
	}
}

// traceHolds are the names of all holds in these operations.
func traceHolds(ops []traceOp) (names []string) {
	for _, op := range ops {
		if op.Op == "hold" {
			names = append(names, op.Name)
		}
		names = append(names, traceHolds(op.Do)...)
	}
	return names
}

// letGo ends the requests that no step finished.
func (p *traceReplay) letGo() {
	for len(p.held) > 0 {
		for name, ex := range p.held {
			delete(p.held, name)
			ex.resume()
		}
	}
}

// traceBrowser is a cookie jar as the README has it: simpler than a real one,
// so that only the server decides what ends.
type traceBrowser struct {
	cookies map[string]*http.Cookie
	tabs    map[string]string
}

// The cookies of a site with the default settings.
const (
	traceSessionCookie = "__Host-sojourn"
	traceBrowserCookie = "__Host-sojourn-browser"
)

func (p *traceReplay) browser(name string) *traceBrowser {
	if p.browsers[name] == nil {
		p.browsers[name] = &traceBrowser{cookies: map[string]*http.Cookie{}, tabs: map[string]string{}}
	}
	return p.browsers[name]
}

func (b *traceBrowser) keep(cookies []*http.Cookie) {
	for _, c := range cookies {
		if c.Value == "" || c.MaxAge < 0 || !c.Expires.IsZero() && !c.Expires.After(time.Now()) {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c
	}
}

func traceKept(c *http.Cookie) bool { return c.MaxAge > 0 || !c.Expires.IsZero() }

// traceExchange is a request with its response.
type traceExchange struct {
	*traceRequest
	browser *traceBrowser
	tab     string
	before  string // the session cookie before the request
	rec     *httptest.ResponseRecorder
	held    bool
}

// send starts a request and returns when it has ended or has come to a hold.
func (p *traceReplay) send(step *traceStep) *traceExchange {
	name, tab, _ := strings.Cut(step.At, "/")
	b := p.browser(name)
	x := newTraceRequest(p.site, step)
	ex := &traceExchange{traceRequest: x, browser: b, tab: tab, rec: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	r = r.WithContext(context.WithValue(r.Context(), traceKey{}, x))
	for _, name := range slices.Sorted(maps.Keys(b.cookies)) {
		r.AddCookie(&http.Cookie{Name: name, Value: b.cookies[name].Value})
	}
	if c := b.cookies[traceSessionCookie]; c != nil {
		ex.before = c.Value
	}
	if id := b.tabs[tab]; tab != "" && id != "" {
		r.Header.Set(protocol.TabHeader, id)
	}
	go x.serve(ex.rec, r)
	ex.wait()
	return ex
}

func (ex *traceExchange) wait() {
	select {
	case <-ex.done:
		ex.held = false
	case <-ex.holding:
		ex.held = true
	}
}

// resume lets a held request go on until it has ended.
func (ex *traceExchange) resume() {
	for ex.held {
		ex.release <- struct{}{}
		ex.wait()
	}
}

// finish gives the browser the response and compares what is expected.
func (ex *traceExchange) finish(e *traceExpect) traceChecks {
	resp := ex.rec.Result()
	ex.browser.keep(resp.Cookies())
	if id := resp.Header.Get(protocol.TabHeader); ex.guarded && ex.tab != "" && id != "" {
		ex.browser.tabs[ex.tab] = id
	}
	c := &ex.checks
	if e == nil {
		return *c
	}
	log := func(entries []string) string { return strings.Join(entries, " → ") }
	if e.Actions != nil {
		c.compare("actions", log(*e.Actions), log(ex.entries))
	}
	if e.ActionsOneOf != nil {
		var logs []string
		for _, entries := range e.ActionsOneOf {
			logs = append(logs, log(entries))
		}
		c.compareAny("actions", logs, log(ex.entries))
	}
	if e.Result != "" {
		c.compare("result", e.Result, ex.result)
	}
	if e.ResultOneOf != nil {
		c.compareAny("result", e.ResultOneOf, ex.result)
	}
	if e.SessionCookie != "" {
		c.compare("session cookie", e.SessionCookie, ex.sessionCookie())
	}
	if e.SetCookie != nil {
		c.compare("has a Set-Cookie", fmt.Sprint(*e.SetCookie), fmt.Sprint(len(resp.Header["Set-Cookie"]) > 0))
	}
	if e.Restart != nil {
		c.compare("restarts the client", fmt.Sprint(*e.Restart), fmt.Sprint(resp.Header.Get(protocol.RestartHeader) == "1"))
	}
	return *c
}

// compareAny is compare when several answers are right.
func (c *traceChecks) compareAny(what string, want []string, got string) {
	if slices.Contains(want, got) {
		c.compare(what, got, got)
		return
	}
	c.compare(what, strings.Join(want, "\n        or "), got)
}

func (ex *traceExchange) sessionCookie() string {
	c := ex.browser.cookies[traceSessionCookie]
	switch {
	case c == nil:
		return "none"
	case c.Value == ex.before:
		return "same"
	case traceKept(c):
		return "kept"
	default:
		return "browser-exit"
	}
}
