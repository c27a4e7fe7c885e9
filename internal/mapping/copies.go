package mapping

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// mostCopies is how often an expression may hold the same part of the source at most. optMap names a value, and a list that holds it twice costs one
// step however large it is: forty of those in a row would make 2^40, which no limit of steps sees before somebody goes through it.
const mostCopies = 1000

// aSource is the weight of the source, and of each part of it that is no text or number; those weigh 1.
const aSource = usualItems

// copies refuses an expression by the weight of what it might make.
type copies struct{}

// Name implements cel.ASTValidator.
func (copies) Name() string { return "holdfast.copies" }

// Validate implements cel.ASTValidator.
func (copies) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, iss *cel.Issues) {
	w := weigher{ast: a, iss: iss, named: map[string]int{}}
	w.of(a.Expr())
}

type weigher struct {
	ast   *ast.AST
	iss   *cel.Issues
	named map[string]int // what optMap and loops call something by
	said  bool
}

// of is how heavy what an expression makes may be.
func (w *weigher) of(e ast.Expr) int {
	n := w.parts(e)
	switch w.ast.GetType(e.ID()).Kind() {
	case types.StringKind, types.IntKind, types.BoolKind, types.NullTypeKind:
		n = 1
	}
	if n > mostCopies*aSource && !w.said {
		w.said = true
		w.iss.ReportErrorAtID(e.ID(), "it may hold the same part of the source more than %d times", mostCopies)
	}
	return min(n, mostCopies*aSource+1)
}

func (w *weigher) parts(e ast.Expr) int {
	switch e.Kind() {
	case ast.IdentKind:
		if n, ok := w.named[e.AsIdent()]; ok {
			return n
		}
		return aSource
	case ast.SelectKind:
		return w.of(e.AsSelect().Operand())
	case ast.CallKind:
		return w.call(e.AsCall())
	case ast.ListKind:
		return w.sum(e.AsList().Elements())
	case ast.MapKind:
		n := 0
		for _, entry := range e.AsMap().Entries() {
			n += w.of(entry.AsMapEntry().Key()) + w.of(entry.AsMapEntry().Value())
		}
		return n
	case ast.ComprehensionKind:
		return w.loop(e.AsComprehension())
	default:
		return 1
	}
}

func (w *weigher) sum(all []ast.Expr) (n int) {
	for _, e := range all {
		n += w.of(e)
	}
	return n
}

// call makes at most all that it is given; of two choices, one.
func (w *weigher) call(c ast.CallExpr) int {
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	if c.FunctionName() == operators.Conditional {
		w.of(args[0])
		return max(w.of(args[1]), w.of(args[2]))
	}
	return w.sum(args)
}

// loop is also how a value gets a name: it goes round an empty list then.
func (w *weigher) loop(c ast.ComprehensionExpr) int {
	defer func(of map[string]int) { w.named = of }(w.named)
	over, round := w.of(c.IterRange()), usualItems
	if c.IterRange().Kind() == ast.ListKind {
		round = c.IterRange().AsList().Size()
	}
	start := w.of(c.AccuInit())
	named := make(map[string]int, len(w.named)+2)
	for name, n := range w.named {
		named[name] = n
	}
	named[c.AccuVar()] = start
	w.named = named
	if round > 0 {
		named[c.IterVar()] = (over + round - 1) / round
		named[c.AccuVar()] = 0 // what a turn adds
		added := w.of(c.LoopStep())
		named[c.AccuVar()] = start + round*added
	}
	return w.of(c.Result())
}
