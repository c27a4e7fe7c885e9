package mapping

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/message"
)

// TestUnitsOfTwoSchemesConvert is what docs/mapping-guide.md says of codes of SAP beside those of UN/CEFACT, and of those that both have.
func TestUnitsOfTwoSchemesConvert(t *testing.T) {
	try := func(expression string) (string, error) {
		s, err := Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: test.happened}\nto: {operation: post}\nfields:\n  a: >-\n    " + expression)}})
		if err != nil {
			return "", err
		}
		made, err := s.Try(t.Context(), "m", message.Message{ID: "1", Kind: "test.happened", Version: 1, Body: []byte(`{"unit":"TO","pal":"PAL"}`)}, nil)
		return string(made.Body), err
	}
	for expression, want := range map[string]string{
		`convert(decimal("2"), "TO", "KGM")`:                               "2000",
		`convert(decimal("2"), "KGM", "G")`:                                "2000",
		`convert(decimal("2"), src.unit, "KGM")`:                           "2000",
		`convert(decimal("2"), unitCode(src.unit, "sap", "unece"), "KGM")`: "2000",
		`convert(decimal("2"), unitCode(src.pal, "sap", "unece"), "PF")`:   "2",
		`unitCode(src.pal, "sap", "unece")`:                                "PF",
		`convert(decimal("2"), unitCode("PAL", "sap", "unece"), src.pal)`:  "is a unit of unece and another of sap",
		`convert(decimal("2"), "PAL", "PF")`:                               "is a unit of unece and another of sap",
		`convert(decimal("2"), src.pal, "PF")`:                             "is a unit of unece and another of sap",
	} {
		got, err := try(expression)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
	var u units
	if err := u.fill(nil); err != nil {
		t.Fatal(err)
	}
	var both []string
	for code := range u.byCode["sap"] {
		if _, err := u.find(code); err != nil {
			both = append(both, code)
		}
	}
	if !slices.Equal(both, []string{"PAL"}) {
		t.Errorf("%q are codes of SAP that UN/CEFACT has for other units; docs/mapping-guide.md names PAL alone", both)
	}
}
