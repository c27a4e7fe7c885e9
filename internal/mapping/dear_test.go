package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// TestADearPatternIsRefusedBeforeItRuns: what a pattern costs is counted by its places, as it is where it runs, in a loop and outside of one.
func TestADearPatternIsRefusedBeforeItRuns(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const text = `src.confirmation.?text.orValue("")`
	field := func(kind, expression string) string {
		return "from: {kind: " + kind + "}\nto: {operation: post}\nfields:\n  name: '" + expression + " ? \"aa\" : \"bb\"'\n"
	}
	inLoop := func(pattern string) string {
		return field("order.created", `src.order.?components.orValue([]).exists(c, c.material.matches("`+pattern+`"))`)
	}
	often := func(guard string) string {
		return field("operation.confirmed", strings.TrimSuffix(strings.Repeat(guard+text+`.matches("^(?:[A-Z]?){250}$") || `, 20), " || "))
	}
	const tooMany = "it is a pattern of more than 1000 places, each of which is looked at for each character (repeat less: compare the length alone with size(…))"
	for _, tt := range []struct{ name, file, want string }{
		{"few places in a loop", inLoop("^[A-Z]{3}[0-9]+$"), ""},
		{
			"many places in a loop", inLoop("^(?:[A-Z]?){250}$"),
			"m.yaml:4:9: fields.name: it may take 1153011 steps with the longest lists and texts of the source, and 50000 are allowed (make the list shorter first, look in a shorter one, or use each:)",
		},
		{
			"many places, often", often(""),
			"m.yaml:4:9: fields.name: it may take 53922 steps with the longest texts of the source, and 50000 are allowed (write a pattern with fewer repetitions, or ask for the length first: size(…) <= 40 && …)",
		},
		{"right: the length first", often("size(" + text + ") <= 40 && "), ""},
		{"more places than any may have", inLoop("^(?:[A-Z][0-9]){600}$"), "m.yaml:4:73: fields.name: " + tooMany},
		{"more than can be compiled at once", inLoop(strings.Repeat("a{1000}", 400)), "m.yaml:4:73: fields.name: " + tooMany},
	} {
		if got := mistakesOf(tt.file, mapping.FromOpenAPI(doc)); tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
	if _, err := mapping.Load(plantedFolder(inLoop("^(?:[A-Z]?){250}$"))); err == nil {
		t.Error("a mapping whose pattern is too dear is loaded")
	}
}
