package edm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document. A $metadata of SAP's largest services has some 5 MB.
const (
	MaxSize     = 64 << 20
	maxDepth    = 64
	maxElements = 4_000_000
)

// node is an element with its place.
type node struct {
	tag         string // as written
	space, name string
	attrs       []attribute
	nodes       []*node
	text        string
	line        int
}

type attribute struct{ space, name, value string }

// attr is an attribute without a namespace, "" if it is not there.
func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.space == "" && a.name == name {
			return a.value
		}
	}
	return ""
}

// has tells whether an attribute without a namespace is there.
func (n *node) has(name string) bool {
	for _, a := range n.attrs {
		if a.space == "" && a.name == name {
			return true
		}
	}
	return false
}

// The namespaces of attributes that services add to the standard's.
const (
	sapNamespace  = "http://www.sap.com/Protocols/SAPData"
	dataNamespace = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
)

// sap is an annotation of SAP's, such as sap:label.
func (n *node) sap(name string) string { return n.foreign(sapNamespace, name) }

func (n *node) foreign(space, name string) string {
	for _, a := range n.attrs {
		if a.name == name && a.space == space {
			return a.value
		}
	}
	return ""
}

// all are the children of one name.
func (n *node) all(name string) []*node {
	var out []*node
	for _, c := range n.nodes {
		if c.name == name {
			out = append(out, c)
		}
	}
	return out
}

// scanner reads XML without a document type, as far as a $metadata has it. encoding/xml would do, but takes five times as long, and a
// test holds the two against each other.
type scanner struct {
	text  string
	pos   int
	line  int // of counted
	count int // bytes whose lines are counted
	stack []*node
	root  *node
	names []binding
	made  int
}

// binding is a prefix that stands for a namespace, from a depth on.
type binding struct {
	prefix, space string
	depth         int
}

// read makes a tree of a document.
func read(text []byte) (*node, error) {
	s := &scanner{text: strings.TrimPrefix(string(text), "\ufeff"), line: 1}
	if len(text) > MaxSize {
		return nil, s.bad("the document has %d bytes, more than the %d that are read", len(text), MaxSize)
	}
	if !utf8.Valid(text) {
		s.pos = strings.IndexFunc(s.text, func(r rune) bool { return r == utf8.RuneError })
		return nil, s.bad("the document is not in UTF-8")
	}
	if i := strings.IndexFunc(s.text, func(r rune) bool { return !character(r) }); i >= 0 {
		s.pos = i
		r, _ := utf8.DecodeRuneInString(s.text[i:])
		return nil, s.bad("%U is no character of XML", r)
	}
	for s.pos < len(s.text) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(s.stack) > 0:
		return nil, s.bad("unexpected EOF: %s, begun in line %d, does not end", s.stack[len(s.stack)-1].name, s.stack[len(s.stack)-1].line)
	case s.root == nil:
		return nil, s.bad("there is no element in it")
	}
	return s.root, nil
}

// character tells whether a document may hold it (XML 1.0, production 2).
func character(r rune) bool {
	return r >= ' ' && r != 0xFFFE && r != 0xFFFF || r == '\t' || r == '\n' || r == '\r'
}

// bad is a mistake at the present place.
func (s *scanner) bad(format string, args ...any) error {
	return &Error{s.lineNow(), fmt.Sprintf(format, args...)}
}

func (s *scanner) lineNow() int {
	to := max(min(s.pos, len(s.text)), s.count)
	s.line += strings.Count(s.text[s.count:to], "\n")
	s.count = to
	return s.line
}

// step reads the text up to the next tag, and the tag.
func (s *scanner) step() error {
	rest := s.text[s.pos:]
	i := strings.IndexByte(rest, '<')
	if i < 0 {
		i = len(rest)
	}
	if i > 0 {
		if err := s.characters(rest[:i]); err != nil {
			return err
		}
		s.pos += i
		return nil
	}
	switch {
	case strings.HasPrefix(rest, "<!--"):
		return s.skip("-->")
	case strings.HasPrefix(rest, "<?"):
		return s.instruction()
	case strings.HasPrefix(rest, "<![CDATA["):
		end := strings.Index(rest, "]]>")
		if end < 0 {
			return s.skip("]]>")
		}
		s.add(rest[len("<![CDATA["):end])
		s.pos += end + len("]]>")
		return nil
	case strings.HasPrefix(rest, "<!"):
		return s.bad("it has a document type declaration, which is not read")
	case strings.HasPrefix(rest, "</"):
		return s.end()
	}
	return s.start()
}

