package idoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// ReadXML reads the IDocs of one XML document, as SAP's HTTP port and its XML files have them: an element IDOC for each. What lies around it,
// such as the envelope of a SOAP message, is passed over.
func ReadXML(text []byte, types Types, l Limits) ([]Document, error) {
	if int64(len(text)) > l.Bytes {
		return nil, broken(1, "", fmt.Sprintf("it has %d bytes, more than %d", len(text), l.Bytes))
	}
	r := &xmlReader{d: xml.NewDecoder(bytes.NewReader(text)), types: types, limits: l}
	r.d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(label)
		if err != nil {
			return nil, fmt.Errorf("its encoding %q is not known", clip(label))
		}
		return e.NewDecoder().Reader(in), nil
	}
	return r.documents()
}

type xmlReader struct {
	d        *xml.Decoder
	types    Types
	limits   Limits
	segments int // of the IDoc in hand
}

func (r *xmlReader) line() int {
	line, _ := r.d.InputPos()
	return line
}

// token is the next one; comments and processing instructions are passed over, a document type is refused: nothing of SAP has one.
func (r *xmlReader) token() (xml.Token, error) {
	for {
		t, err := r.d.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, broken(r.line(), "", err.Error())
		}
		switch t.(type) {
		case xml.Comment, xml.ProcInst:
			continue
		case xml.Directive:
			return nil, broken(r.line(), "", "it has a document type, which no IDoc has")
		}
		return t, nil
	}
}

func (r *xmlReader) documents() ([]Document, error) {
	var out []Document
	for depth := 0; ; {
		t, err := r.token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.EndElement:
			depth--
		case xml.StartElement:
			if depth++; depth > mostDepth {
				return nil, broken(r.line(), "", "elements lie too deep in each other")
			}
			if t.Name.Local != "IDOC" {
				continue
			}
			depth--
			d, err := r.document()
			if err != nil {
				return nil, err
			}
			if out = append(out, d); len(out) > r.limits.IDocs {
				return nil, broken(r.line(), "", fmt.Sprintf("there are more than %d IDocs", r.limits.IDocs))
			}
		}
	}
	if len(out) == 0 {
		return nil, broken(r.line(), "", "there is no element IDOC")
	}
	return out, nil
}

// document reads one IDoc behind its opening tag. Its control record comes first.
func (r *xmlReader) document() (Document, error) {
	r.segments = 0
	top := &Segment{Line: r.line()}
	if err := r.inside(top, 1); err != nil {
		return Document{}, err
	}
	d := Document{Control: Control{}}
	for _, s := range top.Children {
		if s.Name != controlName {
			d.Segments = append(d.Segments, s)
			continue
		}
		for _, v := range s.Fields {
			d.Control[v.Name] = v.Text
		}
	}
	switch {
	case d.Control["IDOCTYP"] == "":
		return d, broken(top.Line, controlName, "the control record is missing, or names no IDOCTYP")
	case len(top.Fields) > 0:
		return d, broken(top.Line, "", "field "+top.Fields[0].Name+" is in no segment")
	}
	if err := checkControl(d.Control, top.Line); err != nil {
		return d, err
	}
	d.settle(r.types)
	return d, nil
}

// inside reads what is in a segment: what has elements in it, or says that it is one, is a segment, anything else a field.
func (r *xmlReader) inside(s *Segment, depth int) error {
	if depth > mostDepth {
		return broken(r.line(), s.Name, "segments lie too deep in each other")
	}
	for {
		t, err := r.token()
		if errors.Is(err, io.EOF) {
			return broken(r.line(), s.Name, "the document ends too early")
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.EndElement:
			return nil
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return broken(r.line(), s.Name, "there is text beside the fields")
			}
		case xml.StartElement:
			if err := r.member(s, t, depth); err != nil {
				return err
			}
		}
	}
}

