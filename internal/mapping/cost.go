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

// dear refuses an expression that may take more steps than one message is allowed, by the limits of the source's schema. Without a loop or a
// pattern in it, and without a schema, the limit of the run is enough.
func (a *analysis) dear(e ast.Expr) {
	n := a.steps(e)
	if a.c.known == nil || n <= costOfExpr || !a.loops && !a.patterns {
		return
	}
	over, hint := "lists and texts", "make the list shorter first, look in a shorter one, or use each:"
	if !a.loops {
		over, hint = "texts", "write a pattern with fewer repetitions, or ask for the length first: size(…) <= 40 && …"
	}
	a.c.advise(place{a.c.src.file, a.n.Line, a.n.Column}, a.path,
		fmt.Sprintf("it may take %d steps with the longest %s of the source, and %d are allowed", n, over, costOfExpr), hint)
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
		chars += a.chars(x)
	}
	switch c.FunctionName() {
	case "matches":
		a.patterns = true
		return n + stepsOfPattern(a.chars(args[0]), a.places(args[len(args)-1]))
	case operators.In, amongThem:
		if over := args[len(args)-1]; a.shapes[over.ID()].kind == schema.List {
			n += a.items(over)
		}
	}
	return n + chars/10
}

// chars is how many characters a text has at most; 0 of anything else.
func (a *analysis) chars(e ast.Expr) uint64 {
	s := a.shapes[e.ID()]
	switch {
	case s.kind != schema.Text:
		return 0
	case s.length > 0:
		return uint64(s.length)
	}
	return usualChars
}

// places are those of a pattern; of one that comes with the message about as many as it has characters.
func (a *analysis) places(e ast.Expr) uint64 {
	if text, ok := literal(e); ok {
		if _, n, err := compilePattern(text); err == nil {
			return uint64(n) //nolint:gosec // there are not fewer than 0
		}
	}
	return min(a.chars(e), maxPlaces)
}

// stepsOfPattern is what a text costs that is held against a pattern: for each character each of its places may be looked at.
func stepsOfPattern(chars, places uint64) uint64 { return (chars/10 + 1) * (places/4 + 1) }

// lengths counts what functions go through and make: a step for each ten characters, and one for each part of a list or an object. CEL counts so for
// some of its own alone, and for none where what comes has no type. Without it a loop could go through the longest text as often as it goes round.
type lengths struct{}

// CallCost implements cost.ActualCostEstimator; nil is CEL's own count.
func (lengths) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	n := uint64(0)
	switch function {
	case operators.Add: // CEL joins two lists in one step, and goes through both later
		if n = charsOf(result) / 10; n == 0 {
			n = sizeOfList(result)
		}
	case operators.Equals, operators.NotEquals, sameValue, otherValue:
		n = meeting(args[0], args[1], 0)
	case operators.In, amongThem:
		n = within(args[0], args[1])
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		n = min(charsOf(args[0]), charsOf(args[1])) / 10
	case "matches": // counted before it runs, by the places of its pattern
		places, _ := args[1].(types.Int)
		n = stepsOfPattern(charsOf(args[0]), uint64(places)) //nolint:gosec // there are not fewer than 0
	case "unwrapOpt":
		n = sizeOfList(args[0])
	case "upper", "lower", "trim", "replace", "split", "substring", "pad", "padRight", "stripZeros", "lookup", "reverse", "size", "decimal", "int", "bool", "ref", "plantID",
		"date", "clock", "dateTime", "localTime", "edmDate", "fromEdmDate", "edmTime", "fromEdmTime", "compactDate", "fromCompactDate", "compactTime", "fromCompactTime",
		"convert", "unitCode":
		for _, a := range args {
			n += charsOf(a)
		}
		n = (n+charsOf(result))/10 + sizeOfList(result)
	}
	if n == 0 {
		return nil
	}
	n++
	return &n
}

// within is how many steps it takes to look for a value in a list; an object finds a name in one.
func within(v, all ref.Val) (n uint64) {
	if l, ok := all.(traits.Lister); ok {
		for it := l.Iterator(); it.HasNext() == types.True; {
			n += 1 + meeting(v, it.Next(), 0)
		}
	}
	return n
}

// meeting is how many steps it takes to find that two values are the same; those of which one has more parts, or characters, are not at once.
func meeting(a, b ref.Val, depth int) (n uint64) {
	if depth > maxDepth {
		return 0
	}
	switch x := a.(type) {
	case types.String:
		if y, ok := b.(types.String); ok && len(x) == len(y) {
			return uint64(len(x) / 10)
		}
	case *types.Optional:
		if y, ok := b.(*types.Optional); ok && x.HasValue() && y.HasValue() {
			return meeting(x.GetValue(), y.GetValue(), depth+1)
		}
	case traits.Mapper:
		y, ok := b.(traits.Mapper)
		if !ok || x.Size() != y.Size() {
			return 0
		}
		for it := x.Iterator(); it.HasNext() == types.True; {
			name := it.Next()
			n++
			if other, has := y.Find(name); has {
				n += meeting(x.Get(name), other, depth+1)
			}
		}
	case traits.Lister:
		y, ok := b.(traits.Lister)
		if !ok || x.Size() != y.Size() {
			return 0
		}
		for i, j := x.Iterator(), y.Iterator(); i.HasNext() == types.True; {
			n += 1 + meeting(i.Next(), j.Next(), depth+1)
		}
	}
	return n
}

// sizeOfList is how many elements a list has; 0 of anything else.
func sizeOfList(v ref.Val) uint64 {
	l, ok := v.(traits.Lister)
	if !ok {
		return 0
	}
	n, _ := l.Size().(types.Int)
	return uint64(n) //nolint:gosec // a size is not below 0
}

func charsOf(v ref.Val) uint64 {
	s, _ := v.(types.String)
	return uint64(len(s))
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
