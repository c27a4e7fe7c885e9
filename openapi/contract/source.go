package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds a document after its YAML aliases are expanded.
const maxNodes = 2_000_000

// source is the document as written: the tree with exact numbers, and the node of each JSON
// pointer for positions and for byte-faithful examples.
type source struct {
	name  string
	tree  map[string]any
	nodes map[string]*yaml.Node
	count int
}

// parse reads YAML, or JSON as the YAML that it nearly is.
func parse(doc []byte, name string) (*source, error) {
	if t := bytes.TrimSpace(doc); len(t) > 0 && t[0] == '{' && json.Valid(t) {
		doc = jsonAsYAML(doc)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s := &source{name: name, nodes: map[string]*yaml.Node{}}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, fmt.Errorf("read %s: it is empty", name)
	}
	v, err := s.convert(root.Content[0], "")
	if err != nil {
		return nil, err
	}
	tree, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read %s: it is not an object", name)
	}
	s.tree = tree
	return s, nil
}

func (s *source) convert(n *yaml.Node, ptr string) (any, error) {
	if s.count++; s.count > maxNodes {
		return nil, fmt.Errorf("read %s: more than %d values after aliases are expanded", s.name, maxNodes)
	}
	s.nodes[ptr] = n
	switch n.Kind {
	case yaml.AliasNode:
		if strings.Count(ptr, "/") > 500 {
			return nil, s.errorAt(n, "an alias that contains itself")
		}
		return s.convert(n.Alias, ptr)
	case yaml.MappingNode:
		return s.convertMapping(n, ptr)
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for i, c := range n.Content {
			v, err := s.convert(c, ptr+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.ScalarNode:
		v, err := scalar(n)
		if err != nil {
			return nil, s.errorAt(n, err.Error())
		}
		return v, nil
	}
	return nil, s.errorAt(n, "this YAML node has no JSON form")
}

func (s *source) convertMapping(n *yaml.Node, ptr string) (any, error) {
	out := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		if k.ShortTag() == "!!merge" {
			return nil, s.errorAt(k, "a YAML merge key; write the members out")
		}
		if k.Kind != yaml.ScalarNode {
			return nil, s.errorAt(k, "a member name that is not a scalar")
		}
		if _, twice := out[k.Value]; twice {
			return nil, s.errorAt(k, fmt.Sprintf("member %q a second time", k.Value))
		}
		v, err := s.convert(c, ptr+"/"+escape(k.Value))
		if err != nil {
			return nil, err
		}
		out[k.Value] = v
	}
	return out, nil
}

var errNumber = errors.New("a number in a form that JSON does not have (such as leading zeros, which YAML may read as octal); quote it if it is text")

// scalar gives a plain number its own text, so that no digit is lost.
func scalar(n *yaml.Node) (any, error) {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	tag := n.ShortTag()
	if n.Style&quoted != 0 || (n.Style&yaml.TaggedStyle != 0 && tag == "!!str") {
		return n.Value, nil
	}
	if isNumber(n.Value) {
		return json.Number(n.Value), nil
	}
	switch tag {
	case "!!null":
		return nil, nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), nil
	case "!!int", "!!float":
		return nil, errNumber
	}
	return n.Value, nil
}

// raw writes the JSON text of the value at a pointer.
func (s *source) raw(ptr string) ([]byte, bool) {
	n, ok := s.nodes[ptr]
	if !ok {
		return nil, false
	}
	var b bytes.Buffer
	writeNode(&b, n)
	return b.Bytes(), true
}

func writeNode(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.AliasNode:
		writeNode(b, n.Alias)
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, n.Content[i].Value)
			b.WriteByte(':')
			writeNode(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			writeNode(b, c)
		}
		b.WriteByte(']')
	default:
		v, _ := scalar(n)
		writeJSON(b, v)
	}
}

// writeJSON encodes a scalar without HTML escapes.
func writeJSON(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a scalar into a buffer cannot fail
	b.Truncate(b.Len() - 1)
}

// lookup gives the value at a pointer without following references.
func (s *source) lookup(ptr string) (any, bool) { return find(s.tree, tokens(ptr)) }

// resolve gives the value at a pointer, following $ref at each step, and where it stands.
func (s *source) resolve(ptr string) (any, string, bool) {
	v, at, ok := s.follow("")
	if !ok {
		return nil, "", false
	}
	for _, tok := range tokens(ptr) {
		next := at + "/" + escape(tok)
		if _, ok = s.nodes[next]; !ok {
			return nil, "", false
		}
		if v, at, ok = s.follow(next); !ok {
			return nil, "", false
		}
	}
	return v, at, true
}

// follow gives the value at a pointer or, where that is a reference, what it refers to.
func (s *source) follow(ptr string) (any, string, bool) {
	for range 50 {
		v, ok := s.lookup(ptr)
		if !ok {
			return nil, "", false
		}
		m, _ := v.(map[string]any)
		ref, isRef := m["$ref"].(string)
		if !isRef || !strings.HasPrefix(ref, "#") {
			return v, ptr, true
		}
		ptr = pointerOf(ref)
	}
	return nil, "", false
}

// at gives file:line:column of a pointer, or of the nearest place above it.
func (s *source) at(ptr string) string {
	for {
		if n, ok := s.nodes[ptr]; ok {
			return fmt.Sprintf("%s:%d:%d", s.name, n.Line, n.Column)
		}
		i := strings.LastIndexByte(ptr, '/')
		if i < 0 {
			return s.name
		}
		ptr = ptr[:i]
	}
}

func (s *source) errorAt(n *yaml.Node, why string) error {
	return fmt.Errorf("%s:%d:%d: %s", s.name, n.Line, n.Column, why)
}

// jsonAsYAML makes the two changes that a YAML reader needs, keeping lines: tabs between
// values become blanks, and surrogate pairs become the character that they stand for.
func jsonAsYAML(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	inString := false
	for i := 0; i < len(doc); i++ {
		c := doc[i]
		switch {
		case inString && c == '\\':
			n := 2
			if r, ok := surrogates(doc[i:]); ok {
				out, n = append(out, string(r)...), 12
			} else {
				out = append(out, doc[i:i+2]...)
			}
			i += n - 1
			continue
		case c == '"':
			inString = !inString
		case c == '\t' && !inString:
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

func surrogates(b []byte) (rune, bool) {
	if len(b) < 12 || b[1] != 'u' || b[6] != '\\' || b[7] != 'u' {
		return 0, false
	}
	hi, err1 := strconv.ParseUint(string(b[2:6]), 16, 32)
	lo, err2 := strconv.ParseUint(string(b[8:12]), 16, 32)
	r := utf16.DecodeRune(rune(hi), rune(lo)) //nolint:gosec // four hexadecimal digits each
	return r, err1 == nil && err2 == nil && r != 0xFFFD
}

// ParseYAML reads a YAML (or JSON) object with the care of Load: every number keeps its digits as
// json.Number, duplicate names and numbers that JSON does not have are refused with their place.
func ParseYAML(text []byte, name string) (map[string]any, error) {
	s, err := parse(text, name)
	if err != nil {
		return nil, err
	}
	return s.tree, nil
}
