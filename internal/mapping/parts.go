package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/schema"
)

// part is a member of an object that an expression writes out.
type part struct {
	name  string
	shape shape
	at    place
	left  bool // {?"name": …}: it is left out where it has no value
}

// kinds are the shapes of a value that may be of several kinds, or its own.
func (s shape) kinds() []shape {
	if s.known() {
		return []shape{s}
	}
	return s.either
}

// element is what is known of each element of a list.
func (s shape) element() (shape, bool) {
	switch {
	case s.item != nil:
		return *s.item, true
	case s.kind == schema.List && s.typ != nil && s.typ.Item != nil:
		return shapeOf(s.typ.Item), true
	}
	return shape{scale: schema.AnyScale}, false
}

// fields are what is known of the members of an object, and whether those are all that it has.
func (s shape) fields() (all []part, closed bool) {
	switch {
	case s.members != nil:
		return s.members, true
	case s.kind != schema.Object || s.typ == nil:
		return nil, false
	}
	for _, f := range s.typ.Fields {
		m := part{name: f.Name, shape: shapeOf(f.Type), left: true}
		m.shape.absent = !f.Required || f.Type.Nullable
		all = append(all, m)
	}
	return all, !s.typ.Open
}

// elementOr is an element of one of two lists.
func (s shape) elementOr(o shape) *shape {
	if s.item == nil && o.item == nil && (s.typ == o.typ || s.typ == nil || o.typ == nil || s.typ.Item == o.typ.Item) {
		return nil // its type says it
	}
	x, ok1 := s.element()
	y, ok2 := o.element()
	if !ok1 || !ok2 {
		return nil
	}
	either := x.or(y)
	return &either
}

// tupleOr are the elements of one of two lists that are written out and have as many.
func (s shape) tupleOr(o shape) []shape {
	if s.tuple == nil || len(s.tuple) != len(o.tuple) {
		return nil
	}
	out := make([]shape, len(s.tuple))
	for i := range out {
		out[i] = s.tuple[i].or(o.tuple[i])
	}
	return out
}

// membersOr are those of one of two objects that are written out. One that only one of them has may be missing.
func (s shape) membersOr(o shape) []part {
	if s.members == nil || o.members == nil {
		return nil
	}
	find := func(all []part, name string) (part, bool) {
		i := slices.IndexFunc(all, func(m part) bool { return m.name == name })
		if i < 0 {
			return part{}, false
		}
		return all[i], true
	}
	out := []part{}
	for _, m := range s.members {
		if other, both := find(o.members, m.name); both {
			m.shape, m.left = m.shape.or(other.shape), m.left || other.left
		} else {
			m.shape.absent, m.left = true, true
		}
		out = append(out, m)
	}
	for _, m := range o.members {
		if _, both := find(s.members, m.name); !both {
			m.shape.absent, m.left = true, true
			out = append(out, m)
		}
	}
	return out
}

// listOf is the type of what is one of two lists, or objects.
func (s shape) listOf(o shape) *schema.Type {
	switch {
	case s.typ == o.typ:
		return s.typ
	case o.item != nil && o.item.none:
		return orNone(s.typ, false)
	case s.item != nil && s.item.none:
		return orNone(o.typ, false)
	case s.kind != schema.List || o.kind != schema.List:
		return nil
	case s.typ == nil:
		return o.listOf(s)
	case o.typ == nil: // it may be empty
		return orNone(s.typ, true)
	case s.typ.Item != o.typ.Item:
		return nil
	}
	t := *s.typ
	t.MinItems = min(s.typ.MinItems, o.typ.MinItems)
	if t.MaxItems = max(s.typ.MaxItems, o.typ.MaxItems); s.typ.MaxItems == 0 || o.typ.MaxItems == 0 {
		t.MaxItems = 0
	}
	return &t
}

