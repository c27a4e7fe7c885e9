package mapping_test

import (
	"bytes"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestAKindOfItsUsersOwnIsNotMadeUp: nothing is known of its fields, so that no message is one; who asks for it by name is told so by a failure.
func TestAKindOfItsUsersOwnIsNotMadeUp(t *testing.T) {
	s, err := load(t, map[string]string{"slot.changed.yaml": "from: {kind: slot.changed}\nto: {operation: post}\nfields: {a: src.a}\n"})
	if err != nil {
		t.Fatal(err)
	}
	const why = "nothing was made up: slot.changed is no kind of the plant's own messages, and nothing is known of its fields"
	for _, names := range [][]string{nil, {"slot.changed"}} {
		r, err := s.Test(t.Context(), mapping.TestConfig{Fuzz: 20}, names...)
		if err != nil {
			t.Fatal(err)
		}
		var text, junit bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteJUnit(&junit); err != nil {
			t.Fatal(err)
		}
		if got, want := r.OK(), names == nil; got != want {
			t.Errorf("%q: passes %t, want %t", names, got, want)
		}
		if !strings.Contains(text.String(), why) || strings.Contains(junit.String(), "<skipped") != (names == nil) || strings.Contains(junit.String(), "<failure") == (names == nil) {
			t.Errorf("%q: %s%s", names, text.String(), junit.String())
		}
	}
}

// TestScaffoldOfAnOrderThatMayBeMissing: a movement has an order at times only, whose ERP number is read as the shipped mappings do.
func TestScaffoldOfAnOrderThatMayBeMissing(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, target string }{
		{"goods.issued", "createMaterialDocument"}, {"goods.received", "createMaterialDocument"}, {"goods.scrapped", "createMaterialDocument"},
	} {
		file, _, err := mapping.Scaffold(tt.kind, tt.target, mapping.FromOpenAPI(doc))
		if err != nil {
			t.Fatal(err)
		}
		const want = `  order: 'src.?order.optMap(o, o.?erpNumber.orValue(ref("order", o.id)))' # guess`
		if !strings.Contains(string(file), want) {
			t.Errorf("%s: no %s in\n%s", tt.kind, want, file)
		}
		for _, m := range mistakesOf(string(file), mapping.FromOpenAPI(doc)) {
			if strings.Contains(m, "fields.order:") {
				t.Errorf("%s: %s", tt.kind, m)
			}
		}
	}
}

// TestPlantedReferencesToItself: the number that a message brings about comes with its answer.
func TestPlantedReferencesToItself(t *testing.T) {
	const why = " (send the plant's own: "
	const waits = "the ERP gives this number in its answer to this message, which would wait for it unsent"
	plants(t, []plant{
		{"a confirmation's own number", planted + "  text: 'ref(\"confirmation\", src.confirmation.id)'\n", "m.yaml:10:46: fields.text: " + waits + why + "src.confirmation.id)"},
		{"a confirmation's own number by its event", planted + "  text: 'ref(\"confirmation\", event.id)'\n", "m.yaml:10:35: fields.text: " + waits + why + "src.confirmation.id)"},
		{"an order's own number", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: 'src.order.?erpNumber.orValue(ref(\"order\", src.order.id))'\n", "m.yaml:4:58: fields.n: " + waits + why + "src.order.id)"},
	})
}
