package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/sojourn-go/sojourn/bench/internal/cases"
	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// comparisons are what -only chooses from, in the order of the table.
var comparisons = []struct {
	name string
	run  func(ctx context.Context, sz size, dir string) ([]report.Row, error)
}{
	{"connected", connected},
	{"anonymous", anonymous},
	{"refs", refs},
	{"loopback", loopback},
	{"rpc", roundTrips},
	{"ends", ends},
	{"logins", logins},
	{"memory", memory},
	{"views", views},
}

func names() []string {
	var all []string
	for _, c := range comparisons {
		all = append(all, c.name)
	}
	return all
}

// measured runs a set and closes it.
func measured(ctx context.Context, sz size, set *cases.Set, err error) (readings, error) {
	if err != nil {
		return nil, err
	}
	all, err := side(ctx, set.Cases, sz.rounds, sz.slice)
	if e := set.Close(); err == nil {
		err = e
	}
	return all, err
}

var pages = []struct{ suffix, what string }{
	{"-current", "asking CurrentUser, no guard"},
	{"-guard", "Connected, plain navigation (starts a tab)"},
	{"-guard-tab", "Connected, from a running tab"},
}

func connected(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	var rows []report.Row
	for _, live := range []int{1, sz.live} {
		own := filepath.Join(dir, fmt.Sprint(live))
		if err := os.Mkdir(own, 0o700); err != nil {
			return nil, err
		}
		set, err := cases.Connected(own, live)
		r, err := measured(ctx, sz, set, err)
		if err != nil {
			return nil, err
		}
		among := fmt.Sprintf("%s live", report.Count(live))
		cost := func(name string) string {
			return fmt.Sprintf("%s allocs (%s in all)", number(r.moreAllocs(name, "bare")), report.Duration(r.ns(name)))
		}
		rows = append(rows, report.Timed("bare handler, "+among, r.ns("bare"), number(r.allocs("bare"))+" allocs"))
		for _, store := range []string{"memory", "sqlite"} {
			for _, page := range pages {
				name := "sojourn-" + store + page.suffix
				ns, allocs := r.over(name, "bare"), r.moreAllocs(name, "bare")
				rows = append(rows, report.Timed(fmt.Sprintf("connected request over bare: sojourn %s, %s, %s", store, page.what, among), ns, cost(name)).
					Reaching("1 µs, 6 allocs", ns <= 1000 && math.Round(allocs) <= 6))
			}
		}
		for _, name := range []string{"scs-memory", "gorilla-cookie", "sessionup-memory"} {
			rows = append(rows, report.Timed(fmt.Sprintf("connected request over bare: %s, %s", name, among), r.over(name, "bare"), cost(name)))
		}
		for _, page := range pages {
			ratio := r.over("scs-memory", "bare") / r.over("sojourn-memory"+page.suffix, "bare")
			rows = append(rows, report.Row{
				What:     fmt.Sprintf("scs' memory store over ours: %s, %s", page.what, among),
				Measured: fmt.Sprintf("%.1f times", ratio), Value: ratio, Unit: "times",
			}.Reaching("15 times", ratio >= 15))
		}
	}
	return rows, nil
}

func anonymous(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	set, err := cases.Anonymous(dir)
	r, err := measured(ctx, sz, set, err)
	if err != nil {
		return nil, err
	}
	var rows []report.Row
	for _, c := range set.Cases[1:] {
		rows = append(rows, report.Timed("anonymous request over bare: "+c.Name, r.over(c.Name, "bare"), number(r.moreAllocs(c.Name, "bare"))+" allocs"))
	}
	return rows, nil
}

func refs(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	var rows []report.Row
	own := filepath.Join(dir, "inside")
	if err := os.Mkdir(own, 0o700); err != nil {
		return nil, err
	}
	set, err := cases.RefsInside(own)
	r, err := measured(ctx, sz, set, err)
	if err != nil {
		return nil, err
	}
	for _, c := range set.Cases {
		ns, allocs := r.ns(c.Name), math.Round(r.allocs(c.Name))
		rows = append(rows, reachRef(report.Timed("one int, again and again in one request: "+c.Name, ns, number(allocs)+" allocs"), c.Name, allocs))
	}
	set, err = cases.RefsPerRequest(dir)
	if r, err = measured(ctx, sz, set, err); err != nil {
		return nil, err
	}
	base := ""
	for _, c := range set.Cases {
		if strings.HasSuffix(c.Name, "-page") {
			base = c.Name
			continue
		}
		ns, allocs := r.over(c.Name, base), math.Round(r.moreAllocs(c.Name, base))
		rows = append(rows, reachRef(report.Timed("one int, once in a connected request, on top: "+c.Name, ns, number(allocs)+" allocs"), c.Name, allocs))
	}
	return rows, nil
}

// reachRef says what reading a reference of sojourn is to reach. Both ways of
// measuring are held to it: a difference of two requests may drown in noise.
func reachRef(line report.Row, name string, allocs float64) report.Row {
	switch {
	case strings.HasSuffix(name, "-volatile-get"):
		return line.Reaching("150 ns, 0 allocs", line.Value <= 150 && allocs <= 0)
	case name == "sojourn-sqlite-persistent-get":
		return line.Reaching("1 µs", line.Value <= 1000)
	default:
		return line
	}
}

func ends(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	set, err := cases.Ends(dir, sz.live)
	r, err := measured(ctx, sz, set, err)
	if err != nil {
		return nil, err
	}
	among := fmt.Sprintf("ending one user's 10 sessions among %s: ", report.Count(sz.live))
	memory := r.ns("sojourn-memory")
	durable := r.over("sojourn-sqlite", "bare-commit")
	return []report.Row{
		report.Timed("one durable commit of a bare SQLite file", r.ns("bare-commit"), ""),
		report.Timed(among+"sojourn-memory", memory, "").Reaching("100 µs", memory <= 100e3),
		report.Timed(among+"sojourn-sqlite, over one durable commit", durable, report.Duration(r.ns("sojourn-sqlite"))+" in all").
			Reaching("2 ms", durable <= 2e6),
		report.Timed(among+"scs-memory, by Iterate", r.ns("scs-memory"), ""),
		report.Timed(among+"sessionup-memory, RevokeAll", r.ns("sessionup-memory"), ""),
	}, nil
}

// number writes a count of allocations.
func number(n float64) string { return fmt.Sprintf("%.0f", math.Abs(math.Round(n))*sign(n)) }

func sign(n float64) float64 {
	if math.Round(n) < 0 {
		return -1
	}
	return 1
}