// orNone is the type of a list that may be empty instead, or of any length.
func orNone(t *schema.Type, long bool) *schema.Type {
	if t == nil || t.Kind != schema.List || t.MinItems == 0 && (!long || t.MaxItems == 0) {
		return t
	}
	none := *t
	if none.MinItems = 0; long {
		none.MaxItems = 0
	}
	return &none
}

// listed is a list that is written out, with as many elements as there stand.
func (a *analysis) listed(e ast.Expr, guards []string) shape {
	list := e.AsList()
	item, tuple := shape{scale: schema.AnyScale, none: true}, []shape(nil)
	for i, x := range list.Elements() {
		one := a.of(x, guards)
		if slices.Contains(list.OptionalIndices(), int32(i)) {
			one.absent = false
		}
		tuple, item = append(tuple, one), item.or(one)
	}
	a.nothing(list.Elements()...)
	s, n := a.byType(e), list.Size()
	if s.made, s.item = false, &item; n == 0 {
		return s
	}
	if len(list.OptionalIndices()) == 0 {
		s.tuple = tuple
	}
	t := schema.Type{Kind: schema.List, Scale: schema.AnyScale}
	if s.typ != nil {
		t = *s.typ
	}
	t.MinItems, t.MaxItems = n-len(list.OptionalIndices()), n
	s.typ = &t
	return s
}

// written is an object that is written out.
func (a *analysis) written(e ast.Expr, guards []string) shape {
	s := a.byType(e)
	s.members = []part{}
	known := true
	for _, x := range e.AsMap().Entries() {
		entry := x.AsMapEntry()
		a.of(entry.Key(), guards)
		value := a.of(entry.Value(), guards)
		a.nothing(entry.Value())
		name, isText := literal(entry.Key())
		switch {
		case !isText:
			known = false
			continue
		case slices.ContainsFunc(s.members, func(m part) bool { return m.name == name }):
			a.wrong(entry.Key(), fmt.Sprintf("member %q is there twice", name), "leave one of them out")
		}
		s.members = append(s.members, part{name, value, a.at(entry.Key()), entry.IsOptional()})
	}
	if !known {
		s.members = nil
	}
	return s
}

// memberOf is a member of an object that is written out.
func (a *analysis) memberOf(e ast.Expr, on shape, name string, guards []string) shape {
	i := slices.IndexFunc(on.members, func(m part) bool { return m.name == name })
	if i < 0 {
		var names []string
		for _, m := range on.members {
			names = append(names, m.name)
		}
		a.wrong(e, fmt.Sprintf("the object has no member %q", name), didYouMean(name, names, "it has no such member: write it there, or leave this out"))
		return a.byType(e)
	}
	m := on.members[i]
	optional := isOptional(a.ast.GetType(e.ID()))
	if m.left && m.shape.absent && !optional {
		a.missing(e, guards)
	}
	m.shape.absent = m.shape.absent || optional && on.absent
	return m.shape
}

// loop is a comprehension. One without a list binds a name, as optMap does.
func (a *analysis) loop(e ast.Expr, guards []string) shape {
	c := e.AsComprehension()
	over := a.of(c.IterRange(), guards)
	a.hides(e, c.IterVar())
	a.hides(e, c.AccuVar())
	outer := a.binds
	a.binds = map[string]shape{}
	for name, s := range outer {
		a.binds[name] = s
	}
	defer func() { a.binds = outer }()
	if item, ok := over.element(); ok && !item.none {
		a.binds[c.IterVar()] = item
	}
	init := a.of(c.AccuInit(), guards)
	init.absent = init.null != ""
	if c.IterRange().Kind() == ast.ListKind && c.IterRange().AsList().Size() == 0 {
		a.binds[c.AccuVar()] = init
		return a.of(c.Result(), guards)
	}
	a.loops = true
	if init.kind == schema.List {
		a.binds[c.AccuVar()] = init
	}
	step := a.of(c.LoopStep(), guards)
	s := a.byType(e)
	if s.kind == schema.List && step.kind == schema.List { // map and filter
		s.item = step.item
	}
	return s
}

