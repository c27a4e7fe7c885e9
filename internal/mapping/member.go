package mapping

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/schema"
)

// orNoMember is what to do about a member that an object may not have.
const orNoMember = "write [?…].orValue(…), which says what stands in its place, or say required: true, which stops a message without it"

// keyed is a member of an object that another expression names, as in a table that is written into one.
func (a *analysis) keyed(e ast.Expr, c ast.CallExpr, on, key shape) shape {
	s := a.anyOf(e, c.Args()[0], on, key)
	if s.absent = c.FunctionName() == operators.OptIndex || isOptional(a.ast.GetType(e.ID())); s.absent || key.amount {
		return s
	}
	asked, has := key.texts(), func(v string) bool {
		return slices.ContainsFunc(on.members, func(m part) bool { return m.name == v && (!m.left || !m.shape.absent) })
	}
	lacks := slices.IndexFunc(asked, func(v string) bool { return !has(v) })
	switch {
	case a.c.stops && (on.members == nil || key.enum == nil || slices.ContainsFunc(asked, has)):
	case on.members == nil:
		if !a.eitherTruth(c.Args()[0], key) {
			a.wrong(e, "the object may have no such member", orNoMember)
		}
	case lacks >= 0:
		a.wrong(c.Args()[1], fmt.Sprintf("it can be %q, and the object may have no such member", clip(asked[lacks])), "add the member, or "+orNoMember)
	case key.enum == nil && key.format != "":
		a.wrong(c.Args()[1], "it can be any text, and the object may have no such member", `ask first whether it is … in ["…", "…"], or `+orNoMember)
	}
	return s
}

// anyOf is what is known of each member of an object that a key can name.
func (a *analysis) anyOf(e, of ast.Expr, on, key shape) shape {
	s := shape{scale: schema.AnyScale, none: true}
	for _, m := range on.members {
		if key.enum == nil || slices.Contains(key.enum, m.name) {
			s = s.or(m.shape)
		}
	}
	if on.members == nil && of.Kind() == ast.MapKind {
		for _, x := range of.AsMap().Entries() {
			s = s.or(a.shapes[x.AsMapEntry().Value().ID()])
		}
	}
	if s.none || !s.known() && s.either == nil {
		return a.byType(e)
	}
	return s
}

// eitherTruth tells whether an object is written out for both true and false, and one of them is asked for.
func (a *analysis) eitherTruth(of ast.Expr, key shape) bool {
	if of.Kind() != ast.MapKind || key.kind != schema.Bool {
		return false
	}
	is := map[bool]bool{}
	for _, x := range of.AsMap().Entries() {
		if entry := x.AsMapEntry(); entry.Key().Kind() == ast.LiteralKind && !entry.IsOptional() {
			b, isBool := entry.Key().AsLiteral().(types.Bool)
			is[bool(b)] = isBool || is[bool(b)]
		}
	}
	return is[true] && is[false]
}

// made tells whether an object is one that an expression makes: of one that comes its schema says what it has.
func (a *analysis) made(of ast.Expr, on shape) bool {
	return on.members != nil || on.typ == nil && plain(a.ast.GetType(of.ID())).Kind() == types.MapKind
}
