package idoc

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// codePage is how a flat file is written: "" and utf-8 are Unicode, anything else a name such as iso-8859-1 or windows-1252. SAP calls these
// 4110, 1100 and 1160.
func codePage(name string) (encoding.Encoding, error) {
	switch name {
	case "":
		name = "utf-8"
	case "4110":
		name = "utf-8"
	case "1100", "iso-8859-1": // htmlindex takes it for windows-1252, which has more
		name = "windows-1252"
	case "1160":
		name = "windows-1252"
	case "1401":
		name = "iso-8859-2"
	case "1404":
		name = "windows-1250"
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil, fmt.Errorf("code page %q is not known", clip(name))
	}
	return e, nil
}

// ReadFlat reads the IDocs of a flat file: for each a line of EDI_DC40 and one of EDI_DD40 for each segment.
func ReadFlat(text []byte, page string, types Types, l Limits) ([]Document, error) {
	if int64(len(text)) > l.Bytes {
		return nil, broken(1, "", fmt.Sprintf("it has %d bytes, more than %d", len(text), l.Bytes))
	}
	e, err := codePage(page)
	if err != nil {
		return nil, broken(1, "", err.Error())
	}
	text, err = e.NewDecoder().Bytes(bytes.TrimPrefix(text, []byte("\ufeff")))
	if err != nil {
		return nil, broken(1, "", "it is not written in the code page of the link: "+err.Error())
	}
	r := &flatReader{types: types, limits: l}
	for line := range strings.Lines(string(text)) {
		r.line++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := r.record(line); err != nil {
			return nil, err
		}
	}
	if len(r.out) == 0 {
		return nil, broken(1, "", "there is no record "+controlName)
	}
	for i := range r.out {
		r.out[i].settle(types)
	}
	return r.out, nil
}

type flatReader struct {
	types  Types
	limits Limits
	line   int
	out    []Document

	of       *Type               // of the IDoc in hand
	numbers  map[string]*Segment // by SEGNUM
	last     map[string]*Segment // of each name
	segments int
}

func (r *flatReader) record(line string) error {
	if !utf8.ValidString(line) || strings.ContainsRune(line, utf8.RuneError) {
		return broken(r.line, "", "it has characters that are none in the code page of the link")
	}
	chars := []rune(line)
	if strings.HasPrefix(line, controlName) {
		return r.control(chars)
	}
	if len(r.out) == 0 {
		return broken(r.line, "", "a segment comes before the control record")
	}
	return r.data(chars)
}

// cut is a field of a record. A record may end before it: blanks at the end are often left out.
func cut(chars []rune, at, length int) string {
	if at >= len(chars) {
		return ""
	}
	return strings.TrimRight(string(chars[at:min(len(chars), at+length)]), " ")
}

func (r *flatReader) control(chars []rune) error {
	if len(chars) > controlLength {
		return broken(r.line, controlName, fmt.Sprintf("it has %d characters, more than %d", len(chars), controlLength))
	}
	c := Control{}
	for _, f := range controlFields() {
		if v := cut(chars, f.offset, f.length); v != "" {
			c[f.name] = v
		}
	}
	if c["IDOCTYP"] == "" {
		return broken(r.line, controlName, "it names no IDOCTYP")
	}
	if err := checkControl(c, r.line); err != nil {
		return err
	}
	if len(r.out) >= r.limits.IDocs {
		return broken(r.line, controlName, fmt.Sprintf("there are more than %d IDocs", r.limits.IDocs))
	}
	r.out = append(r.out, Document{Control: c})
	r.of, r.numbers, r.last, r.segments = r.types[c["IDOCTYP"]], map[string]*Segment{}, map[string]*Segment{}, 0
	return nil
}

func (r *flatReader) data(chars []rune) error {
	head := map[string]string{}
	for _, f := range dataFields() {
		head[f.name] = strings.TrimSpace(cut(chars, f.offset, f.length))
	}
	s := &Segment{Name: r.nameOf(head["SEGNAM"]), Line: r.line}
	if s.Name == "" {
		return broken(r.line, "", "the record names no segment")
	}
	if len(chars) > dataHead+dataLength {
		return broken(r.line, s.Name, fmt.Sprintf("it has %d characters, more than %d", len(chars), dataHead+dataLength))
	}
	if r.segments++; r.segments > r.limits.Segments {
		return broken(r.line, s.Name, fmt.Sprintf("the IDoc has more than %d segments", r.limits.Segments))
	}
	r.fields(s, chars[min(len(chars), dataHead):])
	d := &r.out[len(r.out)-1]
	if above := r.above(s, head["PSGNUM"]); above != nil {
		above.Children = append(above.Children, s)
	} else {
		d.Segments = append(d.Segments, s)
	}
	r.numbers[head["SEGNUM"]], r.last[s.Name] = s, s
	return nil
}

