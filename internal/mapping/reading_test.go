package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// typedIn compares quantities as they come.
const typedIn = `from: {document: Stock}
to: {kind: '"stock.counted"', key: src.key}
fields:
  dozen: src.quantity in [src.counted]
  same: src.quantity == src.counted
  lines: {each: src.lines, value: item.quantity == src.quantity}
`

// stock is what the ERP's contract says of that document.
func stock() *schema.Type {
	number := &schema.Type{Kind: schema.Decimal, Digits: 12, Scale: 3}
	line := schema.NewObject("Line", &schema.Field{Name: "quantity", Type: number, Required: true})
	return schema.NewObject("Stock",
		&schema.Field{Name: "key", Type: &schema.Type{Kind: schema.Text, MaxLength: 20, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "quantity", Type: number, Required: true}, &schema.Field{Name: "counted", Type: number, Required: true},
		&schema.Field{Name: "lines", Type: listOf(line), Required: true})
}

// TestWhatComesInIsReadByItsType: what the check takes for a decimal is one while it runs, whether the ERP writes 12 or 12.0, in use, in a trial
// and in a test of examples.
func TestWhatComesInIsReadByItsType(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{
		"m.yaml": {Data: []byte(typedIn)},
		"m.example.yaml": {Data: []byte("- name: whole\n  body: '{\"key\":\"k\",\"quantity\":12,\"counted\":12.0,\"lines\":[{\"quantity\":12}]}'\n" +
			"  want: {kind: stock.counted, key: k, body: '{\"dozen\":true,\"same\":true,\"lines\":[true]}'}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := set.Check("m", "", oneOperation{document: stock()}); len(found) > 0 {
		t.Fatalf("the check has against it: %v", found)
	}
	live := mapping.NewLive(set)
	live.Read(func(link, name, document string) *schema.Type {
		if link != "erp" || name != "m" || document != "Stock" {
			t.Errorf("asked for %s of %s through %s", document, name, link)
		}
		return stock()
	})
	var tried []mapping.Trial
	live.Try(set, func(one mapping.Trial) { tried = append(tried, one) })
	const want = `{"dozen":true,"same":true,"lines":[true]}`
	for _, body := range []string{
		`{"key":"k","quantity":12,"counted":12.0,"lines":[{"quantity":12}]}`, `{"key":"k","quantity":1.2E1,"counted":12,"lines":[{"quantity":12.000}]}`,
	} {
		m := confirmed(body)
		m.Link = "erp"
		got, err := live.ApplyIn(t.Context(), "m", m, nil)
		if err != nil || string(got.Body) != want {
			t.Errorf("%s became %s, %v; want %s", body, got.Body, err, want)
		}
	}
	if len(tried) != 2 || len(tried[0].Differences)+len(tried[1].Differences) > 0 {
		t.Errorf("the trial of the same mappings tells %v", tried)
	}
	report, err := set.Test(t.Context(), mapping.TestConfig{Document: func(string) *schema.Type { return stock() }})
	if err != nil || !report.OK() {
		t.Errorf("the test of the example: %+v, %v", report.Cases, err)
	}
}

// TestADecimalIsNotComparedWithWhatHasNoType: without a contract nothing says how a number is written.
func TestADecimalIsNotComparedWithWhatHasNoType(t *testing.T) {
	for expression, want := range map[string]string{
		`src.q == decimal("12")`:           "m.yaml:3:20: fields.a: what comes has no type while it runs, and a whole number on the left is never equal to a decimal (write decimal(…) on both sides)",
		`src.q in [decimal("12")]`:         "m.yaml:3:20: fields.a: what comes has no type while it runs, and a whole number is in no list of decimals (write decimal(…) of what is looked for)",
		`decimal(src.q) in [decimal("1")]`: "",
	} {
		_, err := load(t, map[string]string{"m.yaml": "from: {document: d}\nto: {kind: '\"k\"', key: src.k}\nfields: {a: '" + expression + "'}"})
		if got := errorText(err); got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

// TestNoFileIsPassedOverInSilence: what looks like a mapping and is not read is refused by its name; what begins with a dot is nobody's mapping.
func TestNoFileIsPassedOverInSilence(t *testing.T) {
	table := header + "tables: {t: {file: codes.yml}}\nfields: {a: 'lookup(\"t\", src.a)'}"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a mapping":    {map[string]string{"mine/m.yml": header + "fields: {a: src.a}"}, "mine/m.yml:1:1: the file: only files that end in .yaml and .csv are read, and this one would be passed over (name it mine/m.yaml)"},
		"a table":      {map[string]string{"m.yaml": table, "codes.yml": "a: b"}, "m.yaml:3:20: tables.t.file: a table stands in a file that ends in .csv or .yaml, and no other goes with the mappings that are published (name it table-….yaml, or ….csv)"},
		"a hidden one": {map[string]string{".#m.yml": "x", "..v1/m.yaml": "x", ".git/config.yml": "x", "m.yaml": header + "fields: {a: src.a}"}, ""},
	} {
		set, err := load(t, tt.files)
		if got := errorText(err); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if err == nil && !slices.Equal(set.Names(), []string{"m"}) {
			t.Errorf("%s: the mappings are %q, want m", name, set.Names())
		}
	}
}

// TestWhatASpreadsheetLeavesUnseenIsRefused: blanks at the ends of cells, cells without a text, and the semicolons of some languages.
func TestWhatASpreadsheetLeavesUnseenIsRefused(t *testing.T) {
	table := header + "tables: {t: {file: codes.csv}}\nfields: {a: 'lookup(\"t\", src.a)'}"
	for name, tt := range map[string]struct{ rows, want string }{
		"a blank behind a code":     {"plant,erp\nPCE ,ST\n", `codes.csv:2:1: tables.t: "PCE " has a blank at its beginning or end (take it away; a table of YAML can have one in quotes, where it is meant)`},
		"a blank before a value":    {"plant,erp\nPCE,ST\nKGM, KG\n", `codes.csv:3:5: tables.t: " KG" has a blank at its beginning or end`},
		"no value":                  {"plant,erp\nPCE,\n", `codes.csv:2:5: tables.t: a row has an empty cell (fill it, or leave the row out; a table of YAML can have '' where an empty text is meant)`},
		"a blank alone":             {"plant,erp\nPCE, \n", `codes.csv:2:5: tables.t: " " has a blank`},
		"semicolons":                {"plant;erp\nPCE;ST\n", `codes.csv:1:1: tables.t: the table has no heading with two columns (put commas between the columns: plant,erp (a spreadsheet of some languages writes semicolons))`},
		"a column that nobody uses": {"plant,erp,note\nPCE,ST, see the list \n", ""},
	} {
		_, err := load(t, map[string]string{"m.yaml": table, "codes.csv": tt.rows})
		if got := errorText(err); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
