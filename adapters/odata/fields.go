package odata

import (
	"fmt"
	"strings"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// TargetType is what a target takes, for a check of mappings: the fields of its type, and as parameters the key of the entity that it
// changes or acts on. What the link fills in by itself is not required. It is false while no $metadata was read, or if it has no such target.
func (l *Link) TargetType(name string) (*schema.Operation, bool) {
	t := l.knownTarget(name)
	if t == nil {
		return nil, false
	}
	use := edm.Create
	if t.change {
		use = edm.Change
	}
	o := &schema.Operation{Body: t.document().Sent(use).Without(t.cfg.ID)}
	if t.set != nil && (t.change || t.op != nil) {
		for _, key := range t.set.Of.Key {
			o.Params = append(o.Params, &schema.Field{Name: key, Type: &schema.Type{Scale: schema.AnyScale}, Required: true})
		}
	}
	return o, true
}

// DocumentType is the type of an entity that comes in, named as SERVICE/SET, or as SET where one service alone has it. It is false while no
// $metadata was read.
func (l *Link) DocumentType(name string) (*schema.Type, bool) {
	sets := l.setsOf(name)
	if len(sets) != 1 {
		return nil, false
	}
	return sets[0].Of.Received(), true
}

// Gives refuses a document that no service gives by this name, or more than one. It is nil where a $metadata that may have it was not read.
func (l *Link) Gives(document string) error {
	if len(l.setsOf(document)) == 1 {
		return nil
	}
	bad := func(why, hint string) error {
		return &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("document %q of a mapping", document), Why: why, Hint: hint}
	}
	service, _, full := strings.Cut(document, "/")
	asked := l.Services()
	if full {
		if l.services[service] == nil {
			return bad("the link has no service "+service, "write SERVICE/SET; the services are "+strings.Join(asked, ", "))
		}
		asked = []string{service}
	}
	for _, s := range asked {
		if m, _ := l.services[s].metadata.known(); m == nil {
			return nil
		}
	}
	if len(l.setsOf(document)) > 1 {
		return bad("more than one service has a set of this name", "write SERVICE/SET; the services are "+strings.Join(asked, ", "))
	}
	return bad("no service has a set of this name", "name a set that the $metadata has: SERVICE/SET, or SET where one service alone has it")
}

// Documents are the sets that Gives takes, of the services whose $metadata is known.
func (l *Link) Documents() (out []string) {
	for _, s := range l.Services() {
		m, _ := l.services[s].metadata.known()
		if m == nil {
			continue
		}
		for set := range m.Sets {
			out = append(out, s+"/"+set)
			if len(l.setsOf(set)) == 1 {
				out = append(out, set)
			}
		}
	}
	return out
}

// Learnt changes whenever a service has given a $metadata anew, so that what was known of its types may be old.
func (l *Link) Learnt() int64 { return l.learnt.Load() }

// setsOf are the entity sets that a mapping in can mean by a name.
func (l *Link) setsOf(name string) (sets []*edm.Set) {
	service, set, full := strings.Cut(name, "/")
	for _, s := range l.Services() {
		if m, _ := l.services[s].metadata.known(); m != nil {
			if found := m.Sets[set]; full && s == service && found != nil {
				sets = append(sets, found)
			} else if found := m.Sets[name]; !full && found != nil {
				sets = append(sets, found)
			}
		}
	}
	return sets
}

// knownTarget is a target of a $metadata that is known, nil if there is none.
func (l *Link) knownTarget(name string) *target {
	c, rest, err := l.split(name)
	if err != nil {
		return nil
	}
	m, _ := c.metadata.known()
	if m == nil {
		return nil
	}
	t, err := c.target(m, rest)
	if err != nil {
		return nil
	}
	return t
}

// document is the type of what is sent to a target.
func (t *target) document() *edm.Struct {
	if t.op != nil {
		return edm.NewStruct(t.op.Name, t.op.Params)
	}
	return t.set.Of
}
