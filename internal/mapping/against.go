package mapping

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// mostDepth bounds how deep a value is looked into.
const mostDepth = 32

// against holds a value, as contract.Decode gives it, against a type, and says in a line each where it does not fit: "/items/0/unit: it has
// 7 characters, and 6 are allowed". A limit that the type does not know is none. A text of free may have any pattern, and be short.
func against(t *schema.Type, v any, free map[string]bool) (wrong []string) {
	holding{Type: t, free: free}.value(v, "", 0, func(at, why string) { wrong = append(wrong, at+": "+why) })
	return wrong
}

// holding is a type that a value is held against.
type holding struct {
	*schema.Type
	free   map[string]bool
	partly bool // what is required may be missing
}

// of is another type that is held in the same way.
func (t holding) of(other *schema.Type) holding {
	t.Type = other
	return t
}

func (t holding) value(v any, at string, depth int, say func(at, why string)) {
	if t.Type == nil || t.Kind == schema.Any || depth > mostDepth || v == nil && t.Nullable {
		return
	}
	switch x := v.(type) {
	case map[string]any:
		if t.Kind == schema.Object {
			t.members(x, at, depth, say)
			return
		}
	case []any:
		if t.Kind == schema.List {
			t.elements(x, at, depth, say)
			return
		}
	case bool:
		if t.Kind == schema.Bool {
			return
		}
	case json.Number:
		if t.Kind == schema.Decimal || t.Kind == schema.Integer || t.Loose {
			t.number(x.String(), at, say)
			return
		}
	case string:
		if t.Kind == schema.Text || t.Loose {
			t.text(x, at, say)
			return
		}
	}
	say(at, fmt.Sprintf("it is no %s", t.Kind))
}

func (t holding) members(x map[string]any, at string, depth int, say func(at, why string)) {
	var missing []string
	for _, f := range t.Fields {
		v, there := x[f.Name]
		switch {
		case there:
			t.of(f.Type).value(v, at+"/"+f.Name, depth+1, say)
		case f.Required && !t.partly:
			missing = append(missing, f.Name)
		}
	}
	if missing != nil {
		say(at, "it has no "+strings.Join(missing, ", "))
	}
	if !t.Closed {
		return
	}
	for _, name := range sortedKeys(x) {
		if _, known := t.Field(name); !known {
			say(at+"/"+name, "there is no such field: "+didYouMean(name, t.Names(), "there are "+strings.Join(t.Names(), ", ")))
		}
	}
}

func (t holding) elements(x []any, at string, depth int, say func(at, why string)) {
	if err := counted(t.Type, len(x)); err != nil {
		say(at, err.Error())
	}
	for i, v := range x {
		t.of(t.Item).value(v, at+"/"+strconv.Itoa(i), depth+1, say)
	}
}

func (t holding) text(x, at string, say func(at, why string)) {
	if n := utf8.RuneCountInString(x); t.MaxLength > 0 && n > t.MaxLength {
		say(at, fmt.Sprintf("it has %d characters, and %d are allowed", n, t.MaxLength))
	}
	if n := utf8.RuneCountInString(x); n < t.MinLength && !t.free[x] {
		say(at, fmt.Sprintf("it has %d characters, and %d are needed", n, t.MinLength))
	}
	if p, err := regexp.Compile(t.Pattern); err == nil && !t.free[x] && !p.MatchString(x) { // one that Go does not know matches all, as in refusing
		say(at, fmt.Sprintf("%q does not match %s", x, t.Pattern))
	}
	if len(t.Enum) > 0 && !slices.Contains(t.Enum, x) {
		say(at, fmt.Sprintf("%q is none of what it can be: %s", x, strings.Join(t.Enum[:min(len(t.Enum), mostCodes)], ", ")))
	}
	if !formed(t.Format, x) {
		say(at, fmt.Sprintf("%q is no %s", x, t.Format))
	}
	if t.Format == schema.IsDecimal {
		t.number(x, at, say)
	}
}

func (t holding) number(x, at string, say func(at, why string)) {
	d, err := decimal.Parse(x)
	if err != nil {
		say(at, fmt.Sprintf("%q is no number", x))
		return
	}
	if err := limited(t.Type, d); err != nil {
		say(at, err.Error())
	}
	if why := notTaken(t.Type, d); why != "" {
		say(at, fmt.Sprintf("it is %s, and the field %s", x, why))
	}
	before, behind, _ := strings.Cut(strings.TrimPrefix(d.String(), "-"), ".")
	whole, places := len(before), len(behind)
	if t.Kind == schema.Integer && places > 0 || t.Kind != schema.Integer && t.Scale != schema.AnyScale && places > t.Scale {
		say(at, fmt.Sprintf("%s has %d places behind the point", x, places))
	}
	if t.Digits > 0 && whole > t.Digits {
		say(at, fmt.Sprintf("%s has %d digits before the point, and %d are allowed", x, whole, t.Digits))
	}
}
