package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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

// missing notes a field that may not be there, unless it is guarded.
func (a *analysis) missing(e ast.Expr, guards []string) {
	if e.Kind() != ast.SelectKind {
		a.wrong(e, "the member may be missing", orNoMember)
		return
	}
	name := e.AsSelect().FieldName()
	if p, ok := pathOf(e); !ok || !slices.Contains(guards, p) {
		a.wrong(e, fmt.Sprintf("field %s may be missing", name), fmt.Sprintf("write .?%s, or ask has(%s) first", name, pathOr(p, name)))
	}
}

// open looks at a field of an object that takes any, of which CEL knows no type: it is there if the schema says that it must be.
func (a *analysis) open(e ast.Expr, on *schema.Type, guards []string) {
	if on == nil || on.Kind != schema.Object || isOptional(a.ast.GetType(e.AsSelect().Operand().ID())) {
		return
	}
	if f, ok := on.Field(e.AsSelect().FieldName()); !ok || !f.Required || f.Type.Nullable {
		a.missing(e, guards)
	}
}

// guarded lists the fields that are there if the condition holds, and if it does not.
func guarded(e ast.Expr) (yes, no []string) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		if p, ok := pathOf(e); ok {
			return []string{p}, nil
		}
	}
	if e.Kind() == ast.SelectKind {
		if v, ok := pathOf(e); ok {
			return []string{isSo(v, true)}, []string{isSo(v, false)}
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
	}
	known, unknown := narrowing(c)
	yes, no = guardedSize(c.FunctionName(), args)
	if len(args) == 2 {
		least, most := limitsSaid(c.FunctionName(), args)
		known, unknown = append(known, least...), append(unknown, most...)
	}
	return append(yes, known...), append(no, unknown...)
}

func isNot(value, text string) string { return fmt.Sprintf("%s is not %q", value, text) }

// valueOf writes a field with the text that stands in its place where it is missing, or a part of it as the expression says it.
func valueOf(e ast.Expr) (string, bool) {
	if e.Kind() == ast.CallKind && e.AsCall().IsMemberFunction() && slices.Contains([]string{"substring", "replace", "stripZeros", "trim", "upper", "lower"}, e.AsCall().FunctionName()) {
		return partOf(e.AsCall())
	}
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "orValue" {
		p, ok := pathOf(e.AsCall().Target())
		text, isText := literal(e.AsCall().Args()[0])
		return fmt.Sprintf("%s or %q", p, text), ok && isText
	}
	return pathOf(e)
}

// partOf writes what a function makes of a field's text; false where what it is given does not stand in the expression.
func partOf(c ast.CallExpr) (string, bool) {
	of, ok := valueOf(c.Target())
	given := make([]string, 0, len(c.Args()))
	for _, e := range c.Args() {
		n, isNumber := intLiteral(e)
		text, isText := literal(e)
		switch {
		case isNumber:
			given = append(given, strconv.Itoa(n))
		case isText:
			given = append(given, strconv.Quote(text))
		default:
			return "", false
		}
	}
	return fmt.Sprintf("%s.%s(%s)", of, c.FunctionName(), strings.Join(given, ",")), ok
}

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

// sizeOf is the path of the list or the text of which an expression is the size, with the text that stands in its place.
func sizeOf(e ast.Expr) (list string, ok bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "size" {
		return "", false
	}
	c := e.AsCall()
	if c.IsMemberFunction() {
		return valueOf(c.Target())
	}
	return valueOf(c.Args()[0])
}

// unwrapped wants to know that an optional value is there before value() takes it.
func (a *analysis) unwrapped(e ast.Expr, c ast.CallExpr, on shape, guards []string) {
	if p, ok := pathOf(c.Target()); on.absent && !a.c.stops && (!ok || !slices.Contains(guards, p)) {
		a.wrong(e, "there may be no value, and value() would stop the message",
			"say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it")
	}
}

// indexed is an element of a list, of which the document's own may be shorter, or a member of an object.
func (a *analysis) indexed(e ast.Expr, c ast.CallExpr, list, key shape, guards []string) shape {
	of := c.Args()[0]
	if name, isText := literal(c.Args()[1]); isText && list.members != nil {
		return a.memberOf(e, list, name, guards)
	}
	if a.made(of, list) {
		return a.keyed(e, c, list, key)
	}
	s, known := list.element()
	if n, isNumber := intLiteral(c.Args()[1]); isNumber && n >= 0 && n < len(list.tuple) {
		s = list.tuple[n]
	}
	if !known || !s.known() {
		s.absent = false
		if s.either == nil {
			s = a.byType(e)
		}
	}
	if c.FunctionName() == operators.OptIndex || isOptional(a.ast.GetType(e.ID())) {
		s.absent = true
		return s
	}
	if plain(a.ast.GetType(of.ID())).Kind() != types.ListKind {
		return s
	}
	n, isNumber := intLiteral(c.Args()[1])
	path, isPath := pathOf(of)
	switch {
	case a.c.stops, isNumber && n >= 0 && (n < fewest(of, list) || isPath && slices.Contains(guards, elementOf(path, n))):
	case isNumber && isPath:
		a.wrong(e, fmt.Sprintf("the list may have no element %d", n), fmt.Sprintf("write [?%d], ask size(%s) > %d first, or say required: true, which stops a message without it", n, path, n))
	default:
		a.wrong(e, "the list may be shorter", "write [?…], which is no value where there is none")
	}
	return s
}

// hides refuses a name of filter, optMap and the like that is that of something else around it: what is known of one would be taken for the other's.
func (a *analysis) hides(e ast.Expr, name string) {
	_, bound := a.binds[name]
	_, local := a.c.locals[name]
	if isWord(name) && (bound || local || name == "src" || name == "event") {
		a.wrong(e, fmt.Sprintf("%q is the name of something else around it", name), "choose another name")
	}
}

// fewest is how many elements a list has at least.
func fewest(e ast.Expr, list shape) int {
	switch {
	case e.Kind() == ast.ListKind:
		return e.AsList().Size() - len(e.AsList().OptionalIndices())
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "split":
		return 1
	case list.typ != nil:
		return list.typ.MinItems
	}
	return 0
}
