package idoc

import (
	"bufio"
	"strings"
)

// headOfData is how many characters come before SDATA where WE60 counts positions, from 1.
const headOfData = dataHead + 1

// readWE60 adds the type that a parser description of transaction WE60 describes. It knows where fields stand and how long they are, but
// calls nearly everything CHARACTER: where this program knows the field, it keeps what kind of value that is.
func (t Types) readWE60(file, text string) error {
	b := &builder{file: file, root: &SegmentType{Max: 1}, all: map[string]*SegmentType{}}
	p := we60{builder: b, known: t}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		b.line++
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if err := p.take(word, strings.TrimSpace(rest)); err != nil {
			return err
		}
	}
	return b.end(t, lines.Err())
}

// we60 is a description that is being read.
type we60 struct {
	*builder
	known Types
	of    *Type        // what was known of the type
	next  *SegmentType // whose lines have begun
	field Field        // whose lines have begun
	data  bool         // the control record is behind us
}

func (p *we60) take(word, rest string) error {
	switch word {
	case "BEGIN_IDOC":
		p.of = p.known[rest]
		one := &Type{Name: rest, Message: strings.TrimRight(rest, "0123456789")}
		if p.of != nil {
			one.Message, one.Text = p.of.Message, p.of.Text
		}
		p.types, p.data = append(p.types, one), true
	case "BEGIN_SEGMENT":
		p.next = &SegmentType{Definition: rest}
	case "BEGIN_FIELDS":
		if s := p.next; s != nil {
			p.next = nil
			if known := p.of.Segment(s.Name); known != nil && known.Max == 1 {
				s.Max = 1 // mappings have an object there; of more at the top, each becomes a message of its own
			}
			return p.segment(s)
		}
	}
	if !p.data {
		return nil
	}
	if p.next != nil {
		return p.header(word, rest)
	}
	return p.line60(word, rest)
}

// header takes a line of a segment before its fields.
func (p *we60) header(word, rest string) error {
	switch word {
	case "SEGMENTTYPE":
		p.next.Name = rest
	case "LEVEL":
		return p.numbers(map[*int]string{&p.next.Level: rest})
	case "LOOP_MIN":
		return p.numbers(map[*int]string{&p.next.Min: rest})
	case "LOOP_MAX":
		return p.numbers(map[*int]string{&p.next.Max: rest})
	}
	return nil
}

// line60 takes a line of a field; the last of them adds it.
func (p *we60) line60(word, rest string) error {
	switch word {
	case "NAME":
		p.field = Field{Name: rest, Type: char}
	case "TEXT":
		p.field.Text = rest
	case "TYPE":
		p.field.Type = map[string]string{"DATE": dats, "TIME": tims, "NUMERIC": numc}[rest]
		if p.field.Type == "" {
			p.field.Type = char
		}
	case "LENGTH":
		return p.numbers(map[*int]string{&p.field.Length: rest})
	case "CHARACTER_FIRST":
		if err := p.numbers(map[*int]string{&p.field.Offset: rest}); err != nil {
			return err
		}
		p.field.Offset -= headOfData
	case "CHARACTER_LAST":
		return p.add60()
	}
	return nil
}

func (p *we60) add60() error {
	f := p.field
	if len(p.open) > 0 {
		if s := p.of.Segment(p.open[len(p.open)-1].Name); s != nil && s.Field(f.Name) != nil {
			f.Type, f.Scale = s.Field(f.Name).Type, s.Field(f.Name).Scale
		}
	}
	if f.Offset < 0 {
		return p.mistake("field " + f.Name + " stands before the data of its segment")
	}
	return p.addField(f)
}
