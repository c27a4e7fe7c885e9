package mapping_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlantedSlips has what somebody writes who knows formulas of other programs: each is told at its place in the file, which ¦ marks, with what to write.
func TestPlantedSlips(t *testing.T) {
	tests := []struct{ name, text, why, hint string }{
		{`= for ==`, `'src.confirmation.unit ¦= "PCE" ? "a" : "b"'`, `= is no operator here`, `write == to compare`},
		{`=== for ==`, `'src.confirmation.unit ¦=== "PCE" ? "a" : "b"'`, `=== is no operator here`, `write ==`},
		{`=> for >=`, `'event.number ¦=> 2 ? "a" : "b"'`, `=> is no operator here`, `write >=`},
		{`<> for !=`, `src.confirmation.unit ¦<> "PCE"`, `<> is no operator here`, `write !=`},
		{`and for &&`, `src.confirmation.final ¦and true`, `and is no operator here`, `write &&`},
		{`OR for ||`, `src.confirmation.final ¦OR true`, `OR is no operator here`, `write ||`},
		{`not for !`, `¦not src.confirmation.final`, `not is no operator here`, `write ! before the condition`},
		{`not() for !`, `string(¦not(src.confirmation.final))`, `there is no not here`, `write ! before the condition`},
		{`& for &&`, `'src.confirmation.final ¦& true'`, `& is no operator here`, `write && for and; texts are joined with +`},
		{`~ for a pattern`, `src.confirmation.unit ¦~ "x"`, `~ is no operator here`, `write .matches("…") to compare with a pattern, ! for not, or + to join texts`},
		{`?? for what may be missing`, `src.confirmation.?text ¦?? "x"`, `?? is no operator here`, `write .orValue(…) behind the field: src.….?field.orValue("")`},
		{`?. for .?`, `src.confirmation¦?.text`, `?. is no operator here`, `write .?field, with the point first`},
		{`a choice with one side`, `'src.confirmation.final ¦? "a"'`, `the choice does not say what it is otherwise`, `write condition ? value : otherwise, or put the condition into when:`},
		{`a choice whose other side is missing`, `'src.confirmation.final ? "a" ¦:'`, `nothing stands behind :`, `write what stands behind it, or leave it out`},
		{`if, then and else`, `¦if src.confirmation.final then "a" else "b"`, `if begins nothing here`, `write condition ? value : otherwise`},
		{`if() for a choice`, `'¦if(src.confirmation.final, "a", "b")'`, `if begins nothing here`, `write condition ? value : otherwise`},
		{`typographic quotes`, `src.confirmation.unit + ¦“x”`, `“ is a typographic quote, which begins no text`, `write straight ones: "…"`},
		{`a text that ends with a typographic quote`, `src.confirmation.unit + ¦"x”`, `the text that begins here has no end: ” is a typographic quote`, `write straight ones: "…"`},
		{`a text without an end`, `src.confirmation.unit + ¦"x`, `the text that begins here has no end`, `end it with the quote that it begins with: "…"`},
		{`an apostrophe inside a text`, `"'it'¦'s'"`, `a quote inside a text ends it`, "write \\' for the quote itself, or take the other quotes around the text"},
		{`a no-break space`, "src.confirmation.unit¦\u00a0+ \"x\"", `a character stands here that looks like a blank and is none (U+00A0)`, `write a blank in its place; it comes with what is copied from a page or a document`},
		{`a dash`, `event.number ¦– 1`, `– is a dash, and no minus`, `write -`},
		{`a remark without quotes inside a text`, `src.confirmation.unit + " ¦#" + src.plant`, `YAML takes this # and what stands behind it as a remark, so that the text before it has no end`, `put the whole expression in quotes: '…'`},
		{`a remark in an expression`, "|\n    src.confirmation.unit ¦# the unit", `# is no operator here`, `put a remark above the field; a text that has it stands in quotes: "#"`},
		{`; at the end`, `src.confirmation.unit¦;`, `; is no operator here`, `leave it out; what a function is given is parted by commas`},
		{`$ before a field`, `¦$src.confirmation.unit`, `$ is no operator here`, `write the field alone, without a sign before it: src.…`},
		{`braces around an expression`, `'¦{{src.confirmation.unit}}'`, `an expression stands without braces around it`, `write it alone: src.…`},
		{`a bracket that is never closed`, `¦(src.confirmation.unit + "x"`, `this ( is never closed`, `write ) where it ends`},
		{`a bracket that closes nothing`, `src.confirmation.unit + "x"¦)`, `this ) closes nothing`, `leave it out, or open it before`},
		{`brackets of two kinds`, `src.confirmation.unit in ¦["A")`, `this [ is closed by )`, `write ] in its place`},
		{`a list in round brackets`, `src.confirmation.unit in ¦("A", "B")`, `a list stands in square brackets`, `write in ["A", "B"]`},
		{`a comma in a number`, `'src.confirmation.unit == "A" ? ¦1,5 : 2'`, `1,5 has a comma, and a number has a point`, `write decimal("1.5")`},
		{`a number with zeros before it`, `string(¦0010)`, `0010 is a number here, and loses its zeros`, `write "0010", in quotes`},
		{`two texts side by side`, `'"a" ¦"b"'`, `"b" stands behind "a" without an operator between them`, `write one, such as + to join texts, or && between conditions`},
		{`an operator at the end`, `src.confirmation.unit ¦+`, `nothing stands behind +`, `write what stands behind it, or leave it out`},
		{`an operator at the beginning`, `'¦&& src.confirmation.final'`, `nothing stands before &&`, `write what stands before it, or leave it out`},
		{`two operators`, `src.confirmation.unit + ¦* "x"`, `between + and * something is missing`, `write a value there, or leave one of them out`},
		{`double()`, `string(¦double(src.confirmation.yield))`, `there is no double here`, `quantities are exact: write decimal(…)`},
		{`length()`, `string(src.confirmation.unit.¦length())`, `there is no length here`, `write size(…)`},
		{`left()`, `¦left(src.confirmation.unit, 3)`, `there is no left here`, `take a part of a text: .substring(0, 3)`},
		{`yes`, `¦yes`, `there is no yes here`, `write true`},
		{`NULL`, `¦NULL`, `there is no NULL here`, `leave a field without a value out with when:, or ask has(src.…) whether it is there`},
		{`a text whose quotes YAML takes`, `"¦PIECE"`, `there is no PIECE here`, `if it is a text, quote it inside YAML's quotes: '"PIECE"'; an expression sees src, event.… and the variables of the loops around it`},
		{`a day whose quotes YAML takes`, `¦"2026-11-24"`, `2026-11-24 is a difference of numbers here, and no text`, `for a text quote it inside YAML's quotes: '"2026-11-24"'; for the difference put blanks around the minus`},
		{`a key whose quotes YAML takes`, `¦"0001"`, `0001 is a number here, and loses its zeros`, `quote it inside YAML's quotes: '"0001"'`},
		{`a value that may be missing in a sum`, `src.confirmation.?text ¦+ "x"`, `found no matching overload for '_+_' applied to '(string or nothing, string)'`, `it may have no value: say what stands in its place, .orValue(""), or go on only where there is one, .optMap(v, …)`},
		{`a text where a condition is wanted`, `src.confirmation¦.unit || true`, `expected type 'bool' but found 'string'`, `&&, || and ! take conditions: compare it with something, join texts with +, or write .orValue(…) for what may be missing`},
		{`= in a block`, "|\n\n    src.confirmation.unit\n      ¦= \"PCE\" ? \"a\" : \"b\"", `= is no operator here`, `write == to compare`},
		{`= in a block with an indentation`, "|-2\n      src.confirmation.unit\n        ¦= \"PCE\"", `= is no operator here`, `write == to compare`},
		{`= in a folded block`, ">\n    src.confirmation.unit\n\n    ¦= \"PCE\"", `= is no operator here`, `write == to compare`},
		{`= on the next line`, "src.confirmation.unit\n    ¦= \"PCE\"", `= is no operator here`, `write == to compare`},
		{`= on the next line of a text in quotes`, "'\"it''s\" ==\n    src.confirmation.unit ¦= \"PCE\"'", `= is no operator here`, `write == to compare`},
		{`= behind escapes`, "\"\\\"\\u0041ä\\\" \\\n    ¦= src.confirmation.unit\"", `= is no operator here`, `write == to compare`},
	}
	var all []plant
	for _, tt := range tests {
		before, after, _ := strings.Cut("  text: "+tt.text, "¦")
		lines := strings.Split(planted+before, "\n")
		want := fmt.Sprintf("m.yaml:%d:%d: fields.text: %s (%s)", len(lines), 1+len([]rune(lines[len(lines)-1])), tt.why, tt.hint)
		all = append(all, plant{tt.name, planted + before + after + "\n", want})
	}
	plants(t, all)
}

