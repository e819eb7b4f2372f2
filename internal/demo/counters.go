package demo

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// counters are numbers kept in every scope, side by side.
type counters struct {
	scopes []counterScope
	byKey  map[string]*counter
}

// counterScope is a scope with the counters kept in it.
type counterScope struct {
	Name, Of string
	counters []*counter
}

// counter is one number in one scope.
type counter struct {
	Key, Name, Kind string
	Fates           [len(trials)]fate
	ref             *sojourn.Ref[int]
}

// trials are what a counter may or may not survive.
var trials = [...]string{"next page", "sign out", "other user", "out everywhere", "restart"}

// fate is what becomes of a counter in a trial.
type fate string

const (
	kept      fate = "kept"
	gone      fate = "gone"
	newTab    fate = "new tab"  // without JavaScript each page is a new tab
	elsewhere fate = "kept*"    // while the user has another session
	theirs    fate = "theirs"   // one sees the other user's
	ifKept    fate = "if kept†" // with KeepUserIndependent
)

// Class is how the style sheet shows it.
func (f fate) Class() string {
	switch f {
	case kept:
		return "kept"
	case gone:
		return "gone"
	default:
		return "depends"
	}
}

func newCounters(site *sojourn.Site, memory bool) *counters {
	c := &counters{byKey: make(map[string]*counter)}

	c.add(site, "request", "Request", "this one HTTP request", sojourn.RequestScope,
		fates{gone, gone, gone, gone, gone})
	c.add(site, "tab", "Tab", "this tab, for this user", sojourn.TabScope,
		fates{newTab, gone, gone, gone, gone}, fates{newTab, gone, gone, gone, kept})
	c.add(site, "session", "Session", "this browser, from one sign-in to the sign-out", sojourn.SessionScope,
		fates{kept, gone, gone, gone, gone}, fates{kept, gone, gone, gone, kept})
	c.add(site, "user", "User", "you, in every browser", sojourn.UserScope,
		fates{kept, elsewhere, theirs, gone, gone}, fates{kept, kept, theirs, kept, kept})
	c.add(site, "free-tab", "User-independent tab", "this tab, whoever uses it", sojourn.UserIndependentTabScope,
		fates{newTab, kept, kept, ifKept, gone}, fates{newTab, kept, kept, ifKept, kept})
	c.add(site, "browser", "User-independent session", "this browser, whoever uses it", sojourn.UserIndependentSessionScope,
		fates{kept, kept, kept, ifKept, gone}, fates{kept, kept, kept, ifKept, kept})
	c.add(site, "site", "Site", "everybody together", sojourn.SiteScope,
		fates{kept, kept, kept, kept, gone}, fates{kept, kept, kept, kept, kept})
	for _, n := range c.byKey {
		if memory {
			n.Fates[len(trials)-1] = gone // the store goes with the server
		}
	}
	return c
}

type fates = [len(trials)]fate

// add makes a volatile counter in a scope and, if its fates are given, a
// persistent one.
func (c *counters) add(site *sojourn.Site, key, name, of string, scope sojourn.Scope, volatile fates, persistent ...fates) {
	row := counterScope{Name: name, Of: of, counters: []*counter{{
		Key: key + "-volatile", Name: name, Kind: "volatile", Fates: volatile,
		ref: sojourn.NewRef[int](site, scope, nil),
	}}}
	for _, f := range persistent {
		row.counters = append(row.counters, &counter{
			Key: key + "-persistent", Name: name, Kind: "persistent", Fates: f,
			ref: sojourn.NewPersistentRef[int](site, scope, "counter-"+key, nil),
		})
	}
	for _, n := range row.counters {
		c.byKey[n.Key] = n
	}
	c.scopes = append(c.scopes, row)
}

// What the page of counters shows.
type (
	countersPage struct {
		Origin string // of this site, for curl
		Store  string // where persistent counters are
		Shared bool   // by several servers
		Trials []string
		Scopes []scopeView
	}
	scopeView struct {
		Name, Of string
		Counters []counterView
	}
	counterView struct {
		*counter
		Value      int
		NeedsLogin bool
	}
)

// Rows is how many lines of the table the scope takes: one for each counter,
// and one for each message about one.
func (s scopeView) Rows(flashes []flash) int {
	n := len(s.Counters)
	for _, c := range s.Counters {
		for _, f := range flashes {
			if f.Place == c.Key {
				n++
			}
		}
	}
	return n
}

func (a *App) showCounters(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	page := countersPage{Origin: a.origin(r), Store: a.storeName, Shared: a.shared, Trials: trials[:]}
	for _, scope := range a.counters.scopes {
		row := scopeView{Name: scope.Name, Of: scope.Of}
		for _, c := range scope.counters {
			n, err := c.ref.Get(r.Context())
			nobody := errors.Is(err, sojourn.ErrNotConnected) // a user's state, and there is no user
			if err != nil && !nobody {
				return err
			}
			row.Counters = append(row.Counters, counterView{counter: c, Value: n, NeedsLogin: nobody})
		}
		page.Scopes = append(page.Scopes, row)
	}
	return a.render(w, r, http.StatusOK, "counters", page)
}

func (a *App) origin(r *http.Request) string {
	if a.plainHTTP {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// pressCounter adds one to a counter, or resets it. Modify is atomic: however
// many press at once, none is lost.
func (a *App) pressCounter(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
	ctx := r.Context()
	c, ok := a.counters.byKey[r.PostFormValue("counter")]
	if !ok {
		return problem{http.StatusNotFound, "No such counter", "Nothing was counted."}
	}
	var n int
	var err error
	if r.PostFormValue("do") == "reset" {
		err = c.ref.Unset(ctx)
	} else {
		err = c.ref.Modify(ctx, func(old int) (int, error) {
			n = old + 1
			return n, nil
		})
	}
	if err != nil {
		return err
	}
	// The number is on the next page, unless that page is another place.
	another := map[fate]string{gone: "request", newTab: "tab"}[c.Fates[0]]
	if another == "tab" && r.Header.Get(protocol.TabHeader) != "" {
		another = "" // a script sends the form: it keeps its tab
	}
	if another != "" {
		text := fmt.Sprintf("It was %d in the %s of your press. This page is another %s.", n, another, another)
		if err := a.tell(ctx, flash{Place: c.Key, Text: text}); err != nil {
			return err
		}
	}
	return done(w, r, "/counters#"+c.Key)
}
