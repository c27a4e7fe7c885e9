package mapping

import (
	"encoding/json"
	"slices"
	"testing"

	"holdfast/internal/schema"
)

func TestAValueIsHeldAgainstItsType(t *testing.T) {
	text := &schema.Type{Kind: schema.Text, MaxLength: 3, Scale: schema.AnyScale}
	row := schema.NewObject("Row",
		&schema.Field{Name: "unit", Type: text, Required: true}, &schema.Field{Name: "code", Type: &schema.Type{Kind: schema.Text, Enum: []string{"A"}, Scale: schema.AnyScale}},
		&schema.Field{Name: "yield", Type: &schema.Type{Kind: schema.Text, Format: schema.IsDecimal, Digits: 3, Scale: 2}},
		&schema.Field{Name: "count", Type: &schema.Type{Kind: schema.Integer, Least: schema.Bound{Value: "0", Open: true}, Most: schema.Bound{Value: "9007199254740993"}}},
		&schema.Field{Name: "id", Type: &schema.Type{Kind: schema.Text, Format: "uuid"}}, &schema.Field{Name: "day", Type: &schema.Type{Kind: schema.Text, Format: "date"}},
		&schema.Field{Name: "time", Type: &schema.Type{Kind: schema.Text, Format: "date-time"}},
		&schema.Field{Name: "number", Type: &schema.Type{Kind: schema.Text, Pattern: "^[0-9]{4}$"}}, &schema.Field{Name: "name", Type: &schema.Type{Kind: schema.Text, MinLength: 2}},
		&schema.Field{Name: "ahead", Type: &schema.Type{Kind: schema.Text, Pattern: "^(?=A)"}}, &schema.Field{Name: "batch", Type: &schema.Type{Kind: schema.Integer, Step: "5"}},
		&schema.Field{Name: "grade", Type: &schema.Type{Kind: schema.Integer, Numbers: []string{"1", "2"}}}, &schema.Field{Name: "final", Type: &schema.Type{Kind: schema.Bool, Nullable: true}})
	row.Closed = true
	doc := schema.NewObject("Doc", &schema.Field{Name: "rows", Type: &schema.Type{Kind: schema.List, Item: row, MinItems: 1, Scale: schema.AnyScale}, Required: true})
	tests := []struct {
		name string
		row  map[string]any
		want []string
	}{
		{"all that fits", map[string]any{"unit": "äöü", "code": "A", "yield": "-123.45", "count": json.Number("7"), "final": nil}, nil},
		{"nothing that is required", map[string]any{}, []string{"/rows/0: it has no unit"}},
		{"a text that is too long", map[string]any{"unit": "äöüß"}, []string{"/rows/0/unit: it has 4 characters, and 3 are allowed"}},
		{"a code that is none", map[string]any{"unit": "a", "code": "B"}, []string{`/rows/0/code: "B" is none of what it can be: A`}},
		{"a number that is too exact", map[string]any{"unit": "a", "yield": "1.234"}, []string{"/rows/0/yield: 1.234 has 3 places behind the point"}},
		{"a number that is too large", map[string]any{"unit": "a", "yield": "1234"}, []string{"/rows/0/yield: 1234 has 4 digits before the point, and 3 are allowed"}},
		{"a text that is no number", map[string]any{"unit": "a", "yield": "x"}, []string{`/rows/0/yield: "x" is no number`}},
		{"a number below its least", map[string]any{"unit": "a", "count": json.Number("0")}, []string{"/rows/0/count: 0 is less than 0, without it"}},
		{"a number above its most", map[string]any{"unit": "a", "count": json.Number("9007199254740994")}, []string{"/rows/0/count: 9007199254740994 is more than 9007199254740993"}},
		{"a number at its most", map[string]any{"unit": "a", "count": json.Number("9007199254740993")}, nil},
		{"what is no UUID", map[string]any{"unit": "a", "id": "7"}, []string{`/rows/0/id: "7" is no uuid`}},
		{"a UUID, a day and a time", map[string]any{"unit": "a", "id": "018f6b1e-7d7f-7c3a-9a59-0f1e2d3c4b5a", "day": "2024-02-29", "time": "2026-11-24T06:00:00+01:00"}, nil},
		{"a day that is none", map[string]any{"unit": "a", "day": "2026-02-29"}, []string{`/rows/0/day: "2026-02-29" is no date`}},
		{"a part of a whole number", map[string]any{"unit": "a", "count": json.Number("1.5")}, []string{"/rows/0/count: 1.5 has 1 places behind the point"}},
		{"a text of another pattern", map[string]any{"unit": "a", "number": "10"}, []string{`/rows/0/number: "10" does not match ^[0-9]{4}$`}},
		{"a text that is too short", map[string]any{"unit": "a", "name": "ä"}, []string{"/rows/0/name: it has 1 characters, and 2 are needed"}},
		{"a pattern that Go does not know", map[string]any{"unit": "a", "ahead": "B"}, nil},
		{"a number between two steps", map[string]any{"unit": "a", "batch": json.Number("12")}, []string{"/rows/0/batch: it is 12, and the field goes in steps of 5"}},
		{"a number that is none of those there are", map[string]any{"unit": "a", "grade": json.Number("3")}, []string{"/rows/0/grade: it is 3, and the field takes 1, 2"}},
		{"another type", map[string]any{"unit": true}, []string{"/rows/0/unit: it is no text"}},
		{"a member that it does not know", map[string]any{"unit": "a", "x": "y"}, []string{"/rows/0/x: there is no such field: there are unit, code, yield, count, id, day, time, number, name, ahead, batch, grade, final"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := against(doc, map[string]any{"rows": []any{tt.row}}, nil); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got, want := against(doc, map[string]any{"rows": []any{}}, nil), []string{"/rows: it has 0 elements, and 1 are needed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
