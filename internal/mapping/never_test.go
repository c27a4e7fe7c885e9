package mapping_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// TestPlantedRulesThatNeverMatter: what is the same for every message, or never anything, is told.
func TestPlantedRulesThatNeverMatter(t *testing.T) {
	const dead = "there is never a value, so that the rule is dead (leave it out: what has no value is not written)"
	plants(t, []plant{
		{"null alone", planted + "  text: 'null'\n", "m.yaml:10:9: fields.text: " + dead},
		{"null on both sides", planted + "  text: {value: 'src.confirmation.final ? null : null'}\n", "m.yaml:10:17: fields.text: " + dead},
		{"null in the place of what is missing", planted + "  text: {value: src.confirmation.?text, default: 'null', maxLength: 40}\n", "m.yaml:10:50: fields.text.default: " + dead},
		{
			"a choice by true", planted + "  text: 'true ? event.id : src.plant'\n",
			"m.yaml:10:10: fields.text: this is true for every message, so that one side is never used (leave the other side out)",
		},
		{
			"a choice by false, inside", planted + "  text: '\"x\" + (false ? \"a\" : src.plant)'\n",
			"m.yaml:10:17: fields.text: this is false for every message, so that one side is never used (leave the other side out)",
		},
		{
			"a part of an or that is false", planted + "  final: 'src.confirmation.final || false'\n",
			"m.yaml:10:37: fields.final: this never holds, so that it is dead (compare with a value that there can be, or leave it out)",
		},
	})
	if got := mistakesOf("from: {kind: operation.confirmed}\nto: {operation: other}\nfields:\n  b: 'src.confirmation.final && true'\n", oneOperation{}); len(got) > 0 {
		t.Errorf("right: %q", got)
	}
}

// TestANumberWithAnExponentIsNoText: an ERP reads 1e3 in a text as no number.
func TestANumberWithAnExponentIsNoText(t *testing.T) {
	const head = "from: {kind: operation.confirmed}\nto: {operation: other}\ntables: {f: {rows: {KGM: '1', TNE: '1E3'}}}\nfields:\n  u: 'lookup(\"f\", src.confirmation.unit)'\n"
	n := &schema.Type{Kind: schema.Text, Format: schema.IsDecimal, Digits: 10, Scale: 3, Loose: true} // Edm.Decimal of OData V2
	body := schema.NewObject("post", &schema.Field{Name: "n", Type: n})
	body.Open = true
	edm := oneOperation{body: body}
	for _, tt := range []plant{
		{"a constant", "  n: {const: '1e3'}\n", `m.yaml:6:6: fields.n: "1e3" has an exponent, and n is written without one (write 1000)`},
		{"a text", "  n: '\"1e-3\"'\n", `m.yaml:6:7: fields.n: "1e-3" has an exponent, and n is written without one (write 0.001)`},
		{"a row", "  n: 'lookup(\"f\", src.confirmation.unit)'\n", `m.yaml:3:36: fields.n: "1E3" has an exponent, and n is written without one (write 1000)`},
		{"a constant that is no number", "  n: {const: '1,5'}\n", `m.yaml:6:6: fields.n: "1,5" has a comma, and a number has a point (write 1.5)`},
	} {
		if got := mistakesOf(head+tt.file, edm); !slices.Contains(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
	for _, right := range []string{"  n: {const: '1000.5'}\n", "  n: {value: '\"1e3\"', as: number}\n", "  n: decimal(\"1e3\")\n"} {
		if got := mistakesOf(head+right, edm); len(got) > 0 {
			t.Errorf("%s: got %q, want none", right, got)
		}
	}
}

// TestAFragmentThatNothingUsesIsTold: nothing looks into its fields, so that a slip in it would be found by who uses it first.
func TestAFragmentThatNothingUsesIsTold(t *testing.T) {
	own := fstest.MapFS{
		"m.yaml":           {Data: []byte("from: {kind: operation.confirmed}\nto: {operation: other}\nuse: a\n")},
		"x.fragments.yaml": {Data: []byte("fragments:\n  a: {use: b}\n  b: {fields: {n: event.id}}\n  c: {fields: {n: event.idd}}\n")},
	}
	s, err := mapping.Load(mapping.Library(), own)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Idle() {
		got = append(got, m.Error())
	}
	if want := []string{"x.fragments.yaml:4:3: fragments.c: no mapping uses this fragment, and its fields are not checked (leave it out, or use it: use: c)"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
