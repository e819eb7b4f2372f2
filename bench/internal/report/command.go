package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrUsage is the error of a command line that makes no sense, when that has
// been said.
var ErrUsage = errors.New("usage")

// Main runs a command until it has measured or is interrupted, and ends the
// program: with status 2 for ErrUsage, and 1 for any other error.
func Main(name string, run func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	err := run(ctx)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, ErrUsage):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Measure runs one comparison, and says on diag what it is and how long it took.
func Measure(diag io.Writer, name string, run func() ([]Row, error)) ([]Row, error) {
	began := time.Now()
	fmt.Fprintf(diag, "%s … ", name)
	rows, err := run()
	if err != nil {
		fmt.Fprintln(diag)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(diag, "%v\n", time.Since(began).Round(100*time.Millisecond))
	return rows, nil
}
