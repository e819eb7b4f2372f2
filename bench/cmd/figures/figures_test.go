package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/bench/internal/cases"
	"github.com/sojourn-go/sojourn/bench/internal/report"
)

var tiny = size{2, 2 * time.Millisecond, 200, 1000, 1000, 20 * time.Millisecond, 20 * time.Millisecond}

func TestEveryComparisonRuns(t *testing.T) {
	t.Parallel()
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, diag bytes.Buffer
			if err := figures(t.Context(), []string{"-only", name, "-json", "-dir", t.TempDir()}, tiny, &out, &diag); err != nil {
				t.Fatalf("%v\n%s", err, diag.String())
			}
			var got struct{ Rows []report.Row }
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Rows) == 0 {
				t.Fatal("no rows")
			}
			for _, r := range got.Rows {
				if r.Name != name || r.What == "" || r.Measured == "" || r.Command != "go run ./cmd/figures -only "+name {
					t.Errorf("row %+v", r)
				}
			}
		})
	}
}

func TestBadArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-only", "nothing"}, {"-no-such-flag"}, {"more"}, {"-rounds", "-1"}} {
		var out, diag bytes.Buffer
		if err := figures(t.Context(), args, tiny, &out, &diag); !errors.Is(err, report.ErrUsage) || diag.Len() == 0 || out.Len() != 0 {
			t.Errorf("%q: %v, said %q, printed %q", args, err, diag.String(), out.String())
		}
	}
}

func TestCanceledRunStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, diag bytes.Buffer
	if err := figures(ctx, []string{"-only", "anonymous", "-dir", t.TempDir()}, tiny, &out, &diag); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyWhatIsTimedCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		r, err := take(cases.Case{Name: "pausing", Run: func(c cases.Clock) error {
			time.Sleep(time.Hour) // set-up
			for c.Loop() {
				time.Sleep(time.Second)
				c.StopTimer()
				time.Sleep(time.Minute)
				rounds++
				c.StartTimer()
			}
			return nil
		}}, 5)
		if err != nil || rounds != 5 || r.ns != 1e9 {
			t.Errorf("%d rounds of %v ns each, %v; want 5 of a second", rounds, r.ns, err)
		}
	})
}

func TestCaseThatStopsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := take(cases.Case{Name: "lazy", Run: func(c cases.Clock) error { c.Loop(); return nil }}, 5); err == nil {
		t.Error("a case that went round once was counted as five times")
	}
}

func TestOverComparesWithinARound(t *testing.T) {
	t.Parallel()
	r := readings{
		"base": {{ns: 100}, {ns: 1100}, {ns: 200}},
		"page": {{ns: 150}, {ns: 1160}, {ns: 270}},
	}
	if got := r.over("page", "base"); got != 60 {
		t.Errorf("over = %v, want 60, the median of 50, 60 and 70", got)
	}
	if got := r.ratio("page", "base"); got != 1.35 {
		t.Errorf("ratio = %v, want 1.35, the median of 1.5, 1.05 and 1.35", got)
	}
}

func TestNumbersHaveNoMinusBeforeNothing(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{-0.2: "0", 5.6: "6"} {
		if got := number(n); got != want {
			t.Errorf("%v is written %q, want %q", n, got, want)
		}
	}
}

func TestTargetsPrintsOnlyWhatHasOne(t *testing.T) {
	t.Parallel()
	var out, diag bytes.Buffer
	if err := figures(t.Context(), []string{"-only", "memory,views", "-targets", "-json", "-dir", t.TempDir()}, tiny, &out, &diag); err != nil {
		t.Fatalf("%v\n%s", err, diag.String())
	}
	var got struct{ Rows []report.Row }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 3 {
		t.Errorf("%d rows, want one for memory and two for views", len(got.Rows))
	}
	for _, r := range got.Rows {
		if r.Met == nil || r.Reach == "" {
			t.Errorf("nothing to reach in %+v", r)
		}
	}
}
