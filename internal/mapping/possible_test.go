package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// TestAnExampleIsOneThatItsSourceSends: what the plant or the ERP can never send proves nothing, and is told at its place.
func TestAnExampleIsOneThatItsSourceSends(t *testing.T) {
	const out, in = "from: {kind: order.completed}\nto: {operation: post}\nfields: {n: src.order.id}\n", "from: {document: U}\nto: {kind: '\"test.happened\"', key: src.number}\nfields: {n: src.number}\n"
	const sent = `{
  "plant": "1000", "zone": "Europe/Berlin",
  "order": {"id": "o-1", "number": "000001000001", "erpNumber": "000001000001", "material": "FG-100", "unit": "PCE"},
  "completedAt": "2026-11-24T23:30:00Z", "yield": "10", "scrap": "0", "rework": "0", "received": "10"
}`
	literal := func(body string) string {
		return "- name: one\n  kind: order.completed\n  body: |\n    " + strings.ReplaceAll(body, "\n", "\n    ") + "\n"
	}
	inline := func(body string) string {
		return "- {name: one, body: '" + body + "', want: {kind: test.happened, key: a}}\n"
	}
	const plant, erp = " (write it as the plant sends it; the example that holdfast mapping new writes is such a one)", " (write it as the contract of the ERP has it)"
	for _, tt := range []struct {
		name, mapping, examples string
		want                    []string
	}{
		{"one that is sent", out, literal(sent), nil},
		{"no field", out, literal(strings.Replace(sent, `"id": "o-1", `, "", 1)), []string{`m.example.yaml:6:7: example "one": /order: it has no id` + plant}},
		{"a slip in a name", out, literal(strings.Replace(sent, `"erpNumber"`, `"erpNumer"`, 1)), []string{`m.example.yaml:6:56: example "one": /order/erpNumer: there is no such field: did you mean erpNumber?` + plant}},
		{"another kind of value", out, literal(strings.Replace(sent, `"PCE"`, `true`, 1)), []string{`m.example.yaml:6:107: example "one": /order/unit: it is no text` + plant}},
		{"what the ERP sends", in, inline(`{"number":"a","x":1}`), nil},
		{"a part of what the ERP sends", in, inline(`{"codes":["A"]}`), nil},
		{"too long for the ERP", in, inline(`{"number":"abcde"}`), []string{`m.example.yaml:1:23: example "one": /number: it has 5 characters, and 4 are allowed` + erp}},
		{"an element of a list", in, inline(`{"number":"a","codes":["A","A","B"]}`), []string{`m.example.yaml:1:53: example "one": /codes/2: "B" is none of what it can be: A` + erp}},
		{"no JSON", in, inline(`{"number":`), nil}, // which is told where it is mapped
	} {
		document := schema.NewObject("U", &schema.Field{Name: "number", Type: &schema.Type{Kind: schema.Text, MaxLength: 4}, Required: true},
			&schema.Field{Name: "codes", Type: &schema.Type{Kind: schema.List, Item: &schema.Type{Kind: schema.Text, Enum: []string{"A"}}}})
		s, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(tt.mapping)}, "m.example.yaml": {Data: []byte(tt.examples)}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Impossible("m", document)
		var got []string
		for _, m := range found {
			got = append(got, m.Error())
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q, %v\nwant %q", tt.name, got, err, tt.want)
		}
		r, err := s.Test(t.Context(), mapping.TestConfig{Document: func(string) *schema.Type { return document }})
		if err != nil || len(r.Cases) != 1 {
			t.Fatal(r, err)
		}
		for _, want := range tt.want {
			if !slices.Contains(r.Cases[0].Errors, want) {
				t.Errorf("%s: mapping test says %q", tt.name, r.Cases[0].Errors)
			}
		}
	}
}
