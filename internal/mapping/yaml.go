package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
)

// entry is one key of a YAML object with its value.
type entry struct{ key, value *yaml.Node }

func (c *compiler) add(at place, what, why, hint string) {
	c.mistakes = append(c.mistakes, &Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint})
}

// wrong is a mistake at a node.
func (c *compiler) wrong(n *yaml.Node, what, why, hint string) {
	c.add(place{c.src.file, n.Line, n.Column}, what, why, hint)
}

func (c *compiler) yamlError(err error) {
	at, why := place{c.src.file, 1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if e, ok := asLoadError(err); ok {
		at.line, at.col, why = max(1, e.Mark.Line), max(1, e.Mark.Column), e.Message
	}
	hint := "put an expression that holds ': ' or ' #' or begins with a sign in quotes"
	line := ""
	if at.line <= len(c.src.lines) {
		line = c.src.lines[at.line-1]
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		at.col = 1 + strings.Index(indent, "\t")
		why, hint = "a tab stands in the indentation", "indent with blanks, as YAML takes no tabs there"
	case strings.Contains(why, "expected ',' or '}'"):
		hint = "put a comma between the keys, and } behind the last; " + hint
	case strings.Contains(why, "mapping values are not allowed"):
		if further := c.src.indentHint(at.line); further != "" {
			hint = further + "; " + hint
		} else {
			hint += "; a key stands as far to the right as those beside it"
		}
	case strings.Contains(why, "did not find expected key"):
		if further := c.src.indentHint(at.line); further != "" {
			hint = further
		}
	}
	c.add(at, "the file", "it is not YAML: "+why, hint)
}

// utf16 tells whether a text begins as one of UTF-16 does, which YAML reads too.
func utf16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff"))
}

func asLoadError(err error) (*yaml.LoadError, bool) {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return e, true
	}
	if es, ok := errors.AsType[*yaml.LoadErrors](err); ok && len(es.Errors) > 0 {
		return es.Errors[0], true
	}
	return nil, false
}

// entries reads an object, each of whose keys may stand there once.
func (c *compiler) entries(n *yaml.Node, path string) []entry {
	if n.Kind != yaml.MappingNode {
		c.wrong(n, path, "it is not an object", noObjectHint(n))
		return nil
	}
	seen := map[string]bool{}
	out := make([]entry, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			c.wrong(key, path, "a key is a word", "write name: value, and what has parts behind the colon or under it")
		case seen[key.Value]:
			c.wrong(key, path+"."+key.Value, "it is there twice", "leave one of them out")
		case key.Value == "<<", value.Kind == yaml.AliasNode:
			c.wrong(key, path+"."+key.Value, "anchors and aliases are not part of a mapping", "write it out")
		default:
			seen[key.Value] = true
			out = append(out, entry{key, value})
		}
	}
	return out
}

// noObjectHint is what to do about a text that stands in the place of keys.
func noObjectHint(n *yaml.Node) string {
	key, _, colon := strings.Cut(n.Value, ":")
	if n.Kind == yaml.ScalarNode && colon && isWord(key) {
		return "write a blank behind the colon: " + key + ": …"
	}
	if n.Kind == yaml.SequenceNode {
		return "write its keys below it, indented, without - before them"
	}
	return "write its keys below it, indented"
}

// falseBlank tells whether a key has a character that looks like a blank and is none, such as a no-break space, and says so.
func (c *compiler) falseBlank(key *yaml.Node, path string, say func(at place, what, why, hint string)) bool {
	i := strings.IndexAny(key.Value, falseBlanks)
	if i < 0 {
		return false
	}
	at := c.src.within(key, 1, 1+utf8.RuneCountInString(key.Value[:i]))
	say(at, path, fmt.Sprintf("a character stands here that looks like a blank and is none (U+%04X)", []rune(key.Value[i:])[0]), "write a blank in its place; it comes with what is copied from a page or a document")
	return true
}

// object reads an object that has only the keys allowed.
func (c *compiler) object(n *yaml.Node, path string, allowed ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for _, e := range c.entries(n, path) {
		if c.falseBlank(e.key, path, c.add) {
			continue
		}
		known := false
		for _, a := range allowed {
			known = known || a == e.key.Value
		}
		if !known {
			hint := "it knows " + strings.Join(allowed, ", ")
			if near := nearest(e.key.Value, allowed); near != "" {
				hint = "did you mean " + near + "?"
			} else if path == "the mapping" && emptyKey(n, "fields") {
				hint = "a field stands below fields:, with more blanks before it; " + hint
			} else if before, comma := c.src.commaBefore(e.key); comma {
				hint = fmt.Sprintf("a number has a point: %s.%s; a comma parts the keys", before, e.key.Value)
			}
			c.wrong(e.key, path, fmt.Sprintf("there is no key %q", clip(e.key.Value)), hint)
			continue
		}
		out[e.key.Value] = e.value
	}
	return out
}

