package mapping

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// TestAPlaceInATextOfSeveralLines: whatever way YAML has of writing an expression over several lines, and whoever ends its lines, a mistake is told where it
// stands in the file, which ¦ marks.
func TestAPlaceInATextOfSeveralLines(t *testing.T) {
	const head = "from: {kind: operation.confirmed}\nto: {operation: post}\nfields:\n"
	for _, form := range []string{
		"  a: >-\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >\n    src.confirmation.unit +\n    ¦src2.x\n\n  b: src.plant\n",
		"  a: >-\n    src.confirmation.unit +\n      ¦src2.x\n",
		"  a: >-\n    src.confirmation.unit +\n      \"a\" +\n      ¦src2.x\n",
		"  a: >-\n    src.confirmation.unit +\n\n    ¦src2.x\n",
		"  a: >-\n    src.confirmation.unit +\n\n\n      ¦src2.x\n",
		"  a: >-\n\n    src.confirmation.unit + ¦src2.x\n",
		"  a: >-\n\n\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >- # note\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >2-\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >2-\n     src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >-\n    \"ä€\" + src.confirmation.unit +  \n    ¦src2.x\n",
		"  a: >-\n    \"ä€\" + \"ß\" + ¦src2.x\n",
		"  a: >-\n    src.confirmation.unit + \"a  b\" +   ¦src2.x\n",
		"  a: >-\n    src.confirmation.final\n    ? src.confirmation.unit\n    : ¦src2.x\n",
		"  a: >-\n    src.confirmation.final ? src.confirmation.unit : ¦uper(src.plant)\n",
		"  a: >-\n    src.confirmation.final ?\n      src.confirmation.unit :\n      src.confirmation.¦unitt\n",
		"  a: |\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: |-\n    \"ä\" + src.confirmation.unit +\n      ¦src2.x\n",
		"  a: |\n\n    \"ä\" + src.confirmation.unit +\n      ¦src2.x\n",
		"  a: |2-\n    \"ä\" + src.confirmation.unit +\n      ¦src2.x\n",
		"  a: {value: \"src.confirmation.unit +\n    ¦src2.x\"}\n",
		"  a: {value: 'src.confirmation.unit +\n\n    ¦src2.x'}\n",
		"  a: src.confirmation.unit +\n    ¦src2.x\n",
		"  a:\n    value: >-\n      src.confirmation.unit +\n      ¦src2.x\n",
		"  a: !!str >-\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a:\n    >-\n    src.confirmation.unit +\n    ¦src2.x\n",
		"  a: >-\n    round(decimal(src.confirmation.yield), ¦99, \"half-up\")\n",
		"  a: >-\n    src.confirmation.unit == \"x\n    y\" ? ¦src2.x : \"\"\n",
	} {
		for _, crlf := range []bool{false, true} {
			text := head + form
			if crlf {
				text = strings.ReplaceAll(text, "\n", "\r\n")
			}
			before, _, _ := strings.Cut(text, "¦")
			line := strings.Count(before, "\n") + 1
			col := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
			_, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(strings.ReplaceAll(text, "¦", ""))}})
			want := fmt.Sprintf("m.yaml:%d:%d:", line, col)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("CRLF %t: want %s, got %.160v in\n%s", crlf, want, err, form)
			}
		}
	}
}
