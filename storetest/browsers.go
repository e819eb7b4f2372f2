package storetest

import (
	"net/netip"
	"time"

	"github.com/sojourn-go/sojourn"
)

const subnetLimit = "If more than limit browsers then come from its Subnet, the least recently seen others are removed, with their values, and returned"

var browserExercises = []exercise{
	{
		"a created browser is there as it was given",
		"Browser returns the browser of key, or ErrNotFound.",
		func(x *check) {
			x.wantBrowser(x.browser(newBrowser(), 0))
			x.wantBrowser(x.browser(sojourn.StoredBrowser{Key: newKey("ada")}, 0))
			x.wantNoBrowser(newKey("ada"))
			x.wantNoBrowser(sojourn.Key{})
		},
	},
	{
		"a browser's subnet and hierarchy are kept",
		"Browser returns the browser of key, or ErrNotFound.",
		func(x *check) {
			for _, subnet := range []netip.Prefix{
				{},
				netip.MustParsePrefix("192.0.2.0/24"),
				netip.MustParsePrefix("0.0.0.0/0"),
				netip.MustParsePrefix("2001:db8:1:ab00::/56"),
				netip.MustParsePrefix("::/0"),
			} {
				b := newBrowser()
				b.Subnet = subnet
				x.wantBrowser(x.browser(b, 0))
			}
			for _, odd := range append(oddStrings, "") {
				b := newBrowser()
				b.Hierarchy = odd
				x.wantBrowser(x.browser(b, 0))
			}
		},
	},
	{
		"creating a browser that is there does nothing",
		"CreateBrowser adds a browser, or does nothing if there is one of its key.",
		func(x *check) {
			b := x.browser(newBrowser(), 0)
			x.set(own(ofBrowser(b), "cart"), "1")
			other := x.browser(newBrowser(), 0)
			again := b
			again.Hierarchy = "other"
			again.Subnet = netip.MustParsePrefix("198.51.100.0/24")
			again.LastSeen = b.LastSeen.Add(time.Hour)
			again.Deadline = b.Deadline.Add(time.Hour)
			x.browser(again, 0)
			x.browser(b, 2)
			x.wantBrowser(b)
			x.wantBrowser(other)
			x.wantValue(own(ofBrowser(b), "cart"), "1")
			x.wantCount(sojourn.Counts{Browsers: 2, Values: 1})
		},
	},
	{
		"over a subnet's limit the least recently seen browser goes, with its values",
		subnetLimit,
		func(x *check) {
			var b []sojourn.StoredBrowser
			for i := range 4 {
				n := newBrowser()
				n.LastSeen = epoch.Add(time.Duration(i) * time.Second)
				b = append(b, x.browser(n, 4))
			}
			x.set(own(ofBrowser(b[1]), "cart"), "1")
			x.set(ofTab(ofBrowser(b[1]), "tab", "cart"), "2")
			x.set(own(ofBrowser(b[2]), "cart"), "3")
			x.must(x.Touch(x.Context(), []sojourn.Touch{{
				Owner: ofBrowser(b[0]), LastSeen: epoch.Add(time.Hour), Deadline: b[0].Deadline,
			}}), "Touch")
			last := newBrowser()
			last.LastSeen = epoch.Add(-time.Hour)
			x.browser(last, 4, b[1])
			x.wantNoBrowser(b[1].Key)
			x.wantBrowser(b[2])
			x.wantBrowser(last)
			x.wantNoValue(own(ofBrowser(b[1]), "cart"))
			x.wantNoValue(ofTab(ofBrowser(b[1]), "tab", "cart"))
			x.wantValue(own(ofBrowser(b[2]), "cart"), "3")
			x.wantCount(sojourn.Counts{Browsers: 4, Values: 1})
			x.browser(newBrowser(), 1, b[0], b[2], b[3], last)
			x.wantCount(sojourn.Counts{Browsers: 1})
		},
	},
	{
		"among browsers seen at the same time any other may go",
		subnetLimit,
		func(x *check) {
			left := map[sojourn.Key]bool{}
			for range 8 {
				b := newBrowser()
				left[b.Key] = true
				evicted, err := x.CreateBrowser(x.Context(), b, 3)
				x.must(err, "CreateBrowser")
				for _, key := range evicted {
					if key == b.Key || !left[key] {
						x.broken("evicted the new browser, or one that was not there: %x", key)
					}
					delete(left, key)
					x.wantNoBrowser(key)
				}
			}
			if len(left) != 3 {
				x.broken("%d browsers are left, want 3", len(left))
			}
			x.wantCount(sojourn.Counts{Browsers: 3})
		},
	},
	{
		"a subnet's limit of 0 removes no browser",
		"limit 0 means no limit",
		func(x *check) {
			for range 60 {
				x.browser(newBrowser(), 0)
			}
			x.wantCount(sojourn.Counts{Browsers: 60})
		},
	},
	{
		"other subnets' browsers do not count",
		subnetLimit,
		func(x *check) {
			for _, subnet := range []string{
				"192.0.2.0/24", "192.0.3.0/24", "192.0.2.0/25", "2001:db8::/56", "2001:db8::/64", "::ffff:192.0.2.0/120",
			} {
				b := newBrowser()
				b.Subnet = netip.MustParsePrefix(subnet)
				x.browser(b, 1)
			}
			x.browser(sojourn.StoredBrowser{Key: newKey("ada")}, 1)
			x.wantCount(sojourn.Counts{Browsers: 7})
		},
	},
	{
		"a subnet's browsers count together, whatever their hierarchy",
		subnetLimit,
		func(x *check) {
			var first sojourn.StoredBrowser
			for i, h := range []string{"", "browser", "cart"} {
				b := newBrowser()
				b.Hierarchy, b.LastSeen = h, epoch.Add(time.Duration(i)*time.Second)
				switch i {
				case 0:
					first = x.browser(b, 2)
				case 1:
					x.browser(b, 2)
				case 2:
					x.browser(b, 2, first)
				}
			}
			x.wantCount(sojourn.Counts{Browsers: 2})
		},
	},
	{
		"removed browsers are gone, with their values and those of their tabs",
		"EndBrowsers removes browsers with their values and those of their tabs.",
		func(x *check) {
			a, b, c := x.browser(newBrowser(), 0), x.browser(newBrowser(), 0), x.browser(newBrowser(), 0)
			for _, o := range []sojourn.StoredBrowser{a, b, c} {
				x.set(own(ofBrowser(o), "cart"), "1")
				x.set(ofTab(ofBrowser(o), "tab", "cart"), "2")
			}
			x.must(x.EndBrowsers(x.Context(), a.Key, c.Key), "EndBrowsers")
			x.wantNoBrowser(a.Key)
			x.wantNoBrowser(c.Key)
			x.wantNoValue(own(ofBrowser(a), "cart"))
			x.wantTabs(ofBrowser(c))
			x.wantBrowser(b)
			x.wantValue(own(ofBrowser(b), "cart"), "1")
			x.wantValue(ofTab(ofBrowser(b), "tab", "cart"), "2")
			x.wantCount(sojourn.Counts{Browsers: 1, Values: 2})
		},
	},
	{
		"removing an unknown browser is a no-op",
		"Keys that are not there are passed over.",
		func(x *check) {
			s := newSession("ada")
			x.create(s, 0)
			b := x.browser(newBrowser(), 0)
			x.must(x.EndBrowsers(x.Context()), "EndBrowsers of nothing")
			x.must(x.EndBrowsers(x.Context(), newKey("ada"), s.Key, b.Key, b.Key), "EndBrowsers")
			x.wantNoBrowser(b.Key)
			x.wantSession(s)
			x.must(x.EndBrowsers(x.Context(), b.Key), "EndBrowsers again")
		},
	},
}