// emptyKey tells whether nothing stands behind a key of an object.
func emptyKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := n.Content[i+1]; n.Content[i].Value == key && v.Kind == yaml.ScalarNode && v.Value == "" {
			return true
		}
	}
	return false
}

func (c *compiler) scalar(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		why, hint := "it is not one value", "write a text behind the colon"
		switch remark, ok := c.src.remark(n); {
		case strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"), n.Anchor != "":
			hint = "put the expression in quotes: what begins with ! or & without them is YAML's own"
		case n.Kind == yaml.SequenceNode:
			hint = "put the expression in quotes: '[…]'"
		case n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == "" && !ok:
			why, hint = "nothing stands behind the colon", fmt.Sprintf("write a text there, or the keys of %s below it, each with more blanks before it", path[strings.LastIndexByte(path, '.')+1:])
		case ok && n.Kind == yaml.ScalarNode && n.Value == "":
			c.add(remark, path, "it is not one value: what stands behind # is a remark", "put the value in quotes, if # belongs to it")
			return false
		}
		c.wrong(n, path, why, hint)
		return false
	}
	return true
}

// text is a scalar that YAML does not read as something other than what is written: 0010 and yes need quotes.
func (c *compiler) text(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode {
		return c.scalar(n, path)
	}
	if n.ShortTag() != "!!str" {
		c.wrong(n, path, fmt.Sprintf("%s without quotes is not a text", n.Value), fmt.Sprintf("write %q", n.Value))
		return false
	}
	return true
}

func (c *compiler) word(parent *yaml.Node, k map[string]*yaml.Node, path, key string) string {
	n := k[key]
	if n == nil {
		c.wrong(parent, path, key+" is missing", "add "+key+": to "+path)
		return ""
	}
	if !c.scalar(n, path+"."+key) {
		return ""
	}
	return n.Value
}

func (c *compiler) count(n *yaml.Node, path string, least, most int) int {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || i < least || i > most {
		c.wrong(n, path, fmt.Sprintf("%q is no whole number from %d to %d", clip(n.Value), least, most), fmt.Sprintf("write it in digits, such as %d", max(least, min(most, 3))))
		return least
	}
	return i
}

func (c *compiler) yes(n *yaml.Node, path string) bool {
	if n.ShortTag() != "!!bool" {
		hint := elsewhere(strings.ToLower(n.Value), false)
		if !strings.HasPrefix(hint, "write ") {
			hint = "write true, or leave it out"
		}
		c.wrong(n, path, fmt.Sprintf("%q is neither true nor false", clip(n.Value)), hint)
	}
	return strings.EqualFold(n.Value, "true") // True and TRUE are YAML's as well
}

func (c *compiler) oneOf(n *yaml.Node, path string, allowed ...string) string {
	for _, a := range allowed {
		if n.Kind == yaml.ScalarNode && n.Value == a {
			return a
		}
	}
	hint := didYouMean(n.Value, allowed, "write one of them, or leave it out")
	c.wrong(n, path, fmt.Sprintf("%q is none of %s", clip(n.Value), strings.Join(allowed, ", ")), hint)
	return ""
}

// constant is the JSON text of a const; a number keeps its digits.
func (c *compiler) constant(n *yaml.Node, path string, flat bool) []byte {
	if n.Kind != yaml.ScalarNode {
		c.wrong(n, path, "a constant is one value", "use fields for an object")
		return nil
	}
	switch tag := n.ShortTag(); {
	case tag == "!!str" || flat && tag != "!!null":
		c.meantAsField(place{c.src.file, n.Line, n.Column}, n.Value, path)
		b, err := json.Marshal(n.Value)
		if err != nil {
			c.wrong(n, path, err.Error(), "write a text, a number, true or false")
		}
		return b
	case tag == "!!bool":
		return []byte(strings.ToLower(n.Value))
	case tag == "!!int", tag == "!!float":
		if d, err := decimal.Parse(n.Value); err == nil && d.String() == n.Value {
			return []byte(n.Value)
		}
		c.wrong(n, path, fmt.Sprintf("%s is not a number as JSON writes it", n.Value), fmt.Sprintf("write %q if it is a text, or 10 and 0.5 as numbers", n.Value))
	default:
		c.wrong(n, path, "a constant is a text, a number, true or false", "leave the field out instead of null")
	}
	return nil
}

// isWord tells whether CEL can name a variable s.
func isWord(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	switch s {
	case "", "in", "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while":
		return false
	}
	return true
}
