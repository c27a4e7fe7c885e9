package mapping

import (
	"errors"
	"maps"
	"slices"
)

// Look is a mapping as a person looks at it.
type Look struct {
	Name, Version, File string
	Text                []byte
	Inbound             bool
	Kind, Target        string // out: what it takes, and the operation that it feeds
	Document            string // in: what it takes
	Own                 bool   // it is of a folder that stands over the first one, which is Holdfast's own
	Line, Col           int    // of what it takes
}

// Look shows the mapping of exactly this name; false if there is none.
func (s *Set) Look(name string) (Look, bool) {
	m := s.byName[name]
	if m == nil {
		return Look{}, false
	}
	return Look{m.name, m.version, m.file, slices.Clone(m.text), m.inbound, m.kind, m.target, m.document, m.own, m.kindAt.line, m.kindAt.col}, true
}

// TargetAt is where the mapping of exactly this name says what it feeds; "" if there is none.
func (s *Set) TargetAt(name string) (file string, line, col int) {
	m := s.byName[name]
	if m == nil {
		return "", 0, 0
	}
	return m.root.file, m.root.line, m.root.col
}

// UnitTable is the name of the table by which a mapping in names the ERP's units as the plant does.
const UnitTable = "unit"

// PlantUnits are the plant's names of a unit that the ERP has by this code, as the mapping in of exactly this name reads it: the row of its UnitTable,
// and without one what units.csv has for SAP's code. There is none for a code that neither knows.
func (s *Set) PlantUnits(name, code string) []string {
	m := s.byName[name]
	if m == nil || !m.inbound {
		return nil
	}
	if t := m.tables[UnitTable]; t != nil {
		if v, ok := t.rows[code]; ok {
			return []string{v}
		}
	}
	var out []string
	if one := s.base.units.byCode["sap"][code]; one != nil {
		for _, scheme := range []string{"unece", "plant"} {
			if v, ok := one.codes[scheme]; ok {
				out = append(out, v)
			}
		}
	}
	return out
}

// With is the set with one mapping file in the place of what stands under its name, for somebody who tries it before it is kept: the others
// are not compiled again. The error joins the mistakes of the file.
func (s *Set) With(file string, text []byte) (*Set, error) {
	c := s.base.again(nil)
	next := &Set{byName: maps.Clone(s.byName), from: s.from, base: s.base, idle: s.idle}
	if len(s.from) > 0 {
		c.fsys, c.own = s.from[len(s.from)-1], true
	}
	next.add(file, text, c)
	if next.oneOfAKind(c); len(c.mistakes) > 0 {
		return nil, errors.Join(c.mistakes...)
	}
	return next, nil
}
