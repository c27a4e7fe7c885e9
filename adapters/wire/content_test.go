package wire

import (
	"strings"
	"testing"
)

// TestWhatADocumentHoldsIsItsContent: whatever order names and lists are in, and however it is spaced; but each digit, type and repetition counts.
func TestWhatADocumentHoldsIsItsContent(t *testing.T) {
	of := func(body string) string {
		t.Helper()
		sum, err := ContentOf([]byte(body))
		if err != nil || len(sum) != 32 {
			t.Fatalf("%s: %q, %v", body, sum, err)
		}
		return sum
	}
	same := [][]string{
		{`{"a":1,"b":[{"n":"1"},{"n":"2","q":1.50}]}`, ` { "b" : [ {"q":1.50,"n":"2"}, {"n":"1"} ],` + "\r\n" + `"a":1}`},
		{`[[1,2],[3]]`, `[[3],[2,1]]`},
		{`"\u00e9"`, `"é"`},
	}
	for _, pair := range same {
		if of(pair[0]) != of(pair[1]) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	all := []string{
		`1.50`, `1.5`, `"1.5"`, `null`, `""`, `"null"`, `true`, `[]`, `{}`, `[1]`, `["1"]`, `[[1]]`, `[["1"]]`, `["[1]"]`, `[1,1]`, `[null]`, `{"a":[]}`, `{"a":{}}`, `{"a":null}`,
		`9007199254740993`, `9007199254740992`,
	}
	seen := map[string]string{}
	for _, body := range all {
		if other, twice := seen[of(body)]; twice {
			t.Errorf("%s counts as %s", body, other)
		}
		seen[of(body)] = body
	}
}

// TestABodyThatIsNoJSONHasNoContent: whoever asks goes by its bytes.
func TestABodyThatIsNoJSONHasNoContent(t *testing.T) {
	for _, body := range []string{
		"", " ", "plain text", "<order/>", `{"a":1`, `{"a":1}{"a":2}`, `{"a":1} trailing`, `{a:1}`, "\xff\xfe{}", "\x00", `{"a":NaN}`, "number;quantity\r\n1;2", strings.Repeat("[", 100_000),
	} {
		if sum, err := ContentOf([]byte(body)); err == nil {
			t.Errorf("%.20q has the content %s", body, sum)
		}
	}
}
