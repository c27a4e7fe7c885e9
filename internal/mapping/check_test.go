package mapping_test

import (
	"slices"
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
