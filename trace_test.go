package sojourn_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

const (
	recordedTraces = "testdata/traces/visible.json" // of the original
	ruleTraces     = "testdata/traces/rules.json"   // written from the rules
	cornerTraces   = "testdata/traces/corners.json" // likewise, where two of them meet
)

var tracesFlag = flag.String("traces", "", "replay the scenarios of this `file` instead (see testdata/traces/README.md)")

// traceStore is a store that scenarios are replayed on.
type traceStore struct {
	name    string
	durable bool // what was stored is there when open is called again
	// realClock: not in a bubble. Durations are divided so that a scenario does
	// not take long.
	realClock bool
	replays   map[string]int // how many scenarios of each of our files it can replay
	open      func(t *testing.T) (open func() sojourn.Store)
}

var traceStores = []traceStore{
	{
		name: "memory", replays: map[string]int{recordedTraces: 48, ruleTraces: 24, cornerTraces: 18},
		open: func(*testing.T) func() sojourn.Store { return func() sojourn.Store { return nil } },
	},
	{
		name: "memory that outlives the server", durable: true, replays: map[string]int{recordedTraces: 50, ruleTraces: 28, cornerTraces: 20},
		open: func(t *testing.T) func() sojourn.Store {
			kept := keptStore{sojourn.NewMemoryStore()}
			t.Cleanup(func() { _ = kept.Store.Close() })
			return func() sojourn.Store { return kept }
		},
	},
	{
		name: "sqlite", durable: true, replays: map[string]int{recordedTraces: 50, ruleTraces: 28, cornerTraces: 20},
		open: func(t *testing.T) func() sojourn.Store {
			path := filepath.Join(t.TempDir(), "sojourn.db")
			return func() sojourn.Store {
				store, err := sqlite.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				return store
			}
		},
	},
}

// leavesOut says why a scenario is not for this store, or "".
func (st *traceStore) leavesOut(sc *traceScenario) string {
	switch {
	case sc.needs(needsDurableStore) && !st.durable:
		return "a durable store"
	case sc.needs(needsFakeClock) && st.realClock:
		return "a fake clock"
	}
	return ""
}

// replay replays a scenario in a bubble with a clock of its own, or with the
// real clock and divided durations. The bubble ends only when every goroutine
// of the site has.
func (st *traceStore) replay(t *testing.T, sc *traceScenario) (checks traceChecks) {
	if st.realClock {
		return st.replayReal(t, sc)
	}
	synctest.Test(t, func(t *testing.T) { checks = replayTrace(sc, st.open(t), 1) })
	return checks
}

// replayReal lets time pass for real. What takes too long on a machine that has
// much else to do does not when there is more time.
func (st *traceStore) replayReal(t *testing.T, sc *traceScenario) (checks traceChecks) {
	passes := time.Duration(0)
	for i := range sc.Steps {
		passes += time.Duration(sc.Steps[i].Time)
	}
	for _, takes := range []time.Duration{3 * time.Second, 9 * time.Second, 27 * time.Second} {
		checks = replayTrace(sc, st.open(t), max(1, int(passes/takes)))
		if passes == 0 || len(checks.disagreed) == 0 {
			break
		}
	}
	return checks
}

func TestTracesAgree(t *testing.T) {
	t.Parallel()
	files := []string{recordedTraces, ruleTraces, cornerTraces}
	if *tracesFlag != "" {
		files = []string{*tracesFlag}
	}
	for _, path := range files {
		traces, err := readTraces(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range traceStores {
			t.Run(filepath.Base(path)+"/"+st.name, func(t *testing.T) {
				t.Parallel()
				replayed := st.replayAll(t, traces)
				if replayed == 0 {
					t.Error("no scenario was replayed")
				}
				if want, ours := st.replays[path]; ours && replayed != want {
					t.Errorf("%d scenarios of %s were replayed, want %d", replayed, path, want)
				}
			})
		}
	}
}

// replayAll replays what this store can and returns how many scenarios that are.
func (st *traceStore) replayAll(t *testing.T, traces *traceFile) (replayed int) {
	var agree atomic.Int32
	left := map[string]int{}
	t.Run("scenarios", func(t *testing.T) {
		for i := range traces.Scenarios {
			sc := &traces.Scenarios[i]
			if why := st.leavesOut(sc); why != "" {
				left[why]++
				continue
			}
			replayed++
			t.Run(sc.Name, func(t *testing.T) {
				t.Parallel()
				checks := st.replay(t, sc)
				for _, d := range checks.disagreed {
					t.Errorf("%s: %s", sc.Name, d)
				}
				if checks.compared == 0 {
					t.Error("nothing was compared")
				}
				if !t.Failed() {
					agree.Add(1)
				}
			})
		}
	})
	t.Logf("%s: %d of %d scenarios agree%s", st.name, agree.Load(), replayed, leftOut(left))
	return replayed
}

func leftOut(left map[string]int) string {
	var parts []string
	for _, why := range []string{"a durable store", "a fake clock"} {
		if n := left[why]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d need %s", n, why))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Every expectation of every scenario is made wrong; the replay has to notice
// each one.
func TestReplayNoticesEveryWrongExpectation(t *testing.T) {
	t.Parallel()
	st := traceStores[1]
	for _, path := range []string{recordedTraces, ruleTraces, cornerTraces} {
		traces, err := readTraces(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range traces.Scenarios {
			sc := &traces.Scenarios[i]
			for j := range sc.Steps {
				spoilStep(&sc.Steps[j])
			}
			t.Run(sc.Name, func(t *testing.T) {
				t.Parallel()
				checks := st.replay(t, sc)
				if checks.compared == 0 || len(checks.disagreed) != checks.compared {
					t.Errorf("%d expectations were compared and %d noticed to be wrong", checks.compared, len(checks.disagreed))
				}
			})
		}
	}
}

const spoilt = "something else"

func spoilStep(s *traceStep) {
	spoilOps(s.Do)
	s.WantError = spoilt
	s.Want = -1
	e := s.Expect
	if e == nil {
		return
	}
	if e.Actions != nil {
		*e.Actions = append(*e.Actions, spoilt)
	}
	for i := range e.ActionsOneOf {
		e.ActionsOneOf[i] = append(e.ActionsOneOf[i], spoilt)
	}
	if e.Result != "" {
		e.Result = spoilt
	}
	for i := range e.ResultOneOf {
		e.ResultOneOf[i] = spoilt
	}
	if e.SessionCookie != "" {
		e.SessionCookie = spoilt
	}
	if e.SetCookie != nil {
		*e.SetCookie = !*e.SetCookie
	}
	if e.Restart != nil {
		*e.Restart = !*e.Restart
	}
}

func spoilOps(ops []traceOp) {
	for i := range ops {
		op := &ops[i]
		spoilOps(op.Do)
		op.WantError.one, op.WantResult, op.Want.one = spoilt, spoilt, spoilt
		op.WantError.of = map[string]string{}
		for _, name := range op.Refs {
			op.WantError.of[name] = spoilt
		}
		for name := range op.Want.of {
			op.Want.of[name] = spoilt
		}
	}
}
