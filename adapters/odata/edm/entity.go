package edm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Use is what a document is sent for.
type Use int

// The uses.
const (
	Create Use = iota // a new entity: what is required must be there
	Change            // some fields of one that is there
)

// Violation is one place where a document does not fit its type.
type Violation struct {
	Pointer string // JSON pointer (RFC 6901)
	Why     string
}

// Wire writes a document of plain values as a service of this version takes it. All violations are found, not only the first; with
// any of them, nothing is to be sent.
func (s *Struct) Wire(doc map[string]any, w Wire, use Use) (map[string]any, []Violation) {
	e := writer{wire: w, use: use}
	out := e.object(s, doc, "")
	slices.SortFunc(e.wrong, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return out, e.wrong
}

type writer struct {
	wire  Wire
	use   Use
	wrong []Violation
}

func (e *writer) violate(at, format string, args ...any) {
	e.wrong = append(e.wrong, Violation{at, fmt.Sprintf(format, args...)})
}

func (e *writer) object(s *Struct, doc map[string]any, at string) map[string]any {
	out := make(map[string]any, len(doc))
	for name, v := range doc {
		here := at + "/" + pointer(name)
		if l, ok := s.Link(name); ok {
			out[name] = e.linked(l, v, here)
			continue
		}
		f, ok := s.Field(name)
		switch {
		case !ok && s.Open:
			out[name] = v
		case !ok:
			e.violate(here, "%s has no field of this name%s", s.Name, nearest(s, name))
		case f.ReadOnly:
			e.violate(here, "the service fills this field in itself")
		case e.use == Change && (f.Fixed || f.Key) && at == "":
			e.violate(here, "this field cannot be changed")
		default:
			out[name] = e.value(f, v, here)
		}
	}
	for _, f := range s.Fields {
		if _, has := doc[f.Name]; f.Required && !has && (e.use == Create || at != "") {
			e.violate(at+"/"+pointer(f.Name), "the service requires this field")
		}
	}
	return out
}

// linked writes entities that are made together with the one they belong to.
func (e *writer) linked(l *Link, v any, at string) any {
	if !l.Many {
		doc, ok := v.(map[string]any)
		if !ok {
			e.violate(at, "it leads to one %s, so it is an object", l.Target.Name)
			return nil
		}
		return e.object(l.Target, doc, at)
	}
	list, ok := v.([]any)
	if !ok {
		e.violate(at, "it leads to many %s, so it is a list", l.Target.Name)
		return nil
	}
	out := make([]any, 0, len(list))
	for i, item := range list {
		here := at + "/" + strconv.Itoa(i)
		doc, ok := item.(map[string]any)
		if !ok {
			e.violate(here, "it is no object")
			continue
		}
		out = append(out, e.object(l.Target, doc, here))
	}
	return out
}

func (e *writer) value(f *Field, v any, at string) any {
	if v == nil {
		if !f.Nullable {
			e.violate(at, "this field cannot be null")
		}
		return nil
	}
	if f.Many {
		list, ok := v.([]any)
		if !ok {
			e.violate(at, "it is no list")
			return nil
		}
		one := *f
		one.Many = false
		out := make([]any, 0, len(list))
		for i, item := range list {
			out = append(out, e.value(&one, item, at+"/"+strconv.Itoa(i)))
		}
		return out
	}
	if f.Struct != nil {
		doc, ok := v.(map[string]any)
		if !ok {
			e.violate(at, "it is no object")
			return nil
		}
		return e.object(f.Struct, doc, at)
	}
	out, err := f.Wire(v, e.wire)
	if err != nil {
		e.violate(at, "%v", err)
	}
	return out
}

// pointer escapes a name for a JSON pointer.
func pointer(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// nearest names a field that may have been meant.
func nearest(s *Struct, name string) string {
	for _, f := range s.Fields {
		if strings.EqualFold(f.Name, name) || len(name) > 3 && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name) && len(f.Name) > 3) {
			return "; did you mean " + f.Name + "?"
		}
	}
	return ""
}

// Entity is one entity that a service gave, in plain values.
type Entity struct {
	Values map[string]any // fields and, where they were expanded, what links lead to ([]Entity or Entity)
	ETag   string         // its version, "" if the service gives none
	ID     string         // the address that the service gave it
	Gone   bool           // a delta says that it is not there any more

	More map[string]string // links to the rest of what links were expanded to, where the service gave only the first page of it
}

// maxNested bounds how deep expanded entities are read.
const maxNested = 16

// Plain reads an entity as a service sent it, in the form of either version.
func (s *Struct) Plain(raw map[string]any) (Entity, error) { return s.plain(raw, maxNested) }

// Some reads these fields of an entity, without those that cannot be read.
func (s *Struct) Some(raw map[string]any, names ...string) Entity {
	e := Entity{Values: map[string]any{}}
	e.control(raw)
	for _, name := range names {
		if f, ok := s.Field(name); ok {
			if v, err := f.plainAny(raw[name], maxNested); err == nil {
				e.Values[name] = v
			}
		}
	}
	return e
}

