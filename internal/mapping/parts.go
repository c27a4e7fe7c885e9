package mapping

import (
	"cel.dev/cel-go/common/ast"

	"holdfast/internal/schema"
)

// kinds are the shapes of a value that may be of several kinds, or its own.
func (s shape) kinds() []shape {
	if s.known() {
		return []shape{s}
	}
	return s.either
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
	if item := c.IterVar(); over.typ != nil && over.typ.Item != nil {
		a.binds[item] = shapeOf(over.typ.Item)
	} else if least := fewestInEach(c.IterRange()); least > 0 {
		a.binds[item] = shape{
			kind: schema.List, scale: schema.AnyScale, made: true,
			typ: &schema.Type{Kind: schema.List, Item: &schema.Type{Scale: schema.AnyScale}, MinItems: least, Scale: schema.AnyScale},
		}
	}
	init := a.of(c.AccuInit(), guards)
	init.absent = init.null != ""
	bind := c.IterRange().Kind() == ast.ListKind && c.IterRange().AsList().Size() == 0
	if bind {
		a.binds[c.AccuVar()] = init
	} else {
		a.loops = true
		a.of(c.LoopStep(), guards)
	}
	if s := a.of(c.Result(), guards); bind {
		return s
	}
	return a.byType(e)
}