// bothLists is what is known of the elements of two lists together.
func bothLists(s, x, y shape) shape {
	one, ok1 := x.element()
	other, ok2 := y.element()
	if ok1 && ok2 {
		either := one.or(other)
		s.item = &either
	}
	return s
}

// listType is what CEL knows of a list's elements.
func (a *analysis) listType(t *types.Type) *schema.Type {
	if item := a.c.objectType(t.Parameters()[0]); item != nil {
		return &schema.Type{Kind: schema.List, Item: item, Scale: schema.AnyScale}
	}
	return nil
}

// parts looks at the elements of a list and the members of an object that an expression makes, or passes on as they came.
func (k *checking) parts(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.members == nil && s.item == nil {
		if k.inside[[2]*schema.Type{s.typ, t}] {
			return // types that contain themselves
		}
		if k.inside == nil {
			k.inside = map[[2]*schema.Type]bool{}
		}
		k.inside[[2]*schema.Type{s.typ, t}] = true
		defer delete(k.inside, [2]*schema.Type{s.typ, t})
	}
	before := len(k.found)
	if s.kind == schema.List {
		k.eachOf(r, s, name, t, at)
	} else {
		k.members(r, s, name, t, at)
	}
	for i := range k.found[before:] {
		f := &k.found[before+i]
		if f.Hint = strings.TrimSuffix(f.Hint, apartHint); strings.HasPrefix(f.Hint, "add ") || strings.Contains(f.Hint, ", or add ") {
			f.Hint += apartHint
		}
	}
}

// apartHint says where a key can stand that is for one value.
const apartHint = ", where the parts are written out: below fields:, of a list beside each:"

// eachOf looks at the elements of a list.
func (k *checking) eachOf(r *rule, s shape, name string, t *schema.Type, at place) {
	item, ok := s.element()
	if !ok || t.Item == nil {
		return
	}
	if item.absent && s.item != nil {
		k.wrong(at, r.path, fmt.Sprintf("an element of %s may have no value, and such a message would stop", name), "write [?…], which leaves it out, or say what stands in its place: .orValue(…)")
	}
	k.shape(&rule{path: r.path, at: r.at}, item, "each element of "+name, t.Item, at)
}

// members looks at the members of an object, and at those that are missing.
func (k *checking) members(r *rule, s shape, name string, t *schema.Type, at place) {
	all, closed := s.fields()
	if all == nil && !closed {
		return
	}
	for _, m := range all {
		path, here := r.path+"."+m.name, at
		if m.at != (place{}) {
			here = m.at
		}
		f, ok := t.Field(m.name)
		if !ok {
			if !t.Open {
				k.stray(&rule{name: m.name, path: path, at: here}, t.Names(), t.Closed)
			}
			continue
		}
		if m.shape.absent && (f.Required || !m.left) {
			k.mayBeMissing(path, m, f, here)
		}
		k.shape(&rule{path: path, at: here}, m.shape, f.Name, f.Type, here)
	}
	for _, f := range t.Fields {
		if f.Required && closed && !slices.ContainsFunc(all, func(m part) bool { return m.name == f.Name }) {
			k.wrong(at, r.path+"."+f.Name, fmt.Sprintf("%s requires %s, and nothing makes it", k.whose, f.Name), "write it there, or write the parts below fields:")
		}
	}
}

// mayBeMissing is of a member that has no value in some messages.
func (k *checking) mayBeMissing(path string, m part, f *schema.Field, at place) {
	if f.Required {
		k.wrong(at, path, fmt.Sprintf("it may have no value, and %s requires %s", k.whose, f.Name), "say what stands in its place: .orValue(…), or write the parts below fields:")
		return
	}
	k.wrong(at, path, "it may have no value, and such a message would stop", fmt.Sprintf("write {?%q: …}, which leaves it out", m.name))
}
