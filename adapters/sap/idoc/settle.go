package idoc

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// checkControl refuses a control record without which nobody could tell the IDoc again.
func checkControl(c Control, line int) error {
	switch {
	case strings.Trim(c["DOCNUM"], "0 ") == "" || !digits(strings.TrimSpace(c["DOCNUM"])):
		return broken(line, controlName, "DOCNUM is missing or no number: without it nobody can tell whether the IDoc came twice")
	case strings.TrimSpace(c["SNDPRN"]) == "":
		return broken(line, controlName, "SNDPRN is missing: nobody can tell who has sent the IDoc")
	}
	c["DOCNUM"] = strings.TrimSpace(c["DOCNUM"])
	c["DOCNUM"] = strings.Repeat("0", max(0, 16-len(c["DOCNUM"]))) + c["DOCNUM"]
	return nil
}

// fits tells whether each field of a control record has room.
func (c Control) fits() error {
	for _, f := range controlFields() {
		if v := c[f.name]; utf8.RuneCountInString(v) > f.length {
			return fmt.Errorf("write an IDoc: %s %q has more than %d characters", f.name, clip(v), f.length)
		} else if err := printable(v); err != nil {
			return fmt.Errorf("write an IDoc: %s: %w", f.name, err)
		}
	}
	return nil
}

// mostUnknown bounds how many places are named in which something is not known.
const mostUnknown = 50

// settle finds what the descriptions do not know.
func (d *Document) settle(types Types) {
	t := types[d.Control["IDOCTYP"]]
	if t == nil {
		d.note(0, "", "type "+d.Control["IDOCTYP"]+" has no description")
		return
	}
	for _, s := range d.Segments {
		d.look(s, t.Root)
	}
}

func (d *Document) note(line int, segment, what string) {
	if len(d.Unknown) < mostUnknown {
		d.Unknown = append(d.Unknown, strings.TrimSpace(fmt.Sprintf("line %d %s: %s", line, segment, what)))
	}
}

// look goes down one segment whose place is below parent, nil where that is not known itself.
func (d *Document) look(s *Segment, parent *SegmentType) {
	var of *SegmentType
	if parent != nil {
		of = parent.child(s.Name)
	}
	if of == nil && parent != nil {
		d.note(s.Line, s.Name, "no description has this segment here")
	}
	for _, v := range s.Fields {
		if of != nil && of.Field(v.Name) == nil {
			d.note(s.Line, s.Name, "no description has field "+v.Name)
		}
	}
	for _, c := range s.Children {
		d.look(c, of)
	}
}
