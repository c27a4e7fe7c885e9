package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// decided is what comes of a comparison whose outcome is the same for every message that gets there; nil where it is not.
func (a *analysis) decided(c ast.CallExpr, args []shape, guards []string) *bool {
	if len(args) != 2 {
		return nil
	}
	switch name := c.FunctionName(); name {
	case operators.Equals, sameValue:
		return a.equals(c.Args(), args[0], args[1], guards)
	case operators.NotEquals, otherValue:
		return not(a.equals(c.Args(), args[0], args[1], guards))
	case operators.In, amongThem:
		return oneAmong(args[0], args[1])
	case operators.Less:
		return lessThan(args[0], args[1], false)
	case operators.LessEquals:
		return lessThan(args[0], args[1], true)
	case operators.Greater:
		return lessThan(args[1], args[0], false)
	case operators.GreaterEquals:
		return lessThan(args[1], args[0], true)
	}
	return nil
}

func not(b *bool) *bool {
	if b == nil {
		return nil
	}
	return new(!*b)
}

// equals tells whether two values are always, or never, the same.
func (a *analysis) equals(of []ast.Expr, x, y shape, guards []string) *bool {
	for i, e := range of {
		v, ok := valueOf(e)
		if text, written := literal(of[1-i]); ok && written && slices.Contains(guards, isNot(v, text)) {
			return new(false)
		}
	}
	switch {
	case x.absent || y.absent || x.kind != y.kind && (!x.isNumber() || !y.isNumber()):
		return compared(true, x, y)
	case x.always != nil && y.always != nil:
		return new(*x.always == *y.always)
	case x.isNumber():
		one, same := x.exact(), y.exact()
		if one != nil && same != nil && one.Cmp(*same) == 0 {
			return new(true)
		}
		if after(x, y) || after(y, x) {
			return new(false)
		}
	case len(x.enum) == 1 && len(y.enum) == 1 && x.enum[0] == y.enum[0]:
		return new(true)
	case x.apartFrom(y):
		return new(false)
	}
	return compared(true, x, y)
}

func (s shape) isNumber() bool { return s.kind == schema.Integer || s.kind == schema.Decimal }

// exact is the one number that a value can be; nil if there are more.
func (s shape) exact() *decimal.Decimal {
	if s.least == nil || s.most == nil || s.least.Cmp(*s.most) != 0 {
		return nil
	}
	return s.least
}

// after tells whether a number is always more than another.
func after(x, y shape) bool { return x.least != nil && y.most != nil && x.least.Cmp(*y.most) > 0 }

// lessThan is whether a number is always, or never, less than another, or less than or equal to it.
func lessThan(x, y shape, equal bool) *bool {
	if !x.isNumber() || !y.isNumber() || x.absent || y.absent {
		return nil
	}
	if x.most != nil && y.least != nil {
		if n := x.most.Cmp(*y.least); n < 0 || equal && n == 0 {
			return new(true)
		}
	}
	if x.least != nil && y.most != nil {
		if n := x.least.Cmp(*y.most); n > 0 || !equal && n == 0 {
			return new(false)
		}
	}
	return nil
}

// oneAmong tells whether a text is always, or never, one of a list's.
func oneAmong(v, list shape) *bool {
	item, ok := list.element()
	switch {
	case !ok || v.absent:
		return nil
	case item.none:
		return new(false)
	case list.item == nil || v.kind != schema.Text:
		return nil
	case item.enum != nil && v.apartFrom(item):
		return new(false)
	case v.enum == nil:
		return nil
	}
	if never := compared(true, v, item); never != nil {
		return never
	}
	for _, text := range v.enum {
		if !slices.ContainsFunc(list.tuple, func(s shape) bool { return !s.absent && len(s.enum) == 1 && s.enum[0] == text }) {
			return nil
		}
	}
	return new(true)
}

// deadPart finds a part of an or that never holds.
func (a *analysis) deadPart(e ast.Expr, s shape, and bool) {
	if s.always != nil && !*s.always && !and {
		a.wrong(e, "this never holds, so that it is dead", "compare with a value that there can be, or leave it out")
	}
}

// What a condition says of a number, or of a true or false.
func isAtLeast(v string, d decimal.Decimal) string { return v + " is at least " + d.String() }
func isNoMore(v string, d decimal.Decimal) string  { return v + " is at most " + d.String() }
func isSo(v string, so bool) string                { return fmt.Sprintf("%s is %t", v, so) }

// limitsSaid lists what is known of a number that compares with one that is written, if it does so, and if it does not.
func limitsSaid(operator string, args []ast.Expr) (yes, no []string) {
	v, ok := numberOf(args[0])
	d, written := numberLiteral(args[1])
	if n, isInt := intLiteral(args[1]); isInt {
		d, written = decimal.FromInt(int64(n)), true
	}
	if !ok || !written {
		return nil, nil
	}
	switch least, most := []string{isAtLeast(v, d)}, []string{isNoMore(v, d)}; operator {
	case operators.Greater, operators.GreaterEquals:
		return least, most
	case operators.Less, operators.LessEquals:
		return most, least
	case operators.Equals:
		return slices.Concat(least, most), nil
	case operators.NotEquals:
		return nil, slices.Concat(least, most)
	}
	return nil, nil
}

// bounds takes what a guard says of a number, or of a true or false.
func (s *shape) bounds(said string) bool {
	if n, ok := strings.CutPrefix(said, "is at least "); ok {
		if d, err := decimal.Parse(n); err == nil && (s.least == nil || s.least.Cmp(d) < 0) {
			s.least = &d
		}
		return true
	}
	if n, ok := strings.CutPrefix(said, "is at most "); ok {
		if d, err := decimal.Parse(n); err == nil && (s.most == nil || s.most.Cmp(d) > 0) {
			s.most = &d
		}
		return true
	}
	if s.kind == schema.Bool && (said == "is true" || said == "is false") {
		s.always = new(said == "is true")
		return true
	}
	return false
}