func (s *Struct) plain(raw map[string]any, depth int) (Entity, error) {
	if depth == 0 {
		return Entity{}, fmt.Errorf("%s is nested more than %d deep", s.Name, maxNested)
	}
	e := Entity{Values: make(map[string]any, len(raw))}
	if e.control(raw) {
		return e, nil
	}
	for name, v := range raw {
		if name == "__metadata" || strings.ContainsRune(name, '@') {
			continue
		}
		if l, ok := s.Link(name); ok {
			if err := e.follow(l, v, depth); err != nil {
				return Entity{}, err
			}
			e.rest(name, v, raw)
			continue
		}
		f, ok := s.Field(name)
		if !ok {
			e.Values[name] = v // newer than the $metadata that we know
			continue
		}
		p, err := f.plainAny(v, depth)
		if err != nil {
			return Entity{}, fmt.Errorf("field %s of %s: %w", name, s.Name, err)
		}
		e.Values[name] = p
	}
	return e, nil
}

// control reads what is said of the entity itself. That is all there is to read of one that is deleted in the form of V4.0, whose id is no field.
func (e *Entity) control(raw map[string]any) (all bool) {
	if m, ok := raw["__metadata"].(map[string]any); ok {
		e.ETag, _ = m["etag"].(string)
		e.ID, _ = m["uri"].(string)
	}
	for _, name := range []string{"@odata.etag", "@etag"} {
		if s, ok := raw[name].(string); ok {
			e.ETag = s
		}
	}
	for _, name := range []string{"@odata.id", "@id"} {
		if s, ok := raw[name].(string); ok {
			e.ID = s
		}
	}
	e.Gone = raw["@odata.removed"] != nil || raw["@removed"] != nil
	if c, _ := raw["@odata.context"].(string); !e.Gone && strings.HasSuffix(c, "/$deletedEntity") {
		e.Gone, all = true, true
		e.ID, _ = raw["id"].(string)
	}
	return all
}

// follow reads what an expanded link leads to; one that was not expanded says nothing.
func (e *Entity) follow(l *Link, v any, depth int) error {
	m, isObject := v.(map[string]any)
	if isObject && m["__deferred"] != nil || v == nil {
		return nil
	}
	list, isList := v.([]any)
	if results, ok := m["results"].([]any); ok && l.Many {
		list, isList = results, true
	}
	if !isList {
		if !isObject {
			return fmt.Errorf("%s leads to neither an object nor a list", l.Name)
		}
		one, err := l.Target.plain(m, depth-1)
		if err != nil {
			return err
		}
		e.Values[l.Name] = one
		return nil
	}
	all := make([]Entity, 0, len(list))
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("%s leads to something that is no object", l.Name)
		}
		one, err := l.Target.plain(m, depth-1)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	e.Values[l.Name] = all
	return nil
}

// rest notes where what a link leads to goes on.
func (e *Entity) rest(link string, v any, raw map[string]any) {
	next, _ := raw[link+"@odata.nextLink"].(string)
	if s, ok := raw[link+"@nextLink"].(string); ok {
		next = s
	}
	if m, ok := v.(map[string]any); ok {
		if s, ok := m["__next"].(string); ok {
			next = s
		}
	}
	if next == "" {
		return
	}
	if e.More == nil {
		e.More = map[string]string{}
	}
	e.More[link] = next
}

// plainAny reads a value, a list of values or a complex value.
func (f *Field) plainAny(v any, depth int) (any, error) {
	if m, ok := v.(map[string]any); ok && f.Many {
		v = m["results"]
	}
	switch v := v.(type) {
	case []any:
		if !f.Many {
			return nil, fmt.Errorf("a list where one value was due")
		}
		out := make([]any, 0, len(v))
		one := *f
		one.Many = false
		for _, item := range v {
			p, err := one.plainAny(item, depth)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	case map[string]any:
		if f.Struct == nil {
			if f.Type != "" && !codecKnown(f.Type) {
				return v, nil
			}
			return nil, fmt.Errorf("an object where one value was due")
		}
		e, err := f.Struct.plain(v, depth-1)
		return e.Values, err
	}
	return f.Plain(v)
}

func codecKnown(typ string) bool {
	_, ok := codecOf(typ)
	return ok
}

// KeyOf is the entity's key.
func (s *Struct) KeyOf(e Entity) map[string]any {
	key := make(map[string]any, len(s.Key))
	for _, name := range s.Key {
		if v, ok := e.Values[name]; ok {
			key[name] = v
		}
	}
	return key
}

// JSON is the entity as plain JSON: expanded links are objects and lists in their places, names in order.
func (e Entity) JSON() ([]byte, error) { return json.Marshal(e.Object()) }

// Object is the entity as a tree of plain values.
func (e Entity) Object() map[string]any {
	out := maps.Clone(e.Values)
	for name, v := range out {
		switch v := v.(type) {
		case Entity:
			out[name] = v.Object()
		case []Entity:
			list := make([]any, 0, len(v))
			for _, one := range v {
				list = append(list, one.Object())
			}
			out[name] = list
		}
	}
	return out
}