// skip passes over what ends so.
func (s *scanner) skip(end string) error {
	i := strings.Index(s.text[s.pos:], end)
	if i < 0 {
		err := s.bad("unexpected EOF: what begins here does not end")
		s.pos = len(s.text)
		return err
	}
	s.pos += i + len(end)
	return nil
}

// instruction passes over a processing instruction; that of XML itself may name an encoding.
func (s *scanner) instruction() error {
	begin := s.pos
	if err := s.skip("?>"); err != nil {
		return err
	}
	if pi := s.text[begin:s.pos]; strings.HasPrefix(pi, "<?xml ") {
		if _, enc, ok := strings.Cut(pi, "encoding="); ok && len(enc) > 1 {
			name, _, _ := strings.Cut(enc[1:], enc[:1])
			if !strings.EqualFold(name, "utf-8") && !strings.EqualFold(name, "us-ascii") {
				return s.bad("the encoding %s is not read; save the document as UTF-8", name)
			}
		}
	}
	return nil
}

// characters are text between tags.
func (s *scanner) characters(text string) error {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if len(s.stack) == 0 {
		if s.root != nil {
			return s.bad("something follows the end of the document")
		}
		return s.bad("there is text before the first element")
	}
	plain, ok := unescape(text)
	if !ok {
		return s.bad("an & in the text begins no character reference")
	}
	s.add(plain)
	return nil
}

func (s *scanner) add(text string) {
	if n := len(s.stack); n > 0 && len(s.stack[n-1].nodes) == 0 {
		s.stack[n-1].text += strings.TrimSpace(text)
	}
}

const blanks = " \t\r\n"

// word is what stands up to a blank or one of the marks.
func (s *scanner) word(marks string) string {
	rest := s.text[s.pos:]
	i := strings.IndexAny(rest, marks)
	if i < 0 {
		i = len(rest)
	}
	s.pos += i
	return rest[:i]
}

func (s *scanner) blank() {
	for s.pos < len(s.text) && strings.IndexByte(blanks, s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// end reads an end tag.
func (s *scanner) end() error {
	s.pos += 2
	name := s.word(blanks + "<>")
	s.blank()
	n := len(s.stack)
	if n == 0 || s.stack[n-1].tag != name || s.pos >= len(s.text) || s.text[s.pos] != '>' {
		return s.bad("the end tag </%.40s> ends no element that is open", name)
	}
	s.pos++
	s.close()
	return nil
}

// close ends the innermost element, and the prefixes that it bound.
func (s *scanner) close() {
	n := len(s.stack)
	s.stack = s.stack[:n-1]
	for len(s.names) > 0 && s.names[len(s.names)-1].depth >= n {
		s.names = s.names[:len(s.names)-1]
	}
}

// start reads a start tag.
func (s *scanner) start() error {
	s.pos++
	n := &node{line: s.lineNow(), tag: s.word(blanks + "/<>=\"'")}
	if n.tag == "" {
		return s.bad("a < begins no tag")
	}
	if s.made++; s.made > maxElements || len(s.stack) >= maxDepth {
		return s.bad("the document has more elements, or deeper ones, than are read")
	}
	if err := s.place(n); err != nil {
		return err
	}
	for {
		s.blank()
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, ">"):
			s.pos++
			return s.name(n)
		case strings.HasPrefix(rest, "/>"):
			s.pos += 2
			err := s.name(n)
			s.close()
			return err
		case rest == "":
			return s.bad("unexpected EOF: the tag %s does not end", n.tag)
		}
		if err := s.attribute(n); err != nil {
			return err
		}
	}
}

// place puts an element below the one that is open.
func (s *scanner) place(n *node) error {
	switch k := len(s.stack); {
	case k > 0:
		s.stack[k-1].nodes = append(s.stack[k-1].nodes, n)
	case s.root == nil:
		s.root = n
	default:
		return s.bad("something follows the end of the document")
	}
	s.stack = append(s.stack, n)
	return nil
}

