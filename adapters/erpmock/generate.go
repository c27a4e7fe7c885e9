package erpmock

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"holdfast/openapi/contract"
)

// generate makes a value that the schema at a pointer allows, the same one each time. It takes
// an example, default, constant or first listed value before it makes one up.
func generate(d *contract.Document, ptr string) any { return (&generator{d}).value(ptr, 0) }

type generator struct{ doc *contract.Document }

func (g *generator) value(ptr string, depth int) any {
	v, at, ok := g.doc.At(ptr)
	m, isMap := v.(map[string]any)
	if !ok || !isMap || depth > 8 {
		return nil
	}
	for _, key := range []string{"const", "example", "default"} {
		if x, has := m[key]; has {
			return x
		}
	}
	for _, key := range []string{"examples", "enum"} {
		if list, _ := m[key].([]any); len(list) > 0 {
			return list[0]
		}
	}
	if v, ok := g.combined(m, at, depth); ok {
		return v
	}
	switch typeOf(m) {
	case "object":
		return g.object(m, at, depth)
	case "array":
		return g.array(m, at, depth)
	case "string":
		return g.text(m)
	case "integer", "number":
		return g.number(m)
	case "boolean":
		return false
	}
	return nil
}

// combined follows allOf, and the first alternative of oneOf and anyOf.
func (g *generator) combined(m map[string]any, at string, depth int) (any, bool) {
	for _, key := range []string{"oneOf", "anyOf"} {
		if list, _ := m[key].([]any); len(list) > 0 {
			return g.value(at+"/"+key+"/0", depth+1), true
		}
	}
	parts, _ := m["allOf"].([]any)
	if len(parts) == 0 {
		return nil, false
	}
	out := map[string]any{}
	for i := range parts {
		part := g.value(at+"/allOf/"+strconv.Itoa(i), depth+1)
		obj, isObj := part.(map[string]any)
		if !isObj {
			return part, true
		}
		for k, v := range obj {
			out[k] = v
		}
	}
	own, _ := g.object(m, at, depth).(map[string]any)
	for k, v := range own {
		out[k] = v
	}
	return out, true
}

// object fills the required members, and the optional ones near the top.
func (g *generator) object(m map[string]any, at string, depth int) any {
	out := map[string]any{}
	required, _ := m["required"].([]any)
	props, _ := m["properties"].(map[string]any)
	for name := range props {
		ptr := at + "/properties/" + token(name)
		shape, _, _ := g.doc.At(ptr)
		sm, _ := shape.(map[string]any)
		if sm["writeOnly"] == true || depth > 2 && !slices.Contains(required, any(name)) {
			continue
		}
		if v := g.value(ptr, depth+1); v != nil {
			out[name] = v
		}
	}
	return out
}

func (g *generator) array(m map[string]any, at string, depth int) any {
	n := max(1, intOf(m["minItems"], 0))
	if depth > 4 {
		n = intOf(m["minItems"], 0)
	}
	out := make([]any, 0, n)
	for range min(n, 20) {
		out = append(out, g.value(at+"/items", depth+1))
	}
	return out
}

func (g *generator) text(m map[string]any) any {
	switch m["format"] {
	case "date-time":
		return "2026-01-01T00:00:00Z"
	case "date":
		return "2026-01-01"
	case "time":
		return "00:00:00Z"
	case "uuid":
		return uuidOf("sample", 1)
	case "email":
		return "someone@example.com"
	case "uri", "uri-reference":
		return "https://example.com/"
	case "ipv4":
		return "192.0.2.1"
	case "ipv6":
		return "2001:db8::1"
	case "hostname":
		return "example.com"
	case "duration":
		return "PT1H"
	case "byte":
		return "AA=="
	}
	if p, _ := m["pattern"].(string); p != "" {
		if s, ok := matching(p); ok {
			return s
		}
	}
	s := "text"
	if n := intOf(m["minLength"], 0); n > len(s) {
		s += strings.Repeat("x", min(n, 10_000)-len(s))
	}
	if n := intOf(m["maxLength"], len(s)); n < len(s) {
		s = s[:n]
	}
	return s
}

// number takes the least value that bounds and multipleOf allow where they are simple.
func (g *generator) number(m map[string]any) any {
	if n, ok := m["minimum"].(json.Number); ok && m["exclusiveMinimum"] != true {
		return n
	}
	if n, ok := m["exclusiveMinimum"].(json.Number); ok {
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i+1, 10))
		}
	}
	if n, ok := m["maximum"].(json.Number); ok && strings.HasPrefix(n.String(), "-") {
		return n
	}
	if m["exclusiveMinimum"] == true {
		if i, err := strconv.ParseInt(fmt.Sprint(m["minimum"]), 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i+1, 10))
		}
	}
	return json.Number("0")
}

// matching makes a short text that a pattern matches.
func matching(pattern string) (string, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	emit(&b, re.Simplify())
	return b.String(), true
}

func emit(b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			b.WriteRune(readable(re.Rune))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCapture, syntax.OpPlus:
		emit(b, re.Sub[0])
	case syntax.OpRepeat:
		for range min(re.Min, 1000) {
			emit(b, re.Sub[0])
		}
	case syntax.OpConcat:
		for _, s := range re.Sub {
			emit(b, s)
		}
	case syntax.OpAlternate:
		emit(b, re.Sub[0])
	}
}

// readable prefers a digit or letter of a class to a control character.
func readable(pairs []rune) rune {
	for _, want := range "1aA" {
		for i := 0; i+1 < len(pairs); i += 2 {
			if want >= pairs[i] && want <= pairs[i+1] {
				return want
			}
		}
	}
	return pairs[0]
}

// properties lists the members that a schema describes, through allOf.
func properties(d *contract.Document, ptr string) map[string]any {
	out := map[string]any{}
	v, at, _ := d.At(ptr)
	m, _ := v.(map[string]any)
	parts, _ := m["allOf"].([]any)
	for i := range parts {
		for k, p := range properties(d, at+"/allOf/"+strconv.Itoa(i)) {
			out[k] = p
		}
	}
	props, _ := m["properties"].(map[string]any)
	for k := range props {
		out[k], _, _ = d.At(at + "/properties/" + token(k))
	}
	return out
}

// requiredOf lists the members that a schema requires, through allOf.
func requiredOf(d *contract.Document, ptr string) []string {
	v, at, _ := d.At(ptr)
	m, _ := v.(map[string]any)
	var out []string
	parts, _ := m["allOf"].([]any)
	for i := range parts {
		out = append(out, requiredOf(d, at+"/allOf/"+strconv.Itoa(i))...)
	}
	req, _ := m["required"].([]any)
	for _, r := range req {
		if s, ok := r.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func typeOf(m map[string]any) string {
	switch t := m["type"].(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if s, _ := one.(string); s != "null" {
				return s
			}
		}
	}
	if _, ok := m["properties"]; ok {
		return "object"
	}
	if _, ok := m["items"]; ok {
		return "array"
	}
	return ""
}

func intOf(v any, otherwise int) int {
	n, ok := v.(json.Number)
	if !ok {
		return otherwise
	}
	i, err := strconv.Atoi(n.String())
	if err != nil {
		return otherwise
	}
	return i
}

// token escapes a name for a JSON pointer.
func token(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

// uuidOf makes the nth UUID of a kind: random in looks (version 8), the same in each run.
func uuidOf(kind string, n int64) string {
	h := sha256.Sum256([]byte(kind + "\x00" + strconv.FormatInt(n, 10)))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