// TestPlantedSlipsOfYAML has files that YAML reads in another way than they are meant, or not at all.
func TestPlantedSlipsOfYAML(t *testing.T) {
	const blank = "a character stands here that looks like a blank and is none (U+00A0) (write a blank in its place; it comes with what is copied from a page or a document)"
	plants(t, []plant{
		{"a tab before a key", planted + "\ttext: event.id\n", "m.yaml:10:1: the file: it is not YAML: a tab stands in the indentation (indent with blanks, as YAML takes no tabs there)"},
		{"a tab behind blanks", planted + "  \ttext: event.id\n", "m.yaml:10:3: the file: it is not YAML: a tab stands in the indentation (indent with blanks, as YAML takes no tabs there)"},
		{"a no-break space before a key", planted + "  \u00a0text: event.id\n", "m.yaml:10:3: fields: " + blank},
		{"a no-break space in a key", planted + "  text: {value: event.id, max\u00a0Length: 40}\n", "m.yaml:10:30: fields.text: " + blank},
		{
			"a file of Latin-1", planted + "  text: '\"gr\xfcn\"'\n",
			"m.yaml:10:13: the file: it is not UTF-8: a byte 0xfc stands here, as in a file of Latin-1 or Windows-1252 (save it as UTF-8)",
		},
		{"a key without a blank behind its colon", planted[:strings.Index(planted, "  messageId")] + "  messageId:event.id\n", "m.yaml:4:3: fields: it is not an object (write a blank behind the colon: messageId: …)"},
		{
			"a condition that begins as a tag does", planted + "  text: !src.confirmation.final\n",
			"m.yaml:10:9: fields.text: it is not one value (put the expression in quotes: what begins with ! or & without them is YAML's own)",
		},
		{"a list without quotes", planted + "  text: [src.order.id]\n", "m.yaml:10:9: fields.text: it is not one value (put the expression in quotes: '[…]')"},
		{"a remark in the place of a value", planted + "  text: # event.id\n", "m.yaml:10:9: fields.text: it is not one value: what stands behind # is a remark (put the value in quotes, if # belongs to it)"},
		{"yes for true", planted + "  text: {value: event.id, maxLength: 40, required: yes}\n", "m.yaml:10:52: fields.text.required: \"yes\" is neither true nor false (write true)"},
		{"off for false", planted + "  text: {value: event.id, maxLength: 40, cut: off}\n", "m.yaml:10:47: fields.text.cut: \"off\" is neither true nor false (write false)"},
		{"yes as a constant", planted + "  final: {const: yes}\n", "m.yaml:10:10: fields.final: it makes a text, and final is a true or false (write const: true or const: false, without quotes)"},
		{"a length that is no whole number", planted + "  text: {value: event.id, maxLength: 40.0}\n", "m.yaml:10:38: fields.text.maxLength: \"40.0\" is no whole number from 1 to 65536 (write it in digits, such as 3)"},
		{
			"a key without a comma before it", planted + "  text: {value: event.id maxLength: 40}\n",
			"m.yaml:10:35: the file: it is not YAML: did not find expected ',' or '}' (put a comma between the keys, and } behind the last; put an expression that holds ': ' or ' #' or begins with a sign in quotes)",
		},
	})
}
