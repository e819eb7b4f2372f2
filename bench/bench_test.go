// Package bench measures sojourn beside other session libraries. Each
// benchmark fails unless what it measures really happened.
package bench

import (
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/sojourn-go/sojourn/bench/internal/cases"
)

var full = flag.Bool("full", false, "populate with 100,000 sessions instead of 1,000, and fill memory with 1,000,000 instead of 10,000")

func crowd() int {
	if *full {
		return 100_000
	}
	return 1000
}

// run is one sub-benchmark per Case.
func run(b *testing.B, suffix string, set []cases.Case) {
	for _, c := range set {
		b.Run(c.Name+suffix, func(b *testing.B) {
			b.ReportAllocs()
			if err := c.Run(b); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// opened runs what open gives and closes it.
func opened(b *testing.B, suffix string, set *cases.Set, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer closed(b, set)
	run(b, suffix, set.Cases)
}

func closed(b *testing.B, c io.Closer) {
	b.Helper()
	if err := c.Close(); err != nil {
		b.Error(err)
	}
}

func BenchmarkConnectedRequest(b *testing.B) {
	for _, live := range []int{1, crowd()} {
		set, err := cases.Connected(b.TempDir(), live)
		opened(b, fmt.Sprintf("/live=%d", live), set, err)
	}
}

func BenchmarkAnonymousRequest(b *testing.B) {
	set, err := cases.Anonymous(b.TempDir())
	opened(b, "", set, err)
}

// One value again and again inside one request.
func BenchmarkValue(b *testing.B) {
	set, err := cases.RefsInside(b.TempDir())
	opened(b, "", set, err)
}

// A page that uses one value; compare with the page of the same name.
func BenchmarkValueRequest(b *testing.B) {
	set, err := cases.RefsPerRequest(b.TempDir())
	opened(b, "", set, err)
}

// The ten sessions of one user; compare sojourn-sqlite with bare-commit.
func BenchmarkEndUser(b *testing.B) {
	set, err := cases.Ends(b.TempDir(), crowd())
	opened(b, fmt.Sprintf("/live=%d", crowd()), set, err)
}

func BenchmarkLogin(b *testing.B) {
	commits, err := cases.OpenCommits(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer closed(b, commits)
	run(b, "", []cases.Case{commits.Case()})
	logins, err := cases.OpenLogins(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer closed(b, logins)
	for _, callers := range []int{1, 16, 64} {
		run(b, "", []cases.Case{logins.Case(fmt.Sprintf("sojourn-sqlite/callers=%d", callers), callers)})
	}
}

func BenchmarkLoopback(b *testing.B) {
	served, set, err := cases.Loopback(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer closed(b, set)
	for _, s := range served {
		defer closed(b, s)
		run(b, "", []cases.Case{s.Case()})
	}
}

// One guarded function as a handler by hand and by HandleRPC.
func BenchmarkRPC(b *testing.B) {
	served, set, err := cases.RPC()
	for _, s := range served {
		defer closed(b, s)
	}
	opened(b, "", set, err)
}

func BenchmarkSessionMemory(b *testing.B) {
	n := 10_000
	if *full {
		n = 1_000_000
	}
	for _, o := range cases.InMemory() {
		b.Run(fmt.Sprintf("%s/live=%d", o.Name, n), func(b *testing.B) {
			for b.Loop() {
				bytes, err := cases.BytesPerSession(o, n)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(bytes, "B/session")
			}
		})
	}
}

func BenchmarkAnonymousViews(b *testing.B) {
	n := 10_000
	if *full {
		n = 1_000_000
	}
	for _, store := range []string{"memory", "sqlite"} {
		b.Run("sojourn-"+store, func(b *testing.B) {
			for b.Loop() {
				s, err := cases.OpenSojourn(store, b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				v, err := cases.AnonymousViews(s, n)
				if err != nil {
					b.Fatal(err)
				}
				if v.Rows != 0 || v.Cookies != 0 || v.Routine > 0 {
					b.Fatalf("%d anonymous views left %d rows, %d cookies, %d goroutines", v.Views, v.Rows, v.Cookies, v.Routine)
				}
				b.ReportMetric(float64(v.Growth)/float64(n), "B/view")
			}
		})
	}
}
