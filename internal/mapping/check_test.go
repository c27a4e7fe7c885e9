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

// TestLimitsOfNumbersListsAndForms: what is the same for every message is refused, and what a message may bring is told.
func TestLimitsOfNumbersListsAndForms(t *testing.T) {
	few := listOf(schema.NewObject("Item", anything("m")...))
	few.MinItems, few.MaxItems = 1, 50
	body := schema.NewObject("Body",
		&schema.Field{Name: "n", Type: &schema.Type{Kind: schema.Integer, Least: schema.Bound{Value: "1"}, Most: schema.Bound{Value: "9", Open: true}}},
		&schema.Field{Name: "q", Type: &schema.Type{Kind: schema.Decimal, Scale: 3, Digits: 30, Least: schema.Bound{Value: "0"}}},
		&schema.Field{Name: "id", Type: &schema.Type{Kind: schema.Text, Format: "uuid", MaxLength: 36}},
		&schema.Field{Name: "day", Type: &schema.Type{Kind: schema.Text, Format: "date", MaxLength: 10}}, &schema.Field{Name: "items", Type: few})
	tests := []struct {
		name, field string
		refused     bool
		want        string
	}{
		{"a constant that is too large", "n: {const: 9}", true, `m.yaml:3:13: fields.n: it can be 9, and n is at most 9, without it (a message with more would be refused by the contract)`},
		{"a constant that is too small", "q: {value: 'decimal(\"-0.001\")', as: number}", true, `m.yaml:3:21: fields.q: it can be -0.001, and q is at least 0 (a message with less would be refused by the contract)`},
		{"a constant between", "n: {const: 8}", false, ""},
		{
			"a number that may be too small and too large", "n: 'src.order.?priority.orValue(1)'", false,
			`m.yaml:3:13: fields.n: it can be 0, and n is at least 1 (a message with less would be refused by the contract); m.yaml:3:13: fields.n: it can be 9, and n is at most 9, without it (a message with more would be refused by the contract)`,
		},
		{"a number with limits of its own", "q: {value: 'src.order.?priority.orValue(0)', as: number}", false, ""},
		{
			"a list that may be too long, or empty", "items: {each: 'src.order.?components.orValue([])', fields: {m: item.material}}", false,
			`m.yaml:3:24: fields.items.each: the list can have 1000 elements, and items takes 50 (a message with more would be refused by the contract); m.yaml:3:24: fields.items.each: the list can have 0 elements, and items needs 1 (leave the field out of such a message: when: size(…) > 0)`,
		},
		{"a list of one", "items: {each: '[src.order]', fields: {m: item.material}}", false, ""},
		{"a part of a list", "items: {each: 'src.order.?components.orValue([]).filter(c, c.backflush)', fields: {m: item.material}}", false, ""},
		{"a text that is no UUID", "id: {const: seven}", true, `m.yaml:3:14: fields.id: it can be "seven", and id is a uuid (make it of what has one, such as event.id)`},
		{"a text of any form as a UUID", "id: {value: src.order.material, maxLength: 36}", false, `m.yaml:3:22: fields.id: it makes a text of any form, and id is a uuid (make it of what has one, such as event.id)`},
		{"the message's own UUID", "id: {value: event.id, maxLength: 36}", false, ""},
		{"a day that is none", "day: {const: '2026-02-29'}", true, `m.yaml:3:15: fields.day: it can be "2026-02-29", and day is a date (make it one: date(…, "Europe/Berlin") of a time, with the plant's zone)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: order.created}\nto: {operation: post}\nfields: {" + tt.field + "}")}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range set.Check("m", "order.created", oneOperation{body: body}) {
				if got = append(got, f.Error()); f.Refused != tt.refused {
					t.Errorf("refused: %t", f.Refused)
				}
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestWhatGrowsOnItsWayIsFound: a number that is rounded has one digit more in the worst case, one that is filled up with zeros more characters, and
// a table that keeps what it does not know makes texts as long as those it is asked for.
func TestWhatGrowsOnItsWayIsFound(t *testing.T) {
	body := schema.NewObject("Body",
		&schema.Field{Name: "q", Type: &schema.Type{Kind: schema.Decimal, Scale: 3, Digits: 13}},
		&schema.Field{Name: "t", Type: &schema.Type{Kind: schema.Text, MaxLength: 21}}, &schema.Field{Name: "c", Type: &schema.Type{Kind: schema.Text, MaxLength: 4}})
	tests := []struct{ name, field, want string }{
		{"rounded", "q: {value: 'decimal(src.order.quantity)', scale: 3, round: half-up, as: number}", "it can have 14 digits before the point, and q takes 13"},
		{"cut", "q: {value: 'decimal(src.order.quantity)', scale: 3, round: down, as: number}", ""},
		{"filled up", "t: {value: 'decimal(\"12345\")', scale: 20}", "it can have 27 characters, and t takes 21"},
		{"kept", "c: 'lookup(\"codes\", event.source)'", "c takes 4"},
		{"kept and cut", "c: {value: 'lookup(\"codes\", event.source)', maxLength: 4, cut: TRUE, required: True}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tables := ""
			if strings.Contains(tt.field, "lookup") {
				tables = "tables: {codes: {rows: {a: abcd}, missing: keep}}\n"
			}
			set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: order.created}\nto: {operation: post}\n" + tables + "fields: {" + tt.field + "}")}})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range set.Check("m", "order.created", oneOperation{body: body}) {
				if f.Refused {
					got += f.Error()
				}
			}
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
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
