//go:build unix

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/bench/internal/report"
)

// Everything is measured, and in a form that a document can quote.
func TestQuickRunPrintsEveryFigure(t *testing.T) {
	t.Parallel()
	var out, diag bytes.Buffer
	if err := engines(t.Context(), []string{"-quick", "-dir", os.TempDir()}, &out, &diag); err != nil {
		if strings.Contains(err.Error(), "NOT TESTED") && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatalf("%v\n%s", err, diag.String())
	}
	for _, engine := range []string{"Redis", "PostgreSQL"} {
		for _, what := range []string{"connected request, strict, ", "connected request, MaxStaleness, warm, ", "DisconnectAll on one server", "MaxStaleness 10s", "bytes per session in ", "DisconnectAll of 200 sessions", "touches of 500 active sessions"} {
			found := false
			for line := range strings.Lines(out.String()) {
				found = found || strings.Contains(line, what) && strings.Contains(line, engine) && strings.HasPrefix(line, "|")
			}
			if !found {
				t.Errorf("no line for %q on %s in\n%s", what, engine, out.String())
			}
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-only", "nothing"}, {"-engine", "oracle"}, {"-sessions", "5"}, {"-no-such-flag"}} {
		if err := engines(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err != report.ErrUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
}
