package mapping_test

import (
	"cmp"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// TestWhatWasPublishedGoesOnAtNewerAdvice: an edition that an earlier release took has passed its check. What a later one would refuse in it is told,
// and it maps as ever; a file that cannot run is refused.
func TestWhatWasPublishedGoesOnAtNewerAdvice(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const head = "from: {kind: operation.confirmed}\nto: {operation: post}\n"
	requires := strings.Replace(limited, "additionalProperties: false\n", "additionalProperties: false\n      required: [name]\n", 1)
	requiresList := strings.Replace(limited, "additionalProperties: false\n", "additionalProperties: false\n      required: [all]\n", 1) + "        all: {type: array, items: {type: string}}\n"
	open := strings.Replace(limited, "additionalProperties: false\n", "additionalProperties: true\n", 1)
	for _, tt := range []struct{ name, file, want, contract string }{
		{"a dead comparison", head + "fields:\n  name: {when: src.confirmation.operation == \"10\", value: src.confirmation.workCentre, maxLength: 80}\n", "the condition never holds", ""},
		{"a dead side", head + "fields:\n  name: {value: 'src.confirmation.operation == \"10\" ? src.plant : src.confirmation.workCentre', maxLength: 80}\n", "this is false for every message", ""},
		{"an argument of another form", head + "fields:\n  at: date(src.plant, src.zone)\n", "date takes a date-time", ""},
		{"a whole number of a part of any text", head + "fields:\n  name: {value: 'string(int(src.confirmation.workCentre.substring(0, 4)))', maxLength: 80}\n", "can be any text", ""},
		{"an empty table", head + "tables: {t: {rows: {}}}\nfields:\n  movement: {value: 'lookup(\"t\", src.plant)', maxLength: 3}\n", "the table has no row", ""},
		{"a pattern that the target forbids", head + "fields:\n  order: src.confirmation.operation\n", "it fits ^[0-9]{4}$", ""},
		{"a whole number of more digits", head + "fields:\n  amount: {value: 'int(round(decimal(src.confirmation.yield), 0, \"half-up\"))', as: string}\n", "it can have 14 digits", ""},
		{
			"a message in that the plant does not take", "from: {document: d}\nto: {kind: '\"workcentre.changed\"', key: src.id}\nfields:\n  id: src.id\n", "requires", "",
		},
		{"a text without room", head + "fields:\n  name: {value: '\"abcd\"', maxLength: 3}\n", "maxLength stops each message", ""},
		{"a number that loses its zeros", head + "fields:\n  name: {value: 'size(src.plant) > 03 ? src.plant : src.confirmation.workCentre', maxLength: 80}\n", "loses its zeros", ""},
		{"a name with a false blank", head + "fields:\n  \"na\u00a0me\": src.plant\n", "looks like a blank", open},
		{"a required field that is left out", head + "fields:\n  name: {when: has(src.confirmation.reason), value: src.plant, maxLength: 80, required: true}\n", "left out where this does not hold", requires},
		{"a constant that is a number", head + "fields:\n  name: {const: 4.5}\n", "it is a number, and name is a text", ""},
		{"a number with an exponent", head + "fields:\n  any: '\"1E2\"'\n", "has an exponent", limited + "        any: {type: string, format: decimal}\n"},
		{"a quotient of any number of places", head + "fields:\n  amount: {value: 'ratio(decimal(src.confirmation.yield), 1, 2)', maxDigits: 5}\n", "any number of places", ""},
		{"the same, in one of two cases", head + "fields:\n  amount: {value: 'src.confirmation.final ? ratio(decimal(src.confirmation.yield), 1, 2) : decimal(\"1\")', maxDigits: 5}\n", "any number of places", ""},
		{"a list with a default for its elements", "from: {kind: lot.created}\nto: {operation: post}\nfields:\n  all: {each: 'src.lot.?notes', item: c, value: c.text, default: '\"x\"'}\n", "it may have no value", requiresList},
	} {
		shipped, own := fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte(tt.file)}}
		doc, err := contract.Load([]byte(cmp.Or(tt.contract, limited)), "post.yaml")
		if err != nil {
			t.Fatal(err)
		}
		kind := "operation.confirmed"
		if strings.Contains(tt.file, "lot.created") {
			kind = "lot.created"
		}
		strict, err := mapping.Load(shipped, own)
		refused := err != nil
		if strict != nil {
			for _, f := range strict.Check("m", kind, mapping.FromOpenAPI(doc)) {
				refused = refused || f.Refused
			}
		}
		if !refused {
			t.Errorf("%s: a new file is taken", tt.name)
		}
		set, err := mapping.LoadPublished(shipped, own)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if strings.Contains(tt.file, "document") {
			kind = ""
		}
		told := false
		for _, f := range set.Check("m", kind, mapping.FromOpenAPI(doc)) {
			told = told || f.Newer && strings.Contains(f.Why, tt.want)
			if f.Refused {
				t.Errorf("%s: refused: %v", tt.name, f.Error())
			}
		}
		if !told {
			t.Errorf("%s: it is not told: %v", tt.name, set.Check("m", kind, mapping.FromOpenAPI(doc)))
		}
		if again, err := set.With("m.yaml", []byte(tt.file)); err == nil && strict == nil {
			t.Errorf("%s: an edited file is taken: %v", tt.name, again.Names())
		}
	}
	for _, broken := range []string{"fields: {a: 'src.'}", "fields: {a: src.confirmation.scarp}", "fields: {a: 'lookup(\"none\", src.plant)'}", "feilds: {}"} {
		if _, err := mapping.LoadPublished(fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte(head + broken)}}); err == nil {
			t.Errorf("%s is taken", broken)
		}
	}
	set, err := mapping.LoadPublished(fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte(head + "fields: {nmae: src.plant}")}})
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	for _, f := range set.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
		refused = refused || f.Refused
	}
	if !refused {
		t.Error("what its contract refuses is taken, as if a newer check had found it")
	}
}
