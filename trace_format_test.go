package sojourn_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn"
)

// The format of testdata/traces, sojourn-traces/1; the README there describes
// it. A field that is not here is an error, so that none is passed over.

type traceFile struct {
	Format    string          `json:"format"`
	About     string          `json:"about"`
	Scenarios []traceScenario `json:"scenarios"`
}

type traceScenario struct {
	Name   string      `json:"name"`
	About  string      `json:"about"`
	Source string      `json:"source"`
	Setup  traceSetup  `json:"setup"`
	Needs  []string    `json:"needs"`
	Steps  []traceStep `json:"steps"`
}

// What a scenario may need.
const (
	needsDurableStore = "durable-store"
	needsTime         = "time"
	needsFakeClock    = "fake-clock"
)

func (s *traceScenario) needs(what string) bool {
	for _, n := range s.Needs {
		if n == what {
			return true
		}
	}
	return false
}

type traceSetup struct {
	SessionsPerUser int           `json:"sessions_per_user"`
	Idle            traceDuration `json:"idle"`
	Absolute        traceDuration `json:"absolute"`
	Tab             traceDuration `json:"tab"`
	Browser         traceDuration `json:"browser"`
}

// traceStep is a request (At), something else that happens (World), or the end
// of a held request (Finish).
type traceStep struct {
	At          string            `json:"at"`
	Guard       traceGuard        `json:"guard"`
	Do          []traceOp         `json:"do"`
	Repeat      int               `json:"repeat"`
	Expect      *traceExpect      `json:"expect"`
	Corrections []json.RawMessage `json:"corrections"`
	Original    json.RawMessage   `json:"original"`

	World               string        `json:"world"`
	Action              string        `json:"action"`
	Error               string        `json:"error"`
	Label               string        `json:"label"`
	User                string        `json:"user"`
	Group               sojourn.Group `json:"group"`
	Time                traceDuration `json:"time"`
	Browser             string        `json:"browser"`
	Value               string        `json:"value"`
	From                string        `json:"from"`
	To                  string        `json:"to"`
	OfUser              string        `json:"of_user"`
	KeepUserIndependent bool          `json:"keep_user_independent"`
	WantError           string        `json:"want_error"`
	Want                int           `json:"want"`

	Finish string `json:"finish"`
}

func (s *traceStep) String() string {
	switch {
	case s.Finish != "":
		return "finish " + s.Finish
	case s.World != "":
		return "world " + s.World
	default:
		return s.At + " " + s.Guard.Kind
	}
}

type traceGuard struct {
	Kind             string           `json:"kind"`
	Allow            *[]sojourn.Group `json:"allow"` // nil: absent, which is not an empty list
	Deny             *[]sojourn.Group `json:"deny"`
	DenyFunction     bool             `json:"deny_function"`
	ForceUnconnected bool             `json:"force_unconnected"`
}

// traceOp is one operation of a handler.
type traceOp struct {
	Op                  string      `json:"op"`
	User                string      `json:"user"`
	ExpireAtBrowserExit bool        `json:"expire_at_browser_exit"`
	OfUser              string      `json:"of_user"`
	KeepUserIndependent bool        `json:"keep_user_independent"`
	WithoutRestart      bool        `json:"without_restart"`
	Refs                []string    `json:"refs"`
	Value               string      `json:"value"`
	Guard               traceGuard  `json:"guard"`
	Do                  []traceOp   `json:"do"`
	Name                string      `json:"name"`
	With                string      `json:"with"`
	Want                traceAnswer `json:"want"`
	WantError           traceAnswer `json:"want_error"`
	WantResult          string      `json:"want_result"`
	Unchecked           bool        `json:"unchecked"`
}

// traceAnswer is what an operation is to answer: one answer, or one for each
// reference. An error is written as it is in the map of a get: error:name.
type traceAnswer struct {
	one string
	of  map[string]string
}

func (a *traceAnswer) UnmarshalJSON(data []byte) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		var err error
		a.one, err = traceScalar(v)
		return err
	}
	a.of = make(map[string]string, len(m))
	for name, v := range m {
		s, err := traceScalar(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.of[name] = s
	}
	return nil
}

func traceScalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case map[string]any:
		if name, ok := v["error"].(string); ok && len(v) == 1 {
			return "error:" + name, nil
		}
	}
	return "", fmt.Errorf("%v is no answer", v)
}

// traceExpect is what a request is to show; nil and "" are not checked.
type traceExpect struct {
	Actions       *[]string  `json:"actions"`
	ActionsOneOf  [][]string `json:"actions_one_of"`
	Result        string     `json:"result"`
	ResultOneOf   []string   `json:"result_one_of"`
	SessionCookie string     `json:"session_cookie"`
	SetCookie     *bool      `json:"set_cookie"`
	Restart       *bool      `json:"restart"`
}

// traceDuration is a nominal duration; unlike Go's it may count days: 400d.
type traceDuration time.Duration

func (d *traceDuration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	var sum time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			return fmt.Errorf("duration %q: %w", s, err)
		}
		sum, s = time.Duration(n)*24*time.Hour, rest
	}
	if s != "" {
		rest, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		sum += rest
	}
	*d = traceDuration(sum)
	return nil
}

func readTraces(path string) (*traceFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var f traceFile
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.Format != "sojourn-traces/1" {
		return nil, fmt.Errorf("%s: the format is %q, not sojourn-traces/1", path, f.Format)
	}
	seen := map[string]bool{}
	for _, s := range f.Scenarios {
		if s.Name == "" || seen[s.Name] {
			return nil, fmt.Errorf("%s: the name %q is not unique", path, s.Name)
		}
		seen[s.Name] = true
		for _, n := range s.Needs {
			if n != needsDurableStore && n != needsTime && n != needsFakeClock {
				return nil, fmt.Errorf("%s: %s: needs %q, which is unknown", path, s.Name, n)
			}
		}
		for i, step := range s.Steps {
			kinds := 0
			for _, k := range []string{step.At, step.World, step.Finish} {
				if k != "" {
					kinds++
				}
			}
			if kinds != 1 {
				return nil, fmt.Errorf("%s: %s: step %d is not one of request, world and finish", path, s.Name, i+1)
			}
		}
	}
	return &f, nil
}
