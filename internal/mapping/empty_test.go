package mapping_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
)

// TestATableWithoutARowIsFound: each message with any code would stop, or every code would be the same.
func TestATableWithoutARowIsFound(t *testing.T) {
	const hint = " (write a row for each code, or leave the table and its lookup out)"
	const stops = "tables.t: the table has no row, so that each message that looks into it would stop" + hint
	const same = "tables.t: the table has no row, so that it says the same of every code" + hint
	for _, tt := range []struct{ name, table, file, want string }{
		{"no rows", "{rows: {}}", "", "m.yaml:3:10: " + stops},
		{"rows that are left out", "{missing: refuse}", "", "m.yaml:3:13: tables.t: it has no rows (write rows: {code: value, …}, or file: codes.csv)"},
		{"a heading alone", "{file: t.csv}", "code,value\n", "m.yaml:3:10: " + stops},
		{"otherwise alone", "{rows: {}, otherwise: x}", "", "m.yaml:3:10: " + same},
		{"every code as it is", "{rows: {}, missing: keep}", "", "m.yaml:3:10: " + same},
		{"right", "{rows: {a: b}}", "", ""},
	} {
		files := fstest.MapFS{"m.yaml": {Data: []byte(header + "tables: {t: " + tt.table + "}\nfields: {a: 'lookup(\"t\", src.a)'}\n")}}
		if tt.file != "" {
			files["t.csv"] = &fstest.MapFile{Data: []byte(tt.file)}
		}
		var got []string
		s, err := mapping.Load(files)
		for _, m := range mapping.Mistakes(err) {
			got = append(got, m.Error())
		}
		if s != nil {
			for _, f := range s.Check("m", "test.happened", oneOperation{}) {
				got = append(got, f.Error())
			}
		}
		if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
