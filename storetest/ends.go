package storetest

import (
	"time"

	"github.com/sojourn-go/sojourn"
)

var endExercises = []exercise{
	{
		"an ended session is returned and gone",
		"EndSession ends the session of key and removes its values and those of its tabs.",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			x.set(own(ofSession(s), "cart"), "1")
			x.set(ofTab(ofSession(s), "a", "draft"), "2")
			x.set(ofTab(ofSession(s), "b", "draft"), "3")
			x.end(s, 0)
			x.wantNoSession(s.Key)
			x.wantNoValue(own(ofSession(s), "cart"))
			x.wantNoValue(ofTab(ofSession(s), "a", "draft"))
			x.wantNoValue(ofTab(ofSession(s), "b", "draft"))
			x.wantTabs(ofSession(s))
			x.wantCount(sojourn.Counts{})
		},
	},
	{
		"the end of a session says how many its user has left",
		"It returns the session if this call ended it, and how many sessions its user has left",
		func(x *check) {
			s := x.sessionsOf("ada", 3)
			x.sessionsOf("bob", 2)
			for i, left := range []int{2, 1, 0} {
				x.end(s[i], left)
			}
		},
	},
	{
		"an ended session is returned as it was last",
		"It returns the session if this call ended it, and how many sessions its user has left",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			s.LastSeen, s.Deadline = s.LastSeen.Add(time.Minute), s.Deadline.Add(time.Minute)
			x.must(x.Touch(x.Context(), []sojourn.Touch{{Owner: ofSession(s), LastSeen: s.LastSeen, Deadline: s.Deadline}}), "Touch")
			x.end(s, 0)
		},
	},
	{
		"ending an unknown session is a no-op",
		"ending a session that does not exist is a no-op and returns no session and no error",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			ended, _, err := x.EndSession(x.Context(), newKey("ada"), sojourn.EndRevoked)
			x.must(err, "EndSession")
			x.wantEnded(ended)
			x.wantSession(s)
		},
	},
	{
		"a session ends once",
		"each session is returned as ended exactly once",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			x.end(s, 0)
			for range 2 {
				ended, _, err := x.EndSession(x.Context(), s.Key, sojourn.EndRevoked)
				x.must(err, "EndSession")
				x.wantEnded(ended)
			}
			ended, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
			x.must(err, "EndUser")
			x.wantEnded(ended)
			ended, _, err = x.Expire(x.Context(), s.ExpiresAt, 10)
			x.must(err, "Expire")
			x.wantEnded(ended)
			x.wantEnded(x.create(newSession("ada"), 1))
		},
	},
	{
		"the end of a session leaves everything else",
		"EndSession ends the session of key and removes its values and those of its tabs.",
		func(x *check) {
			s := x.sessionsOf("ada", 2)
			bob := x.sessionsOf("bob", 1)[0]
			b := x.browser(newBrowser(), 0)
			keep := []sojourn.ValueKey{
				own(ofSession(s[1]), "cart"), ofTab(ofSession(s[1]), "tab", "cart"),
				own(ofSession(bob), "cart"), own(ofUser("ada"), "cart"), own(ofUser("bob"), "cart"),
				own(ofBrowser(b), "cart"), ofTab(ofBrowser(b), "tab", "cart"), own(ofSite(), "cart"),
			}
			for _, key := range keep {
				x.set(key, "kept")
			}
			x.set(own(ofSession(s[0]), "cart"), "1")
			x.set(ofTab(ofSession(s[0]), "tab", "cart"), "1")
			x.end(s[0], 1)
			for _, key := range keep {
				x.wantValue(key, "kept")
			}
			x.wantSession(s[1])
			x.wantSession(bob)
			x.wantBrowser(b)
			x.wantCount(sojourn.Counts{Sessions: 2, Browsers: 1, Values: int64(len(keep))})
		},
	},
	{
		"a session and a browser of one key have nothing in common",
		"EndSession ends the session of key and removes its values and those of its tabs.",
		func(x *check) {
			s, b := newSession("ada"), newBrowser()
			b.Key = s.Key
			x.create(s, 0)
			x.browser(b, 0)
			x.set(own(ofSession(s), "cart"), "session's")
			x.set(own(ofBrowser(b), "cart"), "browser's")
			x.wantValue(own(ofSession(s), "cart"), "session's")
			x.end(s, 0)
			x.wantBrowser(b)
			x.wantValue(own(ofBrowser(b), "cart"), "browser's")
		},
	},
	{
		"all sessions of a user end at once",
		"EndUser ends all sessions of user except those of keep, at once, as EndSession does.",
		func(x *check) {
			s := x.sessionsOf("ada", 5)
			bob := x.sessionsOf("bob", 2)
			x.set(own(ofSession(s[3]), "cart"), "1")
			x.set(ofTab(ofSession(s[4]), "tab", "draft"), "2")
			x.set(own(ofSession(bob[0]), "cart"), "3")
			ended, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
			x.must(err, "EndUser")
			x.wantEnded(ended, s...)
			for _, e := range s {
				x.wantNoSession(e.Key)
			}
			x.wantSession(bob[0])
			x.wantSession(bob[1])
			x.wantNoValue(own(ofSession(s[3]), "cart"))
			x.wantNoValue(ofTab(ofSession(s[4]), "tab", "draft"))
			x.wantCount(sojourn.Counts{Sessions: 2, Values: 1})
		},
	},
	{
		"the sessions to keep stay",
		"EndUser ends all sessions of user except those of keep, at once, as EndSession does.",
		func(x *check) {
			s := x.sessionsOf("ada", 5)
			bob := x.sessionsOf("bob", 1)[0]
			x.set(own(ofSession(s[2]), "cart"), "1")
			ended, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll, s[2].Key, newKey("ada"), bob.Key, s[4].Key, s[2].Key)
			x.must(err, "EndUser")
			x.wantEnded(ended, s[0], s[1], s[3])
			x.wantSession(s[2])
			x.wantSession(s[4])
			x.wantValue(own(ofSession(s[2]), "cart"), "1")
		},
	},
	{
		"a user's own values stay when the sessions end",
		"The user's own values stay.",
		func(x *check) {
			s := x.sessionsOf("ada", 3)
			theme := own(ofUser("ada"), "theme")
			x.set(theme, "dark")
			x.end(s[0], 2)
			x.wantValue(theme, "dark")
			_, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll)
			x.must(err, "EndUser")
			x.wantValue(theme, "dark")
			last := newSession("ada")
			x.create(last, 0)
			x.end(last, 0)
			x.wantValue(theme, "dark")
			last = newSession("ada")
			x.create(last, 0)
			x.wantEnded(x.create(newSession("ada"), 1), last)
			x.wantValue(theme, "dark")
			_, _, err = x.Expire(x.Context(), last.Deadline, 10)
			x.must(err, "Expire")
			x.wantCount(sojourn.Counts{Values: 1})
			x.wantValue(theme, "dark")
		},
	},
	{
		"a user without sessions has none to end",
		"EndUser ends all sessions of user except those of keep, at once, as EndSession does.",
		func(x *check) {
			s := x.sessionsOf("ada", 2)
			for _, user := range []sojourn.UserID{"bob", "ADA", "%", ""} {
				ended, err := x.EndUser(x.Context(), user, sojourn.EndDisconnectAll)
				x.must(err, "EndUser")
				x.wantEnded(ended)
			}
			ended, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll, s[0].Key, s[1].Key)
			x.must(err, "EndUser")
			x.wantEnded(ended)
		},
	},
	{
		"many sessions of one user end at once",
		"EndUser ends all sessions of user except those of keep, at once, as EndSession does.",
		func(x *check) {
			s := x.sessionsOf("ada", 300)
			var keep []sojourn.Key
			for _, k := range s[:150] {
				keep = append(keep, k.Key)
			}
			ended, err := x.EndUser(x.Context(), "ada", sojourn.EndDisconnectAll, keep...)
			x.must(err, "EndUser")
			x.wantEnded(ended, s[150:]...)
			x.wantCount(sojourn.Counts{Sessions: 150})
		},
	},
}

// end ends a session that is there, and fails unless it is returned as it is
// given with this many left.
func (x *check) end(s sojourn.StoredSession, left int) {
	x.Helper()
	ended, n, err := x.EndSession(x.Context(), s.Key, sojourn.EndRevoked)
	x.must(err, "EndSession")
	x.wantEnded(ended, s)
	if n != left {
		x.broken("EndSession returned %d left, want %d", n, left)
	}
}
