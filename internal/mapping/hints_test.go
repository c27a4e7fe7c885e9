package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// TestHintsForATextInAQuantityLeadToAnEnd does what each hint says, letter by letter, until nothing is found any more.
func TestHintsForATextInAQuantityLeadToAnEnd(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type step struct{ field, hint string }
	for _, chain := range [][]step{
		{
			{"share: src.confirmation.yield", "wrap it: decimal(…), and add as: number"},
			{"share: {value: decimal(src.confirmation.yield), as: number}", "add maxScale: 2 (or scale: 2, which fills up with zeros) and round:"},
			{"share: {value: decimal(src.confirmation.yield), as: number, maxScale: 2, round: half-up}", ""},
		},
		{
			{"share: decimal(src.confirmation.yield)", "add as: number"},
			{"share: {value: decimal(src.confirmation.yield), as: number, scale: 2}", "add round: half-up"},
			{"share: {value: decimal(src.confirmation.yield), as: number, scale: 2, round: half-up}", ""},
		},
		{
			{"amount: src.confirmation.workCentre", "write decimal(…), of a text that holds a number"},
			{"amount: decimal(src.confirmation.workCentre)", "say required: true, which stops a message with another text"},
			{"amount: {value: decimal(src.confirmation.workCentre), required: true}", "add maxScale: 3 (or scale: 3, which fills up with zeros) and round:"},
			{"amount: {value: decimal(src.confirmation.workCentre), required: true, maxScale: 3, round: half-up}", "add maxDigits: 5, which stops a larger one"},
			{"amount: {value: decimal(src.confirmation.workCentre), required: true, maxScale: 3, round: half-up, maxDigits: 5}", ""},
		},
		{
			{"amount: src.confirmation.operation", "write decimal(…), of a text that holds a number"},
			{"amount: decimal(src.confirmation.operation)", ""},
		},
		{
			{"share: {value: src.confirmation.workCentre, as: number}", "write decimal(…), of a text that holds a number"},
			{"share: {value: decimal(src.confirmation.workCentre), as: number}", "say required: true"},
			{"share: {value: decimal(src.confirmation.workCentre), as: number, required: true, maxScale: 2, round: half-up}", ""},
		},
		{
			{"batch: src.confirmation.yield", "wrap it: int(…)"},
			{"batch: int(src.confirmation.yield)", `of a text with a decimal write int(round(decimal(…), 0, "half-up"))`},
			{`batch: 'int(round(decimal(src.confirmation.yield), 0, "half-up"))'`, ""},
		},
		{
			{"amount: {value: src.confirmation.yield, as: number}", "add as: string"},
			{"amount: {value: src.confirmation.yield, as: string}", "add maxScale: 3"},
			{"amount: {value: src.confirmation.yield, as: string, maxScale: 3, round: half-up}", "add maxDigits: 5"},
			{"amount: {value: src.confirmation.yield, as: string, maxScale: 3, round: half-up, maxDigits: 5}", ""},
		},
		{
			{`amount: {value: 'round(src.confirmation.yield, 3, "half-up")', maxDigits: 5}`, "write decimal(…) of the text"},
			{`amount: {value: 'round(decimal(src.confirmation.yield), 3, "half-up")', maxDigits: 5}`, ""},
		},
		{
			{"share: {value: abs(src.confirmation.yield), as: number, maxScale: 2, round: half-up}", "write decimal(…) of the text"},
			{"share: {value: abs(decimal(src.confirmation.yield)), as: number, maxScale: 2, round: half-up}", ""},
		},
		{
			{`amount: {value: 'src.confirmation.yield * 2', maxScale: 3, round: half-up, maxDigits: 5}`, "decimal(…) for quantities"},
			{`amount: {value: 'decimal(src.confirmation.yield) * 2', maxScale: 3, round: half-up, maxDigits: 5}`, ""},
		},
		{
			{`amount: {value: 'src.confirmation.yield + src.confirmation.scrap', maxScale: 3, round: half-up, maxDigits: 5}`, "write decimal(…) on both sides"},
			{`amount: {value: 'decimal(src.confirmation.yield) + decimal(src.confirmation.scrap)', maxScale: 3, round: half-up, maxDigits: 5}`, ""},
		},
	} {
		for _, s := range chain {
			var got []string
			for _, m := range mistakesOf("from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n  "+s.field+"\n", mapping.FromOpenAPI(doc)) {
				if !strings.Contains(m, "would be refused by the contract") { // a bound, which the contract alone can stop
					got = append(got, m)
				}
			}
			if s.hint == "" && len(got) > 0 || s.hint != "" && !strings.Contains(strings.Join(got, "\n"), s.hint) {
				t.Errorf("%s:\ngot  %q\nwant %q", s.field, got, s.hint)
			}
		}
	}
}

// TestSlipsOfANewcomer are named for what they are.
func TestSlipsOfANewcomer(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const comma = `"1,5" has a comma, and a number has a point (write 1.5)`
	for _, tt := range []struct{ fields, want string }{
		{"  name: {const: src.plant}\n", `m.yaml:4:17: fields.name: it writes the letters "src.plant" into every document, and not what the field holds (write value: src.plant; letters that look like a field can be made: '"src" + ".plant"')`},
		{"  name: {const: event.id}\n", `m.yaml:4:17: fields.name: it writes the letters "event.id" into every document, and not what the field holds (write value: event.id; letters that look like a field can be made: '"event" + ".id"')`},
		{"  name: {const: srcplant.x}\n", ""},
		{"  amount: 'decimal(\"1,5\")'\n", "m.yaml:4:20: fields.amount: " + comma},
		{"  amount: {const: '1,5'}\n", "m.yaml:4:11: fields.amount: " + comma},
		{"  share: {value: 'lookup(\"t\", src.confirmation.unit)', as: number}\ntables: {t: {rows: {KGM: '1,5', PCE: '2'}, otherwise: '1'}}\n", "m.yaml:5:26: fields.share: " + comma},
		{"  amount: 'decimal(lookup(\"t\", src.confirmation.unit))'\ntables: {t: {rows: {KGM: '1,5'}}}\n", "m.yaml:5:26: fields.amount: " + comma},
		{"  amount: {const: 1,5}\n", `m.yaml:4:21: fields.amount: there is no key "5" (a number has a point: 1.5; a comma parts the keys)`},
		{"  name: src.plant\n   at: src.plant\n", `m.yaml:5:6: the file: it is not YAML: mapping values are not allowed in this context (begin it with 2 blanks, as "name:" above it; put an expression that holds ': ' or ' #' or begins with a sign in quotes)`},
		{"  name:\n    value: src.plant\n   maxLength: 3\n", `m.yaml:6:4: the file: it is not YAML: did not find expected key (begin it with 4 blanks, as "value:" above it, or with 2, as "name:")`},
		{"  name:\n  value: src.plant\n", `m.yaml:4:8: fields.name: nothing stands behind the colon (write a text there, or the keys of name below it, each with more blanks before it)`},
		{"name: src.plant\n", `m.yaml:4:1: the mapping: there is no key "name" (a field stands below fields:, with more blanks before it; it knows from, to, tables, when, params, use, fields, body)`},
		{"  - name: src.plant\n", `m.yaml:4:3: fields: it is not an object (write its keys below it, indented, without - before them)`},
	} {
		got := mistakesOf("from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n"+tt.fields, mapping.FromOpenAPI(doc))
		if tt.want == "" && len(got) > 0 || tt.want != "" && !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%q:\ngot  %q\nwant %q", tt.fields, got, tt.want)
		}
	}
}