// member reads one element of a segment.
func (r *xmlReader) member(s *Segment, start xml.StartElement, depth int) error {
	m := &Segment{Name: start.Name.Local, Line: r.line()}
	if depth > mostDepth {
		return broken(m.Line, m.Name, "segments lie too deep in each other")
	}
	is := false
	for _, a := range start.Attr {
		is = is || strings.EqualFold(a.Name.Local, "SEGMENT")
	}
	var text strings.Builder
	for {
		t, err := r.token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = broken(r.line(), m.Name, "the document ends too early")
			}
			return err
		}
		switch t := t.(type) {
		case xml.CharData:
			text.Write(t)
			continue
		case xml.StartElement:
			if strings.TrimSpace(text.String()) != "" {
				return broken(r.line(), m.Name, "there is text beside the fields")
			}
			is = true
			if err := r.member(m, t, depth+1); err != nil {
				return err
			}
			if err := r.inside(m, depth+1); err != nil {
				return err
			}
		}
		return r.keep(s, m, is, text.String())
	}
}

// keep adds what was read to the segment that it is in.
func (r *xmlReader) keep(s, m *Segment, isSegment bool, text string) error {
	if !isSegment {
		if s.has(m.Name) {
			return broken(m.Line, s.Name, "field "+m.Name+" is there twice")
		}
		s.Fields = append(s.Fields, Value{m.Name, strings.TrimRight(text, " ")})
		return nil
	}
	if strings.TrimSpace(text) != "" {
		return broken(m.Line, m.Name, "there is text beside the fields")
	}
	if r.segments++; r.segments > r.limits.Segments {
		return broken(m.Line, m.Name, fmt.Sprintf("the IDoc has more than %d segments", r.limits.Segments))
	}
	s.Children = append(s.Children, m)
	return nil
}

func (s *Segment) has(name string) bool {
	for _, v := range s.Fields {
		if v.Name == name {
			return true
		}
	}
	return false
}

// WriteXML writes IDocs of one type as SAP's HTTP port takes them.
func WriteXML(ds []Document) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	root := ""
	for _, d := range ds {
		if err := d.Control.fits(); err != nil {
			return nil, err
		}
		root = d.Control["IDOCTYP"]
		if c := d.Control["CIMTYP"]; c != "" {
			root = c
		}
	}
	if !name(root) {
		return nil, fmt.Errorf("write an IDoc: %q is no type", root)
	}
	fmt.Fprintf(&b, "<%s>\n", root)
	for _, d := range ds {
		b.WriteString(`<IDOC BEGIN="1">` + "\n")
		if err := writeSegment(&b, d.Control.segment()); err != nil {
			return nil, err
		}
		for _, s := range d.Segments {
			if err := writeSegment(&b, s); err != nil {
				return nil, err
			}
		}
		b.WriteString("</IDOC>\n")
	}
	fmt.Fprintf(&b, "</%s>\n", root)
	return b.Bytes(), nil
}

// segment is the control record in the order of its fields.
func (c Control) segment() *Segment {
	s := &Segment{Name: controlName}
	for _, f := range controlFields() {
		if c[f.name] != "" {
			s.Fields = append(s.Fields, Value{f.name, c[f.name]})
		}
	}
	return s
}

func writeSegment(b *bytes.Buffer, s *Segment) error {
	if !name(s.Name) {
		return fmt.Errorf("write an IDoc: %q is no name of a segment", clip(s.Name))
	}
	fmt.Fprintf(b, `<%s SEGMENT="1">`+"\n", s.Name)
	for _, v := range s.Fields {
		if err := printable(v.Text); err != nil || !name(v.Name) {
			return fmt.Errorf("write segment %s of an IDoc: field %q: %w", s.Name, clip(v.Name), err)
		}
		fmt.Fprintf(b, "<%s>", v.Name)
		if err := xml.EscapeText(b, []byte(v.Text)); err != nil {
			return fmt.Errorf("write segment %s of an IDoc: %w", s.Name, err)
		}
		fmt.Fprintf(b, "</%s>\n", v.Name)
	}
	for _, c := range s.Children {
		if err := writeSegment(b, c); err != nil {
			return err
		}
	}
	fmt.Fprintf(b, "</%s>\n", s.Name)
	return nil
}

// name tells whether a text can be the name of a segment or field in XML.
func name(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 60
}
