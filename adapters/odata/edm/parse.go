package edm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse compiles a $metadata document.
func Parse(text []byte) (*Model, error) {
	root, err := read(text)
	if err != nil {
		return nil, err
	}
	p := &parser{
		Model: &Model{Structs: map[string]*Struct{}, Sets: map[string]*Set{}, Operations: map[string]*Operation{}},
		alias: map[string]string{}, base: map[*Struct]*node{}, enums: map[string]*node{}, defs: map[string]*node{},
		ends: map[string]*node{}, ops: map[string][]*node{},
	}
	if err := p.open(root); err != nil {
		return nil, err
	}
	for _, step := range []func() error{p.declare, p.fill, p.inherit, p.resolveLinks, p.annotate, p.containers} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if len(p.Sets) == 0 && len(p.Operations) == 0 {
		return nil, &Error{root.line, "it declares no entity set and no operation: nothing could be called"}
	}
	return p.Model, nil
}

// parser holds what is known between the steps.
type parser struct {
	*Model
	schemas []*node
	alias   map[string]string // to namespaces
	order   []*Struct         // as declared
	base    map[*Struct]*node // the declaration of each type
	enums   map[string]*node
	defs    map[string]*node
	ends    map[string]*node   // V2 associations
	ops     map[string][]*node // V4 actions and functions
}

// mostWarnings bounds those that are kept.
const mostWarnings = 100

func (p *parser) warn(n *node, format string, args ...any) {
	if len(p.Warnings) < mostWarnings {
		p.Warnings = append(p.Warnings, fmt.Sprintf("line %d: ", n.line)+fmt.Sprintf(format, args...))
	}
}

// open finds the version and the schemas.
func (p *parser) open(root *node) error {
	if root.name != "Edmx" {
		return &Error{root.line, fmt.Sprintf("the document is %s, no Edmx: is the address that of $metadata?", root.name)}
	}
	switch v := root.attr("Version"); {
	case strings.HasPrefix(v, "4."):
		p.Version = V4
	case v == "" || strings.HasPrefix(v, "1."):
		p.Version = V2
	default:
		return &Error{root.line, fmt.Sprintf("EDMX version %q is not known; there are 1.0 (OData V2) and 4.0 (OData V4)", v)}
	}
	for _, ref := range root.all("Reference") {
		for _, inc := range ref.all("Include") {
			if a := inc.attr("Alias"); a != "" {
				p.alias[a] = inc.attr("Namespace")
			}
		}
	}
	for _, services := range root.all("DataServices") {
		p.schemas = append(p.schemas, services.all("Schema")...)
	}
	if len(p.schemas) == 0 {
		return &Error{root.line, "it has no Schema in DataServices"}
	}
	for _, s := range p.schemas {
		if a := s.attr("Alias"); a != "" {
			p.alias[a] = s.attr("Namespace")
		}
	}
	return nil
}

// qualified is a type's name with its namespace in the place of an alias.
func (p *parser) qualified(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name
	}
	if ns, ok := p.alias[name[:i]]; ok {
		return ns + name[i:]
	}
	return name
}

// declare enters the names of all types, so that they can refer to each other.
func (p *parser) declare() error {
	for _, s := range p.schemas {
		ns := s.attr("Namespace")
		for _, n := range s.nodes {
			name := ns + "." + n.attr("Name")
			switch n.name {
			case "EntityType", "ComplexType":
				if n.attr("Name") == "" {
					return &Error{n.line, n.name + " has no Name"}
				}
				if _, twice := p.Structs[name]; twice {
					return &Error{n.line, fmt.Sprintf("the type %s is declared twice", name)}
				}
				t := &Struct{Name: name, Open: n.attr("OpenType") == "true", Label: n.sap("label"), fields: map[string]*Field{}, links: map[string]*Link{}}
				p.Structs[name], p.base[t], p.order = t, n, append(p.order, t)
			case "EnumType":
				p.enums[name] = n
			case "TypeDefinition":
				p.defs[name] = n
			case "Association":
				p.ends[name] = n
			case "Action", "Function":
				p.ops[name] = append(p.ops[name], n)
			}
		}
	}
	return nil
}

