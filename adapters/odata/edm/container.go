package edm

import (
	"fmt"
	"net/http"
)

// containers reads entity sets and operations.
func (p *parser) containers() error {
	for _, s := range p.schemas {
		for _, c := range s.all("EntityContainer") {
			for _, n := range c.nodes {
				if err := p.contain(n); err != nil {
					return err
				}
			}
			p.restrict(c)
		}
		if p.Version == V4 {
			if err := p.boundOperations(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) contain(n *node) error {
	switch n.name {
	case "EntitySet", "Singleton":
		return p.set(n)
	case "FunctionImport":
		if p.Version == V2 {
			return p.functionImport(n)
		}
		return p.imported(n, n.attr("Function"))
	case "ActionImport":
		return p.imported(n, n.attr("Action"))
	}
	return nil
}

func (p *parser) set(n *node) error {
	typ := n.attr("EntityType")
	if n.name == "Singleton" {
		typ = n.attr("Type")
	}
	of := p.Structs[p.qualified(typ)]
	if of == nil {
		return &Error{n.line, fmt.Sprintf("the entity type %q of %s %q is not declared", typ, n.name, n.attr("Name"))}
	}
	s := &Set{
		Name: n.attr("Name"), Of: of, Singleton: n.name == "Singleton", Label: n.sap("label"), Targets: map[string]string{},
		NoCreate: n.sap("creatable") == "false", NoUpdate: n.sap("updatable") == "false", NoDelete: n.sap("deletable") == "false",
	}
	if s.Name == "" {
		return &Error{n.line, n.name + " has no Name"}
	}
	for _, f := range of.Fields {
		s.Versioned = s.Versioned || f.ETag
	}
	for _, b := range n.all("NavigationPropertyBinding") {
		s.Targets[b.attr("Path")] = b.attr("Target")
	}
	for _, a := range n.all("Annotation") {
		s.annotate(a)
	}
	p.Sets[s.Name] = s
	return nil
}

// functionImport is V2's way to call something.
func (p *parser) functionImport(n *node) error {
	op := &Operation{Name: n.attr("Name"), Method: http.MethodGet, Label: n.sap("label")}
	if m := n.foreign(dataNamespace, "HttpMethod"); m != "" {
		op.Method = m
	}
	ret := n.attr("ReturnType")
	for _, r := range n.all("ReturnType") {
		ret = r.attr("Type")
	}
	return p.signature(op, n, ret, n.all("Parameter"))
}

// signature reads parameters and result.
func (p *parser) signature(op *Operation, n *node, returns string, params []*node) error {
	if op.Name == "" {
		return &Error{n.line, n.name + " has no Name"}
	}
	for _, c := range params {
		f, err := p.field(c, c.attr("Type"))
		if err != nil {
			return err
		}
		f.Required = !f.Nullable // of V2 too: a call has no default, other than a new entity
		op.Params = append(op.Params, f)
	}
	if returns != "" {
		f := &Field{Nullable: true, Scale: AnyScale}
		if err := p.typed(f, n, returns); err != nil {
			return err
		}
		op.Returns = f
	}
	if _, twice := p.Operations[op.Name]; twice {
		p.warn(n, "the operation %s is declared more than once; the first is used", op.Name)
		return nil
	}
	p.Operations[op.Name] = op
	return nil
}

// imported is an unbound action or function of V4.
func (p *parser) imported(n *node, name string) error {
	for _, decl := range p.ops[p.qualified(name)] {
		if decl.attr("IsBound") != "true" {
			return p.signature(&Operation{Name: n.attr("Name"), Method: method(decl)}, decl, returned(decl), decl.all("Parameter"))
		}
	}
	return &Error{n.line, fmt.Sprintf("%s %q names %q, which is not declared", n.name, n.attr("Name"), name)}
}

func (p *parser) boundOperations(s *node) error {
	for _, decl := range s.nodes {
		params := decl.all("Parameter")
		if decl.name != "Action" && decl.name != "Function" || decl.attr("IsBound") != "true" {
			continue
		}
		if len(params) == 0 {
			return &Error{decl.line, fmt.Sprintf("the bound %s has no parameter that it is bound to", decl.attr("Name"))}
		}
		on, err := p.field(params[0], params[0].attr("Type"))
		if err != nil {
			return err
		}
		op := &Operation{Name: s.attr("Namespace") + "." + decl.attr("Name"), Method: method(decl), Bound: on.Struct, BoundMany: on.Many}
		if err := p.signature(op, decl, returned(decl), params[1:]); err != nil {
			return err
		}
	}
	return nil
}

func method(decl *node) string {
	if decl.name == "Function" {
		return http.MethodGet
	}
	return http.MethodPost
}

func returned(decl *node) string {
	for _, r := range decl.all("ReturnType") {
		return r.attr("Type")
	}
	return ""
}
