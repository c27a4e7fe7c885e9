package erpmock

import (
	"fmt"
	"net/http"
	"slices"
)

// Seed puts documents into the default space as they are: no rule is asked and the journal
// knows nothing of it. They stay when a collection drops its oldest. The kind is the type of a
// collection, such as productionOrder; a document without a number gets one.
func (m *Mock) Seed(kind string, docs ...map[string]any) error {
	return m.SeedIn("", kind, docs...)
}

// SeedIn is Seed for one space.
func (m *Mock) SeedIn(name, kind string, docs ...map[string]any) error {
	var spec *collectionSpec
	for _, c := range m.plan.specs {
		if c.Type == kind {
			spec = c
		}
	}
	if spec == nil {
		return fmt.Errorf("the contract has no collection of type %q; it has %q", kind, m.Types())
	}
	return m.in(name, func(s *space) {
		for _, doc := range docs {
			m.seedOne(s, spec, doc)
		}
	})
}

func (m *Mock) seedOne(s *space, spec *collectionSpec, doc map[string]any) {
	c := s.store.collection(spec, spec.template)
	own := map[string]any{}
	for k, v := range doc {
		own[k] = v
	}
	e := &Entry{At: m.Now()}
	m.plan.names.read(own, e)
	number := scalarText(own[spec.Number])
	if number == "" {
		number = c.next()
	}
	t := transaction{call: &call{m: m, s: s, r: &http.Request{}, b: &behaviour{}, entry: e}}
	rec, known := c.docs[number]
	if !known {
		rec = &record{in: c, number: number, path: c.path + "/" + number, created: e.At, envelope: envelope{e.MessageID, e.Digest, e.Lane, e.LaneNumber}, pinned: true}
	}
	t.fill(spec, own, number)
	t.save(rec, own, e.At)
}

// Types lists the types of the contract's collections.
func (m *Mock) Types() []string {
	out := []string{}
	for _, c := range m.plan.specs {
		out = append(out, c.Type)
	}
	slices.Sort(out)
	return out
}
