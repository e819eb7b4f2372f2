// Command sojourn runs the library's demonstration, and looks after a site's
// sessions.
//
//	go run ./cmd/sojourn demo
//	go run ./cmd/sojourn sessions --help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // the port is taken, a file cannot be written, …
	exitUsage  = 2 // the command line makes no sense
)

// verb is a first argument.
type verb struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func verbs() []verb {
	return []verb{
		{"demo", "run a small web application that shows what the library does", runDemo},
		{"sessions", "list and end a user's sessions; count; purge what has expired", runSessions},
		{"version", "print the version", runVersion},
		{"help", "say what a verb does: sojourn help demo", runHelp},
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if len(os.Args) > 1 && os.Args[1] == serverVerb {
		// Ctrl-C in a terminal reaches the whole family: the parent decides.
		signal.Ignore(os.Interrupt)
		signals = signals[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	// After the first signal the next one kills, as if nobody listened.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does what the arguments say and returns the exit status. What went
// wrong is one line on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "sojourn:", oneLine(err))
		return exitUsage
	default:
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(stderr, "sojourn:", oneLine(err))
		return exitFailed
	}
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usagef("which verb? Try: sojourn demo, or sojourn help")
	}
	switch args[0] {
	case "-h", "-help", "--help":
		return runHelp(ctx, nil, stdout, stderr)
	case "-version", "--version":
		return runVersion(ctx, nil, stdout, stderr)
	}
	if args[0] == serverVerb {
		return runServer(ctx, os.Stdin, stdout, stderr)
	}
	for _, v := range verbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	return usagef("unknown verb %q: see sojourn help", args[0])
}

// newFlagSet makes a set of flags that leaves complaints to run, in one line.
func newFlagSet(verb string) *flag.FlagSet {
	set := flag.NewFlagSet(verb, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return set
}

// parseFlags parses flags. It returns flag.ErrHelp, or an error of usage.
func parseFlags(set *flag.FlagSet, args []string) error {
	err := set.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usagef("%s: see sojourn %s --help", twoDashes.Replace(err.Error()), set.Name())
}

// twoDashes names flags as the help does.
var twoDashes = strings.NewReplacer(
	"flag provided but not defined: -", "unknown flag --",
	"flag needs an argument: -", "flag needs an argument: --",
	" for flag -", " for flag --",
	" for -", " for --",
)

func runHelp(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	switch {
	case len(args) > 1:
		return usagef("help takes one verb: sojourn help demo")
	case len(args) == 1 && args[0] != "help":
		return dispatch(ctx, []string{args[0], "--help"}, stdout, stderr)
	}
	fmt.Fprint(stdout, "sojourn keeps track of who is connected, from where, and until when.\n\nUsage:\n\n\tsojourn <verb> [flags]\n\nVerbs:\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(stdout, "\t%-9s %s\n", v.name, v.summary)
	}
	_, err := fmt.Fprint(stdout, "\n\"sojourn <verb> --help\" says more.\nExit status: 0 done, 1 failed, 2 the command line makes no sense.\n")
	return err
}

func runVersion(_ context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-help" || args[0] == "-h") {
		_, err := fmt.Fprintln(stdout, "Usage: sojourn version\n\nPrints the version of the module and of Go.")
		return err
	}
	if len(args) > 0 {
		return usagef("version takes no arguments")
	}
	version, goVersion := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
	}
	_, err := fmt.Fprintln(stdout, "sojourn", version, goVersion)
	return err
}
