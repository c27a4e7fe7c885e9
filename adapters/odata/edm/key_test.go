package edm

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestTheKeyIsReadOutOfAnAddress(t *testing.T) {
	field := func(name, typ string) *Field { return &Field{Name: name, Type: typ, Key: true} }
	of := func(fields ...*Field) *Struct {
		s := &Struct{Name: "Thing", Fields: fields, fields: map[string]*Field{}}
		for _, f := range fields {
			s.Key, s.fields[f.Name] = append(s.Key, f.Name), f
		}
		return s
	}
	one, two := of(field("No", "Edm.String")), of(field("Order", "Edm.String"), field("Item", "Edm.Int32"))
	guid, wide := of(field("ID", "Edm.Guid")), of(field("ID", "Edm.Int64"))
	const id = "0f2d3c52-7d0e-5b3a-9d4e-2f6a1c9b7e10"
	tests := []struct {
		of      *Struct
		address string
		want    map[string]any
	}{
		{one, "Orders('3')", map[string]any{"No": "3"}},
		{one, "https://erp.example/odata/Orders(No='3')?sap-client=100", map[string]any{"No": "3"}},
		{one, "Orders('a%2Fb%20''%28c%29%2Cd=1')", map[string]any{"No": "a/b '(c),d=1"}},
		{one, "Plants('1')/Orders('3')", map[string]any{"No": "3"}},
		{two, "Items(Item=10,Order='3')", map[string]any{"Order": "3", "Item": json.Number("10")}},
		{guid, "Things(guid'" + id + "')", map[string]any{"ID": id}},
		{guid, "Things(" + id + ")", map[string]any{"ID": id}},
		{wide, "Things(9007199254740993L)", map[string]any{"ID": "9007199254740993"}},
		{one, "Orders(3)", nil},
		{one, "Orders", nil},
		{one, "Orders('3", nil},
		{one, "Orders('3')/Items", nil},
		{one, "Orders()", nil},
		{one, "%zz", nil},
		{two, "Items('3')", nil},
		{two, "Items(Order='3')", nil},
		{two, "Items(Order='3',Other=1)", nil},
		{guid, "Things('x')", nil},
	}
	segments := []struct {
		of      *Struct
		address string
		want    map[string]any
	}{
		{one, "/Set/4711", map[string]any{"No": "4711"}},
		{one, "https://erp.example/odata/Set/a%2Fb%20'(c)?sap-client=100", map[string]any{"No": "a/b '(c)"}},
		{one, "Plants/1/Set/3", map[string]any{"No": "3"}},
		{two, "Set/3/10", map[string]any{"Order": "3", "Item": json.Number("10")}},
		{guid, "Set/" + id, map[string]any{"ID": id}},
		{one, "Other/3", nil},
		{one, "Set/", nil},
		{one, "Set", nil},
		{two, "Set/3", nil},
		{two, "Set/3/x", nil},
		{one, "Set/%zz", nil},
	}
	for _, tt := range segments {
		if got := tt.of.KeyIn("Set", tt.address); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.address, got, tt.want)
		}
	}
	for _, tt := range tests {
		if got := tt.of.KeyIn("Set", tt.address); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.address, got, tt.want)
		}
	}
}
