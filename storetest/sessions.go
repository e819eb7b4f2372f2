package storetest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn"
)

var sessionExercises = []exercise{
	{
		"a created session is there as it was given",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			s := newSession("ada")
			x.wantEnded(x.create(s, 0))
			x.wantSession(s)
		},
	},
	{
		"a session that was never created is not found",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			x.create(newSession("ada"), 0)
			x.wantNoSession(newKey("ada"))
			x.wantNoSession(sojourn.Key{})
		},
	},
	{
		"a session may have zero times and an invalid address",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			s := sojourn.StoredSession{Key: newKey("ada"), User: "ada"}
			x.create(s, 0)
			x.wantSession(s)
		},
	},
	{
		"a session's address is kept, of IPv4, IPv6 or neither",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			for _, addr := range []netip.Addr{
				{},
				netip.MustParseAddr("192.0.2.1"),
				netip.MustParseAddr("0.0.0.0"),
				netip.MustParseAddr("255.255.255.255"),
				netip.MustParseAddr("2001:db8::1"),
				netip.MustParseAddr("::"),
				netip.MustParseAddr("::ffff:192.0.2.1"),
				netip.MustParseAddr("fe80::1%eth0"),
			} {
				s := newSession("ada")
				s.RemoteAddr = addr
				x.create(s, 0)
				x.wantSession(s)
			}
		},
	},
	{
		"a session's strings are kept byte for byte",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			for _, odd := range oddStrings {
				s := newSession(sojourn.UserID(odd))
				s.UserAgent = odd
				x.create(s, 0)
				x.wantSession(s)
				list, err := x.Sessions(x.Context(), s.User)
				x.must(err, "Sessions")
				x.wantEnded(list, s)
			}
		},
	},
	{
		"times are kept to the millisecond",
		"Times are kept to the millisecond,",
		func(x *check) {
			zone := time.FixedZone("", 5*3600+1800)
			for _, at := range []time.Time{
				epoch,
				epoch.Add(time.Millisecond),
				epoch.Add(999_999 * time.Nanosecond),
				epoch.In(zone),
				time.Unix(0, 0),
				time.Unix(0, 0).Add(-time.Hour),
				time.Date(2999, 12, 31, 23, 59, 59, 999e6, time.UTC),
			} {
				s := newSession("ada")
				s.OpenedAt, s.LastSeen, s.ExpiresAt, s.Deadline = at, at, at, at
				x.create(s, 0)
				x.wantSession(s)
			}
		},
	},
	{
		"an empty user agent and id are kept",
		"Session returns the session of key, or ErrNotFound.",
		func(x *check) {
			s := newSession("ada")
			s.UserAgent = ""
			x.create(s, 0)
			x.wantSession(s)
		},
	},
	{
		"a limit of 0 ends nobody",
		"limit 0 means no limit",
		func(x *check) {
			for _, s := range x.sessionsOf("ada", 60) {
				x.wantSession(s)
			}
		},
	},
	{
		"a limit not yet reached ends nobody",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			for range 3 {
				x.wantEnded(x.create(newSession("ada"), 3))
			}
		},
	},
	{
		"over the limit the least recently seen session ends",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			s := x.sessionsOf("ada", 3)
			x.must(x.Touch(x.Context(), []sojourn.Touch{{
				Owner: ofSession(s[0]), LastSeen: epoch.Add(time.Hour), Deadline: s[0].Deadline,
			}}), "Touch")
			last := seenAt(newSession("ada"), epoch.Add(2*time.Hour))
			x.wantEnded(x.create(last, 3), s[1])
			x.wantNoSession(s[1].Key)
			x.wantSession(s[2])
			x.wantSession(last)
		},
	},
	{
		"a lower limit ends as many as it takes",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			s := x.sessionsOf("ada", 8)
			last := seenAt(newSession("ada"), epoch.Add(time.Hour))
			x.wantEnded(x.create(last, 3), s[:6]...)
			list, err := x.Sessions(x.Context(), "ada")
			x.must(err, "Sessions")
			x.wantEnded(list, s[6], s[7], last)
		},
	},
	{
		"the new session stays, also when the others were seen later",
		"the least recently seen others end",
		func(x *check) {
			s := x.sessionsOf("ada", 2)
			last := seenAt(newSession("ada"), epoch.Add(-time.Hour))
			x.wantEnded(x.create(last, 1), s...)
			x.wantSession(last)
		},
	},
	{
		"among sessions seen at the same time any other may end",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			left := map[sojourn.Key]bool{}
			for range 10 {
				s := newSession("ada")
				left[s.Key] = true
				for _, e := range x.create(s, 4) {
					if e.Key == s.Key || !left[e.Key] {
						x.broken("evicted the new session, or one that was not there: %+v", e)
					}
					delete(left, e.Key)
				}
				if len(left) > 4 {
					x.broken("%d sessions left, want 4", len(left))
				}
			}
			list, err := x.Sessions(x.Context(), "ada")
			x.must(err, "Sessions")
			for _, s := range list {
				if !left[s.Key] {
					x.broken("a session is there and was returned as ended: %+v", s)
				}
			}
			if len(list) != 4 || len(left) != 4 {
				x.broken("%d sessions are there, %d were not ended; want 4", len(list), len(left))
			}
		},
	},
	{
		"other users' sessions do not count",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			bob := x.sessionsOf("bob", 5)
			x.wantEnded(x.create(newSession("ada"), 1))
			for _, s := range bob {
				x.wantSession(s)
			}
		},
	},
	{
		"an evicted session's values go",
		"If its user then has more than limit sessions, the least recently seen others end, until limit are left",
		func(x *check) {
			old := newSession("ada")
			x.create(old, 1)
			x.set(own(ofSession(old), "cart"), "1")
			x.set(ofTab(ofSession(old), "tab", "draft"), "2")
			x.set(own(ofUser("ada"), "theme"), "dark")
			x.wantEnded(x.create(newSession("ada"), 1), old)
			x.wantNoValue(own(ofSession(old), "cart"))
			x.wantNoValue(ofTab(ofSession(old), "tab", "draft"))
			x.wantValue(own(ofUser("ada"), "theme"), "dark")
			x.wantCount(sojourn.Counts{Sessions: 1, Values: 1})
		},
	},
	{
		"a user's sessions are listed, the last opened first",
		"Sessions returns the sessions of user, the last opened first.",
		func(x *check) {
			var want []sojourn.StoredSession
			for _, minute := range []int{3, 1, 5, 2, 4} {
				s := newSession("ada")
				s.OpenedAt = epoch.Add(time.Duration(minute) * time.Minute)
				s.LastSeen = epoch.Add(time.Duration(10-minute) * time.Minute)
				x.create(s, 0)
				want = append(want, s)
			}
			slices.SortFunc(want, func(a, b sojourn.StoredSession) int { return b.OpenedAt.Compare(a.OpenedAt) })
			x.sessionsOf("bob", 2)
			got, err := x.Sessions(x.Context(), "ada")
			x.must(err, "Sessions")
			if !slices.EqualFunc(got, want, sameSession) {
				x.broken("Sessions returned\n\t%+v\nwant\n\t%+v", got, want)
			}
		},
	},
	{
		"a user without sessions has an empty list",
		"Sessions returns the sessions of user, the last opened first.",
		func(x *check) {
			x.sessionsOf("ada", 1)
			for _, user := range []sojourn.UserID{"bob", "ADA", "ada ", "ad", "%", "a_a"} {
				got, err := x.Sessions(x.Context(), user)
				x.must(err, "Sessions")
				x.wantEnded(got)
			}
		},
	},
}

// oddStrings are user ids, names and headers that a store must keep as they
// are: each is another string.
var oddStrings = []string{
	"a'b", `a"b`, "a`b", `a\b`, "a;DROP TABLE session;--", "%", "_", "*", "?", "{a}", "[a]", "$1", ":a", "@a",
	" a", "a ", "a", "A", "a\n", "a\t", "a\r\n", "a\x00", "a\x00b", "\x00",
	"é", "e\u0301", "ß", "ẞ", "ı", "İ", "日本語", "👩‍🚀", "\u202e", "\ufeff", "\xff\xfe", "a\xc3",
	"null", "NULL", "0", "00", "1", "1.0", "1e0", "-1", "true",
	strings.Repeat("x", 10_000), strings.Repeat("x", 9_999) + "y",
}
