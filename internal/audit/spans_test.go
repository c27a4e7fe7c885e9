package audit

import (
	"strings"
	"testing"
)

// TestWhatIsDeniedBetweenTwoPlacesIsTold: a later checkpoint denies what lies between two places that an earlier one denied, as there were too many spans.
func TestWhatIsDeniedBetweenTwoPlacesIsTold(t *testing.T) {
	v := newVerifier("x", nil, nil)
	v.deny(Checkpoint{Size: 10, Denied: Spans{{5, 5}, {9, 9}}})
	v.deny(Checkpoint{Size: 20, Denied: Spans{{5, 9}, {12, 12}}})
	v.deny(Checkpoint{Size: 30, Denied: Spans{{5, 6}, {7, 9}, {12, 12}}})
	want := []string{"place 5 ", "place 9 ", "places 5 to 9 ", "place 12 "}
	if len(v.report.Wrong) != len(want) {
		t.Fatalf("got %+v, want %v", v.report.Wrong, want)
	}
	for i, w := range v.report.Wrong {
		if !strings.HasPrefix(w.What, want[i]) {
			t.Errorf("got %q, want %q", w.What, want[i])
		}
	}
}
