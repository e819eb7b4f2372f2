package sojourn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// Sequences of whatever browsers, tabs and users can do, against a plain model
// of what has to be true afterwards.

// modelLimit is how many sessions a user of the model can have.
const modelLimit = 2

// modelState is what one state of a scope holds: its two references.
type modelState struct{ volatile, persistent string }

func (s *modelState) at(ref string) *string {
	if strings.HasSuffix(ref, "!") {
		return &s.persistent
	}
	return &s.volatile
}

type modelTab struct {
	tab                *sojourntest.Tab
	browser            *modelBrowser
	started            bool       // the server knows it: a page without a guard is of this tab
	fresh              bool       // DisconnectAll made it a new tab; whether it finds what it held of a hierarchy of its own is not said
	anonymous          modelState // TabScope with nobody connected
	independent, other modelState
}

// GoString is for the report of a failure.
func (b *modelBrowser) GoString() string { return b.name }

// GoString is for the report of a failure.
func (t *modelTab) GoString() string { return fmt.Sprint("tab ", slices.Index(t.browser.tabs, t)) }

// GoString is for the report of a failure.
func (s *modelSession) GoString() string { return fmt.Sprint(s.user, "'s in ", s.browser.name) }

type modelBrowser struct {
	browser            *sojourntest.Browser
	name               string
	session            *modelSession
	tabs               []*modelTab
	anonymous          modelState // SessionScope with nobody connected
	independent, other modelState
}

type modelSession struct {
	user    sojourn.UserID
	browser *modelBrowser
	used    int
	state   modelState
	tabs    map[*modelTab]*modelState
}

// model is a site, and what is known of it.
type model struct {
	*rapid.T
	app      *app
	clock    int
	browsers []*modelBrowser
	sessions []*modelSession
	users    map[sojourn.UserID]*modelState
	site     modelState
	last     int
}

var modelUsers = []sojourn.UserID{"anna", "berta"}

func newModel(t *rapid.T, a *app) *model {
	m := &model{T: t, app: a, users: map[sojourn.UserID]*modelState{}}
	for _, user := range modelUsers {
		m.users[user] = &modelState{}
	}
	for i := range 3 {
		b := &modelBrowser{browser: a.browser(), name: fmt.Sprint("browser ", i)}
		for range 2 {
			b.tabs = append(b.tabs, &modelTab{tab: b.browser.NewTab(), browser: b})
		}
		m.browsers = append(m.browsers, b)
	}
	return m
}

func (m *model) user() sojourn.UserID { return rapid.SampledFrom(modelUsers).Draw(m.T, "user") }

func (m *model) tab() *modelTab {
	b := rapid.SampledFrom(m.browsers).Draw(m.T, "browser")
	return rapid.SampledFrom(b.tabs).Draw(m.T, "tab")
}

func (m *model) value() string {
	m.last++
	return fmt.Sprint("v", m.last)
}

// visit sends a request from a tab, each in a millisecond of its own, so that
// it is certain which session was used last.
func (m *model) visit(tab *modelTab, f func(ctx context.Context)) {
	nextMilli()
	m.clock++
	if s := tab.browser.session; s != nil {
		s.used = m.clock
	}
	guarded := rapid.IntRange(0, 9).Draw(m.T, "guarded") > 0
	h := http.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { f(r.Context()) }))
	if guarded || !tab.started {
		h = m.app.site.Wrap(h)
	}
	tab.started = true
	if resp := m.app.handle(tab.tab, h); resp.StatusCode != http.StatusOK {
		m.Fatalf("the status is %s", resp.Status)
	}
}

func (m *model) must(doing string, err error) {
	if err != nil {
		m.Fatalf("%s: %v", doing, err)
	}
}

// state is where a tab's reference has its value; nil for a user's when nobody
// is connected.
func (m *model) state(tab *modelTab, ref string) *modelState {
	b := tab.browser
	switch strings.TrimSuffix(ref, "!") {
	case "site":
		return &m.site
	case "isession":
		return &b.independent
	case "osession":
		return &b.other
	case "itab":
		return &tab.independent
	case "otab":
		return &tab.other
	case "user":
		if b.session == nil {
			return nil
		}
		return m.users[b.session.user]
	case "session":
		if b.session == nil {
			return &b.anonymous
		}
		return &b.session.state
	case "tab":
		if b.session == nil {
			return &tab.anonymous
		}
		st := b.session.tabs[tab]
		if st == nil {
			st = &modelState{}
			b.session.tabs[tab] = st
		}
		return st
	}
	panic(ref)
}

// end is what the end of a session takes with it.
func (m *model) end(s *modelSession) {
	s.browser.session = nil
	m.sessions = slices.DeleteFunc(m.sessions, func(o *modelSession) bool { return o == s })
	if !slices.ContainsFunc(m.sessions, func(o *modelSession) bool { return o.user == s.user }) {
		m.users[s.user].volatile = ""
	}
}

