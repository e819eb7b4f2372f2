package redis

import (
	"strings"
	"testing"
)

func TestPartsAreSpreadEvenlyOverTheSlotsOfACluster(t *testing.T) {
	t.Parallel()
	if got := slot("123456789"); got != 0x31c3 { // the example of the cluster's specification
		t.Errorf("the slot of the example is %#x", got)
	}
	seen := map[string]bool{}
	for i, tag := range tags() {
		if got := slot(tag); got/(slots/parts) != i {
			t.Errorf("part %d is in slot %d", i, got)
		}
		if tag == "" || seen[tag] || strings.ContainsAny(tag, "{}") {
			t.Errorf("part %d has the tag %q", i, tag)
		}
		seen[tag] = true
	}
}

// What is stored is found by its tag: another one would lose it.
func TestTagsStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	got := strings.Join([]string{tags()[0], tags()[1], tags()[100], tags()[255]}, " ")
	if want := "e8a 4zp cb0 qmh"; got != want {
		t.Errorf("the tags are %q, want %q", got, want)
	}
}
