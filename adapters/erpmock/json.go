package erpmock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/openapi/contract"
)

// Duration is a time.Duration that JSON and YAML write as text: 1.5s, 200ms, 1h.
type Duration time.Duration

// MarshalText writes Go's form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 200ms or 5s", b)
	}
	*d = Duration(v)
	return nil
}

// strictJSON reads exactly one value and refuses members that the target does not have.
func strictJSON(b []byte, target any) error {
	if _, err := contract.Decode(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(target); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// encode writes a decoded JSON value with sorted members and numbers in their own digits.
func encode(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		if v {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case string:
		return quote(b, v)
	case json.Number:
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = encode(b, e)
		}
		return append(b, ']')
	case map[string]any:
		return encodeObject(b, v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, text...)
}

func encodeObject(b []byte, m map[string]any) []byte {
	var few [32]string
	names := few[:0]
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, k := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, k), ':')
		b = encode(b, m[k])
	}
	return append(b, '}')
}

func quote(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// scalarText gives a filter's text of a value; arrays and objects have none.
func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	return ""
}

// fieldValues collects the texts at a path such as order or items[].batch.
func fieldValues(v any, path string) []string {
	head, rest, deeper := strings.Cut(path, ".")
	name, list := strings.CutSuffix(head, "[]")
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	child, ok := m[name]
	if !ok {
		return nil
	}
	children := []any{child}
	if list {
		children, _ = child.([]any)
	}
	var out []string
	for _, c := range children {
		if deeper {
			out = append(out, fieldValues(c, rest)...)
		} else if s := scalarText(c); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// mergePatch applies RFC 7396 to target and gives the result.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}
