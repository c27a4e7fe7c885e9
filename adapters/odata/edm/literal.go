package edm

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// suffix is V2's mark of a number's type; V4 has none.
func suffix(mark string) func(string, Version) string {
	return func(v string, version Version) string {
		if version == V2 && v != "INF" && v != "-INF" && v != "NaN" {
			return v + mark
		}
		return v
	}
}

// prefixed is V2's way to write a type before a quoted value; V4 writes the value alone.
func prefixed(kind string) func(string, Version) string {
	return func(v string, version Version) string {
		if version == V2 {
			return kind + quote(v)
		}
		return v
	}
}

func literalTime(v string, version Version) string {
	if version == V2 {
		return "time" + quote(pt(v))
	}
	return v
}

func literalBinary(v string, version Version) string {
	b, _ := base64.StdEncoding.DecodeString(v) // its plain form is base64
	if version == V2 {
		return "X" + quote(hex.EncodeToString(b))
	}
	return "binary" + quote(base64.URLEncoding.EncodeToString(b))
}

// Literal writes a plain value as it stands in an address, not yet percent-encoded.
func (f *Field) Literal(v any, version Version) (string, error) {
	if v == nil {
		return "null", nil
	}
	c, ok := codecOf(f.Type)
	if !ok || f.Many || f.Struct != nil {
		return "", fmt.Errorf("a value of %s cannot stand in an address", f.typeName())
	}
	p, err := f.exactly(v, c)
	if err != nil {
		return "", err
	}
	var s string
	switch p := p.(type) {
	case string:
		s = p
	case json.Number:
		s = p.String()
	case bool:
		s = strconv.FormatBool(p)
	}
	if f.enum != "" {
		return f.enum + quote(s), nil
	}
	return c.literal(s, version), nil
}

func (f *Field) typeName() string {
	name := f.Type
	if f.Struct != nil {
		name = f.Struct.Name
	}
	if f.Many {
		return "Collection(" + name + ")"
	}
	return name
}

// KeyPath is the address of an entity below its set's, percent-encoded: (ManufacturingOrder='1') or ('1'). Each key field must be
// given; an empty text is a key like any other.
func (s *Struct) KeyPath(key map[string]any, version Version) (string, error) {
	if len(s.Key) == 0 {
		return "", fmt.Errorf("%s has no key", s.Name)
	}
	parts := make([]string, 0, len(s.Key))
	for _, name := range s.Key {
		v, ok := key[name]
		if !ok || v == nil {
			return "", fmt.Errorf("the key field %s of %s is missing", name, s.Name)
		}
		f, _ := s.Field(name)
		lit, err := f.Literal(v, version)
		if err != nil {
			return "", fmt.Errorf("key field %s: %w", name, err)
		}
		lit = Escape(lit)
		if len(s.Key) > 1 {
			lit = name + "=" + lit
		}
		parts = append(parts, lit)
	}
	for name := range key {
		if f, ok := s.Field(name); !ok || !f.Key {
			return "", fmt.Errorf("%s is no key field of %s", name, s.Name)
		}
	}
	return "(" + strings.Join(parts, ",") + ")", nil
}

// Escape percent-encodes a text for any place in an address: a slash, a plus or a blank arrives as what it is. Quotes and
// parentheses stay, as services write them.
func Escape(s string) string {
	return strings.NewReplacer("+", "%20", "%27", "'", "%28", "(", "%29", ")", "%2C", ",", "%3A", ":", "%24", "$").Replace(url.QueryEscape(s))
}
