// Package report is what the commands that measure share: their table, and how
// they begin and end.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
)

// A Row is one line of the table.
type Row struct {
	Name     string  `json:"name"`
	What     string  `json:"what"`
	Measured string  `json:"measured"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Reach    string  `json:"reach,omitempty"`
	Met      *bool   `json:"met,omitempty"` // absent: nothing to reach
	Command  string  `json:"command"`
}

// Reaching is the row with what it is to reach, and whether it does.
func (r Row) Reaching(reach string, met bool) Row {
	r.Reach, r.Met = reach, &met
	return r
}

// Table is what a command prints.
type Table struct {
	On    string // what was measured on, besides this machine; "" when that is all
	Quick bool   // with sizes that are not for quoting
	Rows  []Row
}

// where says what was measured on.
func where() string {
	cpu := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				cpu = ", " + strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s %s/%s, %d CPUs%s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
}

// Markdown prints the table for people.
func (r Table) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s%s.", where(), r.On)
	if r.Quick {
		b.WriteString(" **Quick run: sizes and times too small to quote.**")
	}
	b.WriteString("\n\n| what | measured | to reach | command |\n|---|---|---|---|\n")
	for _, row := range r.Rows {
		reach := row.Reach
		switch {
		case row.Met == nil:
			reach = "–"
		case !*row.Met:
			reach += " **(missed)**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", row.What, row.Measured, reach, row.Command)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON prints the table for programs.
func (r Table) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Machine string `json:"machine"`
		Quick   bool   `json:"quick"`
		Rows    []Row  `json:"rows"`
	}{where(), r.Quick, r.Rows})
}

// Duration writes nanoseconds with three figures.
func Duration[N ~int | ~int64 | ~float64](n N) string {
	ns := float64(n)
	switch abs := math.Abs(ns); {
	case abs < 999.5:
		return Count(ns) + " ns"
	case abs < 999.5e3:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case abs < 999.5e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	default:
		return fmt.Sprintf("%.3g s", ns/1e9)
	}
}

// Count writes a whole number with commas.
func Count[N ~int | ~int64 | ~float64](n N) string {
	s := fmt.Sprintf("%.0f", math.Abs(float64(n)))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n < 0 && s != "0" {
		return "-" + s
	}
	return s
}

// Timed is a row of a duration; note may be empty.
func Timed(what string, ns float64, note string) Row {
	measured := Duration(ns)
	if note != "" {
		measured += ", " + note
	}
	return Row{What: what, Measured: measured, Value: ns, Unit: "ns"}
}
