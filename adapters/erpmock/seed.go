package erpmock

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"holdfast/openapi/contract"
)

// Seed puts documents into the default space as they are: no rule is asked and the journal
// knows nothing of it. They stay when a collection drops its oldest. The kind is the type of a
// collection, such as productionOrder; a document without a number gets one. A ledger has them too:
// who seeds a mock that was Restored writes over what came of the documents.
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
	var pending pendingWrite
	err := m.in(name, func(s *space) {
		for _, doc := range docs {
			pending = m.seedOne(s, spec, doc)
		}
	})
	if err != nil {
		return err
	}
	if err := pending.wait(); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// SeedFile puts the documents of a YAML or JSON file into the default space, as Seed does. The file
// lists documents by type: "material: [{number: M1, …}]".
func (m *Mock) SeedFile(text []byte, name string) error {
	tree, err := contract.ParseYAML(text, name)
	if err != nil {
		return err
	}
	all := map[string][]map[string]any{}
	for _, kind := range slices.Sorted(maps.Keys(tree)) { // a file with a mistake leaves nothing in the ledger
		if !slices.Contains(m.Types(), kind) {
			return fmt.Errorf("%s: the contract has no collection of type %q; it has %q", name, kind, m.Types())
		}
		list, ok := tree[kind].([]any)
		if !ok {
			return fmt.Errorf("%s: %s is not a list of documents", name, kind)
		}
		docs := make([]map[string]any, len(list))
		for i, d := range list {
			if docs[i], ok = d.(map[string]any); !ok {
				return fmt.Errorf("%s: document %d of %s is not an object", name, i+1, kind)
			}
		}
		all[kind] = docs
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		if err := m.Seed(kind, all[kind]...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (m *Mock) seedOne(s *space, spec *collectionSpec, doc map[string]any) pendingWrite {
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
	return m.recordApart(s, line{Docs: saved(t.touched)})
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
