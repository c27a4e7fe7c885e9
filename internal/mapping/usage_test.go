package mapping

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// usage is a right use of a function and, for each of its arguments in order (what stands before the point is the first), one that must be found
// before a message runs.
type usage struct {
	right string
	wrong []string
}

// usages are those of every function that an expression can name. In come documents are without a type, so that what is known of a function in is
// known of its arguments' texts alone.
func usages() map[string]usage {
	const amount, unit, name = "decimal(src.confirmation.yield)", "src.confirmation.unit", "src.confirmation.workCentre"
	return map[string]usage{
		"abs":             {`string(abs(` + amount + `))`, []string{`string(abs(src.confirmation.yield))`}},
		"bool":            {`string(bool("true"))`, []string{`string(bool(` + name + `))`}},
		"clock":           {`clock(src.confirmation.postedAt, src.zone)`, []string{`clock(` + unit + `, src.zone)`, `clock(src.confirmation.postedAt, ` + name + `)`}},
		"compactDate":     {`compactDate(src.confirmation.postingDate)`, []string{`compactDate(` + unit + `)`}},
		"compactTime":     {`compactTime("06:30:00")`, []string{`compactTime(src.confirmation.postingDate)`}},
		"contains":        {name + `.contains("x") ? "a" : "b"`, []string{`src.confirmation.final.contains("x") ? "a" : "b"`, name + `.contains("") ? "a" : "b"`}},
		"convert":         {`string(convert(` + amount + `, ` + unit + `, "KGM", 3, "half-up"))`, []string{`string(convert(src.confirmation.yield, "KGM", "GRM"))`, `string(convert(` + amount + `, ` + name + `, "KGM", 3, "half-up"))`, `string(convert(` + amount + `, "KGM", ` + name + `, 3, "half-up"))`, `string(convert(` + amount + `, "KGM", "GRM", -1, "half-up"))`, `string(convert(` + amount + `, "KGM", "GRM", 3, src.plant))`}},
		"date":            {`date(src.confirmation.postedAt, src.zone)`, []string{`date(src.confirmation.postingDate, src.zone)`, `date(src.confirmation.postedAt, "Berlin")`}},
		"dateTime":        {`dateTime(src.confirmation.postedAt, "UTC")`, []string{`dateTime(src.confirmation.postingDate, "UTC")`, `dateTime(src.confirmation.postedAt, src.plant)`}},
		"decimal":         {`string(` + amount + `)`, []string{`string(decimal(` + name + `))`}},
		"edmDate":         {`edmDate(src.confirmation.postingDate) + edmDate(src.confirmation.postedAt, src.zone)`, []string{`edmDate(src.confirmation.postedAt)`, `edmDate(src.confirmation.postedAt, src.plant)`}},
		"edmTime":         {`edmTime("06:30:00")`, []string{`edmTime(src.confirmation.postedAt)`}},
		"endsWith":        {name + `.endsWith("x") ? "a" : "b"`, []string{`src.confirmation.final.endsWith("x") ? "a" : "b"`, name + `.endsWith("") ? "a" : "b"`}},
		"first":           {`["a"].first().orValue("")`, []string{`src.plant.first().orValue("")`}},
		"fromCompactDate": {`fromCompactDate("20261124").orValue("")`, []string{`fromCompactDate(src.confirmation.postingDate).orValue("")`}},
		"fromCompactTime": {`fromCompactTime("063000")`, []string{`fromCompactTime(src.plant)`}},
		"fromEdmDate":     {`fromEdmDate("/Date(0)/")`, []string{`fromEdmDate(` + unit + `)`}},
		"fromEdmTime":     {`fromEdmTime("PT1H")`, []string{`fromEdmTime(src.confirmation.operation)`}},
		"hasValue":        {`src.confirmation.?reason.hasValue() ? "a" : "b"`, []string{`src.confirmation.reason.hasValue() ? "a" : "b"`}},
		"int":             {`string(int(src.confirmation.operation))`, []string{`string(int(` + name + `))`}},
		"last":            {`["a"].last().orValue("")`, []string{`src.plant.last().orValue("")`}},
		"localTime":       {`localTime(src.confirmation.postingDate, "06:30:00", src.zone)`, []string{`localTime(` + unit + `, "06:30:00", src.zone)`, `localTime(src.confirmation.postingDate, src.confirmation.postedAt, src.zone)`, `localTime(src.confirmation.postingDate, "06:30:00", src.plant)`}},
		"lookup":          {`lookup("t", src.confirmation.?timeUnit.orValue("S"))`, []string{`lookup("none", src.plant)`, `lookup("t", src.confirmation.?timeUnit.orValue("D"))`}},
		"lower":           {unit + `.lower()`, []string{`src.confirmation.final.lower()`}},
		"matches":         {name + `.matches("^a") ? "a" : "b"`, []string{`src.confirmation.final.matches("a") ? "a" : "b"`, name + `.matches("(") ? "a" : "b"`}},
		"or":              {`src.confirmation.?reason.or(src.confirmation.?text).orValue("")`, []string{`src.confirmation.unit.or(src.confirmation.?text).orValue("")`, `src.confirmation.?reason.or(src.confirmation.unit).orValue("")`}},
		"orValue":         {`src.confirmation.?reason.orValue("")`, []string{`src.confirmation.unit.orValue("")`, `src.confirmation.?reason.orValue(0)`}},
		"pad":             {`pad(src.confirmation.operation, 8, "0")`, []string{`pad(` + name + `, 8, "0")`, `pad(src.confirmation.operation, 0, "0")`, `pad(src.confirmation.operation, 8, "00")`}},
		"padRight":        {`padRight(src.confirmation.operation, 8, " ")`, []string{`padRight(src.confirmation.operation, 3, " ")`, `padRight(src.confirmation.operation, event.number, " ")`, `padRight(src.confirmation.operation, 8, src.plant)`}},
		"plantID":         {`plantID("order", "1")`, []string{`plantID("oder", "1")`, `plantID("order", "")`}},
		"ratio":           {`string(ratio(` + amount + `, decimal("1"), decimal("3"), 3, "half-up"))`, []string{`string(ratio(src.confirmation.yield, decimal("1"), decimal("3"), 3, "half-up"))`, `string(ratio(` + amount + `, "1", decimal("3"), 3, "half-up"))`, `string(ratio(` + amount + `, decimal("1"), ` + amount + `, 3, "half-up"))`, `string(ratio(` + amount + `, decimal("1"), decimal("3"), event.number, "half-up"))`, `string(ratio(` + amount + `, decimal("1"), decimal("3"), 3, "half"))`}},
		"ref":             {`ref("order", src.order.id)`, []string{`ref(src.plant, src.order.id)`, `ref("order", "")`}},
		"replace":         {unit + `.replace("a", "")`, []string{`src.confirmation.yield.replace(".", ",")`, unit + `.replace("", "x")`, unit + `.replace("a", 1)`}},
		"reverse":         {`reverse("b", "x")`, []string{`reverse("none", "x")`, `reverse("b", "z")`}},
		"round":           {`string(round(` + amount + `, 3, "half-up"))`, []string{`string(round(src.confirmation.yield, 3, "half-up"))`, `string(round(` + amount + `, 39, "half-up"))`, `string(round(` + amount + `, 3, "near"))`}},
		"size":            {`string(size(src.plant))`, []string{`string(size(event.number))`}},
		"split":           {`src.confirmation.?text.orValue("").split(",")[0]`, []string{`src.confirmation.postedAt.split("T")[0]`, name + `.split("")[0]`}},
		"startsWith":      {name + `.startsWith("x") ? "a" : "b"`, []string{`src.confirmation.final.startsWith("x") ? "a" : "b"`, name + `.startsWith("") ? "a" : "b"`}},
		"string":          {`string(event.number)`, []string{`string(src.confirmation)`}},
		"stripZeros":      {name + `.stripZeros()`, []string{`event.number.stripZeros()`}},
		"substring":       {name + `.substring(0, 8)`, []string{`src.confirmation.yield.substring(0, 3)`, name + `.substring(-1, 3)`, name + `.substring(3, 2)`}},
		"trim":            {name + `.trim()`, []string{`event.number.trim()`}},
		"unitCode":        {`unitCode(` + unit + `, "unece", "sap")`, []string{`unitCode(src.zone, "unece", "sap")`, `unitCode(` + unit + `, "iso", "sap")`, `unitCode(` + unit + `, "unece", src.plant)`}},
		"unwrapOpt":       {`[src.confirmation.?reason].unwrapOpt()[?0].orValue("")`, []string{`src.plant.unwrapOpt()`}},
		"upper":           {unit + `.upper()`, []string{`event.number.upper()`}},
		"value":           {`src.confirmation.?reason.hasValue() ? src.confirmation.?reason.value() : ""`, []string{`src.confirmation.?reason.value()`}},
	}
}

