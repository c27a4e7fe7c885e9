package mapping_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestMistakesOfBothSidesAreSeenAtOnce: what a contract has against the other fields of a file with a mistake is told beside it.
func TestMistakesOfBothSidesAreSeenAtOnce(t *testing.T) {
	const file = planted + "  scrap: decimal(src.confirmation.scarp)\n  srcap: decimal(src.confirmation.scrap)\n  final: {value: string(src.confirmation.fianl)}\n  workCentre: src.confirmation.workCentre\n"
	folder := fstest.MapFS{"m.yaml": {Data: []byte(file)}, "n.yaml": {Data: []byte("from: {kind")}}
	if _, err := mapping.Load(folder); err == nil {
		t.Fatal("it is taken")
	}
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := mapping.LoadDraft(folder)
	if set == nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mapping.Mistakes(err) {
		got = append(got, m.Error()[:len("m.yaml:10:35: fields.scrap")])
	}
	for _, f := range set.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
		got = append(got, f.Error()[:len("m.yaml:10:35: fields.scrap")])
	}
	for _, want := range []string{"m.yaml:10:35: fields.scrap", "m.yaml:12:42: fields.final", "m.yaml:11:10: fields.srcap", "m.yaml:13:15: fields.workC"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not told in %q", want, got)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %q", got)
	}
	m := confirmed(`{}`)
	m.Kind = "operation.confirmed"
	if _, err := set.Apply(t.Context(), "m", verified(t, m), nil); problem.KindOf(err) != problem.Invalid {
		t.Errorf("it maps: %v", err)
	}
}
