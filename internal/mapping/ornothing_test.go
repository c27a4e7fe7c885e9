package mapping_test

import (
	"strings"
	"testing"
)

// TestOrValueBehindAFieldWithoutItsQuestionMark: the mistake says whether the field may be missing, and what to write.
func TestOrValueBehindAFieldWithoutItsQuestionMark(t *testing.T) {
	for value, want := range map[string]string{
		`src.confirmation.reason.orValue("x")`:          "field reason may be missing, and orValue stands behind its value (write .?reason.orValue(…))",
		`src.confirmation.workCentre.orValue("x")`:      "field workCentre is never missing (leave orValue out)",
		`string(src.confirmation.final).orValue("x")`:   "orValue stands behind what is never without a value (write it behind a field that may be missing: src.….?field.orValue(…), or leave it out)",
		`src.confirmation.?reason.orValue("x") + "y"`:   "",
		`src.confirmation.?reason.or(optional.of("x"))`: "",
	} {
		got := strings.Join(mistakesOf(planted+"  text: {value: '"+value+"', maxLength: 40, cut: true}\n", oneOperation{}), "\n")
		if want == "" && strings.Contains(got, "orValue stands") || !strings.Contains(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", value, got, want)
		}
	}
}
