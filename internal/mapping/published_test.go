package mapping_test

import (
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
	for _, tt := range []struct{ name, file, want string }{
		{"a dead comparison", head + "fields:\n  name: {when: src.confirmation.operation == \"10\", value: src.confirmation.workCentre, maxLength: 80}\n", "the condition never holds"},
		{"a dead side", head + "fields:\n  name: {value: 'src.confirmation.operation == \"10\" ? src.plant : src.confirmation.workCentre', maxLength: 80}\n", "this is false for every message"},
		{"an argument of another form", head + "fields:\n  at: date(src.plant, src.zone)\n", "date takes a date-time"},
		{"an empty table", head + "tables: {t: {rows: {}}}\nfields:\n  movement: {value: 'lookup(\"t\", src.plant)', maxLength: 3}\n", "the table has no row"},
		{"a pattern that the target forbids", head + "fields:\n  order: src.confirmation.operation\n", "it fits ^[0-9]{4}$"},
		{"a whole number of more digits", head + "fields:\n  amount: {value: 'int(round(decimal(src.confirmation.yield), 0, \"half-up\"))', as: string}\n", "it can have 14 digits"},
		{
			"a message in that the plant does not take", "from: {document: d}\nto: {kind: '\"workcentre.changed\"', key: src.id}\nfields:\n  id: src.id\n", "requires",
		},
	} {
		shipped, own := fstest.MapFS{}, fstest.MapFS{"m.yaml": {Data: []byte(tt.file)}}
		strict, err := mapping.Load(shipped, own)
		refused := err != nil
		if strict != nil {
			for _, f := range strict.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
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
		kind := "operation.confirmed"
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
