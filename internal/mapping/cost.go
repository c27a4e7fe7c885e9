package mapping

import (
	"fmt"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"holdfast/internal/schema"
)

// What is assumed of a list or text whose schema sets no limit.
const (
	usualItems = 100
	usualChars = 200
)

// dear refuses an expression that may take more steps than one message is allowed, by the limits of the source's schema. Without a loop in
// it, and without a schema, the limit of the run is enough.
func (a *analysis) dear(e ast.Expr) {
	if a.c.known == nil || !a.loops {
		return
	}
	if n := a.steps(e); n > costOfExpr {
		a.c.wrong(a.n, a.path, fmt.Sprintf("it may take %d steps with the longest lists and texts of the source, and %d are allowed", n, costOfExpr),
			"make the list shorter first, look in a shorter one, or use each:")
	}
}

// steps is about what CEL counts: one for each part, one more for each ten characters of a text that is gone through, and all that as often
// as a loop goes round.
func (a *analysis) steps(e ast.Expr) uint64 {
	switch e.Kind() {
	case ast.SelectKind:
		return 1 + a.steps(e.AsSelect().Operand())
	case ast.CallKind:
		return a.stepsOfCall(e.AsCall())
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		once := a.steps(c.AccuInit()) + a.steps(c.Result()) + a.steps(c.IterRange())
		return once + a.items(c.IterRange())*(a.steps(c.LoopStep())+a.steps(c.LoopCondition())+1)
	case ast.ListKind:
		n := uint64(1)
		for _, x := range e.AsList().Elements() {
			n += a.steps(x)
		}
		return n
	default:
		return 1
	}
}

func (a *analysis) stepsOfCall(c ast.CallExpr) uint64 {
	n, chars := uint64(1), uint64(0)
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	for _, x := range args {
		n += a.steps(x)
		if s := a.shapes[x.ID()]; s.kind == schema.Text {
			chars += uint64(max(s.length, 0))
			if s.length == 0 {
				chars += usualChars
			}
		}
	}
	if c.FunctionName() == "matches" {
		chars *= 10
	}
	return n + chars/10
}

// lengths counts what the language's own functions go through and make, as CEL does for its own: a step for each ten characters, and one for
// each part of a list. Without it a loop could hold as many long texts as it goes round.
type lengths struct{}

// CallCost implements cost.ActualCostEstimator; nil is CEL's own count.
func (lengths) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	switch function {
	case operators.Add: // CEL joins two lists in one step, and goes through both later
		l, ok := result.(traits.Lister)
		if !ok {
			return nil
		}
		n, _ := l.Size().(types.Int)
		return new(uint64(n)) //nolint:gosec // a size is not below 0
	case sameValue, otherValue:
		n := uint64(1) + partsOf(args[0], 0)
		return &n
	case amongThem:
		if l, ok := args[1].(traits.Lister); ok {
			n, _ := l.Size().(types.Int)
			return new(1 + uint64(n)) //nolint:gosec // a size is not below 0
		}
		return nil
	case "upper", "lower", "trim", "replace", "split", "substring", "pad", "padRight", "stripZeros", "lookup", "reverse":
	default:
		return nil
	}
	n := charsOf(result)
	for _, a := range args {
		n += charsOf(a)
	}
	if l, ok := result.(traits.Lister); ok {
		if size, ok := l.Size().(types.Int); ok {
			n += 10 * uint64(size) //nolint:gosec // a size is not below 0
		}
	}
	if n < 10 {
		return nil
	}
	n = 1 + n/10
	return &n
}

func charsOf(v ref.Val) uint64 {
	s, _ := v.(types.String)
	return uint64(len(s))
}

// partsOf is of how many parts a value is.
func partsOf(v ref.Val, depth int) (n uint64) {
	if depth > maxDepth {
		return 0
	}
	switch x := v.(type) {
	case traits.Mapper:
		for it := x.Iterator(); it.HasNext() == types.True; {
			n += 1 + partsOf(x.Get(it.Next()), depth+1)
		}
	case traits.Lister:
		for it := x.Iterator(); it.HasNext() == types.True; {
			n += 1 + partsOf(it.Next(), depth+1)
		}
	}
	return n
}

// items is how often a loop goes round at most.
func (a *analysis) items(over ast.Expr) uint64 {
	if over.Kind() == ast.ListKind {
		return uint64(over.AsList().Size()) //nolint:gosec // it is not below 0
	}
	if t := a.shapes[over.ID()].typ; t != nil && t.MaxItems > 0 {
		return uint64(t.MaxItems)
	}
	return usualItems
}
