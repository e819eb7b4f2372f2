// Package cases holds what is measured: one small application per session
// library, and for each comparison the loops that use it. A loop fails unless
// what it measures really happened, every time round.
package cases

import "fmt"

// A Clock says how often a Case goes round and what of it is timed. It is what
// *testing.B offers, so a benchmark passes its b.
type Clock interface {
	Loop() bool
	StopTimer()
	StartTimer()
}

// A Case is one thing to measure.
type Case struct {
	Name string
	// Run does the thing once for each true of Loop. Set-up before the first
	// Loop is not timed. The error says what did not happen.
	Run func(c Clock) error
}

// Once is a Clock that goes round n times and times nothing.
type Once struct{ N int }

// Loop reports whether there is a round left.
func (o *Once) Loop() bool { o.N--; return o.N >= 0 }

// StopTimer does nothing.
func (o *Once) StopTimer() {}

// StartTimer does nothing.
func (o *Once) StartTimer() {}

func wrong(what string, got, want any) error {
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}
