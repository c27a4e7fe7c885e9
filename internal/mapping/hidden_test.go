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
		{"a default of another type", "fields:\n  text: {value: 'src.order.?storageLocation.optMap(l, \"L\")', default: 'true'}", "m.yaml:4:71: fields.text.default: it makes a true or false, and text is a text (make it a text)"},
		{"a value whose default is of another type", "fields:\n  flag: {value: src.order.?storageLocation, default: 'true'}", "it makes a text, and flag is a true or false"},
		{"a default that is too long", "fields:\n  text: {value: 'src.order.?storageLocation.optMap(l, \"L\")', default: '\"too long\"'}", "has 8 characters, and text takes 4"},
		{"a default that the target does not know", "fields:\n  code: {value: 'src.order.?storageLocation.optMap(l, \"A\")', default: '\"C\"'}", "it can be \"C\", and code knows no such value"},
		{"a default that is too precise", "fields:\n  amount: {value: 'src.order.?storageLocation.optMap(l, decimal(\"1\"))', default: 'decimal(\"0.25\")', as: number}", "it can have 2 places behind the point, and amount takes 1"},
		{"a whole number where a decimal's default is a text", "fields:\n  amount: {value: 'src.order.?storageLocation.optMap(l, 1)', default: 'decimal(\"0.5\")'}", "it makes a text, and amount is a decimal"},
		{"objects passed on with members that the target refuses", "fields:\n  items: src.order.?components", `fields.items.backflush: operation post knows no "backflush", and the contract refuses it`},
		{"objects passed on with a text that is too long", "fields:\n  items: src.order.?components", "m.yaml:4:10: fields.items.material: it can have 80 characters, and material takes 40"},
		{"an object written out with an unknown member", "fields:\n  item: '{\"materiel\": \"M1\", \"material\": \"M1\"}'", `m.yaml:4:11: fields.item.materiel: operation post knows no "materiel", and the contract refuses it (did you mean material?)`},
		{"an object written out without a required member", "fields:\n  item: '{\"unit\": \"PCE\"}'", "m.yaml:4:9: fields.item.material: operation post requires material, and nothing makes it"},
		{"an object written out with a member of another type", "fields:\n  item: '{\"material\": src.order.priority}'", "fields.item.material: it makes a whole number, and material is a text"},
		{"an object written out with a text that is too long", "fields:\n  item: '{\"material\": src.order.material}'", "fields.item.material: it can have 80 characters, and material takes 40"},
		{"an object written out with what may be missing", "fields:\n  item: '{\"material\": \"M\", \"unit\": src.order.?batch}'", `fields.item.unit: it may have no value, and such a message would stop (write {?"unit": …}, which leaves it out)`},
		{"an object written out that may lack what is required", "fields:\n  item: '{?\"material\": src.order.?storageLocation}'", "fields.item.material: it may have no value, and operation post requires material"},
		{"a member that is there twice", "fields:\n  item: '{\"material\": \"M\", \"material\": \"N\"}'", `member "material" is there twice`},
		{"a list written out of another type", "fields:\n  texts: '[1, 2]'", "fields.texts: it makes a whole number, and each element of texts is a text"},
		{"a list written out with a text that is too long", "fields:\n  texts: '[\"long enough\"]'", "has 11 characters, and each element of texts takes 4"},
		{"a list written out with what may be missing", "fields:\n  texts: '[src.order.?storageLocation]'", "an element of texts may have no value, and such a message would stop (write [?…], which leaves it out"},
		{"a list written out with too many elements", "fields:\n  few: '[{\"material\": \"A\"}, {\"material\": \"B\"}, {\"material\": \"C\"}]'", "the list has at least 3 elements, and few takes 2"},
		{"two lists of which one is too long", "fields:\n  texts: '[\"a\"] + [\"long enough\"]'", "has 11 characters"},
		{"a mapped list with an unknown member", "fields:\n  items: 'src.order.?components.orValue([]).map(c, {\"materiel\": c.unit})'", `fields.items.materiel: operation post knows no "materiel"`},
		{"a mapped list with a text that is too long", "fields:\n  items: 'src.order.?components.orValue([]).map(c, {\"material\": c.material})'", "it can have 80 characters, and material takes 40"},
		{"a mapped list of texts", "fields:\n  texts: 'src.order.?components.orValue([]).map(c, c.material)'", "it can have 80 characters, and each element of texts takes 4"},
		{"a filtered list", "fields:\n  items: 'src.order.?components.orValue([]).filter(c, c.backflush)'", `knows no "backflush"`},
		{"a split text", "fields:\n  texts: 'src.order.material.split(\",\")'", "it can have 80 characters, and each element of texts takes 4"},
		{"a text taken out of a list written out", "fields:\n  text: '[\"a\", \"long enough\"][1]'", "has 11 characters, and text takes 4"},
		{"a text taken out of an object written out", "fields:\n  text: '{\"a\": \"long enough\"}.a'", "has 11 characters, and text takes 4"},
		{"an element of a list that each: goes through", "fields:\n  items: {each: '[\"M\"]', fields: {material: item, unit: 'item + \"long\"'}}", "has 5 characters, and unit takes 3"},
		{"a choice between two kinds", "fields:\n  text: 'src.order.changedInWork ? [1, \"a\"][0] : \"a\"'", "it makes a whole number, and text is a text"},
		{"an object of a type of the source's", "fields:\n  item: 'Component{material: \"M\"}'", "cannot be made"},
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

