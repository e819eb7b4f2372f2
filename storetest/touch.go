package storetest

import (
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	touches    = "Touch moves LastSeen and Deadline of sessions, browsers and tabs."
	notRevived = "What does not exist is passed over and never made; nothing moves backwards."
)

var touchExercises = []exercise{
	{
		"a touch moves sessions, browsers and tabs",
		touches,
		func(x *check) {
			s, other, b := newSession("ada"), newSession("ada"), x.browser(newBrowser(), 0)
			x.create(s, 0)
			x.create(other, 0)
			x.tab(ofSession(s), "one", 1*time.Hour)
			x.tab(ofSession(s), "two", 2*time.Hour)
			x.tab(ofBrowser(b), "one", 1*time.Hour)
			x.tab(ofBrowser(b), "two", 2*time.Hour)
			s.LastSeen, s.Deadline = s.LastSeen.Add(time.Hour), s.Deadline.Add(time.Hour)
			b.LastSeen, b.Deadline = b.LastSeen.Add(2*time.Hour), b.Deadline.Add(2*time.Hour)
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(s), LastSeen: s.LastSeen, Deadline: s.Deadline},
				{Owner: ofSession(s), Tab: "one", LastSeen: s.LastSeen, Deadline: epoch.Add(3 * time.Hour)},
				{Owner: ofBrowser(b), LastSeen: b.LastSeen, Deadline: b.Deadline},
				{Owner: ofBrowser(b), Tab: "one", LastSeen: b.LastSeen, Deadline: epoch.Add(3 * time.Hour)},
			}), "Touch")
			x.wantSession(s)
			x.wantSession(other)
			x.wantBrowser(b)
			x.wantTabs(ofSession(s), "two", "one")
			x.wantTabs(ofBrowser(b), "two", "one")
		},
	},
	{
		"a touch of a tab leaves its owner",
		touches,
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			x.tab(ofSession(s), "tab", time.Hour)
			x.must(x.Touch(x.Context(), []sojourn.Touch{{
				Owner: ofSession(s), Tab: "tab", LastSeen: s.LastSeen.Add(time.Hour), Deadline: s.Deadline.Add(time.Hour),
			}}), "Touch")
			x.wantSession(s)
		},
	},
	{
		"the end of a touch's time is never, if zero",
		"zero: never",
		func(x *check) {
			s, b := newSession("ada"), x.browser(newBrowser(), 0)
			x.create(s, 0)
			x.tab(ofSession(s), "one", 1*time.Hour)
			x.tab(ofSession(s), "two", 2*time.Hour)
			s.Deadline, b.Deadline = time.Time{}, time.Time{}
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(s), LastSeen: s.LastSeen},
				{Owner: ofBrowser(b), LastSeen: b.LastSeen},
				{Owner: ofSession(s), Tab: "one", LastSeen: s.LastSeen},
			}), "Touch")
			x.wantSession(s)
			x.wantBrowser(b)
			x.wantTabs(ofSession(s), "two", "one")
		},
	},
	{
		"a touch moves nothing backwards",
		notRevived,
		func(x *check) {
			s, b := newSession("ada"), x.browser(newBrowser(), 0)
			forever := newSession("ada")
			forever.Deadline = time.Time{}
			x.create(s, 0)
			x.create(forever, 0)
			x.tab(ofSession(s), "one", 1*time.Hour)
			x.tab(ofSession(s), "two", 2*time.Hour)
			early := epoch.Add(-time.Hour)
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(s), LastSeen: early, Deadline: early},
				{Owner: ofSession(s), Deadline: early},
				{Owner: ofSession(s), Tab: "two", LastSeen: early, Deadline: early},
				{Owner: ofBrowser(b), LastSeen: early, Deadline: early},
				{Owner: ofSession(forever), LastSeen: early, Deadline: epoch.Add(time.Hour)},
			}), "Touch")
			x.wantSession(s)
			x.wantBrowser(b)
			x.wantSession(forever)
			x.wantTabs(ofSession(s), "one", "two")
			// Each of the two times moves forward on its own.
			s.LastSeen, b.Deadline = s.LastSeen.Add(time.Minute), b.Deadline.Add(time.Minute)
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(s), LastSeen: s.LastSeen, Deadline: early},
				{Owner: ofBrowser(b), LastSeen: early, Deadline: b.Deadline},
			}), "Touch")
			x.wantSession(s)
			x.wantBrowser(b)
		},
	},
	{
		"a touch makes nothing and brings nothing back",
		notRevived,
		func(x *check) {
			ended, never, there := newSession("ada"), newSession("ada"), newSession("ada")
			gone := x.browser(newBrowser(), 0)
			x.create(ended, 0)
			x.create(there, 0)
			x.tab(ofSession(ended), "tab", time.Hour)
			x.end(ended, 1)
			x.must(x.EndBrowsers(x.Context(), gone.Key), "EndBrowsers")
			late := epoch.Add(time.Hour)
			seen := there
			seen.LastSeen = late
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(ended), LastSeen: late, Deadline: late},
				{Owner: ofSession(ended), Tab: "tab", LastSeen: late, Deadline: late},
				{Owner: ofSession(never), LastSeen: late, Deadline: late},
				{Owner: ofBrowser(gone), LastSeen: late, Deadline: late},
				{Owner: ofBrowser(gone), Tab: "tab", LastSeen: late, Deadline: late},
				{Owner: ofSession(there), Tab: "none", LastSeen: late, Deadline: late},
				{Owner: ofSession(there), LastSeen: late, Deadline: there.Deadline},
			}), "Touch")
			x.wantNoSession(ended.Key)
			x.wantNoSession(never.Key)
			x.wantNoBrowser(gone.Key)
			x.wantTabs(ofSession(ended))
			x.wantTabs(ofSession(there))
			x.wantSession(seen)
			x.wantCount(sojourn.Counts{Sessions: 1})
			list, err := x.Sessions(x.Context(), "ada")
			x.must(err, "Sessions")
			x.wantEnded(list, seen)
		},
	},
	{
		"a touch of nothing does nothing",
		touches,
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			x.must(x.Touch(x.Context(), nil), "Touch")
			x.must(x.Touch(x.Context(), []sojourn.Touch{}), "Touch")
			x.wantSession(s)
		},
	},
	{
		"many touches at once, also of one session",
		touches,
		func(x *check) {
			s := x.sessionsOf("ada", 3)
			var all []sojourn.Touch
			for i := range 1000 {
				all = append(all, sojourn.Touch{
					Owner: ofSession(s[i%3]), LastSeen: epoch.Add(time.Duration((i*7)%1000) * time.Minute), Deadline: s[i%3].Deadline,
				})
			}
			for i, touch := range all {
				if touch.LastSeen.After(s[i%3].LastSeen) {
					s[i%3].LastSeen = touch.LastSeen
				}
			}
			x.must(x.Touch(x.Context(), all), "Touch")
			for _, want := range s {
				x.wantSession(want)
			}
		},
	},
}