// fill reads the properties of each type.
func (p *parser) fill() error {
	for _, t := range p.order {
		for _, c := range p.base[t].nodes {
			switch c.name {
			case "Key":
				for _, ref := range c.all("PropertyRef") {
					t.Key = append(t.Key, ref.attr("Name"))
				}
			case "Property":
				f, err := p.field(c, c.attr("Type"))
				if err != nil {
					return err
				}
				if err := t.add(f, c); err != nil {
					return err
				}
			case "NavigationProperty":
				if err := t.addLink(p.link(c), c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Struct) add(f *Field, n *node) error {
	if f.Name == "" {
		return &Error{n.line, "a property of " + s.Name + " has no Name"}
	}
	if _, twice := s.fields[f.Name]; twice {
		return s.twice(f, n)
	}
	s.Fields, s.fields[f.Name] = append(s.Fields, f), f
	return nil
}

func (s *Struct) twice(f *Field, n *node) error {
	return &Error{n.line, fmt.Sprintf("the property %s of %s is declared twice", f.Name, s.Name)}
}

func (s *Struct) addLink(l *Link, n *node) error {
	if _, twice := s.links[l.Name]; twice || l.Name == "" {
		return s.twiceLink(l, n)
	}
	s.Links, s.links[l.Name] = append(s.Links, l), l
	return nil
}

func (s *Struct) twiceLink(l *Link, n *node) error {
	return &Error{n.line, fmt.Sprintf("the navigation property %q of %s has no name, or is declared twice", l.Name, s.Name)}
}

// field reads a property or a parameter.
func (p *parser) field(n *node, typ string) (*Field, error) {
	f := &Field{
		Name: n.attr("Name"), Nullable: n.attr("Nullable") != "false", Scale: AnyScale,
		Label: n.sap("label"), Unit: n.sap("unit"), ETag: n.attr("ConcurrencyMode") == "Fixed",
		ReadOnly: n.sap("creatable") == "false" && n.sap("updatable") == "false",
		Fixed:    n.sap("creatable") != "false" && n.sap("updatable") == "false",
		NoFilter: n.sap("filterable") == "false", DateOnly: n.sap("display-format") == "Date",
	}
	if err := p.facets(f, n); err != nil {
		return nil, err
	}
	if err := p.typed(f, n, typ); err != nil {
		return nil, err
	}
	f.Required = p.Version == V4 && !f.Nullable && !n.has("DefaultValue") && !f.Many
	return f, nil
}

// facets reads lengths and digits.
func (p *parser) facets(f *Field, n *node) error {
	for _, facet := range []struct {
		name string
		to   *int
	}{{"MaxLength", &f.MaxLength}, {"Precision", &f.Precision}, {"Scale", &f.Scale}} {
		text := n.attr(facet.name)
		switch strings.ToLower(text) {
		case "", "max":
			continue
		case "variable", "floating":
			*facet.to = AnyScale
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 || v > 1<<30 {
			return &Error{n.line, fmt.Sprintf("%s of %s is %q, no whole number", facet.name, n.attr("Name"), text)}
		}
		*facet.to = v
	}
	return nil
}

// typed finds out what a field's type is.
func (p *parser) typed(f *Field, n *node, typ string) error {
	if inner, ok := strings.CutPrefix(typ, "Collection("); ok {
		f.Many, typ = true, strings.TrimSuffix(inner, ")")
	}
	if typ == "" {
		return &Error{n.line, fmt.Sprintf("%s %q has no Type", n.name, n.attr("Name"))}
	}
	name := p.qualified(typ)
	switch def, isDef := p.defs[name]; {
	case strings.HasPrefix(typ, "Edm."):
		f.Type = typ
	case p.Structs[name] != nil:
		f.Struct = p.Structs[name]
	case p.enums[name] != nil:
		f.Type, f.enum, f.flags = "Edm.String", name, p.enums[name].attr("IsFlags") == "true"
		for i, m := range p.enums[name].all("Member") {
			value := m.attr("Value")
			if value == "" {
				value = strconv.Itoa(i)
			}
			f.Members = append(f.Members, Member{m.attr("Name"), value})
		}
	case isDef:
		f.Type = def.attr("UnderlyingType")
		if err := p.facets(f, def); err != nil {
			return err
		}
		return p.facets(f, n)
	default:
		return &Error{n.line, fmt.Sprintf("the type %s of %s is not declared", typ, n.attr("Name"))}
	}
	if f.Type != "" && !known(f.Type) {
		p.warn(n, "%s has the type %s, which Holdfast does not know: its values pass through as they are", f.Name, f.Type)
	}
	return nil
}

// link reads a navigation property; what it leads to is found when all types are known.
func (p *parser) link(n *node) *Link {
	l := &Link{Name: n.attr("Name"), Label: n.sap("label")}
	if p.Version == V2 {
		l.target, l.role = p.qualified(n.attr("Relationship")), n.attr("ToRole")
		return l
	}
	typ := n.attr("Type")
	if inner, ok := strings.CutPrefix(typ, "Collection("); ok {
		l.Many, typ = true, strings.TrimSuffix(inner, ")")
	}
	l.target = p.qualified(typ)
	return l
}

// resolveLinks finds what navigation properties lead to. One that leads nowhere is left out, with a warning.
func (p *parser) resolveLinks() error {
	for _, t := range p.order {
		n, kept := p.base[t], t.Links[:0]
		for _, l := range t.Links {
			if l.Target == nil {
				p.lead(l)
			}
			if l.Target == nil {
				p.warn(n, "the navigation property %s of %s leads to nothing that is declared", l.Name, t.Name)
				delete(t.links, l.Name)
				continue
			}
			kept = append(kept, l)
		}
		t.Links = kept
	}
	return nil
}

func (p *parser) lead(l *Link) {
	if p.Version == V4 {
		l.Target = p.Structs[l.target]
		return
	}
	if a := p.ends[l.target]; a != nil {
		for _, end := range a.all("End") {
			if end.attr("Role") == l.role {
				l.Target, l.Many = p.Structs[p.qualified(end.attr("Type"))], end.attr("Multiplicity") == "*"
			}
		}
	}
}

// inherit puts the fields of base types before a type's own, which alone it indexes, and checks keys.
func (p *parser) inherit() error {
	done := map[*Struct]bool{}
	for _, t := range p.order {
		if err := p.inheritOne(t, done, 0); err != nil {
			return err
		}
	}
	for _, t := range p.order {
		n := p.base[t]
		for _, k := range t.Key {
			f, ok := t.Field(k)
			if !ok {
				return &Error{n.line, fmt.Sprintf("the key %s of %s is none of its properties", k, t.Name)}
			}
			f.Key = true
			f.Required = false // most services number their documents themselves
		}
	}
	return nil
}

func (p *parser) inheritOne(t *Struct, done map[*Struct]bool, depth int) error {
	n := p.base[t]
	name := n.attr("BaseType")
	if name == "" || done[t] {
		return nil
	}
	up := p.Structs[p.qualified(name)]
	if up == nil {
		return &Error{n.line, fmt.Sprintf("the base type %s of %s is not declared", name, t.Name)}
	}
	if depth > maxDepth {
		return &Error{n.line, fmt.Sprintf("the base types of %s go round in a circle", t.Name)}
	}
	if err := p.inheritOne(up, done, depth+1); err != nil {
		return err
	}
	done[t] = true
	if len(t.Key) == 0 {
		t.Key = up.Key
	}
	for _, f := range t.Fields {
		if _, twice := up.Field(f.Name); twice {
			return t.twice(f, n)
		}
	}
	for _, l := range t.Links {
		if _, twice := up.Link(l.Name); twice {
			return t.twiceLink(l, n)
		}
	}
	t.up, t.Fields, t.Links = up, slices.Concat(up.Fields, t.Fields), slices.Concat(up.Links, t.Links)
	return nil
}
