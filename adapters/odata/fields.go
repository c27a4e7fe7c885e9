package odata

import (
	"strings"

	"holdfast/adapters/odata/edm"
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