// leave is what Connect and Disconnect end.
func (m *model) leave(b *modelBrowser) {
	if b.session != nil {
		m.end(b.session)
	}
	b.anonymous = modelState{}
	for _, tab := range b.tabs {
		tab.anonymous = modelState{}
	}
}

func (m *model) Connect(t *rapid.T) {
	m.T = t
	tab, user := m.tab(), m.user()
	m.visit(tab, func(ctx context.Context) { m.must("Connect", m.app.site.Connect(ctx, user)) })
	m.leave(tab.browser)
	var others []*modelSession
	for _, s := range m.sessions {
		if s.user == user {
			others = append(others, s)
		}
	}
	slices.SortFunc(others, func(a, b *modelSession) int { return a.used - b.used })
	for len(others) >= modelLimit {
		m.end(others[0])
		others = others[1:]
	}
	s := &modelSession{user: user, browser: tab.browser, used: m.clock, tabs: map[*modelTab]*modelState{}}
	tab.browser.session = s
	m.sessions = append(m.sessions, s)
}

func (m *model) Disconnect(t *rapid.T) {
	m.T = t
	tab := m.tab()
	m.visit(tab, func(ctx context.Context) { m.must("Disconnect", m.app.site.Disconnect(ctx)) })
	m.leave(tab.browser)
}

// endAll is what DisconnectAll takes with it.
func (m *model) endAll(user sojourn.UserID, keep bool) {
	for _, s := range slices.Clone(m.sessions) {
		if s.user != user {
			continue
		}
		b := s.browser
		m.end(s)
		if keep {
			continue
		}
		b.independent = modelState{}
		for _, tab := range b.tabs {
			tab.independent = modelState{}
			tab.started = false // it is a new tab
			tab.fresh = true
			tab.anonymous = modelState{}
		}
	}
}

func (m *model) DisconnectAll(t *rapid.T) {
	m.T = t
	tab, keep := m.tab(), rapid.Bool().Draw(t, "keep")
	var opts []sojourn.DisconnectAllOption
	if keep {
		opts = append(opts, sojourn.KeepUserIndependent())
	}
	m.visit(tab, func(ctx context.Context) { m.must("DisconnectAll", m.app.site.DisconnectAll(ctx, opts...)) })
	if s := tab.browser.session; s != nil {
		m.endAll(s.user, keep)
	}
}

func (m *model) DisconnectAllFromElsewhere(t *rapid.T) {
	m.T = t
	user := m.user()
	m.must("DisconnectAll", m.app.site.DisconnectAll(context.Background(), sojourn.OfUser(user)))
	m.endAll(user, false)
}

func (m *model) EndSession(t *rapid.T) {
	m.T = t
	if len(m.sessions) == 0 {
		return
	}
	s := rapid.SampledFrom(m.sessions).Draw(t, "session")
	nextMilli()
	// Whose it is can be told by the tab that asks: its own is marked.
	for _, o := range m.list(s) {
		if o.Current {
			m.must("EndSession", m.app.site.EndSession(context.Background(), s.user, o.ID))
			m.end(s)
			return
		}
	}
	t.Fatalf("%s of %s is not listed", s.user, s.browser.name)
}

// list is what a session's browser sees of the user's sessions.
func (m *model) list(s *modelSession) (list []sojourn.SessionInfo) {
	m.visit(s.browser.tabs[0], func(ctx context.Context) {
		var err error
		list, err = m.app.site.Sessions(ctx, s.user)
		m.must("Sessions", err)
	})
	return list
}

func (m *model) Restart(t *rapid.T) {
	m.T = t
	m.app.restart()
	m.site.volatile = ""
	for _, s := range m.users {
		s.volatile = ""
	}
	for _, s := range m.sessions {
		s.state.volatile = ""
		for _, tab := range s.tabs {
			tab.volatile = ""
		}
	}
	for _, b := range m.browsers {
		b.anonymous.volatile, b.independent.volatile, b.other.volatile = "", "", ""
		for _, tab := range b.tabs {
			tab.started = false
			tab.anonymous.volatile, tab.independent.volatile, tab.other.volatile = "", "", ""
		}
	}
}

// change does something to a reference in a tab.
func (m *model) change(t *rapid.T, do func(ctx context.Context, r *sojourn.Ref[string], value *string) error) {
	m.T = t
	tab := m.tab()
	ref := rapid.SampledFrom(sharedRefs).Draw(t, "ref")
	if tab.fresh && strings.HasPrefix(ref, "otab") {
		return
	}
	var value string
	st := m.state(tab, ref)
	if st != nil {
		value = *st.at(ref)
	}
	m.visit(tab, func(ctx context.Context) {
		err := do(ctx, m.app.refs[ref], &value)
		if st == nil {
			if !errors.Is(err, sojourn.ErrNotConnected) {
				m.Errorf("%s with nobody connected: %v", ref, err)
			}
			return
		}
		m.must(ref, err)
		*st.at(ref) = value
	})
}

