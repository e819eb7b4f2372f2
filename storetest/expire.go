package storetest

import (
	"time"

	"github.com/sojourn-go/sojourn"
)

const (
	expires = "Expire ends sessions whose Deadline is not after now, with EndExpired, and removes browsers and tabs' values whose deadline is not after now"
	atMost  = "max of each at the most"
	andMore = "It returns the sessions it ended; more reports that some are left."
)

var expireExercises = []exercise{
	{
		"sessions end when their deadline has come",
		expires,
		func(x *check) {
			at := func(d time.Duration) sojourn.StoredSession {
				s := newSession("ada")
				s.Deadline = epoch.Add(d)
				x.create(s, 0)
				x.set(own(ofSession(s), "cart"), "1")
				x.tab(ofSession(s), "tab", 1000*time.Hour)
				return s
			}
			past, now, next := at(-time.Hour), at(0), at(time.Millisecond)
			x.wantExpired(epoch, 10, false, past, now)
			x.wantNoSession(past.Key)
			x.wantNoSession(now.Key)
			x.wantSession(next)
			x.wantNoValue(own(ofSession(past), "cart"))
			x.wantTabs(ofSession(now))
			x.wantValue(own(ofSession(next), "cart"), "1")
			x.wantCount(sojourn.Counts{Sessions: 1, Values: 2})
			x.wantExpired(epoch, 10, false)
		},
	},
	{
		"a session whose deadline has come is there until Expire ends it",
		"A session exists from CreateSession until one of CreateSession (eviction), EndSession, EndUser or Expire returned it as ended",
		func(x *check) {
			s := newSession("ada")
			s.Deadline = time.Unix(1000, 0)
			x.create(s, 0)
			x.wantSession(s)
			x.set(own(ofSession(s), "cart"), "1")
			x.wantValue(own(ofSession(s), "cart"), "1")
			b := newBrowser()
			b.Deadline = time.Unix(1000, 0)
			x.browser(b, 0)
			x.wantBrowser(b)
			x.wantExpired(epoch, 10, false, s)
			x.wantNoSession(s.Key)
			x.wantNoBrowser(b.Key)
		},
	},
	{
		"what has no deadline never expires",
		"zero: never",
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			s.Deadline, b.Deadline = time.Time{}, time.Time{}
			x.create(s, 0)
			x.browser(b, 0)
			for _, owner := range []sojourn.Owner{ofSession(s), ofBrowser(b)} {
				_, err := x.SetValue(x.Context(), ofTab(owner, "tab", "a"), sojourn.Write{Data: []byte("1")})
				x.must(err, "SetValue")
			}
			x.set(own(ofUser("ada"), "theme"), "dark")
			x.set(own(ofSite(), "theme"), "light")
			x.wantExpired(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 10, false)
			x.wantSession(s)
			x.wantBrowser(b)
			x.wantValue(ofTab(ofSession(s), "tab", "a"), "1")
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 4})
		},
	},
	{
		"browsers and tabs' values go when their deadline has come",
		expires,
		func(x *check) {
			at := func(d time.Duration) sojourn.StoredBrowser {
				b := newBrowser()
				b.Deadline = epoch.Add(d)
				x.browser(b, 0)
				x.set(own(ofBrowser(b), "cart"), "1")
				x.tab(ofBrowser(b), "past", -time.Hour)
				x.tab(ofBrowser(b), "now", 0)
				x.tab(ofBrowser(b), "next", time.Millisecond)
				return b
			}
			past, now, next := at(-time.Hour), at(0), at(time.Millisecond)
			s := newSession("ada")
			x.create(s, 0)
			x.set(own(ofSession(s), "cart"), "1")
			x.tab(ofSession(s), "now", 0)
			x.tab(ofSession(s), "next", time.Millisecond)
			x.wantExpired(epoch, 100, false)
			x.wantNoBrowser(past.Key)
			x.wantNoBrowser(now.Key)
			x.wantNoValue(own(ofBrowser(now), "cart"))
			x.wantNoValue(ofTab(ofBrowser(now), "next", "a"))
			x.wantBrowser(next)
			x.wantTabs(ofBrowser(next), "next")
			x.wantValue(own(ofBrowser(next), "cart"), "1")
			x.wantSession(s)
			x.wantTabs(ofSession(s), "next")
			x.wantNoValue(ofTab(ofSession(s), "now", "a"))
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 4})
		},
	},
	{
		"a touch or a write puts the deadline off",
		touches,
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			s.Deadline, b.Deadline = epoch, epoch
			x.create(s, 0)
			x.browser(b, 0)
			for _, owner := range []sojourn.Owner{ofSession(s), ofBrowser(b)} {
				x.tab(owner, "touched", 0)
				x.tab(owner, "written", 0)
				x.tab(owner, "written", time.Hour)
				x.tab(owner, "left", 0)
			}
			s.Deadline, b.Deadline = epoch.Add(time.Hour), epoch.Add(time.Hour)
			x.must(x.Touch(x.Context(), []sojourn.Touch{
				{Owner: ofSession(s), Deadline: s.Deadline},
				{Owner: ofSession(s), Tab: "touched", Deadline: epoch.Add(2 * time.Hour)},
				{Owner: ofBrowser(b), Deadline: b.Deadline},
				{Owner: ofBrowser(b), Tab: "touched", Deadline: epoch.Add(2 * time.Hour)},
			}), "Touch")
			x.wantExpired(epoch.Add(time.Hour-time.Millisecond), 10, false)
			x.wantSession(s)
			x.wantBrowser(b)
			x.wantTabs(ofSession(s), "written", "touched")
			x.wantTabs(ofBrowser(b), "written", "touched")
			x.wantExpired(epoch.Add(time.Hour), 10, false, s)
			x.wantCount(sojourn.Counts{})
		},
	},
	{
		"a tab that is used again after its values went has a new deadline",
		"of a tab's values: when they are removed unless touched",
		func(x *check) {
			owners := x.tabOwners()
			for _, owner := range owners {
				x.tab(owner, "removed", 5*time.Hour)
				x.remove(ofTab(owner, "removed", "a"), sojourn.AnyVersion)
				x.tab(owner, "removed", time.Hour)
				x.tab(owner, "dropped", 5*time.Hour)
				x.must(x.DropValues(x.Context(), owner, "dropped", sojourn.Key{}), "DropValues")
				x.tab(owner, "dropped", time.Hour)
				x.tab(owner, "expired", -time.Hour)
			}
			x.wantExpired(epoch, 10, false)
			for _, owner := range owners {
				x.tab(owner, "expired", time.Hour)
			}
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 6})
			x.wantExpired(epoch.Add(time.Hour), 10, false)
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1})
		},
	},
	{
		"no more than max sessions end at once",
		atMost,
		func(x *check) {
			all := map[sojourn.Key]sojourn.StoredSession{}
			for range 7 {
				s := newSession("ada")
				s.Deadline = epoch
				x.create(s, 0)
				all[s.Key] = s
			}
			for _, more := range []bool{true, true, false} {
				ended, gotMore, err := x.Expire(x.Context(), epoch, 3)
				x.must(err, "Expire")
				if len(ended) > 3 || len(ended) == 0 || gotMore != more {
					x.broken("Expire returned %d sessions and more %t; want at most 3 and %t", len(ended), gotMore, more)
				}
				for _, e := range ended {
					x.wantEnded([]sojourn.StoredSession{e}, all[e.Key])
					delete(all, e.Key)
				}
			}
			x.wantExpired(epoch, 3, false)
		},
	},
	{
		"no more than max browsers and tabs go at once",
		atMost,
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			for i := range 5 {
				b := newBrowser()
				b.Deadline = epoch
				x.browser(b, 0)
				x.tab(ofSession(s), string(rune('a'+i)), 0)
			}
			left := x.counts()
			for left.Browsers > 0 || left.Values > 0 {
				ended, more, err := x.Expire(x.Context(), epoch, 2)
				x.must(err, "Expire")
				now := x.counts()
				switch {
				case len(ended) > 0:
					x.broken("Expire ended %+v", ended)
				case left.Browsers-now.Browsers > 2 || left.Values-now.Values > 2:
					x.broken("Expire(2) went from %+v to %+v", left, now)
				case left == now:
					x.broken("Expire(2) removed nothing of %+v", left)
				case more != (now.Browsers > 0 || now.Values > 0):
					x.broken("Expire returned more %t and left %+v", more, now)
				}
				left = now
			}
			x.wantSession(s)
		},
	},
	{
		"more is said when some are left, and only then",
		andMore,
		func(x *check) {
			for _, what := range []func(){
				func() { s := newSession("ada"); s.Deadline = epoch; x.create(s, 0) },
				func() { b := newBrowser(); b.Deadline = epoch; x.browser(b, 0) },
				func() { s := newSession("ada"); x.create(s, 0); x.tab(ofSession(s), "tab", 0) },
			} {
				what()
				what()
				_, more, err := x.Expire(x.Context(), epoch, 1)
				x.must(err, "Expire")
				if !more {
					x.broken("Expire returned no more, with one left")
				}
				_, more, err = x.Expire(x.Context(), epoch, 1)
				x.must(err, "Expire")
				if more {
					x.broken("Expire returned more, with none left")
				}
			}
		},
	},
	{
		"an expired tab is not the end of its owner, nor of the owner's values",
		expires,
		func(x *check) {
			for _, owner := range x.tabOwners() {
				x.set(own(owner, "cart"), "1")
				x.tab(owner, "tab", -time.Hour)
			}
			x.wantExpired(epoch, 10, false)
			x.wantCount(sojourn.Counts{Sessions: 1, Browsers: 1, Values: 2})
		},
	},
}

// wantExpired expires, and fails unless exactly these sessions end.
func (x *check) wantExpired(now time.Time, max int, more bool, want ...sojourn.StoredSession) {
	x.Helper()
	ended, gotMore, err := x.Expire(x.Context(), now, max)
	x.must(err, "Expire")
	x.wantEnded(ended, want...)
	if gotMore != more {
		x.broken("Expire returned more %t, want %t", gotMore, more)
	}
}

// counts is how much the store holds.
func (x *check) counts() sojourn.Counts {
	x.Helper()
	c, err := x.Count(x.Context())
	x.must(err, "Count")
	return c
}
