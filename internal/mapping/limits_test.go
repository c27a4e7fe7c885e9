package mapping_test

import (
	"slices"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// limited is a contract with each limit that a text or a number can have.
const limited = `openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /posts:
    post:
      operationId: post
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Post'}}}}
      responses: {'201': {description: made}}
components:
  schemas:
    Post:
      type: object
      additionalProperties: false
      properties:
        order: {type: string, pattern: '^[0-9]{12}$'}
        movement: {type: string, pattern: '^[A-Z][0-9]{2}$', maxLength: 3}
        ahead: {type: string, pattern: '^(?=A)[A-Z]+$'}
        name: {type: string, minLength: 2, maxLength: 80}
        at: {type: string, format: time}
        unit: {type: string, enum: [KG, G]}
        batch: {type: integer, multipleOf: 5}
        share: {type: number, multipleOf: 0.25, minimum: 0, maximum: 10}
        fine: {type: number, multipleOf: 1e-3}
        amount: {type: string, pattern: '^-?[0-9]{1,5}([.][0-9]{1,3})?$', format: decimal}
        count: {type: integer, minimum: -32768, maximum: 32767}
        grade: {type: integer, enum: [1, 2, 3]}
        text: {type: string, pattern: '^-?[0-9]{1,5}([.][0-9]{3})?$', format: decimal}
        either: {anyOf: [{type: string, pattern: '^[0-9]+$'}, {type: string, pattern: '^[A-Z]+$', minLength: 3}]}
        mixed: {oneOf: [{type: string, enum: [low]}, {type: integer, multipleOf: 5}]}
        maybe: {anyOf: [{type: string, pattern: '^[0-9]+$'}, {type: 'null'}]}
        codes: {type: array, items: {type: string, pattern: '^[A-Z]$'}}
`

// TestATargetsLimitsOfWhatIsWritten: what stands in the mapping or its tables is held against each limit of its target before a message runs.
func TestATargetsLimitsOfWhatIsWritten(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const fit = "write it as the contract has it, here or in the table's row"
	tests := []struct{ name, file, want string }{
		{"a constant of another pattern", "  order: {const: '42'}\n", `m.yaml:4:10: fields.order: it can be "42", and order takes what matches ^[0-9]{12}$ (` + fit + `)`},
		{"a literal of another pattern", "  order: '\"42\"'\n", `m.yaml:4:11: fields.order: it can be "42", and order takes what matches ^[0-9]{12}$ (` + fit + `)`},
		{"a literal of another pattern, in one of two cases", "  order: 'src.confirmation.final ? src.order.number : \"42\"'\n", `m.yaml:4:55: fields.order: it can be "42", and order takes what matches ^[0-9]{12}$ (` + fit + `)`},
		{"a literal in place of what is missing", "  order: 'src.confirmation.?reason.orValue(\"none\")'\n", `m.yaml:4:44: fields.order: it can be "none", and order takes what matches ^[0-9]{12}$ (` + fit + `)`},
		{"a default of another pattern", "  order: {value: src.confirmation.?reason, default: '\"none\"'}\n", `m.yaml:4:54: fields.order.default: it can be "none", and order takes what matches ^[0-9]{12}$ (` + fit + `)`},
		{
			"a row of a table of another pattern", "  movement: 'lookup(\"m\", src.confirmation.unit)'\ntables: {m: {rows: {PCE: A01, KGM: '102'}}}\n",
			`m.yaml:5:36: fields.movement: it can be "102", and movement takes what matches ^[A-Z][0-9]{2}$ (` + fit + `)`,
		},
		{
			"a row of a table that keeps what it does not know", "  movement: {value: 'lookup(\"m\", src.confirmation.unit)', maxLength: 3}\ntables: {m: {missing: keep, rows: {PCE: A01, KGM: '102'}}}\n",
			`m.yaml:5:51: fields.movement: it can be "102", and movement takes what matches ^[A-Z][0-9]{2}$ (` + fit + `)`,
		},
		{
			"what a table says of another code", "  movement: 'lookup(\"m\", src.confirmation.unit)'\ntables: {m: {otherwise: '999', rows: {PCE: A01}}}\n",
			`m.yaml:5:25: fields.movement: it can be "999", and movement takes what matches ^[A-Z][0-9]{2}$ (` + fit + `)`,
		},
		{"a text that is too short", "  name: {const: x}\n", `m.yaml:4:9: fields.name: it can be "x", and name takes at least 2 characters (` + fit + `)`},
		{"no text at all", "  name: 'src.confirmation.?reason.orValue(\"\")'\n", `m.yaml:4:43: fields.name: it can be "", and name takes at least 2 characters (` + fit + `)`},
		{"a time of day that is none", "  at: {const: '6:30'}\n", `m.yaml:4:7: fields.at: it can be "6:30", and at is a time (` + fit + `)`},
		{"a code that is none, in one of two cases", "  unit: {value: 'src.confirmation.final ? src.confirmation.unit : \"GR\"'}\n", `m.yaml:4:67: fields.unit: it can be "GR", and unit knows no such value (did you mean G?)`},
		{"a whole number between two steps", "  batch: {const: 12}\n", `m.yaml:4:10: fields.batch: it can be 12, and batch goes in steps of 5 (` + fit + `)`},
		{"a decimal between two steps", "  share: {value: 'decimal(\"0.3\")', as: number}\n", `m.yaml:4:18: fields.share: it can be 0.3, and share goes in steps of 0.25 (` + fit + `)`},
		{"a number that is none of those there are", "  grade: {const: 4}\n", `m.yaml:4:10: fields.grade: it can be 4, and grade takes 1, 2, 3 (` + fit + `)`},
		{"a decimal as a text of another pattern", "  text: 'decimal(\"1.5\")'\n", `m.yaml:4:9: fields.text: it can be "1.5", and text takes what matches ^-?[0-9]{1,5}([.][0-9]{3})?$ (` + fit + `)`},
		{"an element of another pattern", "  codes: {each: '[src.plant]', value: '\"a\"'}\n", `m.yaml:4:40: fields.codes: it can be "a", and codes takes what matches ^[A-Z]$ (` + fit + `)`},
		{"a text of another pattern, or null", "  maybe: {const: A}\n", `m.yaml:4:10: fields.maybe: it can be "A", and maybe takes what matches ^[0-9]+$ (` + fit + `)`},
		{
			"a whole number of more digits", "  amount: {value: 'int(round(decimal(src.confirmation.yield), 0, \"half-up\"))', as: string}\n",
			"m.yaml:4:19: fields.amount: it can have 14 digits before the point, and amount takes 5 (add maxDigits: 5, which stops a larger one)",
		},
		{"right: a whole number with a limit", "  amount: {value: 'int(round(decimal(src.confirmation.yield), 0, \"half-up\"))', as: string, maxDigits: 5, scale: 3}\n", ""},
		{
			"a literal beside a text of digits", "  amount: 'decimal(src.confirmation.final ? src.confirmation.operation : \"12.12345\")'\n",
			"m.yaml:4:11: fields.amount: it can have 5 places behind the point, and amount takes 3 (add maxScale: 3 (or scale: 3, which fills up with zeros) and round:)",
		},
		{
			"a long literal beside a text of digits", "  amount: 'decimal(src.confirmation.final ? src.confirmation.operation : \"123456\")'\n",
			"m.yaml:4:11: fields.amount: it can have 6 digits before the point, and amount takes 5 (add maxDigits: 5, which stops a larger one)",
		},
		{
			"a text whose pattern the target's pattern forbids", "  order: src.confirmation.operation\n",
			"m.yaml:4:10: fields.order: it fits ^[0-9]{4}$, and order takes what matches ^[0-9]{12}$ (fill it up, take a part of it, or look it up in a table)",
		},
		{
			"a text that is always too short", "  order: 'src.order.?erpNumber.orValue(\"\").matches(\"^[A-Z]{1,3}$\") ? src.order.?erpNumber.orValue(\"\") : \"000000000042\"'\n",
			"m.yaml:4:10: fields.order: it fits ^[A-Z]{1,3}$, and order takes what matches ^[0-9]{12}$ (fill it up, take a part of it, or look it up in a table)",
		},
		{
			"a text of one character where two are needed", "  name: 'src.plant.substring(0, 1)'\n",
			"m.yaml:4:9: fields.name: it has at most 1 characters, and name takes at least 2 (fill it up, take a part of it, or look it up in a table)",
		},
		{
			"a text whose pattern no code fits", "  unit: src.confirmation.operation\n",
			"m.yaml:4:9: fields.unit: it fits ^[0-9]{4}$, and unit knows no such value (look it up in a table; it takes KG, G)",
		},
		{"right: a pattern that the target's covers", "  order: 'pad(src.confirmation.operation, 12, \"0\")'\n  name: src.confirmation.operation\n", ""},
		{"right: one of two patterns", "  either: {const: '42'}\n", ""},
		{"right: one of two kinds", "  mixed: {const: low}\n", ""},
		{
			"right: a text where it is not empty", "  name: {when: 'src.confirmation.?reason.orValue(\"\") != \"\" && src.plant != \"\"', value: 'src.confirmation.?reason.orValue(\"\")', maxLength: 80}\n" +
				"  at: {value: 'src.confirmation.?reason.orValue(\"\") == \"\" ? \"06:30:00\" : src.confirmation.?reason.orValue(\"\")', maxLength: 80}\n", "",
		},
		{
			"a text where it is another that is not empty", "  name: {when: 'src.confirmation.?reason.orValue(\"\") != \"\"', value: 'src.confirmation.?text.orValue(\"\")', maxLength: 80}\n",
			`m.yaml:4:101: fields.name: it can be "", and name takes at least 2 characters (` + fit + `)`,
		},
		{"right: a constant", "  order: {const: '000000000042'}\n", ""},
		{"right: a pattern that Go does not know", "  ahead: {const: b}\n", ""},
		{"right: a text that is cut first", "  movement: {const: A01}\n", ""},
		{"right: rows", "  movement: 'lookup(\"m\", src.confirmation.unit)'\ntables: {m: {rows: {PCE: A01}}}\n", ""},
		{"right: steps", "  batch: {const: 10}\n  share: {value: 'decimal(\"0.75\")', as: number}\n  fine: {value: 'decimal(\"0.125\")', as: number}\n  grade: {const: 2}\n", ""},
		{"right: a time of day", "  at: {const: '06:30:00'}\n", ""},
		{"right: a decimal as it is written", "  text: {value: 'decimal(\"1.5\")', scale: 3}\n", ""},
		{"right: what is not known", "  order: {value: src.order.number, maxLength: 12}\n  name: {value: src.confirmation.?reason, maxLength: 80}\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := "from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n" + tt.file
			got := mistakesOf(file, mapping.FromOpenAPI(doc))
			if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Contains(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if tt.want != "" {
				reachesNoLink(t, file, mapping.FromOpenAPI(doc))
			}
		})
	}
}

// TestAWholeNumberThatIsMadeHasBounds: int has those of what it is made of, or its own, where the target's are narrower.
func TestAWholeNumberThatIsMadeHasBounds(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const more, less = "count is at most 32767 (a message with more would be refused by the contract)", "count is at least -32768 (a message with less would be refused by the contract)"
	for field, want := range map[string][]string{
		`'int(round(decimal(src.confirmation.yield), 0, "half-up"))'`:                                  {"m.yaml:4:10: fields.count: it can be 99999999999999, and " + more},
		`'int(-round(decimal(src.confirmation.yield), 0, "half-up"))'`:                                 {"m.yaml:4:10: fields.count: it can be -99999999999999, and " + less},
		`{value: 'round(decimal(src.confirmation.yield), 0, "half-up")', scale: 0, as: number}`:        {"m.yaml:4:18: fields.count: it can be 99999999999999, and " + more},
		`{value: int(decimal(src.order.number)), required: true}`:                                      {"m.yaml:4:18: fields.count: it can be -9223372036854775808, and " + less, "m.yaml:4:18: fields.count: it can be 9223372036854775807, and " + more},
		`'int(src.confirmation.final ? src.confirmation.operation : "-40000")'`:                        {"m.yaml:4:10: fields.count: it can be -40000, and " + less},
		`'int(src.confirmation.final ? src.confirmation.operation : "40000")'`:                         {"m.yaml:4:10: fields.count: it can be 40000, and " + more},
		`{value: 'int(src.confirmation.operation)', required: true}`:                                   nil,
		`{value: 'int(round(decimal(src.confirmation.yield), 0, "half-up"))', maxDigits: 4}`:           nil,
		`'decimal(src.confirmation.yield) <= 100 ? int(round(decimal("12.5"), 0, "half-up")) : 32767'`: nil,
	} {
		if got := mistakesOf("from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n  count: "+field+"\n", mapping.FromOpenAPI(doc)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", field, got, want)
		}
	}
}
