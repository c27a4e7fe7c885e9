package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzTableFile loads anything as the file of a table: it is taken, and each message has a value or words, or it is refused with a place.
func FuzzTableFile(f *testing.F) {
	f.Add("code,value\na,1\nb,2\n", "a")
	f.Add("\xef\xbb\xbfcode;value\n\"a\"\"\",1\n", "a\"")
	f.Add("a\n", "")
	f.Add("x,y\n\"", "x")
	f.Fuzz(func(t *testing.T, file, code string) {
		if len(file) > 4000 || len(code) > 100 {
			return
		}
		s, err := load(t, map[string]string{"m.yaml": header + "tables: {t: {file: codes.csv}}\nfields: {a: 'lookup(\"t\", src.code)'}", "codes.csv": file})
		if err != nil {
			if said := err.Error(); !strings.Contains(said, "codes.csv") && !strings.Contains(said, "m.yaml:") {
				t.Errorf("no place in %v", err)
			}
			return
		}
		text, err := json.Marshal(map[string]string{"code": code})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(t.Context(), "m", verified(t, confirmed(string(text))), nil); err != nil && err.Error() == "" {
			t.Error("no words")
		}
	})
}
