package mapping_test

import (
	"bytes"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/mapping"
)

func fileSchema(t *testing.T) (any, *jsonschema.Schema) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(mapping.FileSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mapping.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mapping.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return doc, s
}

// TestTheSchemaTakesEveryShippedMapping: an editor that has the schema marks nothing in them.
func TestTheSchemaTakesEveryShippedMapping(t *testing.T) {
	_, s := fileSchema(t)
	n := 0
	err := fs.WalkDir(mapping.Library(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".example.yaml") ||
			strings.HasSuffix(name, ".fragments.yaml") || strings.HasPrefix(d.Name(), "table-") {
			return err
		}
		n++
		text, err := fs.ReadFile(mapping.Library(), name)
		if err != nil {
			return err
		}
		var doc any
		if err := yaml.Load(text, &doc); err != nil {
			return err
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return nil
	})
	if err != nil || n < 50 {
		t.Errorf("%d mappings, %v", n, err)
	}
}

// TestTheSchemaKnowsTheKeysOfTheLanguage at each place: what the loader knows there it says of a key that it does not know.
func TestTheSchemaKnowsTheKeysOfTheLanguage(t *testing.T) {
	doc, s := fileSchema(t)
	const unknown = "qqqqqqqqqqqq"
	tests := []struct{ place, file string }{
		{"/properties", "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a}\n" + unknown + ": 1\n"},
		{"/properties/from/properties", "from: {kind: test.happened, " + unknown + ": 1}\nto: {operation: post}\nfields: {a: src.a}\n"},
		{"/properties/to/properties", "from: {kind: test.happened}\nto: {operation: post, " + unknown + ": 1}\nfields: {a: src.a}\n"},
		{"/properties/to/properties", "from: {document: D}\nto: {kind: '\"x.y\"', key: src.k, " + unknown + ": 1}\nfields: {a: src.a}\n"},
		{
			"/properties/tables/additionalProperties/properties",
			header + "tables: {t: {rows: {a: b}, " + unknown + ": 1}}\nfields: {a: 'lookup(\"t\", src.a)'}\n",
		},
		{"/$defs/rule/oneOf/1/properties", header + "fields: {a: {value: src.a, " + unknown + ": 1}}\n"},
	}
	loader := map[string]map[string]bool{}
	for _, tt := range tests {
		_, err := load(t, map[string]string{"m.yaml": tt.file})
		var of []string
		for _, m := range mapping.Mistakes(err) {
			if strings.Contains(m.Why, unknown) {
				of = strings.Split(strings.TrimPrefix(m.Hint, "it knows "), ", ")
			}
		}
		if of == nil {
			t.Errorf("%s: the loader takes the key: %v", tt.place, err)
		}
		if loader[tt.place] == nil {
			loader[tt.place] = map[string]bool{}
		}
		for _, key := range of {
			loader[tt.place][key] = true
		}
		var file any
		if err := yaml.Load([]byte(tt.file), &file); err != nil {
			t.Fatal(err)
		}
		if s.Validate(file) == nil {
			t.Errorf("%s: the schema takes the key", tt.place)
		}
	}
	for place, keys := range loader {
		at := doc
		for name := range strings.SplitSeq(strings.TrimPrefix(place, "/"), "/") {
			if list, ok := at.([]any); ok {
				at = list[int(name[0]-'0')]
			} else {
				at = at.(map[string]any)[name]
			}
		}
		want, got := slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(at.(map[string]any)))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-loader +schema):\n%s", place, d)
		}
	}
}
