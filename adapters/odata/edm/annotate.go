package edm

import (
	"strings"
)

// annotate reads the vocabulary annotations of V4: those inside of properties, and those that stand apart with a target.
func (p *parser) annotate() error {
	for _, t := range p.order {
		for _, c := range p.base[t].nodes {
			if f, ok := t.Field(c.attr("Name")); ok && c.name == "Property" {
				for _, a := range c.all("Annotation") {
					f.annotate(a)
				}
			}
		}
	}
	for _, s := range p.schemas {
		for _, as := range s.all("Annotations") {
			p.apart(as)
		}
	}
	return nil
}

// apart reads <Annotations Target="NS.Type/Property">. Other targets are met in restrict, or say nothing to us.
func (p *parser) apart(as *node) {
	typ, prop, ok := strings.Cut(as.attr("Target"), "/")
	t := p.Structs[p.qualified(typ)]
	if t == nil {
		return
	}
	for _, a := range as.all("Annotation") {
		if f, has := t.Field(prop); ok && has {
			f.annotate(a)
		} else if l, has := t.Link(prop); ok && has && term(a) == "Label" {
			l.Label = a.attr("String")
		} else if !ok && term(a) == "Label" {
			t.Label = a.attr("String")
		}
	}
}

// term is the last part of a term's name: its vocabulary stands before it, by alias or in full.
func term(a *node) string {
	t := a.attr("Term")
	return t[strings.LastIndexByte(t, '.')+1:]
}

// said is an annotation's text, as attribute or as element.
func said(a *node, kind string) string {
	if v := a.attr(kind); v != "" {
		return v
	}
	for _, c := range a.all(kind) {
		return c.text
	}
	return ""
}

func (f *Field) annotate(a *node) {
	switch term(a) {
	case "Label":
		f.Label = said(a, "String")
	case "Unit", "ISOCurrency":
		f.Unit = said(a, "Path")
	case "Computed":
		f.ReadOnly = said(a, "Bool") != "false"
		f.Required = f.Required && !f.ReadOnly
	case "Immutable":
		f.Fixed = said(a, "Bool") != "false"
	case "FieldControl":
		control := said(a, "EnumMember")
		f.Required = f.Required || strings.HasSuffix(control, "/Mandatory")
		if strings.HasSuffix(control, "/ReadOnly") {
			f.ReadOnly, f.Required = true, false
		}
	case "ComputedDefaultValue":
		f.Required = f.Required && said(a, "Bool") == "false"
	}
}

// annotate reads what a V4 service says of an entity set.
func (s *Set) annotate(a *node) {
	switch term(a) {
	case "Label":
		s.Label = said(a, "String")
	case "OptimisticConcurrency":
		s.Versioned = true
	case "InsertRestrictions":
		s.NoCreate = s.NoCreate || denied(a, "Insertable")
	case "UpdateRestrictions":
		s.NoUpdate = s.NoUpdate || denied(a, "Updatable")
	case "DeleteRestrictions":
		s.NoDelete = s.NoDelete || denied(a, "Deletable")
	case "ChangeTracking":
		s.NoDelta = denied(a, "Supported")
	case "FilterRestrictions":
		for _, name := range paths(a, "NonFilterableProperties") {
			if f, ok := s.Of.Field(name); ok {
				f.NoFilter = true
			}
		}
	}
}

// denied tells whether a record says that something cannot be done.
func denied(a *node, property string) bool {
	for _, r := range a.all("Record") {
		for _, v := range r.all("PropertyValue") {
			if v.attr("Property") == property {
				return said(v, "Bool") == "false"
			}
		}
	}
	return false
}

// paths lists the properties that a record names.
func paths(a *node, property string) []string {
	var out []string
	for _, r := range a.all("Record") {
		for _, v := range r.all("PropertyValue") {
			for _, c := range v.all("Collection") {
				for _, path := range c.all("PropertyPath") {
					if v.attr("Property") == property {
						out = append(out, path.text)
					}
				}
			}
		}
	}
	return out
}

// restrict reads annotations that stand apart and target the sets of a container.
func (p *parser) restrict(container *node) {
	for _, s := range p.schemas {
		for _, as := range s.all("Annotations") {
			target, set, ok := strings.Cut(as.attr("Target"), "/")
			if !ok || !strings.HasSuffix(target, "."+container.attr("Name")) || p.Sets[set] == nil {
				continue
			}
			for _, a := range as.all("Annotation") {
				p.Sets[set].annotate(a)
			}
		}
	}
}
