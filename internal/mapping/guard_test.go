package mapping_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// createdField is a mapping with one field of a new order.
func createdField(rule string) string {
	return "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: " + rule + "\n"
}

// TestWhatMayBeMissingIsFound has each way in which a value that is not there could come through a guard that is not its own.
func TestWhatMayBeMissingIsFound(t *testing.T) {
	table := "tables: {t: {missing: leave-out, rows: {S: a}}}\n"
	tests := []struct{ name, file, want string }{
		{
			"a guard of another value, of which no path tells", createdField(`'(src.order.?batch.or(src.order.?type)).hasValue() ? (src.order.?plantNumber.or(src.order.?erpNumber)).value() : ""'`),
			"m.yaml:4:109: fields.n: there may be no value, and value() would stop the message (say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it)",
		},
		{
			"a guard of a value that was made, around another", createdField(`'(src.order.?batch.or(src.order.?type)).optMap(b, b + (src.order.?plantNumber.or(src.order.?erpNumber)).value())'`),
			"m.yaml:4:110: fields.n: there may be no value, and value() would stop the message (say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it)",
		},
		{
			"a text that is no value when it is empty", createdField(`optional.ofNonZeroValue(src.order.number).value()`),
			"m.yaml:4:48: fields.n: there may be no value, and value() would stop the message (say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it)",
		},
		{
			"a name of optMap that hides a loop's", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  items:\n    each: src.order.?notes.orValue([])\n    item: c\n    fields: {n: {when: has(src.order.components), value: 'src.order.components[?0].optMap(c, c.material).orValue(c.code)'}}\n",
			"m.yaml:7:84: fields.items.n: \"c\" is the name of something else around it (choose another name)",
		},
		{
			"a name of filter that hides a loop's", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  items:\n    each: src.order.?operations.orValue([])\n    item: c\n" +
				"    fields: {n: {when: has(c.description), value: 'src.order.?operations.orValue([]).exists(c, c.description == \"x\")'}}\n",
			"m.yaml:7:86: fields.items.n: \"c\" is the name of something else around it (choose another name)",
		},
		{
			"a name of optMap inside one alike", createdField(`'src.order.?batch.optMap(b, src.order.?type.optMap(b, b).orValue(b))'`),
			"m.yaml:4:50: fields.n: \"b\" is the name of something else around it (choose another name)",
		},
		{
			"a name that hides the body", createdField(`'src.order.?batch.optMap(src, src)'`),
			"m.yaml:4:24: fields.n: \"src\" is the name of something else around it (choose another name)",
		},
		{
			"a name that hides the event", createdField(`'src.order.?batch.optMap(event, event)'`),
			"m.yaml:4:24: fields.n: \"event\" is the name of something else around it (choose another name)",
		},
		{
			"a loop whose count hides a name", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  items:\n    each: src.order.?operations.orValue([])\n    item: cIndex\n" +
				"    fields: {parts: {each: 'src.order.?components.orValue([])', item: c, fields: {n: c.material}}}\n",
			"m.yaml:7:28: fields.items.parts.item: \"c\" cannot name the element here (choose a word that is not used around it: item: part)",
		},
		{
			"an element of the shorter of two lists", createdField(`'optional.of(true ? [src.order.number, src.plant] : [src.plant]).optMap(l, l[1])'`),
			"m.yaml:4:82: fields.n: the list may have no element 1 (write [?1], ask size(l) > 1 first, or say required: true, which stops a message without it)",
		},
		{
			"a part of a text that may have none", createdField(`'src.order.number.split("-")[1]'`),
			"m.yaml:4:34: fields.n: the list may be shorter (write [?…], which is no value where there is none)",
		},
		{
			"an element behind the last one that is written", createdField(`'[src.plant][1]'`),
			"m.yaml:4:18: fields.n: the list may be shorter (write [?…], which is no value where there is none)",
		},
		{
			"a code that is left out, behind a condition", table + planted + "  text: {value: '(src.confirmation.final ? lookup(\"t\", \"S\") : \"x\") + \"y\"', maxLength: 40}\n",
			"m.yaml:11:42: fields.text: table t leaves out a code without a row, and there is no value to go on with (say otherwise: in the table, or let the lookup be all that the field has)",
		},
		{
			"a code that is left out, as a function's text", table + planted + "  text: 'pad(lookup(\"t\", src.confirmation.unit), 3, \"0\")'\n",
			"m.yaml:11:14: fields.text: table t leaves out a code without a row, and there is no value to go on with (say otherwise: in the table, or let the lookup be all that the field has)",
		},
		{
			"a code that is left out, where another value stands in", table + without + "  yield: {value: 'src.confirmation.?timeUnit.optMap(u, lookup(\"t\", u)).orValue(\"1\")', as: string}\n",
			"m.yaml:10:18: fields.yield: it may have no value, and operation createConfirmation requires yield (give it a default:, or say required: true, which stops a message without it)",
		},
		{
			"a code that is left out, joined where another value stands in", table + planted + "  text: {value: 'src.confirmation.?timeUnit.optMap(u, lookup(\"t\", u)).orValue(\"\") + \"h\"', maxLength: 40}\n",
			"m.yaml:11:71: fields.text: table t leaves out a code without a row, and there is no value to go on with (say otherwise: in the table, or let the lookup be all that the field has)",
		},
		{
			"a code that is left out, behind a condition, for a required field", table + without + "  yield: {value: 'src.confirmation.final ? lookup(\"t\", src.confirmation.unit) : \"1\"', as: string}\n",
			"m.yaml:10:18: fields.yield: it may have no value, and operation createConfirmation requires yield (give it a default:, or say required: true, which stops a message without it)",
		},
		{
			"no value in one of two cases, for a required field", without + "  yield: 'src.confirmation.final ? src.confirmation.?machineTime : optional.of(\"1\")'\n",
			"m.yaml:9:10: fields.yield: it may have no value, and operation createConfirmation requires yield (give it a default:, or say required: true, which stops a message without it)",
		},
		{
			"a value of a value that may not be there, for a required field", without + "  yield: src.confirmation.?machineTime.optMap(m, decimal(m))\n",
			"m.yaml:9:10: fields.yield: it may have no value, and operation createConfirmation requires yield (give it a default:, or say required: true, which stops a message without it)",
		},
	}
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mistakesOf(tt.file, mapping.FromOpenAPI(doc)); !slices.Contains(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			reachesNoLink(t, tt.file, mapping.FromOpenAPI(doc))
		})
	}
}

