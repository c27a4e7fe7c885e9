package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestAnObjectAsATableHasEachKey: an object that is written into an expression is a table, and stops a message at a key that it has not.
func TestAnObjectAsATableHasEachKey(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const unit = "has(src.confirmation.timeUnit) ? {%}[src.confirmation.timeUnit] : ''"
	of := func(members string) string { return strings.Replace(unit, "%", members, 1) }
	text := func(value string) string {
		return planted + "  text: {value: \"" + strings.ReplaceAll(value, `"`, `\"`) + "\", maxLength: 40}\n"
	}
	unitOfTime := func(value string) string { return planted + "  timeUnit: " + value + "\n" }
	const add = " (add the member, or write [?…].orValue(…)"
	tests := []struct{ name, file, want string }{
		{"a code of the source that it has not", text(of(`"S": "S"`)), `it can be "MIN", and the object may have no such member` + add},
		{"a text of a choice that it has not", text(`{"a": "1"}[src.confirmation.final ? "a" : "b"]`), `it can be "b", and the object may have no such member` + add},
		{"any text", text(`{"a": "1"}[src.confirmation.workCentre]`), `it can be any text, and the object may have no such member (ask first whether it is … in`},
		{"a key that comes", text(`{src.confirmation.unit: "x"}["PCE"]`), "the object may have no such member (write [?…].orValue(…)"},
		{"a key that comes, as a field", text(`{src.confirmation.unit: "x"}.PCE`), "the object may have no such member (write [?…].orValue(…)"},
		{"one of two truths", text(`{true: "x"}[src.confirmation.final]`), "the object may have no such member"},
		{"a member that may be left out", text(`{?"a": src.confirmation.?reason, "b": "2"}[src.confirmation.final ? "a" : "b"]`), `it can be "a", and the object may have no such member`},
		{"a member by its name that may be left out", text(`{?"a": src.confirmation.?reason}["a"]`), "fields.text: the member may be missing (write [?…].orValue(…)"},
		{"a text that it never has, where a message shall stop", strings.Replace(text(`{"a": "1"}[src.confirmation.final ? "b" : "c"]`), "maxLength", "required: true, maxLength", 1), `it can be "b", and`},
		{"a code that the target does not know", unitOfTime(`'{true: "H", false: "hour"}[src.confirmation.final]'`), `"hour"`},
		{
			"a code of the table that the target does not know", unitOfTime(`'{"a": "H", "b": "hour"}[src.confirmation.final ? "a" : "b"]'`),
			`"hour"`,
		},

		{"each code of the source", text(of(`"S": "S", "MIN": "M", "H": "H"`)), ""},
		{"both truths", text(`{true: "x", false: "y"}[src.confirmation.final]`), ""},
		{"what stands in its place", text(`{"a": "1"}[?src.confirmation.workCentre].orValue("")`), ""},
		{"a key that comes, and what stands in its place", text(`{src.confirmation.unit: "x"}[?"PCE"].orValue("")`), ""},
		{"a key that is asked for first", text(`src.confirmation.workCentre in ["a", "b"] ? {"a": "1", "b": "2"}[src.confirmation.workCentre] : ""`), ""},
		{"a message that shall stop", strings.Replace(text(`{"a": "1"}[src.confirmation.workCentre]`), "maxLength", "required: true, maxLength", 1), ""},
		{"a code that is not chosen", unitOfTime(`'{"a": "H", "b": "hour"}["a"]'`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mistakesOf(tt.file, mapping.FromOpenAPI(doc))
			if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, tt.want) }) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
