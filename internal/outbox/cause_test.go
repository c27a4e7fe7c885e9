package outbox_test

import (
	"strings"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
)

// TestADiscardNeedsACauseAndWords: each cause says what it means, and neither it alone nor words alone are a reason.
func TestADiscardNeedsACauseAndWords(t *testing.T) {
	for _, c := range outbox.Causes() {
		if c.Says() == "" {
			t.Errorf("%s means nothing", c)
		}
		why, err := outbox.Because(c, " posted as 4900000123 ")
		if want := outbox.Why(string(c) + ": posted as 4900000123"); err != nil || why != want {
			t.Errorf("%s: %q %v, want %q", c, why, err, want)
		}
		if _, err := outbox.Because(c, " -  "); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "no reason is given") {
			t.Errorf("%s without words: %v", c, err)
		}
	}
	for c, want := range map[outbox.Cause]string{"": "no cause is given", "Duplicate": `"Duplicate" is no cause`, "booked by hand": `"booked by hand" is no cause`} {
		if _, err := outbox.Because(c, "posted as 4900000123"); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", c, err, want)
		}
	}
}