// nameOf is the name of a segment's type: flat files have that of its definition, E2AFKOL001 for E1AFKOL, with the number of a version.
func (r *flatReader) nameOf(definition string) string {
	if r.of == nil || r.of.Segment(definition) != nil {
		return definition
	}
	bare := definition
	if n := len(bare) - 3; n > 2 && digits(bare[n:]) {
		bare = bare[:n]
	}
	for _, d := range [...]string{definition, bare} {
		for name, s := range r.of.segments {
			if s.Definition == d {
				return name
			}
		}
		if one, ok := strings.CutPrefix(d, "E2"); ok && r.of.Segment("E1"+one) != nil {
			return "E1" + one
		}
	}
	return definition
}

// rest is what is kept of a segment's data that no field describes.
const rest = "SDATA"

func (r *flatReader) fields(s *Segment, data []rune) {
	t, end := r.of.Segment(s.Name), 0
	if t != nil {
		for _, f := range t.Fields {
			if v := cut(data, f.Offset, f.Length); v != "" {
				s.Fields = append(s.Fields, Value{f.Name, v})
			}
			end = f.Offset + f.Length
		}
	}
	if v := cut(data, end, dataLength); v != "" {
		s.Fields = append(s.Fields, Value{rest, v})
	}
}

// above is the segment below which s belongs: the one that its record names, else the last one of the type that the description has above
// it.
func (r *flatReader) above(s *Segment, number string) *Segment {
	if one := r.numbers[number]; one != nil && strings.Trim(number, "0") != "" {
		return one
	}
	if t := r.of.Segment(s.Name); t != nil && t.Level > 1 {
		return r.last[t.Parent.Name]
	}
	return nil
}

// WriteFlat writes IDocs as a flat file. Each segment must be described: its fields go by their places.
func WriteFlat(ds []Document, page string, types Types) ([]byte, error) {
	e, err := codePage(page)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, d := range ds {
		if err := d.Control.fits(); err != nil {
			return nil, err
		}
		record(&b, controlFields(), d.Control, controlLength)
		b.WriteByte('\n')
		w := &flatWriter{b: &b, of: types[d.Control["IDOCTYP"]], control: d.Control}
		if w.of == nil {
			return nil, fmt.Errorf("write a flat IDoc: type %s has no description", d.Control["IDOCTYP"])
		}
		for _, s := range d.Segments {
			if err := w.segment(s, 0, 1); err != nil {
				return nil, err
			}
		}
	}
	out, err := e.NewEncoder().String(b.String())
	if err != nil {
		return nil, fmt.Errorf("write a flat IDoc in the code page of the link: %w", err)
	}
	return []byte(out), nil
}

// record writes the fields of a record at their places, and blanks up to its length.
func record(b *strings.Builder, fields []place, values map[string]string, length int) {
	at := 0
	for _, f := range fields {
		text := []rune(values[f.name])
		b.WriteString(strings.Repeat(" ", f.offset-at) + string(text))
		at = f.offset + len(text)
	}
	b.WriteString(strings.Repeat(" ", length-at))
}

type flatWriter struct {
	b       *strings.Builder
	of      *Type
	control Control
	number  int
}

func (w *flatWriter) segment(s *Segment, above, level int) error {
	t := w.of.Segment(s.Name)
	if t == nil {
		return fmt.Errorf("write a flat IDoc: segment %s has no description", s.Name)
	}
	w.number++
	number := w.number
	record(w.b, dataFields(), map[string]string{
		"SEGNAM": t.Definition, "MANDT": w.control["MANDT"], "DOCNUM": w.control["DOCNUM"], "SEGNUM": fmt.Sprintf("%06d", number),
		"PSGNUM": fmt.Sprintf("%06d", above), "HLEVEL": fmt.Sprintf("%02d", level),
	}, dataHead)
	values := map[string]string{}
	for _, v := range s.Fields {
		f := t.Field(v.Name)
		if f == nil || utf8.RuneCountInString(v.Text) > f.Length {
			return fmt.Errorf("write a flat IDoc: segment %s: field %s is not described, or longer than described", s.Name, clip(v.Name))
		}
		if err := printable(v.Text); err != nil {
			return fmt.Errorf("write a flat IDoc: segment %s: field %s: %w", s.Name, v.Name, err)
		}
		values[v.Name] = v.Text
	}
	places := make([]place, 0, len(t.Fields))
	for _, f := range t.Fields {
		places = append(places, place{f.Name, f.Offset, f.Length})
	}
	record(w.b, places, values, dataLength)
	w.b.WriteByte('\n')
	for _, c := range s.Children {
		if err := w.segment(c, number, level+1); err != nil {
			return err
		}
	}
	return nil
}
