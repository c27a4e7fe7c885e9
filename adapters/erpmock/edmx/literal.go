package edmx

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/adapters/odata/edm"
)

// literal reads a value as it stands in an address, and gives its plain form.
func literal(f *edm.Field, text string, v edm.Version) (any, error) {
	if text == "null" {
		return nil, nil
	}
	bad := fmt.Errorf("%s is no literal of %s", text, f.Type)
	inner, quoted := unquote(text)
	switch {
	case f.Type == "Edm.String" && len(f.Members) == 0:
		if !quoted {
			return nil, bad
		}
		return inner, nil
	case v == edm.V4 && (f.Type == "Edm.Binary" || f.Type == "Edm.Duration" || len(f.Members) > 0):
		i := strings.IndexByte(text, '\'')
		if i <= 0 {
			return nil, bad
		}
		if inner, quoted = unquote(text[i:]); !quoted {
			return nil, bad
		}
		return f.Plain(inner)
	case v == edm.V2:
		return literal2(f, text)
	case quoted:
		return nil, bad
	case text == "true" || text == "false":
		return text == "true", nil
	}
	return f.Plain(text)
}

// literal2 reads V2's prefixes and suffixes.
func literal2(f *edm.Field, text string) (any, error) {
	prefix := map[string]string{
		"Edm.Guid": "guid", "Edm.DateTime": "datetime", "Edm.DateTimeOffset": "datetimeoffset", "Edm.Time": "time", "Edm.Binary": "X",
	}[f.Type]
	suffix := map[string]string{"Edm.Decimal": "mM", "Edm.Int64": "lL", "Edm.Double": "dD", "Edm.Single": "fF"}[f.Type]
	switch {
	case prefix != "":
		rest, ok := strings.CutPrefix(text, prefix)
		inner, quoted := unquote(rest)
		if !ok || !quoted {
			return nil, fmt.Errorf("%s is no literal of %s, which is written %s'…'", text, f.Type, prefix)
		}
		if f.Type == "Edm.Binary" {
			b, err := hex.DecodeString(inner)
			return base64.StdEncoding.EncodeToString(b), err
		}
		return f.Plain(inner)
	case suffix != "":
		if text == "" || !strings.ContainsAny(text[len(text)-1:], suffix) {
			return nil, fmt.Errorf("%s is no literal of %s, which ends with %s", text, f.Type, suffix[:1])
		}
		return f.Plain(text[:len(text)-1])
	case text == "true" || text == "false":
		return text == "true", nil
	}
	return f.Plain(json.Number(text))
}

// unquote takes off the quotes of a text, in which quotes are doubled.
func unquote(text string) (string, bool) {
	if len(text) < 2 || text[0] != '\'' || text[len(text)-1] != '\'' {
		return "", false
	}
	inner := text[1 : len(text)-1]
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return "", false
	}
	return strings.ReplaceAll(inner, "''", "'"), true
}

// parts splits a text at a separator outside of quotes and parentheses.
func parts(text string, sep string) []string {
	var out []string
	depth, begin, inText := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			inText = !inText
		case inText:
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		case depth == 0 && strings.HasPrefix(text[i:], sep):
			out = append(out, text[begin:i])
			begin = i + len(sep)
			i = begin - 1
		}
	}
	return append(out, text[begin:])
}

// key reads the key of an address.
func key(of *edm.Struct, text string, v edm.Version) (map[string]any, error) {
	out := map[string]any{}
	all := parts(text, ",")
	for _, p := range all {
		name, value, named := strings.Cut(p, "=")
		if !named || strings.HasPrefix(p, "'") {
			if len(of.Key) != 1 || len(all) != 1 {
				return nil, fmt.Errorf("%s has the key %s", of.Name, strings.Join(of.Key, ", "))
			}
			name, value = of.Key[0], p
		}
		f, ok := of.Field(name)
		if !ok || !f.Key {
			return nil, fmt.Errorf("%s is no key field of %s", name, of.Name)
		}
		val, err := literal(f, value, v)
		if err != nil {
			return nil, err
		}
		out[name] = val
	}
	if len(out) != len(of.Key) {
		return nil, fmt.Errorf("%s has the key %s", of.Name, strings.Join(of.Key, ", "))
	}
	return out, nil
}
