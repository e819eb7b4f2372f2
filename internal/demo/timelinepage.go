package demo

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn"
)

// timelinePage is what the timeline's templates show.
type timelinePage struct {
	Recording bool
	Shared    bool              // by several servers
	Live      bool              // what is recorded is shown as it happens
	Requests  []timelineRequest // the newest first
	Endings   []timelineStep    // of the viewer's sessions
}

// timelineRequest is one request with its actions, in the order they fired.
type timelineRequest struct {
	visit
	At    time.Time
	Steps []timelineStep
}

type timelineStep struct {
	Action string
	User   string // a name; "" for nobody
	At     time.Time
	Ended  *sojourn.SessionInfo
	Reason sojourn.EndReason
}

func (a *App) showTimeline(w http.ResponseWriter, r *http.Request, user sojourn.UserID) error {
	ctx := r.Context()
	events, err := a.timeline.own.Get(ctx)
	if err != nil {
		return err
	}
	page := timelinePage{Recording: events != nil, Live: true, Shared: a.shared}
	names := a.names(ctx)
	if page.Requests, err = grouped(events, names); err != nil {
		return err
	}
	if user != sojourn.Nobody {
		ends, err := a.timeline.ends.GetIn(ctx, a.site.UserState(user))
		if err != nil {
			return err
		}
		for _, e := range ends {
			s, err := step(e, names)
			if err != nil {
				return err
			}
			page.Endings = append(page.Endings, s)
		}
	}
	return a.render(w, r, http.StatusOK, "timeline", page)
}

func (a *App) showAdminTimeline(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	requests, err := grouped(a.timeline.pick(func(event) bool { return true }), a.names(r.Context()))
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "admin-timeline", timelinePage{Requests: requests})
}

// recordTimeline starts the recording in this browser, or forgets it.
func (a *App) recordTimeline(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	ctx := r.Context()
	var err error
	if r.PostFormValue("do") == "forget" {
		err = a.timeline.own.Unset(ctx)
	} else {
		err = a.timeline.start(ctx)
	}
	if err != nil {
		return err
	}
	return done(w, r, "/timeline")
}

// grouped puts the events of one request together. Requests come newest
// first; within each, actions come in the order they fired.
func grouped(events []event, names func(sojourn.UserID) (string, error)) ([]timelineRequest, error) {
	var requests []timelineRequest
	place := make(map[string]int) // of a request in requests, by its id
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		at, known := place[e.Request.ID]
		if !known || e.Request.ID == "" {
			at = len(requests)
			place[e.Request.ID] = at
			v := e.Request
			if v.Line == "" {
				v.Line = "outside a request"
			}
			requests = append(requests, timelineRequest{visit: v, At: e.At})
		}
		s, err := step(e, names)
		if err != nil {
			return nil, err
		}
		requests[at].Steps = append(requests[at].Steps, s)
	}
	for i, j := 0, len(requests)-1; i < j; i, j = i+1, j-1 {
		requests[i], requests[j] = requests[j], requests[i]
	}
	return requests, nil
}

func step(e event, names func(sojourn.UserID) (string, error)) (timelineStep, error) {
	name, err := names(e.User)
	return timelineStep{Action: e.Action, User: name, At: e.At, Ended: e.Ended, Reason: e.Reason}, err
}

// names returns a function that knows users' names, asking once for each.
func (a *App) names(ctx context.Context) func(sojourn.UserID) (string, error) {
	known := make(map[sojourn.UserID]string)
	return func(user sojourn.UserID) (string, error) {
		name, ok := known[user]
		if ok {
			return name, nil
		}
		name, err := a.name(ctx, user)
		if errors.Is(err, errNoAccount) {
			name, err = "(deleted)", nil
		}
		if err == nil {
			known[user] = name
		}
		return name, err
	}
}

// name is the name of a user, "" for nobody's, or errNoAccount.
func (a *App) name(ctx context.Context, user sojourn.UserID) (string, error) {
	if user == sojourn.Nobody {
		return "", nil
	}
	acc, err := a.accounts.byID(ctx, user)
	return acc.Name, err
}
