package mapping_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
)

func TestMistakesAreFoundAtLoad(t *testing.T) {
	const in = "from: {document: Order}\nto: {kind: '\"order.released\"', key: src.number}\n"
	const leavesOut = "tables: {r: {rows: {a: b}, missing: leave-out}}\n"
	tests := []struct {
		name, file, want string
	}{
		// The file.
		{"no YAML", "from: {kind: [", "m.yaml:2:1: the file: it is not YAML"},
		{"an empty file", "", "m.yaml:1:1: the mapping: the file is not one YAML object (begin with from:, to: and fields:)"},
		{"a list", "- a", "the file is not one YAML object"},
		{"two documents", header + "fields: {a: src.a}\n---\nb: 1\n", "m.yaml:4:1: the file: it holds more than one YAML document"},
		{"an unknown key", header + "field: {a: src.a}", `m.yaml:3:1: the mapping: there is no key "field" (did you mean fields?)`},
		{"an unknown key far from any", header + "zzzzzzzz: 1", "(it knows from, to, tables, when, params, use, fields, body)"},
		{"a key twice", header + "fields:\n  a: src.a\n  a: src.b", "m.yaml:5:3: fields.a: it is there twice"},
		{"an alias", header + "fields: {a: &x src.a, b: *x}", "m.yaml:3:23: fields.b: anchors and aliases are not part of a mapping"},
		{"no from", "to: {operation: post}\nfields: {a: src.a}", "m.yaml:1:1: the mapping: from or to is missing"},
		{"no kind", "from: {version: 1}\nto: {operation: post}", "m.yaml:1:7: from: kind is missing"},
		{"no operation", "from: {kind: k}\nto: {}", "m.yaml:2:5: to: operation is missing"},
		{"a bad version", "from: {kind: k, version: one}\nto: {operation: post}", `m.yaml:1:26: from.version: "one" is no whole number from 1`},
		{"a kind and a document", "from: {kind: k, document: d}\nto: {kind: '\"k\"', key: src.a}\nfields: {a: src.a}", "m.yaml:1:14: from.kind: a mapping takes either a kind of message or a document"},
		{"a kind that is none", "from: {kind: operation.confirmd}\nto: {operation: post}", "m.yaml:1:14: from.kind: the plant has no kind operation.confirmd (did you mean operation.confirmed? A kind of your own differs from the plant's by more than two letters of a word)"},
		{"a kind in capitals", "from: {kind: Goods.Issue}\nto: {operation: post}", "m.yaml:1:14: from.kind: the plant has no kind Goods.Issue (did you mean goods.issued?"},
		{"a version that a kind has not", "from: {kind: operation.confirmed, version: 2}\nto: {operation: post}", "m.yaml:1:44: from.version: messages of kind operation.confirmed have no version 2 (write version: 1)"},
		{"a kind that is none, in", "from: {document: d}\nto: {kind: '\"material.chnaged\"', key: src.a}\nfields: {a: src.a}", "m.yaml:2:12: to.kind: the plant has no kind material.chnaged (did you mean material.changed?"},
		{"a version that a kind has not, in", "from: {document: d}\nto: {kind: '\"material.changed\"', version: 2, key: src.a}\nfields: {a: src.a}", "m.yaml:2:12: to.kind: messages of kind material.changed have no version 2 (write version: 1)"},
		{"a mapping in without a key", "from: {document: d}\nto: {kind: '\"k\"'}\nfields: {a: src.a}", "m.yaml:2:5: to: key is missing"},
		{"a body that is made and goes through", header + "fields: {a: src.a}\nbody: event\n", "m.yaml:3:9: fields: the body goes through as it is"},
		{"a body of another kind", header + "body: src\n", "m.yaml:3:7: body: it can only be event"},
		{"a mapping in without fields", in, "m.yaml:1:1: the mapping: fields are missing"},
		{"a mapping in with parameters", in + "params: {a: src.a}\nfields: {a: src.a}", "m.yaml:3:9: params: a mapping in makes a message"},
		{"a loop over what is no list", header + "fields: {a: {each: '\"x\"', value: item}}", "m.yaml:3:20: fields.a.each: each goes through a list, this is a string"},
		{"a key that is no word", header + "fields: {a: {? [x] : src.a}}", "fields.a: a key is a word"},
		{"a condition for a mapping out", header + "when: src.a == 1\nfields: {a: src.a}", "m.yaml:3:7: when: whether a message is sent is decided by its route"},
		// A code that a table leaves out is nothing to go on with.
		{"a code that may be left out, in capitals", header + leavesOut + "fields: {a: 'lookup(\"r\", src.a).upper()'}", "m.yaml:4:14: fields.a: table r leaves out a code without a row"},
		{"a code that may be left out, in a sum", header + leavesOut + "fields: {a: '\"x\" + reverse(\"r\", src.a)'}", "fields.a: table r leaves out a code without a row"},
		{"a code that may be left out, in a list", header + leavesOut + "fields: {a: '[lookup(\"r\", src.a)]'}", "fields.a: table r leaves out a code without a row"},
		{"a code that is read back and may be left out, into a required field", "from: {document: d}\nto: {kind: '\"material.changed\"', key: src.a}\n" + leavesOut +
			"fields: {number: 'reverse(\"r\", src.a)'}", "fields.number: it may have no value, and material.changed requires number"},
		// What is written into a call stops every message.
		{"a scale beyond all, in round", header + "fields: {a: 'round(decimal(src.a), 99, \"half-up\")'}", "m.yaml:3:36: fields.a: scale 99 is not between 0 and 38"},
		{"a negative scale, in round", header + "fields: {a: 'round(decimal(src.a), -1, \"half-up\")'}", "fields.a: scale -1 is not between 0 and 38"},
		{"a text that ends before it begins", header + "fields: {a: 'src.a.substring(5, 2)'}", "m.yaml:3:30: fields.a: characters 5 to 2 are no part of a text"},
		{"a fill that is empty", header + "fields: {a: 'pad(src.a, 10, \"\")'}", `fields.a: fill with one character, not ""`},
		{"a local time in a zone that is none", header + "fields: {a: 'localTime(src.a, src.b, \"Europe/Berln\")'}", "m.yaml:3:38: fields.a: \"Europe/Berln\" is no IANA time zone"},
		// A field's keys.
		{"an unknown key of a field", header + "fields: {a: {valeu: src.a}}", `m.yaml:3:14: fields.a: there is no key "valeu" (did you mean value?)`},
		{"neither value, const nor fields", header + "fields: {a: {required: true}}", "m.yaml:3:13: fields.a: it has 0 of value, const and fields"},
		{"value and const", header + "fields: {a: {value: src.a, const: 1}}", "fields.a: it has 2 of value, const and fields"},
		{"round without scale", header + "fields: {a: {value: decimal(src.a), round: half-up}}", "m.yaml:3:44: fields.a.round: it needs scale"},
		{"cut without maxLength", header + "fields: {a: {value: src.a, cut: true}}", "fields.a.cut: it needs maxLength"},
		{"item without each", header + "fields: {a: {value: src.a, item: x}}", "fields.a.item: it needs each"},
		{"a default and required", header + "fields: {a: {value: src.a, default: '1', required: true}}", "fields.a.required: a field with a default is never absent"},
		{"a format beside const", header + "fields: {a: {const: x, as: number}}", "fields.a.as: it has no effect beside const"},
		{"a format beside fields", header + "fields: {a: {fields: {b: src.b}, scale: 2}}", "fields.a.scale: it has no effect beside fields"},
		{"an unknown way to write", header + "fields: {a: {value: src.a, as: nmber}}", `m.yaml:3:32: fields.a.as: "nmber" is none of string, number (did you mean number?)`},
		{"a negative scale", header + "fields: {a: {value: src.a, scale: -1}}", `"-1" is no whole number from 0 to 38`},
		{"a scale beyond all", header + "fields: {a: {value: src.a, scale: 39}}", `"39" is no whole number from 0 to 38`},
		{"an unknown way to round", header + "fields: {a: {value: src.a, scale: 2, round: half-upp}}", "(did you mean half-up?)"},
		{"required is a word", header + "fields: {a: {value: src.a, required: sure}}", `"sure" is neither true nor false`},
		{"a length of a number", header + "fields: {a: {value: src.a, as: number, maxLength: 3}}", "a number has digits, not characters"},
		{"a constant that is a list", header + "fields: {a: {const: [1]}}", "fields.a: a constant is one value"},
		{"a constant that is null", header + "fields: {a: {const: null}}", "a constant is a text, a number, true or false"},
		{"a constant with a leading zero", header + "fields: {a: {const: 0010}}", `m.yaml:3:21: fields.a: 0010 is not a number as JSON writes it (write "0010"`},
		{"a field without a name", header + "fields: {'': src.a}", "a field needs a name"},
		{"an expression that is a list", header + "fields: {a: [src.a]}", "m.yaml:3:13: fields.a: it is not one value"},
		{"an empty expression", header + "fields: {a: ''}", "fields.a: it is not one value"},
		{"no fields below fields", header + "fields: {}", "m.yaml:3:9: fields: it is empty"},
		{"a parameter with fields", header + "params: {a: {fields: {b: src.b}}}", "params.a.fields: a parameter is one text"},
		{"a loop's variable that is taken", header + "fields: {a: {each: src.l, item: src, value: src.n}}", `"src" cannot name the element here`},
		{"a loop's variable that is no word", header + "fields: {a: {each: src.l, item: 'x y', value: src.n}}", `"x y" cannot name the element here`},
		{"the same variable in both loops", header + "fields: {a: {each: src.l, fields: {b: {each: item.m, value: item}}}}", `fields.a.b.item: "item" cannot name the element here`},
		// Tables.
		{"a table without rows", header + "tables: {t: {otherwise: x}}", "m.yaml:3:13: tables.t: it has no rows"},
		{"a row that YAML reads as a number", header + "tables: {t: {rows: {a: 0010}}}", `m.yaml:3:24: tables.t.rows.a: 0010 without quotes is not a text (write "0010")`},
		{"a table that is not there", header + "tables: {reason: {rows: {a: b}}}\nfields: {a: 'lookup(\"raeson\", src.a)'}", `m.yaml:4:21: fields.a: there is no table "raeson" (did you mean reason?)`},
		{"a table named by a field", header + "fields: {a: 'lookup(src.t, src.a)'}", "a table is named by a text in quotes"},
		// Expressions.
		{"a syntax error", header + "fields: {a: src.a +}", "m.yaml:3:19: fields.a: nothing stands behind + (write what stands behind it, or leave it out)"},
		{"an unknown name", header + "fields: {a: scr.a}", "m.yaml:3:13: fields.a: there is no scr here (did you mean src?)"},
		{"an unknown part of the event", header + "fields: {a: event.idd}", "m.yaml:3:18: fields.a: there is no event.idd here (did you mean event.id?)"},
		{"an unknown function", header + "fields: {a: 'src.a == 1 ? rond(decimal(src.a), 1, \"up\") : decimal(\"0\")'}", "m.yaml:3:27: fields.a: there is no rond here (did you mean round?)"},
		{"a floating-point number", header + "fields: {a: decimal(src.a) + 1.5}", `m.yaml:3:30: fields.a: a floating-point number loses digits (write decimal("1.5"))`},
		{"a floating-point number in a block", header + "fields:\n  a: |\n    decimal(src.a)\n      * 0.25\n", `m.yaml:6:9: fields.a: a floating-point number loses digits (write decimal("0.25"))`},
		{"double()", header + "fields: {a: double(src.a)}", "there is no double here"},
		{"a time of CEL's", header + "fields: {a: timestamp(src.a).getHours()}", "there is no timestamp here"},
		{"a decimal and a text", header + "fields: {a: 'decimal(src.a) + \"x\"'}", "no matching overload for '_+_' applied to '(decimal, string)' (make both sides the same"},
		{"a division", header + "fields: {a: decimal(src.a) / decimal(src.b)}", "m.yaml:3:28: fields.a: numbers are not divided: a quotient may not end"},
		{"a division of what is not known", header + "fields: {a: src.n / 2}", "m.yaml:3:19: fields.a: numbers are not divided: a quotient may not end"},
		{"two types in a choice", header + "fields: {a: 'src.a == 1 ? \"x\" : 2'}", "'_?_:_'"},
		{"an int on the left of ==", header + "fields: {a: 3 == src.a}", "m.yaml:3:13: fields.a: a number on the left is not compared with a decimal"},
		{"a bad decimal", header + "fields: {a: 'decimal(\"1,5\")'}", `m.yaml:3:22: fields.a: "1,5" has a comma`},
		{"a bad zone", header + "fields: {a: 'date(src.a, \"Europe/Berln\")'}", `m.yaml:3:26: fields.a: "Europe/Berln" is no IANA time zone`},
		{"a zone left to chance", header + "fields: {a: date(src.a)}", "no matching overload for 'date'"},
		{"a bad way to round", header + "fields: {a: 'round(decimal(src.a), 2, \"halfup\")'}", `"halfup" is no way to round (did you mean half-up?)`},
		{"a condition that is no condition", header + "fields: {a: {value: src.a, when: event.id}}", "a condition is true or false, this is a string"},
		{"a loop over a text", header + "fields: {a: {each: event.id, value: item}}", "each goes through a list, this is a string"},
		{"scale of a text", header + "fields: {a: {value: event.id, scale: 2}}", "scale is for decimals, this is a string (wrap it: decimal(…))"},
		{"a condition as a number", header + "fields: {a: {value: event.id == 'x', as: number}}", "a bool cannot be written as a number"},
		{"a length of an int", header + "fields: {a: {value: event.number, maxLength: 2}}", "maxLength is for texts, this is a int"},
		{"bytes", header + "fields: {a: 'b\"x\"'}", "a bytes cannot be written"},
		{"a list as a parameter", header + "params: {a: '[1]'}", "one value is needed, this is a list(int)"},
		{"a loop inside a loop", header + "fields: {a: 'src.l.map(x, src.l.map(y, x + y))'}", "a loop inside a loop (use each: for the outer one)"},
		{"a regular expression that is none", header + "fields: {a: 'src.a.matches(\"(\")'}", "fields.a: it is no regular expression"},
		{"ref in a mapping in", in + "fields: {a: 'ref(\"order\", src.a)'}", "there is no ref here"},
		{"plantID in a mapping out", header + "fields: {a: 'plantID(\"order\", src.a)'}", "there is no plantID here"},
		{"a loop's variable outside", header + "fields: {a: {each: src.l, value: item}, b: item.x}", "there is no item here"},
		{"an expression that is too long", header + "fields: {a: '" + strings.Repeat("1+", 3000) + "1'}", "expression code point size exceeds limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(tt.file)}})
			if err == nil {
				t.Fatal("the mapping was taken")
			}
			if !contains(err.Error(), tt.want) {
				t.Errorf("err = %v\nwant  …%s…", err, tt.want)
			}
			all, _ := err.(interface{ Unwrap() []error })
			for _, one := range all.Unwrap() {
				if m, ok := errors.AsType[*mapping.Mistake](one); ok && m.Hint == "" {
					t.Errorf("nothing is said of what to do: %v", m)
				}
			}
		})
	}
}

