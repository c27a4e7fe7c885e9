package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// oneOperation is a contract that knows one operation, and one document.
type oneOperation struct {
	body, document *schema.Type
	params         []*schema.Field
}

func (o oneOperation) TargetType(string) (*schema.Operation, bool) {
	return &schema.Operation{Body: o.body, Params: o.params}, true
}

func (o oneOperation) DocumentType(string) (*schema.Type, bool) { return o.document, o.document != nil }

func anything(names ...string) (fields []*schema.Field) {
	for _, n := range names {
		fields = append(fields, &schema.Field{Name: n, Type: &schema.Type{Scale: schema.AnyScale}})
	}
	return fields
}

func listOf(item *schema.Type) *schema.Type {
	return &schema.Type{Kind: schema.List, Item: item, Scale: schema.AnyScale}
}

func TestNamesThatTheContractDoesNotKnow(t *testing.T) {
	body := schema.NewObject("Body", append(anything("yield", "scrap", "free"), &schema.Field{Name: "items", Type: listOf(schema.NewObject("Item", anything("material")...))})...)
	body.Closed = true
	contract := oneOperation{body: body, params: anything("number", "If-Match")}
	tests := []struct {
		name, file string
		want       []string
	}{
		{"all known", "params: {number: src.a, if-match: src.v}\nfields: {yield: src.a, items: {each: src.l, fields: {material: item.m}}}", nil},
		{"a mistyped field", "fields:\n  yeild: src.a\n  scrap: src.b", []string{`m.yaml:4:10: fields.yeild: operation post knows no "yeild", and the contract refuses it (did you mean yield?)`}},
		{"a field like no other", "fields: {zzzzzzzzzz: src.a}", []string{`m.yaml:3:22: fields.zzzzzzzzzz: operation post knows no "zzzzzzzzzz", and the contract refuses it (it knows yield, scrap, free, items)`}},
		{"a mistyped field of a list that takes others", "fields: {items: {each: src.l, fields: {materiel: item.m}}}", []string{`m.yaml:3:50: fields.items.materiel: operation post knows no "materiel" (did you mean material?)`}},
		{"anything below what is free", "fields: {free: {fields: {a: src.a}}}", nil},
		{"a mistyped parameter", "params: {nubmer: src.a}", []string{`m.yaml:3:18: params.nubmer: operation post knows no "nubmer", and the contract refuses it (did you mean number?)`}},
		{"a body that goes through", "body: event", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: k}\nto: {operation: post}\n" + tt.file)}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range set.Check("m", "k", contract) {
				got = append(got, s.Error())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRowsThatNoMessageCanAskFor: a table may be one that several mappings share, so that such a row is told, and refused by nobody.
func TestRowsThatNoMessageCanAskFor(t *testing.T) {
	codes := fstest.MapFS{"codes.csv": {Data: []byte("plant,erp\nS,SEC\nDAY,D\nMIN,MIN\nH,H\nWEE,W\n")}, "table-codes.yaml": {Data: []byte("S: SEC\nMIN: MIN\nDAY: D\nH: H\n")}}
	const ask = "fields: {unit: 'src.confirmation.?timeUnit.optMap(u, lookup(\"time\", u))'}"
	tests := []struct{ name, file, want string }{
		{"rows that the source does not know", "tables: {time: {rows: {S: a, DAY: b, MIN: c, WEE: d, H: e}}}\n" + ask, `m.yaml:3:30: tables.time: no message can ask for "DAY", "WEE" (leave it out, or correct it; asked for can be "H", "MIN", "S")`},
		{"in a CSV file", "tables: {time: {file: codes.csv}}\n" + ask, `codes.csv:3:1: tables.time: no message can ask for "DAY", "WEE" (leave it out, or correct it; asked for can be "H", "MIN", "S")`},
		{"in a YAML file", "tables: {time: {file: table-codes.yaml}}\n" + ask, `table-codes.yaml:3:1: tables.time: no message can ask for "DAY" (leave it out, or correct it; asked for can be "H", "MIN", "S")`},
		{"read back", "tables: {time: {rows: {sec: S, day: DAY}, missing: keep}}\nfields: {unit: 'src.confirmation.?timeUnit.optMap(u, reverse(\"time\", u))'}", `m.yaml:3:32: tables.time: no message can ask for "day" (leave it out, or correct it; asked for can be "sec")`},
		{"a code that may be any", "tables: {time: {rows: {DAY: b}, missing: keep}}\nfields: {unit: 'lookup(\"time\", src.confirmation.unit)', time: 'src.confirmation.?timeUnit.optMap(u, lookup(\"time\", u))'}", ""},
		{"each row", "tables: {time: {rows: {S: a, MIN: c, H: e}}}\n" + ask, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			codes["m.yaml"] = &fstest.MapFile{Data: []byte("from: {kind: operation.confirmed}\nto: {operation: post}\n" + tt.file)}
			set, err := mapping.Load(codes)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range set.Check("m", "operation.confirmed", oneOperation{}) {
				if got = append(got, f.Error()); f.Refused {
					t.Error("it is refused")
				}
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	document := schema.NewObject("D", &schema.Field{Name: "unit", Type: &schema.Type{Kind: schema.Text, Enum: []string{"S"}, Scale: schema.AnyScale}, Required: true})
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {document: D}\nto: {kind: '\"k\"', key: event.id}\ntables: {t: {rows: {S: a, M: b}}}\nfields: {a: 'lookup(\"t\", src.unit)'}")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Check("m", "", oneOperation{document: document}); len(got) != 1 || got[0].Refused || got[0].Line != 3 || got[0].Col != 27 {
		t.Errorf("of a document: got %v, want one for M", got)
	}
}

func TestOnlyWhatTheContractRefusesIsRefused(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: k}\nto: {operation: post}\nfields: {a: src.a, items: {each: src.l, fields: {b: item.b}}}")}})
	if err != nil {
		t.Fatal(err)
	}
	body := schema.NewObject("Body", &schema.Field{Name: "items", Type: listOf(schema.NewObject("Item", anything("c")...))})
	body.Closed = true
	var got []bool
	for _, s := range set.Check("m", "k", oneOperation{body: body}) {
		got = append(got, s.Refused)
	}
	if want := []bool{true, false}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
