package mapping

import (
	"fmt"
	"slices"
	"strings"
)

// Contract is what an ERP's contract says of the operations that mappings feed.
type Contract interface {
	// Fields are the names that the operation target knows at a path of its body, lists passed over. refuses tells whether it takes no
	// others; ok is false where it takes any name, or nothing is known.
	Fields(target string, path ...string) (names []string, refuses, ok bool)
	// Params are the names of its parameters.
	Params(target string) []string
}

// Stray is a field or parameter of a mapping that the contract does not know.
type Stray struct {
	Mistake
	Refused bool // the contract refuses it; else the ERP passes it over, or does not
}

// Check tells which names in the mapping for messages of kind the contract of its target does not know. What an expression passes on
// as a whole is not looked into. Nothing is said of a mapping that is not there, see Covers.
func (s *Set) Check(name, kind string, c Contract) []Stray {
	m, err := s.find(name, kind)
	if err != nil || m.inbound {
		return nil
	}
	var out []Stray
	known := c.Params(m.target)
	for _, p := range m.params {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, p.name) }) {
			out = append(out, m.stray(p, known, true))
		}
	}
	return append(out, m.strays(m.fields, c)...)
}

// strays looks at fields that stand together at a path, and at what stands below each.
func (m *mapping) strays(fields []*rule, c Contract, path ...string) []Stray {
	known, refuses, ok := c.Fields(m.target, path...)
	if !ok {
		return nil
	}
	var out []Stray
	for _, f := range fields {
		if !slices.Contains(known, f.name) {
			out = append(out, m.stray(f, known, refuses))
			continue
		}
		if f.fields != nil {
			out = append(out, m.strays(f.fields, c, append(slices.Clone(path), f.name)...)...)
		}
	}
	return out
}

func (m *mapping) stray(r *rule, known []string, refused bool) Stray {
	why, hint := fmt.Sprintf("operation %s knows no %q", m.target, r.name), "it knows "+strings.Join(known, ", ")
	switch near := nearest(r.name, known); {
	case near != "":
		hint = "did you mean " + near + "?"
	case len(known) == 0:
		hint = "leave it out"
	}
	if refused {
		why += ", and the contract refuses it"
	}
	return Stray{Mistake{File: r.at.file, Line: r.at.line, Col: r.at.col, What: r.path, Why: why, Hint: hint}, refused}
}
