package mapping_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// TestPlantedTextsWithoutRoom: a text that stands in a mapping or a table's row, and for which there is no room, is found where it stands.
func TestPlantedTextsWithoutRoom(t *testing.T) {
	plants(t, []plant{
		{
			"a row that its rule has no room for", "tables: {reason: {rows: {A: broken, B: 'out of tolerance'}, otherwise: 'no reason at all'}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`m.yaml:1:40: fields.text: "out of tolerance" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a word for what is missing that its rule has no room for", "tables: {reason: {rows: {A: broken}, otherwise: 'no reason at all'}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`m.yaml:1:49: fields.text: "no reason at all" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a row in capitals that its rule has no room for", "tables: {reason: {rows: {A: broken, B: tolerance}, missing: keep}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit).upper()', maxLength: 6}\n",
			`m.yaml:1:40: fields.text: "TOLERANCE" has 9 characters, and maxLength stops each message with more than 6 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
		{
			"a row behind a prefix that its rule has no room for", "tables: {reason: {rows: {A: broken, B: tolerance}}}\n" + planted + "  text: {value: '\"R-\" + lookup(\"reason\", src.confirmation.unit)', maxLength: 8}\n",
			`m.yaml:1:40: fields.text: "R-tolerance" has 11 characters, and maxLength stops each message with more than 8 (write a shorter one, make room for it: maxLength: 11, or say cut: true if the rest may be lost)`,
		},
		{
			"a code, read back, that its rule has no room for", "tables: {reason: {rows: {A: '1', tolerance: '2'}}}\n" + planted + "  text: {value: 'reverse(\"reason\", src.confirmation.unit)', maxLength: 6}\n",
			`m.yaml:1:34: fields.text: "tolerance" has 9 characters, and maxLength stops each message with more than 6 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
		{
			"a row of a file that its rule has no room for", "tables: {reason: {file: reasons.csv}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`reasons.csv:3:3: fields.text: "out of tolerance" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a row that the target has no room for", "tables: {unit: {rows: {KGM: KG, GRM: 'GRAMMES'}}}\n" + without[:len(without)-len("  unit: src.confirmation.unit\n  postingDate: src.confirmation.postingDate\n")] +
				"  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.postingDate\n  unit: 'lookup(\"unit\", src.confirmation.unit)'\n",
			`m.yaml:1:38: fields.unit: "GRAMMES" has 7 characters, and unit takes 6 (write a shorter one, or add maxLength: 6 and cut: true if the rest may be lost)`,
		},
		{
			"a row that is no number, as a number", "tables: {factor: {rows: {KGM: '1', GRM: '0,001'}}}\n" + without + "  yield: {value: 'lookup(\"factor\", src.confirmation.unit)', as: number}\n",
			`m.yaml:1:41: fields.yield: "0,001" has a comma, and a number has a point (write 0.001)`,
		},
		{
			"a text of the mapping that its rule has no room for", planted + "  text: {value: 'src.confirmation.final ? \"finished\" : \"partial\"', maxLength: 7}\n",
			`m.yaml:10:43: fields.text: "finished" has 8 characters, and maxLength stops each message with more than 7 (write a shorter one, make room for it: maxLength: 8, or say cut: true if the rest may be lost)`,
		},
		{
			"a default that its rule has no room for", planted + "  text: {value: src.confirmation.?reason, default: '\"no reason\"', maxLength: 7}\n",
			`m.yaml:10:53: fields.text.default: "no reason" has 9 characters, and maxLength stops each message with more than 7 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
	})
}

// TestARowThatIsNotAskedForNeedsNoRoom: where an expression names the codes that it looks up, the other rows of the table are not its own.
func TestARowThatIsNotAskedForNeedsNoRoom(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const anyRow = `lookup("t", src.confirmation.unit) + src.plant`
	for _, tt := range []struct {
		name, tables, all, value string
		refused                  bool
	}{
		{"one row", "{A: KG, B: KILOGRAM}", anyRow, `lookup("t", "A")`, false},
		{"two rows", "{A: KG, B: KILOGRAM, C: G}", anyRow, `lookup("t", src.confirmation.final ? "A" : "C")`, false},
		{"one of two is too long", "{A: KG, B: KILOGRAM, C: G}", anyRow, `lookup("t", src.confirmation.final ? "A" : "B")`, true},
		{"any row", "{A: KG, B: KILOGRAM}", anyRow, `lookup("t", src.confirmation.unit)`, true},
		{"what stands for others", "{A: KG, B: G}, otherwise: KILOGRAM", anyRow, `lookup("t", "C")`, true},
		{"what stands for others, of which there is none", "{A: KG, B: G}, otherwise: KILOGRAM", anyRow, `lookup("t", "A")`, false},
		{"the other way", "{KG: A, KILOGRAM: B}", "reverse(\"t\", src.plant)", `reverse("t", "A")`, false},
	} {
		for _, keys := range []string{"", ", maxLength: 3"} {
			file := "from: {kind: operation.confirmed}\nto: {operation: post}\ntables: {t: {rows: " + tt.tables + "}}\nfields:\n" +
				"  name: {value: '" + tt.all + "', maxLength: 80}\n  unit: {value: '" + tt.value + "'" + keys + "}\n"
			set, err := mapping.Load(fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte(file)}})
			refused := err != nil
			if set != nil {
				for _, f := range set.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
					refused = refused || f.Refused
					err = errors.Join(err, &f.Mistake)
				}
			}
			if refused != tt.refused {
				t.Errorf("%s%s: refused is %t: %v", tt.name, keys, refused, err)
			}
		}
	}
}

// TestAQuotientWithoutAScaleHasAnyNumberOfPlaces: the third argument of ratio is what it divides by.
func TestAQuotientWithoutAScaleHasAnyNumberOfPlaces(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		value   string
		refused bool
	}{
		{`ratio(decimal(src.confirmation.yield), 1, 2)`, true},
		{`ratio(decimal(src.confirmation.yield), 3, 2)`, true},
		{`-ratio(decimal(src.confirmation.yield), 1, 2)`, true},
		{`src.confirmation.final ? ratio(decimal(src.confirmation.yield), 1, 2) : decimal("1")`, true},
		{`ratio(decimal(src.confirmation.yield), 1, 2, 3, "half-up")`, false},
		{`round(ratio(decimal(src.confirmation.yield), 1, 2), 3, "half-up")`, false},
		{`ratio(decimal(src.confirmation.yield), 1, 2, 4, "half-up")`, true},
	} {
		set, err := mapping.Load(fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n  amount: {value: '" + tt.value + "', maxDigits: 5}\n")}})
		if err != nil {
			t.Fatal(err)
		}
		refused := false
		for _, f := range set.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
			refused = refused || f.Refused
		}
		if refused != tt.refused {
			t.Errorf("%s: refused is %t", tt.value, refused)
		}
	}
}

// TestADefaultOfElementsIsNoneOfTheirList: it stands in for an element without a value, and where there is no list there is nothing.
func TestADefaultOfElementsIsNoneOfTheirList(t *testing.T) {
	doc, err := contract.Load([]byte(strings.Replace(limited, "additionalProperties: false\n", "additionalProperties: false\n      required: [all]\n", 1)+
		"        all: {type: array, minItems: 1, items: {type: string}}\n"), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ rule, want string }{
		{`{each: 'src.lot.?notes', item: c, value: c.text, default: '"x"'}`, "fields.all: it may have no value, and operation post requires all (say required: true, which stops a message without it)"},
		{`{each: 'src.lot.?notes', item: c, value: c.text, required: true}`, ""},
		{`{each: '[src.lot]', item: c, value: c.?supplierBatch}`, "fields.all: an element without a value is left out of the list, and all needs 1 (give it a default:, which stands in for it)"},
		{`{each: '[src.lot]', item: c, value: c.?supplierBatch, default: '"x"'}`, ""},
	} {
		set, err := mapping.Load(fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: lot.created}\nto: {operation: post}\nfields:\n  all: " + tt.rule + "\n")}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range set.Check("m", "lot.created", mapping.FromOpenAPI(doc)) {
			if !strings.Contains(f.Why, "can have 0 elements") {
				got = append(got, f.Error())
			}
		}
		if all := strings.Join(got, "; "); !strings.HasSuffix(all, tt.want) || (tt.want == "") != (all == "") {
			t.Errorf("%s: %v, want %q", tt.rule, got, tt.want)
		}
	}
}