// TestAFileMapsTheKindThatItIsNamedAfter: of what stands in a folder, a route finds the mapping by the kind alone, so that there is one for each.
func TestAFileMapsTheKindThatItIsNamedAfter(t *testing.T) {
	const scrapped = "from: {kind: goods.scrapped}\nto: {operation: createGoodsMovement}\nfields: {messageId: event.id}\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"a file of another kind",
			map[string]string{"mine/goods.issued.yaml": scrapped},
			"mine/goods.issued.yaml:1:14: from.kind: the file is named after goods.issued, and maps goods.scrapped (write kind: goods.issued, or name the file goods.scrapped.yaml)",
		},
		{
			"two files of one kind",
			map[string]string{"mine/b.yaml": scrapped, "mine/a.yaml": scrapped},
			"mine/b.yaml:1:14: from.kind: mine/a.yaml maps goods.scrapped too, and a route by mine finds one (move one of them to another folder, or name the one for such routes goods.scrapped.yaml)",
		},
		{"two that routes name one by one", map[string]string{"b.yaml": scrapped, "a.yaml": scrapped}, ""},
		{"one that is named after the kind, and another", map[string]string{"mine/goods.scrapped.yaml": scrapped, "mine/a.yaml": scrapped}, ""},
		{"kinds of the plant's own", map[string]string{"mine/a.yaml": header + "fields: {a: src.a}", "mine/slot.changed.yaml": "from: {kind: slot.changed, version: 7}\nto: {operation: post}\nfields: {a: src.a}"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, tt.files)
			if tt.want != "" && (err == nil || err.Error() != tt.want) || tt.want == "" && err != nil {
				t.Fatalf("err = %v\nwant  %s", err, tt.want)
			}
			if s != nil && s.Name("mine", "goods.scrapped") == "mine/a" {
				t.Error("another than the one that is named after the kind is found")
			}
		})
	}
	s, err := load(t, map[string]string{"mine/test.came.yaml": header + "fields: {a: src.a}"})
	if err != nil || s.Covers("mine", "test.came") || !s.Covers("mine", "test.happened") {
		t.Errorf("a file of the plant's own kind is found by its name and not by its kind: %v", err)
	}
}

func TestAllMistakesOfAllFilesAreReported(t *testing.T) {
	_, err := mapping.Load(fstest.MapFS{
		"a.yaml": {Data: []byte(header + "fields: {a: scr.a, b: {value: src.b, as: x}, c: 1.5}")},
		"b.yaml": {Data: []byte("from: {}\nto: {}")},
	})
	for _, want := range []string{"a.yaml:3:13:", "a.yaml:3:42:", "a.yaml:3:49:", "b.yaml:1:7:", "b.yaml:2:5:"} {
		if err == nil || !contains(err.Error(), want) {
			t.Errorf("nothing at %s in:\n%v", want, err)
		}
	}
}
