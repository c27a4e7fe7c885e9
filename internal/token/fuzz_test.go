package token_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/token"
)

// FuzzBlot reads what is veiled as everybody else does, by encoding/json: nothing of a marked field is left, and all else is as it was.
func FuzzBlot(f *testing.F) {
	for _, seed := range []string{
		`{"personnel":"4711"}`, `[{"by":1.5,"x":"by"},{"by":[{"a":"b"},null,true]}]`, `{"\u0062Y":"a","entry":{"badge":"b"},"badge":"c"}`, `"by"`, `{"perſonnel":"1"}`, `{"by":`, `{"a":{"by":{}},"b":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		blotted := people().Blot(text)
		if !json.Valid(text) {
			return
		}
		if got, want := flat(t, blotted), flat(t, text); !cmp.Equal(got, want) {
			t.Errorf("%s became %s: %s", text, blotted, cmp.Diff(want, got))
		}
	})
}

// flat is each text and number of a document with its path, in their order, the sensitive ones blotted.
func flat(t *testing.T, text []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s cannot be read: %v", text, err)
	}
	var all []string
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, part := range v {
				walk(append(slices.Clone(path), name), part)
			}
		case []any:
			for _, part := range v {
				walk(path, part)
			}
		case string, json.Number:
			if s := fmt.Sprint(v); s != "" && marked(path) {
				v = token.Blotted
			}
			all = append(all, fmt.Sprintf("%q: %T %v", path, v, v))
		}
	}
	walk(nil, v)
	slices.Sort(all)
	return all
}

// marked tells whether a field is sensitive to people.
func marked(path []string) bool {
	for n, name := range path {
		if strings.EqualFold(name, "personnel") || strings.EqualFold(name, "by") ||
			n > 0 && strings.EqualFold(name, "badge") && strings.EqualFold(path[n-1], "entry") {
			return true
		}
	}
	return false
}
