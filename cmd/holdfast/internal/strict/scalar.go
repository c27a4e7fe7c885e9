package strict

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// isScalar tells whether a struct is written as one text, such as a decimal.
func isScalar(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// scalar reads one text. Nothing of the text is repeated in the report: it might be a secret in the wrong place.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, path, "it is a single value", "write it behind the key, on the same line")
		return
	}
	var err error
	switch target := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		if err = target.UnmarshalText([]byte(n.Value)); err != nil {
			d.wrong(n, path, "it is no value of this kind", "write a decimal number such as 12.5, without a unit")
		}
		return
	case *time.Duration:
		if *target, err = time.ParseDuration(n.Value); err != nil || *target < 0 {
			d.wrong(n, path, "it is no length of time", "write 500ms, 30s, 5m or 1h")
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		switch n.Value {
		case "true", "false":
			v.SetBool(n.Value == "true")
		default:
			d.wrong(n, path, "it is neither true nor false", "write true or false")
		}
	case reflect.Int, reflect.Int64:
		var whole int64
		if whole, err = strconv.ParseInt(n.Value, 10, 64); err != nil {
			d.wrong(n, path, "it is no whole number", "write digits only, without a unit")
			return
		}
		v.SetInt(whole)
	default:
		panic(fmt.Sprintf("strict: %s is of type %s, which no file can hold", path, v.Type()))
	}
}

// suggest words the hint for a key that nobody knows.
func suggest(key string, fields map[string]reflect.Value) string {
	known := slices.Sorted(maps.Keys(fields))
	if near := Nearest(key, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}

// Nearest is the candidate that name was probably meant to be, "" if none is near: one letter of three may be wrong, in the
// longer of the two.
func Nearest(name string, candidates []string) string {
	best, least := "", len(name)+1
	word := []rune(strings.ToLower(name))
	for _, c := range candidates {
		if n := distance(word, []rune(c)); n < least && n <= max(len(word), len(c))/3 {
			best, least = c, n
		}
	}
	return best
}

// distance counts the letters to insert, remove, change or swap with their neighbour to make b of a.
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