// TestAFieldOfAnOpenObjectMayBeMissing: an object that takes any field has no type for CEL, and what its schema says counts all the same.
func TestAFieldOfAnOpenObjectMayBeMissing(t *testing.T) {
	text := &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}
	open := schema.NewObject("Open", &schema.Field{Name: "always", Type: text, Required: true}, &schema.Field{Name: "perhaps", Type: text})
	open.Open = true
	document := schema.NewObject("Document", &schema.Field{Name: "open", Type: open, Required: true})
	of := func(expression string) []string {
		return mistakesOf("from: {document: d}\nto: {kind: '\"k\"', key: src.open.always}\nfields: {n: '"+expression+"'}\n", oneOperation{document: document})
	}
	for _, name := range []string{"perhaps", "other"} {
		want := "m.yaml:3:22: fields.n: field " + name + " may be missing (write .?" + name + ", or ask has(src.open." + name + ") first)"
		if got := of("src.open." + name); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, right := range []string{"src.open.?" + name, "has(src.open." + name + ") ? src.open." + name + " : src.open.always"} {
			if got := of(right); len(got) > 0 {
				t.Errorf("%s: got %q, want none", right, got)
			}
		}
	}
}

// TestWhatIsThereNeedsNoGuard has what looks like the mistakes above, and is none.
func TestWhatIsThereNeedsNoGuard(t *testing.T) {
	table := "tables: {t: {missing: leave-out, rows: {S: a}}}\n"
	for _, file := range []string{
		createdField(`'src.order.number.split("-")[0] + [src.plant][0]'`),
		createdField(`'src.order.?batch.optMap(b, b + "x").or(src.order.?type.optMap(b, b + "y"))'`),
		createdField(`'optional.ofNonZeroValue(src.order.number).orValue("none")'`),
		table + createdField(`'src.order.?batch.optMap(b, lookup("t", b))'`),
		table + createdField(`'src.plant == "1" ? lookup("t", src.order.unit) : "x"'`),
		table + createdField(`'lookup("t", src.order.unit) == "a" ? "x" : "y"'`),
	} {
		if got := mistakesOf(file, oneOperation{}); len(got) > 0 {
			t.Errorf("%s: got %q, want none", file, got)
		}
	}
}

// TestAnElementThatIsNullIsNone: in a list whose elements may be null, null is no element, as a member that is null is no member. Each expression
// may then take what the check says is there.
func TestAnElementThatIsNullIsNone(t *testing.T) {
	line := schema.NewObject("Line", &schema.Field{Name: "code", Type: &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}, Required: true})
	line.Nullable = true
	document := schema.NewObject("Document", &schema.Field{Name: "lines", Type: listOf(line), Required: true})
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(
		"from: {document: d}\nto: {kind: '\"k\"', key: event.id}\nfields: {codes: {each: src.lines, value: item.code}, n: size(src.lines)}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if found := set.Check("m", "", oneOperation{document: document}); len(found) > 0 {
		t.Fatalf("the check has against it: %v", found)
	}
	ctx := mapping.Reading(t.Context(), func(_, _, _ string) *schema.Type { return document })
	got, err := set.ApplyIn(ctx, "m", confirmed(`{"lines":[null,{"code":"a"},null,{"code":"b"}]}`), nil)
	if want := `{"codes":["a","b"],"n":2}`; err != nil || string(got.Body) != want {
		t.Errorf("got %s, %v, want %s", got.Body, err, want)
	}
}
