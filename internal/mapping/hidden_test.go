package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// hidden is a contract with a list of objects, an object and fields of each limit.
func hidden() oneOperation {
	text := func(most int, enum ...string) *schema.Type {
		return &schema.Type{Kind: schema.Text, MaxLength: most, Enum: enum, Scale: schema.AnyScale}
	}
	item := schema.NewObject("Item", &schema.Field{Name: "material", Type: text(40), Required: true}, &schema.Field{Name: "unit", Type: text(3)},
		&schema.Field{Name: "quantity", Type: &schema.Type{Kind: schema.Text, Format: schema.IsDecimal, Digits: 13, Scale: 3}})
	item.Closed = true
	few := listOf(item)
	few.MaxItems = 2
	body := schema.NewObject("Body", &schema.Field{Name: "text", Type: text(4)}, &schema.Field{Name: "code", Type: text(0, "A", "B")},
		&schema.Field{Name: "items", Type: listOf(item)}, &schema.Field{Name: "few", Type: few}, &schema.Field{Name: "item", Type: item},
		&schema.Field{Name: "texts", Type: listOf(text(4))}, &schema.Field{Name: "flag", Type: &schema.Type{Kind: schema.Bool, Scale: schema.AnyScale}},
		&schema.Field{Name: "count", Type: &schema.Type{Kind: schema.Integer}},
		&schema.Field{Name: "amount", Type: &schema.Type{Kind: schema.Decimal, Digits: 3, Scale: 1}}, &schema.Field{Name: "free", Type: &schema.Type{Scale: schema.AnyScale}})
	body.Closed = true
	return oneOperation{body: body}
}

// mistakesIn are those of a mapping of order.created whose fields are these, from the third line on.
func mistakesIn(t *testing.T, fields string, c mapping.Contract) (all []string) {
	t.Helper()
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: order.created}\nto: {operation: post}\n" + fields)}})
	for _, m := range mapping.Mistakes(err) {
		all = append(all, m.Error())
	}
	if set == nil {
		return all
	}
	for _, f := range set.Check("m", "order.created", c) {
		if f.Refused {
			all = append(all, f.Error())
		}
	}
	return all
}

// TestNoExpressionHidesItsShape has a mistake of each class in what an expression makes as a whole, and in what stands for a missing value.
func TestNoExpressionHidesItsShape(t *testing.T) {
	tests := []struct{ name, fields, want string }{
		{"a default of another type", "fields:\n  text: {value: 'src.order.?storageLocation.optMap(l, \"L\")', default: 'true'}", "m.yaml:4:71: fields.text: it makes a true or false, and text is a text (make it a text)"},
		{"a value whose default is of another type", "fields:\n  flag: {value: src.order.?storageLocation, default: 'true'}", "it makes a text, and flag is a true or false"},
		{"a default that is too long", "fields:\n  text: {value: 'src.order.?storageLocation.optMap(l, \"L\")', default: '\"too long\"'}", "it can have 8 characters, and text takes 4"},
		{"a default that the target does not know", "fields:\n  code: {value: 'src.order.?storageLocation.optMap(l, \"A\")', default: '\"C\"'}", "it can be \"C\", and code knows no such value"},
		{"a default that is too precise", "fields:\n  amount: {value: 'src.order.?storageLocation.optMap(l, decimal(\"1\"))', default: 'decimal(\"0.25\")', as: number}", "it can have 2 places behind the point, and amount takes 1"},
		{"a whole number where a decimal's default is a text", "fields:\n  amount: {value: 'src.order.?storageLocation.optMap(l, 1)', default: 'decimal(\"0.5\")'}", "it makes a text, and amount is a decimal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mistakesIn(t, tt.fields, hidden())
			if !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, tt.want) && strings.HasSuffix(m, ")") }) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestWhatIsRightIsAccepted: no check of a shape refuses what the target takes.
func TestWhatIsRightIsAccepted(t *testing.T) {
	for _, fields := range []string{
		"fields: {text: {value: src.order.?storageLocation, default: '\"\"', maxLength: 4}}",
		"fields: {code: {value: 'src.order.?storageLocation.optMap(l, \"A\")', default: '\"B\"'}}",
		"fields: {amount: {value: 'src.order.?storageLocation.optMap(l, decimal(\"1\"))', default: 'decimal(\"0.5\")', as: number}}",
		"fields: {amount: {value: 'src.order.?storageLocation.optMap(l, 1)', default: 'decimal(\"0.5\")', as: number}}",
		"fields: {free: {value: src.order.?storageLocation, default: 'true'}}",
	} {
		if got := mistakesIn(t, fields, hidden()); len(got) > 0 {
			t.Errorf("%s: got %q, want none", fields, got)
		}
	}
}
