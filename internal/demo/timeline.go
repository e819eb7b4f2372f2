package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn"
)

// How many events are remembered: of one browser, of all, and how many ends of
// one user's sessions.
const (
	browserEvents = 120
	allEvents     = 600
	userEnds      = 20
)

// event is one action that fired.
type event struct {
	At      time.Time
	Request visit
	Action  string
	User    sojourn.UserID
	Ended   *sojourn.SessionInfo // of OnSessionEnd
	Reason  sojourn.EndReason
}

// timeline records the actions as they fire: for each browser what its own
// requests did, and for the admins everything.
type timeline struct {
	// What one browser sees lives in a reference of the demo's own hierarchy.
	// It stays nil until start, so that an anonymous reader leaves nothing
	// behind.
	own    *sojourn.Ref[[]event]
	corner sojourn.Scope

	// What ended of a user's sessions belongs to the user, who may have none
	// left: it is in the store.
	ends *sojourn.Ref[[]event]

	site *sojourn.Site
	name func(context.Context, sojourn.UserID) (string, error)
	log  *slog.Logger

	mu  sync.Mutex
	all []event // the last first
}

func newTimeline(a *App, corner sojourn.Scope) *timeline {
	site := a.site
	t := &timeline{
		site: site, corner: corner, name: a.name, log: a.log,
		ends: sojourn.NewPersistentRef[[]event](site, sojourn.UserScope, "ends", nil),
	}
	if a.shared {
		t.own = sojourn.NewPersistentRef[[]event](site, corner, "timeline", nil)
	} else {
		t.own = sojourn.NewRef[[]event](site, corner, nil)
	}

	withUser := func(action string) func(context.Context, sojourn.UserID) error {
		return func(ctx context.Context, user sojourn.UserID) error {
			t.record(ctx, event{Action: action, User: user})
			return nil
		}
	}
	plain := func(action string) func(context.Context) error {
		return func(ctx context.Context) error {
			t.record(ctx, event{Action: action})
			return nil
		}
	}
	site.OnStartTab(withUser("OnStartTab"))
	site.OnStartConnectedTab(withUser("OnStartConnectedTab"))
	site.OnStartUnconnectedTab(plain("OnStartUnconnectedTab"))
	site.OnRequest(withUser("OnRequest"))
	site.OnConnectedRequest(withUser("OnConnectedRequest"))
	site.OnUnconnectedRequest(plain("OnUnconnectedRequest"))
	site.OnDeniedRequest(withUser("OnDeniedRequest"))
	site.OnOpenSession(withUser("OnOpenSession"))
	site.OnPreCloseSession(plain("OnPreCloseSession"))
	site.OnPostCloseSession(plain("OnPostCloseSession"))
	site.OnSessionEnd(func(ctx context.Context, session sojourn.SessionInfo, reason sojourn.EndReason) {
		t.record(ctx, event{Action: "OnSessionEnd", User: session.User, Ended: &session, Reason: reason})
	})
	return t
}

// record notes an event. The timeline is there to be looked at: when it
// fails, the request goes on.
func (t *timeline) record(ctx context.Context, e event) {
	e.At = time.Now()
	e.Request = visitOf(ctx)
	t.mu.Lock()
	t.all = pushed(t.all, e, allEvents)
	t.mu.Unlock()

	var err error
	if e.Ended != nil {
		err = t.recordEnd(ctx, e)
	}
	if e.Request.ID != "" { // outside a request there is no browser to show it to
		err = errors.Join(err, t.recordOwn(ctx, e))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.log.LogAttrs(ctx, slog.LevelWarn, "timeline not recorded", slog.Any("error", err))
	}
}

// recordOwn notes an event of this browser and sends it to the browser's open
// tabs, on whichever server they are.
func (t *timeline) recordOwn(ctx context.Context, e event) error {
	events, err := t.own.Get(ctx)
	if err != nil || events == nil {
		return err
	}
	err = t.own.Modify(ctx, func(events []event) ([]event, error) {
		return pushed(events, e, browserEvents), nil
	})
	if err != nil {
		return err
	}
	name, err := t.name(ctx, e.User)
	if err != nil && !errors.Is(err, errNoAccount) {
		return err
	}
	state, err := t.site.CurrentState(ctx, t.corner)
	if err != nil {
		return err
	}
	return t.site.Notify(ctx, state, "timeline", e.message(name))
}

// recordEnd notes the end of a session for its user, wherever the user looks.
func (t *timeline) recordEnd(ctx context.Context, e event) error {
	if _, err := t.name(ctx, e.User); errors.Is(err, errNoAccount) {
		return nil // the user is gone
	} else if err != nil {
		return err
	}
	user := t.site.UserState(e.User)
	err := t.ends.ModifyIn(ctx, user, func(ends []event) ([]event, error) {
		return pushed(ends, e, userEnds), nil
	})
	if err != nil {
		return err
	}
	return t.site.Notify(ctx, user, "ended", e.message(""))
}

// eventMessage is an event as the script of the timeline gets it.
type eventMessage struct {
	Visit  string    `json:"visit"` // the id of the request
	Line   string    `json:"line"`
	Server string    `json:"server"`
	Colour int       `json:"colour"` // of the server
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	User   string    `json:"user"` // a name; "" for nobody
	Reason string    `json:"reason"`
	Device string    `json:"device"`
}

func (e event) message(user string) eventMessage {
	m := eventMessage{
		Visit: e.Request.ID, Line: e.Request.Line, Server: e.Request.Server, Colour: colourOf(e.Request.Server),
		At: e.At, Action: e.Action, User: user, Reason: string(e.Reason),
	}
	if e.Ended != nil {
		m.Device = DeviceName(e.Ended.UserAgent)
	}
	return m
}

// pushed returns a new slice, at most limit long, with e in front.
func pushed(events []event, e event, limit int) []event {
	next := make([]event, 0, min(len(events)+1, limit))
	next = append(next, e)
	return append(next, events[:min(len(events), limit-1)]...)
}

// start makes this browser one whose timeline is recorded, from the first
// action of this request on.
func (t *timeline) start(ctx context.Context) error {
	current := visitOf(ctx).ID
	return t.own.Modify(ctx, func(events []event) ([]event, error) {
		if events == nil {
			events = append([]event{}, t.pick(func(e event) bool { return e.Request.ID == current })...)
		}
		return events, nil
	})
}

func (t *timeline) pick(wanted func(event) bool) []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []event
	for _, e := range t.all {
		if wanted(e) {
			found = append(found, e)
		}
	}
	return found
}

// visit is one HTTP request, with an id so that its actions can be shown
// together.
type visit struct {
	ID     string
	Line   string // such as "GET /counters"
	Server string // that answers; "" if there is only one
}

type visitKey struct{}

// numbered gives every request its id. The actions find it in their context,
// which is the request's.
func numbered(server string, next http.Handler) http.Handler {
	process := rand.Text()[:8]
	var visits atomic.Uint64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.Path
		if len(line) > 80 {
			line = line[:80]
			for !utf8.ValidString(line) {
				line = line[:len(line)-1]
			}
			line += "…"
		}
		v := visit{ID: process + "-" + strconv.FormatUint(visits.Add(1), 10), Line: line, Server: server}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}
