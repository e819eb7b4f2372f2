package postgres

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// Whatever another program sends on the channel, it is refused or understood.
func FuzzNotification(f *testing.F) {
	for _, packet := range []string{"", "m", "mhello", "e", "e" + string(make([]byte, 64+4*8+4+5*4)), "x"} {
		f.Add("origin 1 1 " + base64.StdEncoding.EncodeToString([]byte(packet)))
	}
	for _, payload := range []string{"", " ", "own", "own 1 1 !", "origin 0 0 ", "origin 1 2 bQ==", "origin 2 2 bQ==", "origin -1 -1 ", "origin 1 1 !"} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		h := hearing{own: "own", tell: func(c sojourn.Change) {
			if c.Ended == nil && c.Message == nil {
				t.Errorf("%q tells of nothing", payload)
			}
		}}
		h.notified(payload)
		h.notified(payload)
	})
}

// A part that is missing is not passed over.
func TestMissingPartIsAGap(t *testing.T) {
	t.Parallel()
	part := func(origin string, i, n int) string {
		return fmt.Sprint(origin, " ", i, " ", n, " ", base64.StdEncoding.EncodeToString([]byte{"m"[0]}))
	}
	for _, test := range []struct {
		name     string
		payloads []string
		told     int // changes
		gap      bool
	}{
		{"whole", []string{part("a", 1, 1), part("b", 1, 2), part("b", 2, 2)}, 2, false},
		{"of this server", []string{part("own", 2, 3), part("own", 3, 2)}, 0, false},
		{"without the first", []string{part("a", 2, 2)}, 0, true},
		{"without the middle", []string{part("a", 1, 3), part("a", 3, 3)}, 0, true},
		{"of another origin", []string{part("a", 1, 2), part("b", 2, 2)}, 0, true},
		{"of another number", []string{part("a", 1, 2), part("a", 2, 3)}, 0, true},
		{"twice", []string{part("a", 1, 2), part("a", 2, 2), part("a", 2, 2)}, 1, true},
		{"no packet", []string{"a 1 1 eA=="}, 0, true},
	} {
		told := 0
		h := hearing{own: "own", tell: func(sojourn.Change) { told++ }}
		var err error
		for _, p := range test.payloads {
			if err == nil {
				err = h.notified(p)
			}
		}
		if told != test.told || (err != nil) != test.gap {
			t.Errorf("%s: %d changes told, error %v; want %d, error %t", test.name, told, err, test.told, test.gap)
		}
	}
}

// What is due is looked for by due: it must never come after the deadline, nor
// much before it.
func TestDueComesALittleBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	const minute = 60_000
	for _, seen := range []int64{0, -62135596800000, 1770091506789} {
		for span := int64(-5); span < 400*24*60*minute; span = span*3/2 + 1 {
			deadline := seen + span
			due := dueOf(seen, deadline)
			if due > deadline || deadline-due > min(max(span, 0)/32, 18*minute) {
				t.Errorf("seen %d, deadline %d: due %d", seen, deadline, due)
			}
		}
		if due := dueOf(seen, never); due != never {
			t.Errorf("what never ends is due at %d", due)
		}
	}
}
