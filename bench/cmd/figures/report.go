package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
)

// A row is one line of the table.
type row struct {
	Name     string  `json:"name"`
	What     string  `json:"what"`
	Measured string  `json:"measured"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Reach    string  `json:"reach,omitempty"`
	Met      *bool   `json:"met,omitempty"` // absent: nothing to reach
	Command  string  `json:"command"`
}

// reaching is the row with what it is to reach, and whether it does.
func (r row) reaching(reach string, met bool) row {
	r.Reach, r.Met = reach, &met
	return r
}

type report struct {
	Quick bool
	Rows  []row
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

func (r report) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s.", where())
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

func (r report) json(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Machine string `json:"machine"`
		Quick   bool   `json:"quick"`
		Rows    []row  `json:"rows"`
	}{where(), r.Quick, r.Rows})
}

// duration writes nanoseconds with three figures.
func duration(ns float64) string {
	switch abs := math.Abs(ns); {
	case abs < 999.5:
		return count(ns) + " ns"
	case abs < 999.5e3:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case abs < 999.5e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	default:
		return fmt.Sprintf("%.3g s", ns/1e9)
	}
}

// count writes a whole number with commas.
func count(n float64) string {
	s := fmt.Sprintf("%.0f", math.Abs(n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n < 0 && s != "0" {
		return "-" + s
	}
	return s
}

// timed is a row of a duration; note may be empty.
func timed(what string, ns float64, note string) row {
	measured := duration(ns)
	if note != "" {
		measured += ", " + note
	}
	return row{What: what, Measured: measured, Value: ns, Unit: "ns"}
}
