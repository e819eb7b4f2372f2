// Command figures measures sojourn beside other session libraries, all in one
// process and in turns, and prints one table.
//
//	go run ./cmd/figures                   everything, full size: about ten minutes
//	go run ./cmd/figures -only connected   one comparison; several with commas
//	go run ./cmd/figures -quick            small sizes and short rounds: not for quoting
//	go run ./cmd/figures -targets          print only what has something to reach
//	go run ./cmd/figures -json             the same as JSON
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
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// size is how much of everything.
type size struct {
	rounds   int           // of each comparison; medians are taken
	slice    time.Duration // how long a Case runs in one round
	live     int           // sessions there while requests and ends are measured
	memory   int           // sessions in memory for bytes per session
	views    int           // anonymous page views
	logins   time.Duration // of each number of callers in one round
	loopback time.Duration // of each page in one round
}

var (
	fullSize  = size{9, 150 * time.Millisecond, 100_000, 1_000_000, 1_000_000, 3 * time.Second, 2 * time.Second}
	quickSize = size{3, 20 * time.Millisecond, 2_000, 20_000, 20_000, 300 * time.Millisecond, 300 * time.Millisecond}
)

func main() {
	report.Main("figures", func(ctx context.Context) error {
		return figures(ctx, os.Args[1:], fullSize, os.Stdout, os.Stderr)
	})
}

func figures(ctx context.Context, args []string, full size, out, diag io.Writer) error {
	flags := flag.NewFlagSet("figures", flag.ContinueOnError)
	flags.SetOutput(diag)
	only := flags.String("only", "", "comparisons to run, with commas: "+strings.Join(names(), ", "))
	quick := flags.Bool("quick", false, "small sizes and short rounds, to see that it works")
	targets := flags.Bool("targets", false, "print only the figures that have something to reach")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	dir := flags.String("dir", "", "where to put the SQLite files, in a new folder that is removed; default: the system's temporary folder")
	rounds := flags.Int("rounds", 0, "how many rounds each comparison has; 0: the size's own")
	live := flags.Int("live", 0, "sessions there while requests and ends are measured; 0: the size's own")
	memory := flags.Int("sessions", 0, "sessions for bytes per session; 0: the size's own")
	profile := flags.String("cpuprofile", "", "write a CPU profile of all the measuring to this file")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return report.ErrUsage
	}
	usage := func(format string, args ...any) error {
		fmt.Fprintf(diag, "figures: "+format+"\n", args...)
		return report.ErrUsage
	}
	if flags.NArg() > 0 {
		return usage("unexpected argument %q", flags.Arg(0))
	}
	chosen := names()
	if *only != "" {
		chosen = strings.Split(*only, ",")
		for _, name := range chosen {
			if !slices.Contains(names(), name) {
				return usage("no comparison %q; there are %s", name, strings.Join(names(), ", "))
			}
		}
	}
	sz := full
	if *quick {
		sz = quickSize
	}
	for _, o := range []struct{ flag, to *int }{{rounds, &sz.rounds}, {live, &sz.live}, {memory, &sz.memory}} {
		if *o.flag < 0 {
			return usage("a number must not be negative")
		}
		if *o.flag > 0 {
			*o.to = *o.flag
		}
	}

	temp, err := os.MkdirTemp(*dir, "sojourn-figures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}

	table := report.Table{Quick: *quick}
	for _, c := range comparisons {
		if !slices.Contains(chosen, c.name) {
			continue
		}
		own, err := os.MkdirTemp(temp, c.name+"-")
		if err != nil {
			return err
		}
		rows, err := report.Measure(diag, c.name, func() ([]report.Row, error) { return c.run(ctx, sz, own) })
		if err != nil {
			return err
		}
		command := "go run ./cmd/figures -only " + c.name
		if *quick {
			command += " -quick"
		}
		for _, row := range rows {
			if *targets && row.Met == nil {
				continue
			}
			row.Name, row.Command = c.name, command
			table.Rows = append(table.Rows, row)
		}
		if err := os.RemoveAll(own); err != nil {
			return err
		}
	}
	if *asJSON {
		return table.JSON(out)
	}
	return table.Markdown(out)
}