// TestDeadRules has conditions that are the same for every message.
func TestDeadRules(t *testing.T) {
	const never, always, part = "the condition never holds, so that the rule is dead", "the condition holds for every message", "this never holds, so that it is dead"
	for when, want := range map[string]string{
		`src.order.unit == "PCE" && src.order.unit == "KGM"`:          never,
		`src.order.origin == "erp" && src.order.origin == "plant"`:    never,
		`src.order.origin == "erp" && src.order.origin != "erp"`:      never,
		`src.order.origin == "nobody" || src.order.origin == "erp"`:   part,
		`src.order.origin in ["nobody", "none"]`:                      never,
		`src.order.origin in []`:                                      never,
		`src.order.origin in ["erp", "plant", "nobody"]`:              always,
		`src.order.unit == "KGM" && src.order.unit in ["PCE", "MTR"]`: never,
		`"a" == "b"`:                     never,
		`1 < 2`:                          always,
		`1 == 2`:                         never,
		`decimal("1.0") == decimal("1")`: always,
		`src.order.priority > 9`:         never,
		`src.order.priority >= 0`:        always,
		`src.order.priority == 10`:       never,
		`src.order.priority > 5 && src.order.priority < 3`:                                         never,
		`decimal(src.order.quantity) > decimal("5") && decimal(src.order.quantity) < decimal("3")`: never,
		`src.order.changedInWork && !src.order.changedInWork`:                                      never,
		`src.order.?components.orValue([]).exists(c, c.unit == "A" && c.unit == "B")`:              part,
		`src.order.origin == "erp" || src.order.unit == "PCE"`:                                     "",
		`src.order.unit == "PCE" && src.order.material == "KGM"`:                                   "",
		`src.order.origin in ["erp", "nobody"]`:                                                    "",
		`src.order.?storageLocation.orValue("") in ["", "0001"]`:                                   "",
		`src.order.priority > 5 && src.order.priority < 9`:                                         "",
		`src.order.unit != "PCE" && src.order.unit != "KGM"`:                                       "",
		`src.order.changedInWork && src.order.unit == "PCE" || !src.order.changedInWork`:           "",
		`decimal(src.order.quantity) > decimal("5") || decimal(src.order.quantity) < decimal("3")`: "",
	} {
		fields := "fields:\n  text: {when: '" + when + "', value: src.order.plant}"
		got := mistakesIn(t, fields, hidden())
		if want == "" && len(got) > 0 {
			t.Errorf("%s: got %q, want none", when, got)
		}
		if want != "" && !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, want) }) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	for fields, want := range map[string]string{
		"fields:\n  item: {when: 'src.order.unit == \"PCE\"', fields: {material: {when: 'src.order.unit == \"KGM\"', required: true, value: '\"M\"'}}}": never,
		"fields:\n  item: {when: 'src.order.unit == \"PCE\"', fields: {material: {when: 'src.order.unit == \"PCE\"', required: true, value: '\"M\"'}}}": always,
		"fields:\n  text: 'src.order.unit == \"PCE\" ? \"a\" : src.order.unit == \"PCE\" ? \"b\" : \"c\"'":                                              "this is false for every message",
	} {
		if got := mistakesIn(t, fields, hidden()); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: got %q, want %q", fields, got, want)
		}
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
		"fields: {items: 'src.order.?components.orValue([]).map(c, {\"material\": c.material.substring(0, 40), ?\"unit\": c.backflush ? optional.of(\"PCE\") : optional.none()})'}",
		"fields: {items: 'src.order.changedInWork ? [{\"material\": \"A\", \"unit\": \"PCE\"}] : [{\"material\": \"B\"}]'}",
		"fields: {items: 'src.order.?components.orValue([]).map(c, c.backflush, {\"material\": \"M\", \"quantity\": \"1.5\"})'}",
		"fields: {few: '[{\"material\": \"A\"}, {\"material\": \"B\"}]', item: '{\"material\": src.order.plant}', texts: '[src.order.plant, ?src.order.?storageLocation.optMap(l, l.substring(0, 4))]'}",
		"fields: {texts: '[]', items: '[]', free: '{\"anything\": [1, \"a\", {\"b\": true}]}'}",
		"fields: {items: {each: '[[\"M1\", src.order.unit]].filter(d, d[1] != \"\")', item: d, fields: {material: 'd[0]', unit: 'd[1].substring(0, 3)'}}}",
		"fields: {text: '[\"a\", \"long enough\"][0]', code: '{\"a\": \"A\", \"b\": \"none\"}.a', free: src.order.?components}",
		"fields: {text: 'src.order.?batch.hasValue() ? \"yes\" : \"no\"', count: '[1, 2, 3].filter(n, n > 1).size()'}",
	} {
		if got := mistakesIn(t, fields, hidden()); len(got) > 0 {
			t.Errorf("%s: got %q, want none", fields, got)
		}
	}
}