func (m *model) Set(t *rapid.T) {
	m.change(t, func(ctx context.Context, r *sojourn.Ref[string], value *string) error {
		*value = m.value()
		return r.Set(ctx, *value)
	})
}

func (m *model) SetMore(t *rapid.T) { m.Set(t) }

func (m *model) Modify(t *rapid.T) {
	m.change(t, func(ctx context.Context, r *sojourn.Ref[string], value *string) error {
		return r.Modify(ctx, func(got string) (string, error) {
			if got != *value {
				m.Errorf("Modify is given %q, want %q", got, *value)
			}
			*value += "+"
			return *value, nil
		})
	})
}

func (m *model) Unset(t *rapid.T) {
	m.change(t, func(ctx context.Context, r *sojourn.Ref[string], value *string) error {
		*value = ""
		return r.Unset(ctx)
	})
}

func (m *model) SetOfUserFromElsewhere(t *rapid.T) {
	m.T = t
	user, value := m.user(), m.value()
	st := m.app.site.UserState(user)
	m.must("SetIn", m.app.refs["user!"].SetIn(context.Background(), st, value))
	m.users[user].persistent = value
	err := m.app.refs["user"].SetIn(context.Background(), st, value)
	if slices.ContainsFunc(m.sessions, func(s *modelSession) bool { return s.user == user }) {
		m.must("SetIn", err)
		m.users[user].volatile = value
	} else if !errors.Is(err, sojourn.ErrSessionEnded) {
		m.Errorf("SetIn of a user without session: %v", err)
	}
}

// check compares one tab, and the number of sessions, with the model.
func (m *model) check(t *rapid.T) {
	m.T = t
	m.look(m.tab())
	user := m.user()
	list, err := m.app.site.Sessions(context.Background(), user)
	m.must("Sessions", err)
	want := 0
	for _, s := range m.sessions {
		if s.user == user {
			want++
		}
	}
	if len(list) != want {
		t.Errorf("%s has %d sessions, want %d", user, len(list), want)
	}
}

func (m *model) look(tab *modelTab) {
	m.visit(tab, func(ctx context.Context) {
		user, err := m.app.site.CurrentUser(ctx)
		m.must("CurrentUser", err)
		want := sojourn.Nobody
		if s := tab.browser.session; s != nil {
			want = s.user
		}
		if user != want {
			m.Fatalf("in %s the user is %q, want %q", tab.browser.name, user, want)
		}
		for _, ref := range sharedRefs {
			if tab.fresh && strings.HasPrefix(ref, "otab") {
				continue
			}
			v, err := m.app.refs[ref].Get(ctx)
			st := m.state(tab, ref)
			if st == nil {
				if !errors.Is(err, sojourn.ErrNotConnected) {
					m.Errorf("%s with nobody connected: %v", ref, err)
				}
				continue
			}
			m.must(ref, err)
			if v != *st.at(ref) {
				m.Errorf("in %s %s is %q, want %q", tab.browser.name, ref, v, *st.at(ref))
			}
		}
	})
}

// sequence is one sequence on a fresh site.
func (m *model) sequence() {
	t := m.T
	actions := rapid.StateMachineActions(m)
	actions[""] = m.check
	t.Repeat(actions)
	m.T = t
	for _, b := range m.browsers {
		for _, tab := range b.tabs {
			m.look(tab)
		}
	}
	holds, err := m.app.store.Count(context.Background())
	m.must("Count", err)
	if holds.Sessions != int64(len(m.sessions)) {
		t.Errorf("the store holds %+v, want %d sessions", holds, len(m.sessions))
	}
}

// Check makes the model a rapid.StateMachine.
func (m *model) Check(t *rapid.T) { m.check(t) }

func TestSequencesAgreeWithThePlainModel(t *testing.T) {
	cfg := sojourn.Config{
		Limits:   sojourn.Limits{SessionsPerUser: modelLimit},
		Timeouts: sojourn.Timeouts{Tab: day},
	}
	onStores(t, func(t *testing.T, kind storeKind) {
		most := 12 // sequences on a store that takes its time
		failed := false
		rapid.Check(t, func(rt *rapid.T) {
			sequence := func(rt *rapid.T) {
				a := makeApp(t, kind, withConfig(cfg))
				defer func() { a.must(a.site.Close()) }()
				newModel(rt, a).sequence()
			}
			if kind.bubble {
				rapid.SyncTest(rt, sequence)
				return
			}
			if most--; most < 0 && !failed { // but what fails is made smaller
				return
			}
			defer func() { failed = failed || rt.Failed() }()
			sequence(rt)
		})
	})
}