// attribute reads name="value".
func (s *scanner) attribute(n *node) error {
	name := s.word(blanks + "=<>/\"'")
	s.blank()
	if name == "" || s.pos >= len(s.text) || s.text[s.pos] != '=' {
		return s.bad("in the tag %s stands something that is no attribute", n.tag)
	}
	s.pos++
	s.blank()
	rest := s.text[s.pos:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return s.bad("the value of the attribute %s is not in quotes", name)
	}
	i := strings.IndexByte(rest[1:], rest[0])
	if i < 0 {
		return s.bad("unexpected EOF: the value of the attribute %s does not end", name)
	}
	value, ok := unescape(rest[1 : 1+i])
	if !ok || strings.IndexByte(rest[1:1+i], '<') >= 0 {
		return s.bad("the value of the attribute %s has an & or < that must be escaped", name)
	}
	s.pos += i + 2
	prefix, local, has := strings.Cut(name, ":")
	switch {
	case !qualified(name):
		return s.bad("the attribute name %.40s is no name of XML: a prefix and a name stand on the two sides of one colon", name)
	case !has && name == "xmlns":
		s.names = append(s.names, binding{"", value, len(s.stack)})
	case has && prefix == "xmlns":
		s.names = append(s.names, binding{local, value, len(s.stack)})
	case has:
		n.attrs = append(n.attrs, attribute{prefix, local, value})
	default:
		n.attrs = append(n.attrs, attribute{"", name, value})
	}
	return nil
}

// qualified tells whether colons stand in a name as in a QName (Namespaces in XML 1.0, section 4).
func qualified(name string) bool {
	prefix, local, has := strings.Cut(name, ":")
	return !has || prefix != "" && local != "" && !strings.Contains(local, ":")
}

// name finds the namespaces of an element and its attributes, once all that it binds is known.
func (s *scanner) name(n *node) error {
	if !qualified(n.tag) {
		return s.bad("the element name %.40s is no name of XML: a prefix and a name stand on the two sides of one colon", n.tag)
	}
	prefix, local, has := strings.Cut(n.tag, ":")
	if !has {
		prefix, local = "", n.tag
	}
	space, ok := s.space(prefix)
	if !ok && has {
		return s.bad("the prefix %q of element %s is not bound to a namespace", prefix, local)
	}
	n.space, n.name = space, local
	for i, a := range n.attrs {
		if a.space == "" {
			continue
		}
		if n.attrs[i].space, ok = s.space(a.space); !ok {
			return s.bad("the prefix %q of attribute %s is not bound to a namespace", a.space, a.name)
		}
	}
	return s.twice(n)
}

// mostAttributes bounds those of one tag.
const mostAttributes = 200

// twice refuses a tag with an attribute, or the name of a namespace, that is there twice (XML 1.0, section 3.1; Namespaces in XML 1.0, section 6.3).
func (s *scanner) twice(n *node) error {
	if len(n.attrs) > mostAttributes {
		return s.bad("the tag %s has more than %d attributes", n.tag, mostAttributes)
	}
	for i, a := range n.attrs {
		for _, b := range n.attrs[:i] {
			if a.name == b.name && a.space == b.space {
				return s.bad("the tag %s has the attribute %s twice", n.tag, a.name)
			}
		}
	}
	for i := len(s.names) - 1; i > 0 && s.names[i].depth == len(s.stack); i-- {
		if slices.ContainsFunc(s.names[:i], func(b binding) bool { return b.depth == len(s.stack) && b.prefix == s.names[i].prefix }) {
			return s.bad("the tag %s binds the prefix %q twice", n.tag, s.names[i].prefix)
		}
	}
	return nil
}

// space is what a prefix stands for here.
func (s *scanner) space(prefix string) (string, bool) {
	for i := len(s.names) - 1; i >= 0; i-- {
		if s.names[i].prefix == prefix {
			return s.names[i].space, true
		}
	}
	return "", prefix == "xml"
}

// unescape resolves character references.
func unescape(s string) (string, bool) {
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s, true
	}
	var b strings.Builder
	for i >= 0 {
		b.WriteString(s[:i])
		name, rest, ok := strings.Cut(s[i+1:], ";")
		r, known := reference(name)
		if !ok || !known {
			return "", false
		}
		b.WriteRune(r)
		s = rest
		i = strings.IndexByte(s, '&')
	}
	b.WriteString(s)
	return b.String(), true
}

func reference(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return rune(n), ok && err == nil && n <= utf8.MaxRune && utf8.ValidRune(rune(n)) && character(rune(n)) //nolint:gosec // n is at most utf8.MaxRune where it counts
}
