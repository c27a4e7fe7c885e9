package mes

import (
	"encoding/base64"
	"testing"

	"holdfast/internal/problem"
)

// FuzzCursor: where a page begins is what a list has given, or refused; and what is read of it, written again, is read as the same.
func FuzzCursor(f *testing.F) {
	good, err := cursor("2026-11-27T00:00:00Z", 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, text := range []string{`[null,null]`, `["a"]`, `["a",1,2]`, `["\u0000",1]`, `{"a":1}`, `["a",1e9]`, `[{},[]]`, `null`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		var word string
		var number int64
		more, err := Page{Cursor: text}.after(&word, &number)
		if err != nil {
			if problem.KindOf(err) != problem.Invalid {
				t.Errorf("got %v, want a problem of kind %s", err, problem.Invalid)
			}
			return
		}
		if !more && text != "" {
			t.Errorf("%q is no cursor, and no mistake", text)
		}
		again, err := cursor(word, number)
		if err != nil {
			t.Fatal(err)
		}
		var word2 string
		var number2 int64
		if _, err := (Page{Cursor: again}).after(&word2, &number2); err != nil || word2 != word || number2 != number {
			t.Errorf("%q is read as %q and %d, and that as %q and %d: %v", text, word, number, word2, number2, err)
		}
	})
}
