package contract

import (
	"fmt"
	"maps"
	"slices"
)

// Members is what a contract says of the members of an object.
type Members struct {
	Names  []string // those that it knows, in order
	Closed bool     // others are refused
	Open   bool     // others are welcome: it says so, or it says nothing of members at all
}

// Keys lists the member names of the object at a pointer, in the document's order.
func (d *Document) Keys(pointer string) []string { return d.src.keys(pointer) }

// maxParts bounds the schemas that say something of one object: a contract may combine them without end.
const maxParts = 1000

// Members says what may stand in the object at a path of the request body; a list on the way is passed over to its items. What any of
// combined schemas (allOf, anyOf, oneOf, then, else) knows is known.
func (o *Operation) Members(path ...string) Members {
	ptr, ok := o.BodySchema()
	if !ok {
		return Members{Open: true}
	}
	parts := o.doc.parts(ptr)
	for _, name := range path {
		var below []string
		for _, p := range parts {
			if _, at, ok := o.doc.At(p + "/properties/" + escape(name)); ok {
				below = append(below, at)
			}
		}
		parts = o.doc.parts(below...)
	}
	return o.doc.members(parts)
}

// parts are the places of all schemas that say something of one value, or of the items of a list of such.
func (d *Document) parts(ptrs ...string) []string {
	var out []string
	for len(ptrs) > 0 && len(out) < maxParts {
		v, at, ok := d.At(ptrs[0])
		ptrs = ptrs[1:]
		schema, _ := v.(map[string]any)
		if !ok || schema == nil || slices.Contains(out, at) {
			continue
		}
		out = append(out, at)
		for _, key := range []string{"items", "then", "else"} {
			if schema[key] != nil {
				ptrs = append(ptrs, at+"/"+key)
			}
		}
		for _, key := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := schema[key].([]any)
			for i := range list {
				ptrs = append(ptrs, fmt.Sprintf("%s/%s/%d", at, key, i))
			}
		}
	}
	return out
}

// members joins what schemas say of one object.
func (d *Document) members(parts []string) Members {
	var m Members
	names, says := map[string]bool{}, false
	for _, at := range parts {
		v, _, _ := d.At(at)
		schema, _ := v.(map[string]any)
		props, _ := schema["properties"].(map[string]any)
		for name := range props {
			names[name] = true
		}
		for _, key := range []string{"additionalProperties", "unevaluatedProperties"} {
			allowed, given := schema[key]
			m.Closed = m.Closed || allowed == false
			m.Open = m.Open || given && allowed != false
		}
		m.Open = m.Open || schema["patternProperties"] != nil
		says = says || props != nil
	}
	m.Names = slices.Sorted(maps.Keys(names))
	m.Open = m.Open || !says && !m.Closed
	return m
}
