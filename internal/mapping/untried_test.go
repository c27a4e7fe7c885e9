package mapping_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
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

// TestQuantitiesAreTriedInEveryUnitThatAMappingTakes: a made-up unit that there is not would have each message refused, and no quantity tried.
func TestQuantitiesAreTriedInEveryUnitThatAMappingTakes(t *testing.T) {
	const head = "from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n  q: "
	sap := schema.NewObject("D", &schema.Field{Name: "Quantity", Type: &schema.Type{Kind: schema.Text, Format: schema.IsDecimal, Digits: 10, Scale: 3}, Required: true},
		&schema.Field{Name: "ProductionUnit", Type: &schema.Type{Kind: schema.Text, MaxLength: 3, Scale: schema.AnyScale}, Required: true})
	for name, tt := range map[string]struct {
		file  string
		units int // so many at least, of what goes out
	}{
		"of one dimension":     {head + "{value: 'convert(decimal(src.confirmation.yield), src.confirmation.unit, \"KGM\", 3, \"half-up\")'}\n  u: src.confirmation.unit\n", 5},
		"of every dimension":   {head + "'unitCode(src.confirmation.unit, \"unece\", \"sap\")'\n  u: src.confirmation.unit\n", 15},
		"of a table":           {"tables: {u: {rows: {KAR: CT, PAL: PF}}}\n" + head + "'lookup(\"u\", src.confirmation.unit)'\n  u: src.confirmation.unit\n", 2},
		"of a document of SAP": {"from: {document: D}\nto: {kind: '\"test.came\"', key: event.id}\nfields:\n  q: 'convert(decimal(src.Quantity), src.ProductionUnit, \"L\", 3, \"half-up\")'\n  u: src.ProductionUnit\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(tt.file)}})
			if err != nil {
				t.Fatal(err)
			}
			units := map[string]bool{}
			check := func(_ string, _ mapping.Example, m mapping.Made) []string {
				var d struct{ U string }
				if err := json.Unmarshal(m.Body, &d); err != nil {
					return []string{err.Error()}
				}
				units[d.U] = true
				return nil
			}
			r, err := s.Test(t.Context(), mapping.TestConfig{Fuzz: 100, Seed: 1, Check: check, Document: func(string) *schema.Type { return sap }})
			if err != nil || len(r.Cases) == 0 || !r.OK() || r.Cases[len(r.Cases)-1].Mapped < 10 || len(units) < tt.units {
				t.Errorf("got %+v, %v, with the units %v, want at least 10 mapped, of %d units", r.Cases, err, slices.Sorted(maps.Keys(units)), tt.units)
			}
		})
	}
}

// TestAnExampleIsOfTheVersionThatItsMappingTakes: a mapping for the second version of a kind had no example that it took.
func TestAnExampleIsOfTheVersionThatItsMappingTakes(t *testing.T) {
	s, err := mapping.Load(fstest.MapFS{
		"slot.changed.yaml":         {Data: []byte("from: {kind: slot.changed, version: 2}\nto: {operation: post}\nfields: {a: src.a}\n")},
		"slot.changed.example.yaml": {Data: []byte("- {name: its own, kind: slot.changed, body: '{\"a\":\"b\"}', want: {target: post, body: '{\"a\":\"b\"}'}}\n- {name: another, kind: slot.changed, version: 1, body: '{\"a\":\"b\"}'}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Test(t.Context(), mapping.TestConfig{})
	if err != nil || len(r.Cases) != 2 || !r.Cases[0].OK() || r.Cases[1].OK() || !strings.Contains(r.Cases[1].Errors[0], "the mapping is for version 2") {
		t.Errorf("got %+v, %v", r.Cases, err)
	}
	e, err := s.Examples("slot.changed")
	if err != nil || e[0].Message().Version != 2 || e[1].Message().Version != 1 {
		t.Errorf("got %+v, %v", e, err)
	}
}
