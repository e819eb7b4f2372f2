//go:build unix

// Command engines measures a site of several servers on PostgreSQL and on
// Redis, and prints one table. It starts private engines itself, from what is
// installed, and ends them.
//
//	go run ./cmd/engines                    everything, full size: about ten minutes
//	go run ./cmd/engines -only requests     one thing; several with commas
//	go run ./cmd/engines -engine redis      one engine
//	go run ./cmd/engines -quick             small sizes and short rounds: not for quoting
//
// Run it on a machine that does nothing else. It fails when something it
// measures did not happen, and exits with status 1; a target that is missed is
// marked in the table and is no failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// size is how much of everything.
type size struct {
	rounds   int           // of each comparison; medians are taken
	slice    time.Duration // how long each side of a comparison runs in one round
	sessions int           // in the engine
	ending   int           // of one user, ended at once
	racing   int           // requests that race with ends, at least
	races    int           // ends, at least
	active   int           // sessions in use while touches are counted
	touching time.Duration // how long touches are counted
	idle     time.Duration // Timeouts.Idle meanwhile; 0: the default
}

var (
	fullSize  = size{15, 300 * time.Millisecond, 1_000_000, 1_000, 100_000, 300, 10_000, 120 * time.Second, 0}
	quickSize = size{3, 50 * time.Millisecond, 5_000, 200, 3_000, 10, 500, 3 * time.Second, 20 * time.Second}
)

// comparisons are what there is to measure on an engine.
var comparisons = []struct {
	name string
	run  func(ctx context.Context, e *engine, sz size) ([]report.Row, error)
}{
	{"requests", requests},
	{"warm", warm},
	{"lag", lag},
	{"touches", touches},
	{"ends", ends}, // last: it fills the engine
}

func main() {
	report.Main("engines", func(ctx context.Context) error {
		return engines(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}

func engines(ctx context.Context, args []string, out, diag io.Writer) (err error) {
	var names []string
	for _, c := range comparisons {
		names = append(names, c.name)
	}
	flags := flag.NewFlagSet("engines", flag.ContinueOnError)
	flags.SetOutput(diag)
	only := flags.String("only", strings.Join(names, ","), "what to measure, with commas")
	on := flags.String("engine", "redis,postgres", "on which engines, with commas")
	quick := flags.Bool("quick", false, "small sizes and short rounds, to see that it works")
	dir := flags.String("dir", "", "where the engines keep their files, in new folders that are removed; default: the system's temporary folder")
	n := flags.Int("sessions", 0, "sessions in the engine while one user's are ended; 0: the size's own")
	racing := flags.Int("racing", 0, "requests that race with ends; 0: the size's own")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return report.ErrUsage
	}
	sz, command := fullSize, "go run ./cmd/engines"
	if *quick {
		sz, command = quickSize, command+" -quick"
	}
	for _, o := range []struct {
		flag string
		from int
		to   *int
	}{{"sessions", *n, &sz.sessions}, {"racing", *racing, &sz.racing}} {
		if o.from > 0 {
			*o.to = o.from
			command += fmt.Sprintf(" -%s %d", o.flag, o.from)
		}
	}
	if sz.sessions < 2*sz.ending {
		fmt.Fprintf(diag, "engines: -sessions has to be %d at least\n", 2*sz.ending)
		return report.ErrUsage
	}
	for list, known := range map[string][]string{*only: names, *on: {"redis", "postgres"}} {
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(known, name) {
				fmt.Fprintf(diag, "engines: there is no %q; there are %s\n", name, strings.Join(known, ", "))
				return report.ErrUsage
			}
		}
	}
	if *dir != "" {
		if err := os.Setenv("TMPDIR", *dir); err != nil {
			return err
		}
	}
	var rows []report.Row
	for kind := range strings.SplitSeq(*on, ",") {
		found, err := measure(ctx, kind, sz, strings.Split(*only, ","), diag)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		for _, r := range found {
			r.Command = fmt.Sprintf("%s -only %s -engine %s", command, r.Name, kind)
			rows = append(rows, r)
		}
	}
	return report.Table{On: "; servers and engine on one machine, over loopback", Quick: *quick, Rows: rows}.Markdown(out)
}

// measure measures these things on an engine of its own.
func measure(ctx context.Context, kind string, sz size, only []string, diag io.Writer) (rows []report.Row, err error) {
	e, err := newEngine(kind)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.end()) }()
	for _, c := range comparisons {
		if !slices.Contains(only, c.name) {
			continue
		}
		found, err := report.Measure(diag, c.name+", "+kind, func() ([]report.Row, error) { return c.run(ctx, e, sz) })
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			r.Name = c.name
			rows = append(rows, r)
		}
	}
	return rows, nil
}
