package mapping_test

import (
	"slices"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi/contract"
)

// TestWhatAPatternForbidsIsDead: a comparison with it, and a row of a table for it.
func TestWhatAPatternForbidsIsDead(t *testing.T) {
	doc, err := contract.Load([]byte(limited), "post.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const never = "the condition never holds, so that the rule is dead (compare with a value that there can be, or leave the rule out)"
	const always = "the condition holds for every message (leave it out)"
	name := func(when string) string {
		return "fields:\n  name: {when: '" + when + "', value: src.confirmation.workCentre, maxLength: 80}\n"
	}
	table := func(rows, more string) string {
		return "tables: {m: {rows: {" + rows + "}" + more + "}}\nfields:\n  movement: {value: 'lookup(\"m\", src.confirmation.operation)', maxLength: 3}\n"
	}
	for _, tt := range []struct{ name, rest, want string }{
		{"another pattern", name(`src.confirmation.operation == "10"`), "m.yaml:4:16: fields.name.when: " + never},
		{"another pattern, on the left", name(`"10" == src.confirmation.operation`), "m.yaml:4:16: fields.name.when: " + never},
		{"not another pattern", name(`src.confirmation.operation != "10"`), "m.yaml:4:16: fields.name.when: " + always},
		{"none of a list fits", name(`src.confirmation.operation in ["10", "20"]`), "m.yaml:4:16: fields.name.when: " + never},
		{"longer than it can be", name(`src.plant == "10001"`), "m.yaml:4:16: fields.name.when: " + never},
		{"no day", name(`src.confirmation.postingDate == "24.11.2026"`), "m.yaml:4:16: fields.name.when: " + never},
		{"no date-time", name(`src.confirmation.postedAt == "2026-11-24"`), "m.yaml:4:16: fields.name.when: " + never},
		{"two patterns", name(`src.confirmation.operation == src.confirmation.postingDate`), "m.yaml:4:16: fields.name.when: " + never},
		{"right: a pattern", name(`src.confirmation.operation == "0010" || src.confirmation.operation in ["0020", "x"] || src.plant == "1000"`), ""},
		{"right: a literal beside it", name(`src.confirmation.?reason.orValue("") == "" || (src.confirmation.final ? src.confirmation.operation : "x") == "x"`), ""},
		{"right: a day", name(`src.confirmation.postingDate == "2026-11-24" || src.confirmation.postedAt == "2026-11-24T06:00:00+01:00"`), ""},
		{
			"a row that nothing asks for", table(`"10": A01, "0010": A02`, ", otherwise: A03"),
			`m.yaml:3:21: tables.m: no message can ask for "10" (leave it out, or correct it; asked for can be "0010")`,
		},
		{
			"no row that anything asks for", table(`"10": A01, "20": A02`, ""),
			`m.yaml:5:50: fields.movement: it fits ^[0-9]{4}$, and table m has no row of such a code (write the codes as the source has them, or change it: .stripZeros(), .trim(), pad(…))`,
		},
		{"right: rows of the pattern", table(`"0010": A01, "0020": A02`, ""), ""},
	} {
		file := "from: {kind: operation.confirmed}\nto: {operation: post}\n" + tt.rest
		if got := mistakesOf(file, mapping.FromOpenAPI(doc)); tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
}
