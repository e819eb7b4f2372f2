//go:build unix

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A row is one line of the table.
type row struct {
	what, measured, reach string
	missed                bool
	command               string
}

// reaching is the row with what it is to reach, and whether it does.
func (r row) reaching(reach string, met bool) row {
	r.reach, r.missed = reach, !met
	return r
}

func markdown(w io.Writer, rows []row, quick bool) error {
	var b strings.Builder
	cpu := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				cpu = ", " + strings.TrimSpace(value)
				break
			}
		}
	}
	fmt.Fprintf(&b, "Measured on %s %s/%s, %d CPUs%s; servers and engine on one machine, over loopback.",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
	if quick {
		b.WriteString(" **Quick run: sizes and times too small to quote.**")
	}
	b.WriteString("\n\n| what | measured | to reach | command |\n|---|---|---|---|\n")
	for _, r := range rows {
		reach := cmp.Or(r.reach, "–")
		if r.missed {
			reach += " **(missed)**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", r.what, r.measured, reach, r.command)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short writes a duration with three figures.
func short(d time.Duration) string {
	switch abs := d.Abs(); {
	case abs < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case abs < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	case abs < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
}

// count writes a number with commas.
func count[T int | int64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// percentile of values that need not be sorted; 0.5 is the median.
func percentile[T cmp.Ordered](all []T, p float64) (v T) {
	if len(all) == 0 {
		return v
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}
