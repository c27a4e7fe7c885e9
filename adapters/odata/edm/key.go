package edm

import (
	"encoding/json"
	"net/url"
	"strings"
)

// KeyIn reads the values of an entity's key out of its address, such as Orders('3'), Items(Order='3',No=1) or, where a service has keys as segments,
// Orders/3 in the set Orders; nil if it does not hold all of them.
func (s *Struct) KeyIn(set, address string) map[string]any {
	address, _, _ = strings.Cut(address, "?")
	if key := s.keyInParentheses(address); key != nil {
		return key
	}
	return s.keyInSegments(set, strings.Split(address, "/"))
}

// keyInSegments reads what stands behind the set's name: the key's values in their order, as they are.
func (s *Struct) keyInSegments(set string, segments []string) map[string]any {
	at := len(segments) - len(s.Key)
	if len(s.Key) == 0 || at < 1 || segments[at-1] != set {
		return nil
	}
	out := map[string]any{}
	for i, name := range s.Key {
		text, err := url.PathUnescape(segments[at+i])
		f, ok := s.Field(name)
		if err != nil || !ok || text == "" {
			return nil
		}
		v, err := f.Plain(text)
		if err != nil {
			v, err = f.Plain(json.Number(text))
		}
		if err != nil {
			return nil
		}
		out[name] = v
	}
	return out
}

func (s *Struct) keyInParentheses(address string) map[string]any {
	address, err := url.PathUnescape(address)
	if err != nil {
		return nil
	}
	out := map[string]any{}
	for _, part := range keyParts(address) {
		name, literal := "", part
		if i := strings.IndexAny(part, "='"); i >= 0 && part[i] == '=' {
			name, literal = part[:i], part[i+1:]
		} else if len(s.Key) == 1 {
			name = s.Key[0]
		}
		f, ok := s.Field(strings.TrimSpace(name))
		if !ok || !f.Key {
			return nil
		}
		v, ok := f.unwrite(strings.TrimSpace(literal))
		if !ok {
			return nil
		}
		out[f.Name] = v
	}
	if len(out) == 0 || len(out) != len(s.Key) {
		return nil
	}
	return out
}

// keyParts are what stands between the last parentheses of an address, if it ends with them, divided at the commas. Nothing in quotes counts.
func keyParts(address string) (parts []string) {
	quoted, begun := false, -1
	for i := range len(address) {
		switch c := address[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			parts, begun = nil, i+1
		case begun >= 0 && (c == ',' || c == ')'):
			parts = append(parts, address[begun:i])
			if begun = i + 1; c == ')' {
				begun = -1
			}
		}
	}
	if quoted || begun >= 0 || !strings.HasSuffix(address, ")") {
		return nil
	}
	return parts
}

// unwrite reads what Literal writes.
func (f *Field) unwrite(literal string) (any, bool) {
	before, inside, quoted := strings.Cut(literal, "'")
	if quoted {
		text, ends := strings.CutSuffix(inside, "'")
		if !ends || f.Type == "Edm.String" && before != "" {
			return nil, false
		}
		literal = strings.ReplaceAll(text, "''", "'")
	} else if f.Type == "Edm.String" {
		return nil, false
	} else if t := strings.TrimRight(literal, "LlMm"); f.Type != "Edm.Boolean" && t != "" {
		literal = t
	}
	if v, err := f.Plain(literal); err == nil {
		return v, true
	}
	v, err := f.Plain(json.Number(literal))
	return v, err == nil
}
