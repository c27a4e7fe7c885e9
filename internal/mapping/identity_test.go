package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestAMessageHasAKindAndAKeyOfItsOwn: a document whose message would have no kind or no key stops, and one key for all makes one lane of them.
func TestAMessageHasAKindAndAKeyOfItsOwn(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const fields = "\nfields:\n  number: src.number\n  description: src.description\n  baseUnit: src.baseUnit\n  batchManaged: {value: src.?batchManaged, default: 'false'}\n" +
		"  serialised: {value: src.?serialised, default: 'false'}\n"
	of := func(kind, key string) string {
		return "from: {document: Material}\nto:\n  kind: " + kind + "\n  key: " + key + fields
	}
	const kind, same = `'"material.changed"'`, "m.yaml:4:8: to.key: it is the same for each document"
	tests := []struct{ name, file, want string }{
		{"an empty key", of(kind, `'""'`), "m.yaml:4:8: to.key: it can be empty, and a message has a key"},
		{"a key that is empty where there is none", of(kind, `src.?type.orValue("")`), "m.yaml:4:8: to.key: it can be empty, and a message has a key"},
		{"a key that may be missing", of(kind, "src.?type"), "m.yaml:4:8: to.key: it may have no value, and a message has a key"},
		{"a key on a condition", of(kind, `{when: src.description != "", value: src.number}`), "to.key: it may have no value, and a message has a key"},
		{"one number", of(kind, `'12'`), same},
		{"one text", of(kind, `'"12"'`), same},
		{"one constant", of(kind, `{const: "12"}`), same},
		{"an empty kind", of(`'""'`, "src.number"), "m.yaml:3:9: to.kind: it can be empty, and a message has a kind"},
		{"a kind that may be missing", of("src.?type", "src.number"), "m.yaml:3:9: to.kind: it may have no value, and a message has a kind"},

		{"the object's number", of(kind, "src.number"), ""},
		{"a value that stops what has none", of(kind, "src.?type.value()"), ""},
		{"a key of one of two", of(kind, `'src.?type.orValue("") == "raw" ? "raw" : "other"'`), ""},
		{"a key that is asked for first", of(kind, `'src.number != "" ? src.number : src.description'`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(mistakesOf(tt.file, mapping.FromOpenAPI(doc)), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
