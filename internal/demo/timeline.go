package demo

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn"
)

// How many events are remembered, of one browser and of all.
const (
	browserEvents = 120
	allEvents     = 600
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
	own *sojourn.Ref[[]event]
	log *slog.Logger

	mu  sync.Mutex
	all []event // the last first
}

func newTimeline(site *sojourn.Site, corner sojourn.Scope, log *slog.Logger) *timeline {
	t := &timeline{own: sojourn.NewRef[[]event](site, corner, nil), log: log}

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

	if e.Request.Number == 0 {
		return // outside a request: no browser to show it to
	}
	events, err := t.own.Get(ctx)
	if err == nil && events != nil {
		err = t.own.Modify(ctx, func(events []event) ([]event, error) {
			return pushed(events, e, browserEvents), nil
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.log.LogAttrs(ctx, slog.LevelWarn, "timeline not recorded", slog.Any("error", err))
	}
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
	current := visitOf(ctx).Number
	return t.own.Modify(ctx, func(events []event) ([]event, error) {
		if events == nil {
			events = append([]event{}, t.pick(func(e event) bool { return e.Request.Number == current })...)
		}
		return events, nil
	})
}

// endings are the last ends of a user's sessions, for whatever reason.
func (t *timeline) endings(user sojourn.UserID) []event {
	return t.pick(func(e event) bool { return e.Ended != nil && e.User == user })
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

// visit is one HTTP request, numbered so that its actions can be shown
// together.
type visit struct {
	Number uint64
	Line   string // such as "GET /counters"
}

type visitKey struct{}

var visits atomic.Uint64

// numbered gives every request its number. The actions find it in their
// context, which is the request's.
func numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.Path
		if len(line) > 80 {
			line = line[:80]
			for !utf8.ValidString(line) {
				line = line[:len(line)-1]
			}
			line += "…"
		}
		v := visit{Number: visits.Add(1), Line: line}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}
