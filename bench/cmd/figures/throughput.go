package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/cases"
	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// connections is how many clients ask for a page at once.
const connections = 16

func loopback(ctx context.Context, sz size, dir string) (rows []report.Row, err error) {
	served, set, err := cases.Loopback(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range served {
			s.Close()
		}
		if e := set.Close(); err == nil {
			err = e
		}
	}()
	// A B A C A D: every page has bare rounds on both sides.
	bare := served[0]
	rates, ratios := map[string][]float64{}, map[string][]float64{}
	before, err := bare.Rate(connections, sz.loopback)
	if err != nil {
		return nil, err
	}
	for range sz.rounds {
		for _, s := range served[1:] {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rate, err := s.Rate(connections, sz.loopback)
			if err != nil {
				return nil, err
			}
			after, err := bare.Rate(connections, sz.loopback)
			if err != nil {
				return nil, err
			}
			rates[bare.Name] = append(rates[bare.Name], after)
			rates[s.Name] = append(rates[s.Name], rate)
			ratios[s.Name] = append(ratios[s.Name], 2*rate/(before+after))
			before = after
		}
	}
	rows = append(rows, perSecond("requests per second over loopback, 16 connections: bare", median(rates[bare.Name]), ""))
	for _, s := range served[1:] {
		ratio := median(ratios[s.Name])
		line := perSecond("requests per second of a connected page: "+s.Name, median(rates[s.Name]), fmt.Sprintf("%.1f %% of bare", 100*ratio))
		line.Value, line.Unit = ratio, "of bare"
		switch s.Name {
		case "scs-memory", "sessionup-memory":
		default:
			line = line.Reaching("95 %", ratio >= 0.95)
		}
		rows = append(rows, line)
	}
	return rows, nil
}

// roundTrips is one guarded function, called as a function of the site and as
// a handler written by hand. Its rounds are many and short: what disturbs one
// way is to disturb the other.
func roundTrips(ctx context.Context, sz size, _ string) ([]report.Row, error) {
	served, set, err := cases.RPC()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range served {
			s.Close()
		}
	}()
	sz.rounds *= 10
	r, err := measured(ctx, sz, set, nil)
	if err != nil {
		return nil, err
	}
	ratio := r.ratio("rpc", "plain")
	return []report.Row{
		report.Timed("round trip of a guarded function over loopback, JSON handler by hand", r.ns("plain"), number(r.allocs("plain"))+" allocs"),
		report.Row{
			What:     "the same function by HandleRPC, over the handler by hand",
			Measured: fmt.Sprintf("%+.1f %%, %s, %s allocs", 100*(ratio-1), report.Duration(r.ns("rpc")), number(r.allocs("rpc"))),
			Value:    ratio, Unit: "of the handler by hand",
		}.Reaching("at most 10 % more", ratio <= 1.10),
	}, nil
}

func logins(ctx context.Context, sz size, dir string) (rows []report.Row, err error) {
	commits, err := cases.OpenCommits(dir)
	if err != nil {
		return nil, err
	}
	defer commits.Close()
	app, err := cases.OpenLogins(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := app.Close(); err == nil {
			err = e
		}
	}()
	callers := []int{1, 16, 64}
	raw, rates := []float64{}, map[int][]float64{}
	for range (sz.rounds + 1) / 2 {
		start := time.Now()
		n := 0
		for ; time.Since(start) < sz.logins; n++ {
			if err := commits.One(); err != nil {
				return nil, err
			}
		}
		raw = append(raw, float64(n)/time.Since(start).Seconds())
		for _, c := range callers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rate, err := app.During(c, sz.logins)
			if err != nil {
				return nil, err
			}
			rates[c] = append(rates[c], rate)
		}
	}
	if err := commits.Check(); err != nil {
		return nil, err
	}
	base := median(raw)
	rows = append(rows, perSecond("durable commits per second of a bare SQLite file, one row each", base, ""))
	for _, c := range callers {
		rate := median(rates[c])
		line := perSecond(fmt.Sprintf("durable logins per second: sojourn-sqlite, callers: %d", c), rate, fmt.Sprintf("%.2f times the bare commits", rate/base))
		switch c {
		case 1:
			line = line.Reaching("one commit each: 0.5 times", rate/base >= 0.5)
		case 64:
			line = line.Reaching("5,000", rate >= 5000)
		}
		rows = append(rows, line)
	}
	return rows, nil
}

func memory(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	var rows []report.Row
	names := map[string]string{
		"scs-memory":           "scs-memory, the user only",
		"scs-memory-described": "scs-memory, with user agent and address",
	}
	for _, o := range cases.InMemory() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bytes, err := cases.BytesPerSession(o, sz.memory)
		if err != nil {
			return nil, err
		}
		line := report.Row{
			What:     fmt.Sprintf("memory per session at %s: %s", report.Count(sz.memory), cmp.Or(names[o.Name], o.Name)),
			Measured: report.Count(bytes) + " bytes", Value: bytes, Unit: "bytes",
		}
		if o.Name == "sojourn-memory" {
			line = line.Reaching("400 bytes", bytes <= 400)
		}
		rows = append(rows, line)
	}
	return rows, nil
}

func views(ctx context.Context, sz size, dir string) ([]report.Row, error) {
	var rows []report.Row
	for _, store := range []string{"memory", "sqlite"} {
		s, err := cases.OpenSojourn(store, dir)
		if err != nil {
			return nil, err
		}
		v, err := cases.AnonymousViews(s, sz.views)
		if err != nil {
			return nil, err
		}
		// A store of 1 byte a view would show as that many bytes.
		grows := float64(v.Growth) > 0.1*float64(v.Views)+64<<10
		rows = append(rows, report.Row{
			What:     fmt.Sprintf("%s anonymous views leave behind: sojourn-%s", report.Count(v.Views), store),
			Measured: fmt.Sprintf("%s bytes of heap, %d rows, %d cookies, %d goroutines", report.Count(v.Growth), v.Rows, v.Cookies, v.Routine),
			Value:    float64(v.Growth), Unit: "bytes",
		}.Reaching("no row, no cookie, no growth", !grows && v.Rows == 0 && v.Cookies == 0 && v.Routine <= 0))
	}
	return rows, nil
}

func perSecond(what string, rate float64, note string) report.Row {
	measured := report.Count(rate) + " /s"
	if note != "" {
		measured += ", " + note
	}
	return report.Row{What: what, Measured: measured, Value: rate, Unit: "per second"}
}
