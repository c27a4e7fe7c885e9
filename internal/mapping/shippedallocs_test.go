package mapping_test

import (
	"testing"

	"holdfast/internal/mapping"
)

// TestAShippedConfirmationAllocatesLittle: the confirmation of each ERP that is shipped, as its first example has it. They have more fields than the
// fifteen of TestAConfirmationAllocatesLittle, references and conditions; docs/benchmarks.md has what they take.
func TestAShippedConfirmationAllocatesLittle(t *testing.T) {
	s, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	for name, most := range map[string]float64{"erp-out/operation.confirmed": 260, "sap-out/operation.confirmed": 350, "sap-idoc-out/operation.confirmed": 410, "b2mml-out/operation.confirmed": 400} {
		examples, err := mapping.Examples(name, mapping.Library())
		if err != nil || len(examples) == 0 {
			t.Fatal(name, err)
		}
		e := examples[0]
		v := verified(t, e.Message())
		got := testing.AllocsPerRun(200, func() {
			if _, err := s.Apply(t.Context(), name, v, e.Resolve); err != nil {
				t.Fatal(err)
			}
		})
		if got > most && !raceDetector {
			t.Errorf("%s: %.0f allocations, want at most %.0f", name, got, most)
		}
	}
}
