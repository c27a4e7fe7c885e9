package idoc

import (
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// TargetType is what an IDoc type takes, for a check of mappings. What the link fills in by itself is not required.
func (l *Link) TargetType(target string) (*schema.Operation, bool) {
	t := l.types[target]
	if t == nil {
		return nil, false
	}
	return &schema.Operation{Body: t.Sent()}, true
}

// DocumentType is the type of an IDoc that comes in, by the name of its basic type (LOIPRO02) or of its message (LOIPRO).
func (l *Link) DocumentType(name string) (*schema.Type, bool) {
	t := l.types.find(name)
	if t == nil {
		return nil, false
	}
	return t.Received(), true
}

// Gives refuses a document of which no description is known.
func (l *Link) Gives(document string) error {
	if l.types.find(document) != nil {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("document %q of a mapping", document), Why: "no description has this IDoc type, or message",
		Hint: "the types are " + l.types.Known() + "; others come with a folder of descriptions",
	}
}

// Documents are the names that Gives takes: types of IDocs, and their messages.
func (l *Link) Documents() []string {
	out := slices.Collect(maps.Keys(l.types))
	for _, t := range l.types {
		out = append(out, t.Message)
	}
	return out
}

// Sent describes the document of which an IDoc of this type is made.
func (t *Type) Sent() *schema.Type { return describeObject(t.Name, t.Root, true, nil) }

// Received describes the document that an IDoc of this type becomes.
func (t *Type) Received() *schema.Type {
	control := make([]*schema.Field, 0, len(controlFields()))
	for _, f := range controlFields() {
		control = append(control, &schema.Field{Name: f.name, Type: text(f.length)})
	}
	head := []*schema.Field{
		{Name: controlName, Type: schema.NewObject(controlName, control...), Required: true, Label: "Control record"},
		{Name: zoneMember, Type: &schema.Type{Kind: schema.Text, Format: schema.IsZone, Scale: schema.AnyScale}, Required: true, Label: "Time zone of the plant"},
		{Name: versionMember, Type: text(len(sapDay + sapTime)), Label: "When SAP made the IDoc, by its clock"},
		{Name: unknownMember, Type: &schema.Type{Kind: schema.List, Item: text(0), Scale: schema.AnyScale}, Label: "What no description knows"},
	}
	all := map[string]*SegmentType{}
	for _, top := range t.Root.Children {
		top.below(all)
	}
	var lists []*schema.Field
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		above := describeObject(s.Parent.Name, &SegmentType{Fields: s.Parent.Fields}, false, nil)
		one := describeObject(name, &SegmentType{Fields: s.Fields}, false, []*schema.Field{{Name: aboveMember, Type: above, Required: true, Label: "The segment above"}})
		lists = append(lists, &schema.Field{Name: name, Type: &schema.Type{Kind: schema.List, Item: one, Scale: schema.AnyScale}, Label: s.Text})
	}
	every := schema.NewObject(allMember, lists...)
	head = append(head, &schema.Field{Name: allMember, Type: every, Required: true, Label: "The segments of each kind, wherever they lie"})
	return describeObject(t.Name, t.Root, false, head)
}

// below adds the kinds of segments below.
func (s *SegmentType) below(all map[string]*SegmentType) {
	for _, c := range s.Children {
		all[c.Name] = c
		c.below(all)
	}
}

func text(length int) *schema.Type {
	return &schema.Type{Kind: schema.Text, MaxLength: length, Scale: schema.AnyScale}
}

// describeObject describes a segment. What is sent must be described; what comes in may have more, of which a mapping cannot be checked.
func describeObject(name string, s *SegmentType, sent bool, fields []*schema.Field) *schema.Type {
	for _, f := range s.Fields {
		fields = append(fields, &schema.Field{Name: f.Name, Type: f.schema(sent), Label: f.Text})
	}
	for _, c := range s.Children {
		of := describeObject(c.Name, c, sent, nil)
		if c.Max != 1 {
			of = &schema.Type{Kind: schema.List, Item: of, MinItems: c.Min, Scale: schema.AnyScale} // SAP counts to 9999 where there are five
			if sent {
				of.MaxItems = c.Max
			}
		}
		fields = append(fields, &schema.Field{Name: c.Name, Type: of, Required: c.Min > 0, Label: c.Text})
	}
	t := schema.NewObject(name, fields...)
	t.Closed = sent
	return t
}

// schema describes a field's value.
func (f *Field) schema(sent bool) *schema.Type {
	switch f.Type {
	case dats:
		return &schema.Type{Kind: schema.Text, Format: "date", MaxLength: len("2026-11-24"), Scale: schema.AnyScale}
	case tims:
		return &schema.Type{Kind: schema.Text, Format: "time", MaxLength: len("06:30:00"), Scale: schema.AnyScale}
	case dec:
		room := f.Length - f.Scale - 1 // the sign has a place of its own
		if f.Scale > 0 {
			room-- // and the point
		}
		return &schema.Type{Kind: schema.Text, Format: schema.IsDecimal, Digits: max(0, room), Scale: f.Scale, Loose: true}
	case numc:
		return &schema.Type{Kind: schema.Text, MaxLength: f.Length, Scale: schema.AnyScale, Loose: true}
	}
	t := text(f.Length)
	t.Loose = sent
	return t
}
