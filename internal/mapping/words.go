package mapping

import (
	"strings"

	"holdfast/internal/schema"
)

// Word is one that can be written into a mapping, for completion: a field of the source or of the target, or a function.
type Word struct {
	Text string // as it is written: "src.order.?erpNumber", "yield: ", "lookup("
	Note string // what it is, for a person
}

// maxWords bounds how many there are: an IDoc has thousands of fields.
const maxWords = 2000

// Words are what can be written into the mapping of this name, whose other side is known by c, which may be nil: the source's fields, the target's,
// and the language's own.
func (s *Set) Words(name string, c Contract) []Word {
	m := s.byName[name]
	if m == nil {
		return nil
	}
	from, to := m.sides(c)
	var out []Word
	for _, v := range sortedKeys(eventVars()) {
		out = append(out, Word{v, "of the message itself"})
	}
	env := s.base.out
	if m.inbound {
		env = s.base.in
	}
	for _, f := range sortedKeys(env.Functions()) {
		if isWord(f) {
			out = append(out, Word{f + "(", "a function"})
		}
	}
	out = append(append(out, targetWords(to)...), sourceWords(from)...)
	return out[:min(len(out), maxWords)]
}

// sides are the types of the source and of the target, nil where nothing is known of one.
func (m *mapping) sides(c Contract) (from, to *schema.Type) {
	switch {
	case m.inbound:
		for _, kind := range m.toKind.known().enum {
			if to = PlantType(kind, m.makes); to != nil {
				break
			}
		}
		if c != nil {
			from, _ = c.DocumentType(m.document)
		}
	case c != nil:
		if op, ok := c.TargetType(m.target); ok {
			to = op.Body
		}
		from = m.source
	default:
		from = m.source
	}
	return from, to
}

// step is an object on the way through a type.
type step struct {
	t    *schema.Type
	path string
}

// through visits the fields of a type and of each object and list below it once, the nearest first.
func through(t *schema.Type, path string, visit func(at string, f *schema.Field) (below string)) {
	seen := map[*schema.Type]bool{}
	for todo := []step{{t, path}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		if at.t == nil || seen[at.t] {
			continue
		}
		seen[at.t] = true
		for _, f := range at.t.Fields {
			below := visit(at.path, f)
			switch f.Type.Kind {
			case schema.Object:
				todo = append(todo, step{f.Type, below})
			case schema.List:
				todo = append(todo, step{f.Type.Item, "item"})
			}
		}
	}
}

// sourceWords reads each field as an expression does; of a list's elements with item, the name that each: gives them.
func sourceWords(t *schema.Type) (out []Word) {
	through(t, "src", func(at string, f *schema.Field) string {
		note := f.Type.Kind.String()
		if at += "." + f.Name; !f.Required || f.Type.Nullable {
			at, note = strings.TrimSuffix(at, f.Name)+"?"+f.Name, note+", may be missing"
		}
		out = append(out, Word{at, note})
		return at
	})
	return out
}

// targetWords are the names of what can be made.
func targetWords(t *schema.Type) (out []Word) {
	through(t, "", func(_ string, f *schema.Field) string {
		note := "to be made: " + f.Type.Kind.String()
		if f.Required {
			note += ", required"
		}
		out = append(out, Word{f.Name + ": ", note})
		return ""
	})
	return out
}
