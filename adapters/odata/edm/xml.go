package edm

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a document. A $metadata of SAP's largest services has some 5 MB.
const (
	MaxSize     = 64 << 20
	maxDepth    = 64
	maxElements = 4_000_000
)

// node is an element with its place.
type node struct {
	space, name string
	attrs       []xml.Attr
	nodes       []*node
	text        string
	line        int
}

// attr is an attribute without a namespace, "" if it is not there.
func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// has tells whether an attribute without a namespace is there.
func (n *node) has(name string) bool {
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
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
		if a.Name.Local == name && a.Name.Space == space {
			return a.Value
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

// read makes a tree of a document.
func read(text []byte) (*node, error) {
	if len(text) > MaxSize {
		return nil, &Error{1, fmt.Sprintf("the document has %d bytes, more than the %d that are read", len(text), MaxSize)}
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	var stack []*node
	var root *node
	for count := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		line, _ := d.InputPos()
		if err != nil {
			return nil, badXML(line, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if count++; count > maxElements || len(stack) >= maxDepth {
				return nil, &Error{line, "the document has more elements, or deeper ones, than are read"}
			}
			n := &node{space: t.Name.Space, name: t.Name.Local, attrs: t.Attr, line: line}
			if why := n.unbound(); why != "" {
				return nil, &Error{line, why}
			}
			switch {
			case len(stack) > 0:
				up := stack[len(stack)-1]
				up.nodes = append(up.nodes, n)
			case root == nil:
				root = n
			default:
				return nil, &Error{line, "something follows the end of the document"}
			}
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 && len(stack[len(stack)-1].nodes) == 0 {
				stack[len(stack)-1].text += strings.TrimSpace(string(t))
			}
		}
	}
}

// badXML is a mistake of the document's form.
func badXML(line int, err error) error {
	var s *xml.SyntaxError
	switch {
	case errors.As(err, &s):
		return &Error{s.Line, s.Msg}
	case errors.Is(err, io.EOF):
		return &Error{line, "there is no element in it"}
	}
	return &Error{line, err.Error()}
}

// unbound names a prefix that nothing binds to a namespace. encoding/xml leaves such a prefix where the namespace belongs.
func (n *node) unbound() string {
	odd := func(space string) bool {
		return space != "" && space != "xmlns" && space != "xml" && !strings.ContainsAny(space, ":/.")
	}
	if odd(n.space) {
		return fmt.Sprintf("the prefix %q of element %s is not bound to a namespace", n.space, n.name)
	}
	for _, a := range n.attrs {
		if odd(a.Name.Space) {
			return fmt.Sprintf("the prefix %q of attribute %s is not bound to a namespace", a.Name.Space, a.Name.Local)
		}
	}
	return ""
}
