package mapping

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/schema"
)

func pathOr(p, name string) string {
	if p == "" {
		return "…." + name
	}
	return p
}

// pathOf writes a chain of fields, such as src.order.number; ok is false for anything else.
func pathOf(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), true
	case ast.SelectKind:
		p, ok := pathOf(e.AsSelect().Operand())
		return p + "." + e.AsSelect().FieldName(), ok
	case ast.CallKind: // .?name
		if c := e.AsCall(); c.FunctionName() == operators.OptSelect && len(c.Args()) == 2 {
			name, _ := literal(c.Args()[1])
			p, ok := pathOf(c.Args()[0])
			return p + "." + name, ok
		} else if c.FunctionName() == operators.Index || c.FunctionName() == operators.OptIndex {
			n, isNumber := intLiteral(c.Args()[1])
			p, ok := pathOf(c.Args()[0])
			return elementOf(p, n), ok && isNumber
		}
	}
	return "", false
}

// guarded lists the fields that are there if the condition holds, and if it does not.
func guarded(e ast.Expr) (yes, no []string) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		if p, ok := pathOf(e); ok {
			return []string{p}, nil
		}
	}
	if e.Kind() != ast.CallKind {
		return nil, nil
	}
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalNot:
		yes, no = guarded(args[0])
		return no, yes
	case operators.LogicalAnd:
		for _, x := range args {
			y, _ := guarded(x)
			yes = append(yes, y...)
		}
		return yes, nil
	case operators.LogicalOr:
		for _, x := range args {
			_, n := guarded(x)
			no = append(no, n...)
		}
		return nil, no
	case "hasValue":
		if p, ok := pathOf(c.Target()); ok {
			return []string{p}, nil
		}
		return []string{anyValue}, nil
	}
	return guardedSize(c.FunctionName(), args)
}

// anyValue guards each optional value that no path names: optMap asks for its own before it takes it.
const anyValue = "?"

func elementOf(list string, n int) string { return fmt.Sprintf("%s[%d]", list, n) }

// maxGuarded bounds how many elements of a list one condition guards.
const maxGuarded = 16

// guardedSize lists the elements that are there if the size of a list compares with a number as it is said, and if it does not.
func guardedSize(operator string, args []ast.Expr) (yes, no []string) {
	if len(args) != 2 {
		return nil, nil
	}
	list, ok := sizeOf(args[0])
	n, isNumber := intLiteral(args[1])
	if !ok || !isNumber {
		return nil, nil
	}
	first := func(n int) (out []string) {
		for i := range min(max(n, 0), maxGuarded) {
			out = append(out, elementOf(list, i))
		}
		return out
	}
	switch operator {
	case operators.Greater:
		return first(n + 1), nil
	case operators.GreaterEquals:
		return first(n), nil
	case operators.Less:
		return nil, first(n)
	case operators.LessEquals:
		return nil, first(n + 1)
	case operators.Equals:
		if n == 0 {
			return nil, first(1)
		}
		return first(n), nil
	case operators.NotEquals:
		if n == 0 {
			return first(1), nil
		}
		return nil, first(n)
	}
	return nil, nil
}

// sizeOf is the path of the list of which an expression is the size.
func sizeOf(e ast.Expr) (list string, ok bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "size" {
		return "", false
	}
	c := e.AsCall()
	if c.IsMemberFunction() {
		return pathOf(c.Target())
	}
	return pathOf(c.Args()[0])
}

// unwrapped wants to know that an optional value is there before value() takes it.
func (a *analysis) unwrapped(e ast.Expr, c ast.CallExpr, on shape, guards []string) {
	p, ok := pathOf(c.Target())
	if !ok {
		p = anyValue
	}
	if on.absent && !a.c.stops && !slices.Contains(guards, p) {
		a.wrong(e, "there may be no value, and value() would stop the message",
			"say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it")
	}
}

// indexed is an element of a list; the document's own may be shorter.
func (a *analysis) indexed(e ast.Expr, c ast.CallExpr, list shape, guards []string) shape {
	s := a.byType(e)
	of, known := plain(a.ast.GetType(c.Args()[0].ID())), list.typ != nil && list.typ.Kind == schema.List && list.typ.Item != nil
	if known && list.typ.Item.Kind != schema.Any {
		s = shapeOf(list.typ.Item)
	}
	if c.FunctionName() == operators.OptIndex || isOptional(a.ast.GetType(e.ID())) {
		s.absent = true
		return s
	}
	if !known || of.Kind() != types.ListKind || c.Args()[0].Kind() == ast.ListKind {
		return s
	}
	n, isNumber := intLiteral(c.Args()[1])
	path, isPath := pathOf(c.Args()[0])
	switch {
	case a.c.stops, isNumber && isPath && n >= 0 && (n < list.typ.MinItems || slices.Contains(guards, elementOf(path, n))):
	case isNumber && isPath:
		a.wrong(e, fmt.Sprintf("the list may have no element %d", n), fmt.Sprintf("write [?%d], ask size(%s) > %d first, or say required: true, which stops a message without it", n, path, n))
	default:
		a.wrong(e, "the list may be shorter", "write [?…], which is no value where there is none")
	}
	return s
}
