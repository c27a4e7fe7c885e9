package idoc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// The members of a document beside its segments.
const (
	zoneMember    = "Zone"    // the plant's time zone: SAP's dates and times have none
	versionMember = "Version" // when SAP made the IDoc, YYYYMMDDHHMMSS; none if it does not say
	unknownMember = "Unknown" // what no description knows
	allMember     = "All"     // the segments of each kind, wherever they lie: mappings have loops, and none that go down
	aboveMember   = "Above"   // in each of those, the fields of the segment above
)

// JSON is the document as mappings have it: a member for each kind of segment, an object where there can be one and else a list, with its
// fields and the segments below. All has the segments below the topmost ones once more, those of each kind in one list. Values are plain: days and times as ISO 8601 writes them, exact decimals as text, no leading zeros. What has
// no value is left out. EDI_DC40 is the control record.
func (d *Document) JSON(types Types, zone string) ([]byte, error) {
	t := types[d.Control["IDOCTYP"]]
	root := &SegmentType{}
	if t != nil {
		root = t.Root
	}
	out := map[string]any{controlName: d.Control, zoneMember: zone}
	if d.made != "" {
		out[versionMember] = d.made
	}
	if len(d.Unknown) > 0 {
		out[unknownMember] = d.Unknown
	}
	all := map[string][]any{}
	if err := gather(out, d.Segments, root, all); err != nil {
		return nil, err
	}
	out[allMember] = all
	body, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write IDoc %s as JSON: %w", d.Control["DOCNUM"], err)
	}
	return body, nil
}

// gather adds segments to the object that they are in, by their names. All takes what lies below them.
func gather(out map[string]any, segments []*Segment, parent *SegmentType, all map[string][]any) error {
	for _, s := range segments {
		of := parent.child(s.Name)
		object, err := s.fields(of)
		if err != nil {
			return err
		}
		for _, c := range s.Children {
			below, err := c.fields(of.child(c.Name))
			if err != nil {
				return err
			}
			below[aboveMember] = maps.Clone(object)
			all[c.Name] = append(all[c.Name], below)
		}
		if err := gather(object, s.Children, of, all); err != nil {
			return err
		}
		before, taken := out[s.Name]
		list, isList := before.([]any)
		switch {
		case of != nil && of.Max == 1 && !taken:
			out[s.Name] = object
		case taken && !isList:
			return broken(s.Line, s.Name, "it is there twice, or a field has its name; the description says once")
		default:
			out[s.Name] = append(list, object)
		}
	}
	return nil
}

// fields are those of one segment.
func (s *Segment) fields(of *SegmentType) (map[string]any, error) {
	out := make(map[string]any, len(s.Fields)+len(s.Children))
	for _, v := range s.Fields {
		f := of.Field(v.Name)
		if f == nil {
			f = &Field{Type: char}
		}
		text, has, err := f.plain(v.Text)
		if err != nil {
			return nil, broken(s.Line, s.Name, "field "+v.Name+": "+err.Error())
		}
		if has {
			out[v.Name] = text
		}
	}
	return out, nil
}

// composer makes segments of a mapping's document and gathers what does not fit.
type composer struct {
	wrong []problem.Field
}

func (c *composer) refuse(at, why string) {
	c.wrong = append(c.wrong, problem.Field{Pointer: at, Why: why})
}

// compose makes the segments of an IDoc of a type. Nothing is left out, cut or guessed: what the description does not have is a mistake.
func (t *Type) compose(body []byte) ([]*Segment, []problem.Field) {
	v, err := contract.Decode(body)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, []problem.Field{{Why: "the document is no JSON object"}}
	}
	c := &composer{}
	top := &Segment{}
	c.fill(top, object, t.Root, "")
	return top.Children, c.wrong
}

// fill puts an object into a segment: fields in the order of the description, then the segments below in theirs.
func (c *composer) fill(s *Segment, object map[string]any, of *SegmentType, at string) {
	for _, f := range of.Fields {
		v, has := object[f.Name]
		if !has {
			continue
		}
		text, err := f.sap(v)
		if err != nil {
			c.refuse(at+"/"+f.Name, err.Error())
		} else if text != "" {
			s.Fields = append(s.Fields, Value{f.Name, text})
		}
	}
	for _, child := range of.Children {
		c.below(s, object[child.Name], child, at+"/"+child.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if of.Field(name) == nil && of.child(name) == nil {
			c.refuse(at+"/"+name, "the description of the IDoc has no such field or segment here")
		}
	}
}

// below adds the segments of one kind.
func (c *composer) below(s *Segment, v any, of *SegmentType, at string) {
	list, isList := v.([]any)
	if !isList && v != nil {
		list = []any{v}
	}
	if len(list) < of.Min || len(list) > of.Max {
		c.refuse(at, fmt.Sprintf("there are %d, and the IDoc has %d to %d", len(list), of.Min, of.Max))
	}
	for i, one := range list {
		here := at
		if isList {
			here = fmt.Sprintf("%s/%d", at, i)
		}
		object, ok := one.(map[string]any)
		if !ok {
			c.refuse(here, "a segment is an object")
			continue
		}
		child := &Segment{Name: of.Name}
		c.fill(child, object, of, here)
		s.Children = append(s.Children, child)
	}
}

// put sets a field of the first segment of a name, wherever it lies, unless it has a value. It tells whether the field has this value now.
func put(segments []*Segment, segment, field, value string) bool {
	for _, s := range segments {
		if s.Name == segment {
			if !s.has(field) {
				s.Fields = append(s.Fields, Value{field, value})
			}
			return s.Get(field) == value
		}
		if put(s.Children, segment, field, value) {
			return true
		}
	}
	return false
}

// find is the type of which a mapping speaks: a basic type, or a message of which one is known; then its newest.
func (t Types) find(name string) *Type {
	if one := t[name]; one != nil {
		return one
	}
	var found *Type
	for _, one := range t {
		if one.Message == name && (found == nil || strings.Compare(one.Name, found.Name) > 0) {
			found = one
		}
	}
	return found
}
