package mapping

import "testing"

// TestSlipsAreLookedForInAnyText: an expression is looked into as it is typed, so that it may end anywhere.
func TestSlipsAreLookedForInAnyText(t *testing.T) {
	for _, text := range []string{
		`src.a ?. b ?: [?c, {?"d": 'e''f'}] ?? r"\" + b'x\'`, "“a” – ‘b’ = \u00a0 0010 1,5 in (a, b) and not c", "f(a ? b : c, d]) } ] ) ? , : .", `"""a"b""" + '''`, "if a then b else c // d\n\"e",
		`{{a}} ${b} a ? 1,5`, "\\\"\\u00", "😀 == \"😀",
	} {
		runes := []rune(text)
		for from := range runes {
			for to := from; to <= len(runes); to++ {
				if s := slipOf(string(runes[from:to])); s != nil && (s.line < 1 || s.col < 1 || s.why == "" || s.hint == "") {
					t.Errorf("%q: %+v", string(runes[from:to]), *s)
				}
			}
		}
	}
}
