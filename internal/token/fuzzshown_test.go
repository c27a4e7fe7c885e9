package token

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzScrub: an answer that repeats a value has the token, alone or as one text of a document, and stays JSON if it was.
func FuzzScrub(f *testing.F) {
	f.Add(`{"detail":"we do not know 4711","n":4711}`, "4711")
	f.Add("person 4711/ü", "4711/ü")
	f.Add(`["\u0034711"]`, "4711")
	f.Fuzz(func(t *testing.T, answer, value string) {
		const tok = Prefix + "aaaaaaaaaaaaaaaaaaaaaaaaaa"
		if value == "" || strings.Contains(tok, value) || strings.ContainsAny(value, "\ufffd") {
			return
		}
		shown := Shown{put{tok, value}}
		out := shown.ScrubBody([]byte(answer))
		if json.Valid([]byte(answer)) && !json.Valid(out) {
			t.Errorf("%q became %q, which is no JSON", answer, out)
		}
		if got := shown.Scrub(value); got != tok {
			t.Errorf("%q alone became %q", value, got)
		}
	})
}