// TestEveryFunctionHasMistakesAndARightUse fails for a function of the language, or an argument of one, that has none above, and where what is found is
// another mistake, or at another place, than testdata/usages.txt has: one line for each.
func TestEveryFunctionHasMistakesAndARightUse(t *testing.T) {
	all := usages()
	for _, inbound := range []bool{false, true} {
		env, err := newEnv(inbound, &units{})
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range env.Functions() {
			if !isWord(name) || strings.HasPrefix(name, "_") {
				continue
			}
			most := 0
			for _, o := range f.OverloadDecls() {
				most = max(most, len(o.ArgTypes()))
			}
			if name == "hasValue" {
				most = 1 // CEL declares it with two, and takes one
			}
			if got := len(all[name].wrong); got != most || all[name].right == "" {
				t.Errorf("%s takes %d arguments, and %d have a planted mistake", name, most, got)
			}
		}
	}
	var told []string
	for _, name := range sortedKeys(all) {
		use := all[name]
		mistakes := func(expression string) []string {
			head := "from: {kind: operation.confirmed}\nto: {operation: other}\n"
			if name == "plantID" {
				head = "from: {document: d}\nto: {kind: '\"k\"', key: event.id}\n"
			}
			tables := ""
			if name == "lookup" || name == "reverse" {
				tables = "tables: {t: {rows: {S: s, MIN: m, H: h}}, b: {rows: {a: x}}}\n"
			}
			file := head + tables + "fields:\n  n: '" + expression + "'\n"
			if tables != "" {
				file += "  t: 'lookup(\"t\", \"S\") + reverse(\"b\", \"x\")'\n"
			}
			_, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(file)}})
			var out []string
			for _, m := range Mistakes(err) {
				out = append(out, m.Error())
			}
			return slices.Compact(out)
		}
		if got := mistakes(use.right); len(got) > 0 {
			t.Errorf("%s: %s is right, and %q was found", name, use.right, got)
		}
		for i, wrong := range use.wrong {
			got := mistakes(wrong)
			if len(got) != 1 || !strings.HasPrefix(got[0], "m.yaml:") {
				t.Errorf("%s, argument %d: of %s was found %q", name, i+1, wrong, got)
			}
			told = append(told, fmt.Sprintf("%s %d: %s → %s", name, i+1, wrong, strings.Join(got, "; ")))
		}
	}
	want, err := os.ReadFile("testdata/usages.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range slices.Collect(strings.Lines(string(want))) {
		if i >= len(told) || told[i]+"\n" != line {
			t.Errorf("line %d: want %s", i+1, line)
		}
	}
	if t.Failed() || len(told) != strings.Count(string(want), "\n") {
		t.Errorf("found was:\n%s", strings.Join(told, "\n"))
	}
}
