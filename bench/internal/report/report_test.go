package report

import (
	"bytes"
	"strings"
	"testing"
)

func TestTableSaysWhatWasMissed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := Table{Rows: []Row{
		Timed("a read", 140, "0 allocs").Reaching("150 ns", true),
		Timed("a write", 1400, "").Reaching("1 µs", false),
		Timed("a rival", 2.2e9, ""),
	}}
	for i := range r.Rows {
		r.Rows[i].Command = "run"
	}
	if err := r.Markdown(&out); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(out.String(), "|---|---|---|---|\n")
	want := "| a read | 140 ns, 0 allocs | 150 ns | `run` |\n" +
		"| a write | 1.4 µs | 1 µs **(missed)** | `run` |\n" +
		"| a rival | 2.2 s | – | `run` |\n"
	if table != want {
		t.Errorf("got\n%swant\n%s", table, want)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{Count(1234567), "1,234,567"},
		{Count(999), "999"},
		{Count(-1000), "-1,000"},
		{Count(-0.2), "0"},
		{Duration(0.4), "0 ns"},
		{Duration(999.6), "1 µs"},
		{Duration(999_600_000), "1 s"},
		{Duration(-3.7), "-4 ns"},
		{Duration(123456), "123 µs"},
		{Duration(-2500), "-2.5 µs"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
