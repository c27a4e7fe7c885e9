package internal

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// exact are the packages through which quantities flow. Binary floating point
// cannot hold 0.1, so none of it may appear there.
const exact = "internal/mes internal/decimal internal/mapping internal/message internal/anomaly adapters/rest adapters/odata adapters/odata/edm"

// mustBeExact says whether quantities flow through the file. Generated code is
// checked too, because its generator makes float32 of every "type: number".
func mustBeExact(s source) bool {
	return !s.isTest() && (s.generated || slices.Contains(strings.Fields(exact), s.pkg))
}

// floatsAllowed has the reason for each file that may name a float all the same.
var floatsAllowed = map[string]string{
	"internal/anomaly/facts.go":      "counts the pieces by which an issue is judged; no quantity of a message",
	"internal/anomaly/field.go":      "has the floors, factors and shifts by which stat.go judges; no quantity of a message",
	"internal/anomaly/stat.go":       "says how usual a report is; what is computed is compared and shown, and never written into a message",
	"internal/anomaly/words.go":      "shows it to people, rounded",
	"adapters/odata/edm/value.go":    "tries one to refuse a number beyond Edm.Double, and sends the text",
	"internal/mapping/expression.go": "names one to tell the author how to write it as a decimal",
	"internal/mapping/number.go":     "names them to refuse a value that comes as one",
}

func TestQuantitiesNeverBecomeFloats(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range tree(t) {
		found := floats(s)
		if !mustBeExact(s) || len(found) == 0 {
			continue
		}
		seen[s.path] = true
		if floatsAllowed[s.path] == "" {
			t.Errorf("%s; use decimal.Decimal, or allow the file in floatsAllowed with the reason", strings.Join(found, "\n"))
		}
	}
	for path := range floatsAllowed {
		if !seen[path] {
			t.Errorf("%s is allowed to use floats but uses none: remove it from floatsAllowed", path)
		}
	}
}

// floats finds where a file names a binary floating-point type or makes a value of one.
func floats(s source) []string {
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if ok && slices.Contains([]string{"float32", "float64", "ParseFloat", "Float32", "Float64", "SetFloat64"}, id.Name) {
			found = append(found, fmt.Sprintf("%s: %s", s.at(id), id.Name))
		}
		return true
	})
	return found
}

func TestFloats(t *testing.T) {
	tests := []struct {
		name, code string
		want       int
	}{
		{"a field", "type t struct{ q float64 }", 1},
		{"a conversion", "var q = float32(1)", 1},
		{"parsed text", "var q, _ = strconv.ParseFloat(\"1\", 64)", 1},
		{"a decimal asked for its nearest float", "var q, _ = d.Float64()", 1},
		{"whole numbers", "var q int64", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := floats(parse(t, "../internal/mes/x.go", "package mes\n"+tt.code)); len(got) != tt.want {
				t.Errorf("got %q, want %d", got, tt.want)
			}
		})
	}
}
