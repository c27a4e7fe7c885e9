package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/mapping"
)

// TestEachPartOfAMappingIsCounted: of a mapping with every form of rule, each example uses what it is there for, and what none uses is named. Nothing
// that an example does not reach counts as used, as a choice in a condition did for that in the value behind it.
func TestEachPartOfAMappingIsCounted(t *testing.T) {
	const head = "from: {document: Loose}\nto:\n  kind: 'src.?done.orValue(false) ? \"test.ended\" : \"test.began\"'\n  key: src.id\n"
	tests := []struct {
		name, mapping string
		bodies        []string
		unused        []string // of the parts, without file and place
	}{
		{"what a message becomes", "fields: {a: src.id}", []string{`{"id":"1"}`}, []string{"to.kind: choice 1, the side behind ?"}},
		{"the condition of a document", "when: 'src.?go.orValue(true)'\nfields: {a: src.id}", []string{`{"id":"1","done":true}`, `{"id":"1"}`}, []string{"when: when it does not hold"}},
		{"it never holds", "when: 'src.?go.orValue(true)'\nfields: {a: src.id}", []string{`{"id":"1","go":false}`}, []string{
			"fields.a", "to.key", "to.kind", "to.kind: choice 1, the side behind :", "to.kind: choice 1, the side behind ?", "when",
		}},
		{
			"a choice in a condition, and one in its value", "fields: {a: {when: 'has(src.x) ? src.x == \"1\" : true', value: 'has(src.y) ? \"y\" : \"n\"'}}",
			[]string{`{"id":"1","done":true}`, `{"id":"1","x":"1"}`},
			[]string{"fields.a: choice 1, the side behind ?", "fields.a: when it does not hold"},
		},
		{
			"a choice in a list and in a default", "fields: {a: {each: 'has(src.x) ? src.x : []', item: i, value: 'i.?v', default: 'has(src.y) ? \"y\" : \"n\"'}}",
			[]string{`{"id":"1","done":true,"x":[{"v":"1"},{}]}`, `{"id":"1"}`},
			[]string{"fields.a: default, choice 1, the side behind ?"},
		},
		{
			"a choice for each element", "fields: {a: {each: 'src.?x.orValue([]).map(i, i == \"1\" ? \"one\" : \"more\")', item: i, value: i}}",
			[]string{`{"id":"1","done":true,"x":["2","1","2"]}`, `{"id":"1"}`},
			nil,
		},
		{"a condition that is a field", "fields: {a: 'src.go ? \"y\" : \"n\"'}", []string{`{"id":"1","done":true,"go":true}`, `{"id":"1","go":true}`}, []string{"fields.a: choice 1, the side behind :"}},
		{
			"a list without an element", "fields: {a: {each: src.?x, item: i, fields: {b: {when: has(i.v), value: i.v}}}}",
			[]string{`{"id":"1","done":true,"x":[{"v":"1"},{}]}`, `{"id":"1","x":[{"v":"1"}]}`},
			[]string{"fields.a: each without an element"},
		},
		{
			"it is empty", "fields: {a: {each: src.?x, item: i, fields: {b: {when: has(i.v), value: i.v}}}}",
			[]string{`{"id":"1","done":true,"x":[]}`, `{"id":"1"}`},
			[]string{"fields.a", "fields.a.b", "fields.a.b: when it does not hold"},
		},
		{"a fragment, twice", "fields: {one: {use: f}, two: {when: has(src.z), use: f}}", []string{`{"id":"1","done":true}`, `{"id":"1","y":"1"}`}, []string{
			"fields.two", "fields.two.b", "fields.two.b: default",
		}},
		{"a code without a row", "tables: {t: {rows: {a: b}, otherwise: c}, u: {rows: {a: b}, missing: keep}, v: {rows: {a: b}, missing: leave-out}}\n" +
			"fields: {a: 'lookup(\"t\", src.id)', b: 'lookup(\"u\", src.id)', c: 'lookup(\"v\", src.id)'}", []string{`{"id":"a","done":true}`, `{"id":"a"}`}, []string{
			"tables.t: a code without a row", "tables.u: a code without a row", "tables.v: a code without a row",
		}},
		{
			"and one with", "tables: {t: {rows: {a: b}, otherwise: c}, r: {rows: {d: e, a: b, x: y}}}\nfields: {a: 'lookup(\"t\", src.id)', b: 'reverse(\"r\", src.y)'}",
			[]string{`{"id":"z","done":true,"y":"e"}`, `{"id":"a","y":"b"}`},
			[]string{"tables.r: x"},
		},
		{
			"a value of a few that has no row, read back", "tables: {r: {rows: {d: e}, missing: keep}}\nfields: {a: 'reverse(\"r\", has(src.y) ? \"e\" : \"q\")'}",
			[]string{`{"id":"z","done":true,"y":"1"}`, `{"id":"a","y":"b"}`},
			[]string{"fields.a: choice 1, the side behind :", "tables.r: a code without a row"},
		},
		{
			"and one that is used", "tables: {r: {rows: {d: e}, missing: keep}}\nfields: {a: 'reverse(\"r\", has(src.y) ? \"e\" : \"q\")'}",
			[]string{`{"id":"z","done":true,"y":"1"}`, `{"id":"a"}`},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var examples strings.Builder
			for _, b := range tt.bodies {
				examples.WriteString("- {name: one, body: '" + b + "'}\n")
			}
			s, err := mapping.Load(fstest.MapFS{
				"m.yaml":           {Data: []byte(head + tt.mapping)},
				"m.example.yaml":   {Data: []byte(examples.String())},
				"m.fragments.yaml": {Data: []byte("fragments: {f: {fields: {b: {value: src.?y, default: '\"none\"'}}}}")},
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Test(t.Context(), mapping.TestConfig{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Cases {
				if len(c.Errors) > 0 {
					t.Fatal(c.Errors)
				}
			}
			var got []string
			for _, u := range r.Coverage[0].Unused {
				_, part, _ := strings.Cut(u, ": ")
				got = append(got, part)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.unused, got); diff != "" {
				t.Errorf("what no example uses (-want):\n%s", diff)
			}
			if c := r.Coverage[0]; c.Parts-c.Used != len(tt.unused) {
				t.Errorf("%d of %d are used, want all but %d", c.Used, c.Parts, len(tt.unused))
			}
		})
	}
}
