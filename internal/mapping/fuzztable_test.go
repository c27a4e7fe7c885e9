package mapping_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast/internal/mapping"
)

// refusedAt is the place of a mistake in either file.
var refusedAt = regexp.MustCompile(`(?m)^(m\.yaml|codes\.csv):[1-9][0-9]*:[1-9][0-9]*: .+`)

// FuzzTableFile loads anything as the file of a table. One that is taken looks up each code that it lists, and finds each value's code again where one
// code alone has it; a code that it does not list has no row. Any other is refused with file, line, column and reason.
func FuzzTableFile(f *testing.F) {
	f.Add("code,value\na,1\nb,2\n", "a")
	f.Add("\xef\xbb\xbfcode;value\n\"a\"\"\",1\n", "a\"")
	f.Add("a\n", "")
	f.Add("x,y\n\"", "x")
	f.Add("code,value\na,1\nb,1\n", "b")
	f.Add("code,value\na,1\na,2\n", "a")
	f.Add("code,value,more\n\"a\nb\",1,2\n c , 1\n\n", "c")
	f.Add("code,value\n\xff,1\na,\xfe\n", "\xff")
	f.Fuzz(func(t *testing.T, file, code string) {
		if len(file) > 4000 || len(code) > 100 {
			return
		}
		s, err := load(t, map[string]string{
			"m.yaml": header + "tables: {t: {file: codes.csv}}\nfields: {a: 'src.?code.optMap(c, lookup(\"t\", c))', b: 'src.?value.optMap(v, reverse(\"t\", v))'}", "codes.csv": file,
		})
		if err != nil {
			for _, said := range strings.Split(err.Error(), "\nhint: ") {
				if first := strings.SplitN(said, "\n", 2)[0]; said == err.Error() && !refusedAt.MatchString(first) {
					t.Errorf("no place and reason in %q", first)
				}
			}
			return
		}
		rows, codes := listedRows(t, file)
		for c, v := range rows {
			if got, err := looked(t, s, "code", c, "a"); err != nil || got != v {
				t.Errorf("of %q becomes %q, %v, want %q", c, got, err, v)
			}
			got, err := looked(t, s, "value", v, "b")
			if alone := codes[v] == 1; alone != (err == nil) || alone && got != c {
				t.Errorf("of value %q, which %d codes have, becomes %q, %v, want %q", v, codes[v], got, err, c)
			}
		}
		if _, has := rows[code]; !has && utf8.ValidString(code) {
			if got, err := looked(t, s, "code", code, "a"); err == nil || !strings.Contains(err.Error(), "has no row") {
				t.Errorf("%q is not listed, and becomes %q, %v", code, got, err)
			}
		}
	})
}

// listedRows are the rows of a table's first two columns, read as RFC 4180 has them, and how many codes have each value.
func listedRows(t *testing.T, file string) (rows map[string]string, codes map[string]int) {
	all, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix([]byte(file), []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("a table was taken that is none: %v", err)
	}
	rows, codes = map[string]string{}, map[string]int{}
	for _, row := range all[1:] {
		if _, twice := rows[row[0]]; twice {
			t.Errorf("code %q is there twice, and was taken", row[0])
		}
		rows[row[0]] = row[1]
		codes[row[1]]++
	}
	return rows, codes
}

// looked maps a message with one field, and gives what becomes of it.
func looked(t *testing.T, s *mapping.Set, field, value, into string) (string, error) {
	t.Helper()
	text, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := s.Apply(t.Context(), "m", verified(t, confirmed(string(text))), nil)
	if err != nil {
		return "", err
	}
	var out map[string]*string
	if err := json.Unmarshal(doc.Body, &out); err != nil {
		t.Fatalf("%v in %s", err, doc.Body)
	}
	if out[into] == nil {
		t.Fatalf("of %q nothing becomes: %s", value, doc.Body)
	}
	return *out[into], nil
}
