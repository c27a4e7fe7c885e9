package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestWhatATextCanBeGoesThroughFunctions: of a text that can be a few alone, the checker knows what a function makes of each, so that it finds the
// one that the target does not take, and takes those that it does.
func TestWhatATextCanBeGoesThroughFunctions(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const unit = `src.confirmation.?timeUnit.orValue("S")` // S, MIN or H
	for _, tt := range []struct{ name, field, wrong string }{
		{"lower", "timeUnit: '" + unit + ".lower()'", `it can be "h", and timeUnit knows no such value`},
		{"there and back", "timeUnit: '" + unit + ".lower().upper()'", ""},
		{"in optMap", "timeUnit: 'src.confirmation.?timeUnit.optMap(u, u.lower())'", `it can be "h", and timeUnit knows no such value`},
		{"trim", "timeUnit: '(\" \" + " + unit + ").trim()'", ""},
		{"joined", "timeUnit: '" + unit + " + \"S\"'", `it can be "HS", and timeUnit knows no such value`},
		{"joined to a code", "timeUnit: '\"M\" + \"IN\"'", ""},
		{"joined three times", "timeUnit: '\"\" + " + unit + " + \"\"'", ""},
		{"longer than the target takes", "unit: '" + unit + " + \"ABCD\"'", "it can have 7 characters, and unit takes 6"},
		{"as long as the target takes", "unit: '" + unit + " + \"ABC\"'", ""},
		{"a piece", "timeUnit: '" + unit + ".substring(0, 1)'", `it can be "M", and timeUnit knows no such value`},
		{"a piece that is taken", "timeUnit: '(" + unit + " + \"xx\").substring(0, 3).replace(\"x\", \"\")'", ""},
		{"replaced", "timeUnit: '" + unit + ".replace(\"MIN\", \"H\")'", ""},
		{"replaced by what is none", "timeUnit: '" + unit + ".replace(\"MIN\", \"D\")'", `it can be "D", and timeUnit knows no such value`},
		{"filled up", "timeUnit: 'pad(" + unit + ", 3, \" \").trim()'", ""},
		{"without zeros", "timeUnit: '\"000\".stripZeros()'", `it can be "0", and timeUnit knows no such value`},
		{"true or false as a text", "timeUnit: string(src.confirmation.final)", `it can be "false", and timeUnit knows no such value`},
		{"true or false as a text that has room", "reason: string(src.confirmation.final)", ""},
		{"a code of a unit that has room", "reason: 'unitCode(src.confirmation.unit, \"unece\", \"sap\")'", ""},
		{"codes of units", "timeUnit: 'unitCode(" + unit + ", \"sap\", \"unece\")'", `it can be "HUR", and timeUnit knows no such value`},
		{"too many to look at", "text: {value: '" + strings.Repeat(unit+" + ", 9) + "\"\"'}", ""},
		{"a table of what comes of it", "timeUnit: 'lookup(\"low\", " + unit + ".lower())'", ""},
		{"a pattern through trim", "text: 'string(decimal(src.confirmation.operation.trim()))'", ""},
		{"a pattern without its zeros", "text: 'string(int(src.confirmation.operation.stripZeros()))'", ""},
		{"a pattern that is filled up", "text: 'string(int(pad(src.confirmation.operation, 6, \"0\")))'", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, file := "", planted
			if strings.Contains(tt.field, "lookup") {
				head = "tables: {low: {rows: {s: S, min: MIN, h: H}}}\n"
			}
			if strings.HasPrefix(tt.field, "unit:") {
				file = strings.Replace(file, "  unit: src.confirmation.unit\n", "", 1)
			}
			got := mistakesOf(head+file+"  "+tt.field+"\n", mapping.FromOpenAPI(doc))
			if all := strings.Join(got, "\n"); len(got) > 1 || (tt.wrong == "") != (len(got) == 0) || !contains(all, tt.wrong) {
				t.Errorf("got %q, want %q", got, tt.wrong)
			}
		})
	}
}
