package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"holdfast/internal/schema"
)

// maxKnown bounds the texts that a joined one is known to be able to be.
const maxKnown = 64

// carried is what a function makes of each text that it is known to be given.
func (a *analysis) carried(s shape, c ast.CallExpr, on shape, args []shape) shape {
	of := on
	if !c.IsMemberFunction() && len(args) > 0 {
		of = args[0]
	}
	f := a.textFunction(c)
	if f == nil || of.kind != schema.Text {
		return s
	}
	s.enum, s.some = eachOf(of.enum, f), eachOf(of.some, f)
	s.stands = carriedPlaces(of.stands, f)
	if s.enum != nil {
		s.length = max(1, longest(s.enum))
	}
	switch c.FunctionName() {
	case "upper", "lower", "trim":
		if all, _, _ := covered(of.patternOf(), `^[^\pL\s]*$`); all {
			s.pattern = of.pattern
		}
		s.empty = of.empty || c.FunctionName() == "trim" && s.pattern == "" && s.enum == nil && of.format == unformatted
	case "stripZeros", "pad", "padRight":
		if all, _, _ := covered(of.patternOf(), `^[0-9]+$`); all && f("1") != "" && strings.Trim(f("1"), "0123456789") == "" {
			s.pattern = `^[0-9]+$`
		}
	}
	return s
}

// eachOf is what becomes of texts; nil of nil. One that the function stops at becomes none.
func eachOf(texts []string, f func(string) string) []string {
	if texts == nil {
		return nil
	}
	out := make([]string, 0, len(texts))
	for _, v := range texts {
		out = append(out, f(v))
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// textFunction is what a call does with a text, if all else that it takes stands in the expression; nil of other calls. What it stops at stays.
func (a *analysis) textFunction(c ast.CallExpr) func(string) string {
	more := c.Args()
	if !c.IsMemberFunction() && len(more) > 0 {
		more = more[1:]
	}
	given := make([]ref.Val, 0, len(more))
	for _, e := range more {
		if e.Kind() != ast.LiteralKind {
			return nil
		}
		given = append(given, e.AsLiteral())
	}
	taking := func(f func(...ref.Val) ref.Val) func(string) string {
		return func(s string) string {
			if out, ok := f(append([]ref.Val{types.String(s)}, given...)...).(types.String); ok {
				return string(out)
			}
			return s
		}
	}
	switch c.FunctionName() {
	case "upper":
		return strings.ToUpper
	case "lower":
		return strings.ToLower
	case "trim":
		return strings.TrimSpace
	case "stripZeros":
		return stripZeros
	case "substring":
		return taking(substring)
	case "replace":
		return taking(replace)
	case "pad":
		return taking(func(a ...ref.Val) ref.Val { return pad(a, func(s, fill string) string { return fill + s }) })
	case "padRight":
		return taking(func(a ...ref.Val) ref.Val { return pad(a, func(s, fill string) string { return s + fill }) })
	case "unitCode":
		return taking(func(v ...ref.Val) ref.Val {
			code, err := a.c.units.code(string(v[0].(types.String)), string(v[1].(types.String)), string(v[2].(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.String(code)
		})
	}
	return nil
}

// joined are the texts that come of joining each of some to each of others, if they are few.
func joined(some, others []string) (all []string) {
	if some == nil || others == nil || len(some)*len(others) > maxKnown {
		return nil
	}
	for _, x := range some {
		for _, y := range others {
			all = append(all, x+y)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// codeLength is that of the longest code of a scheme of units; 0 of none.
func (u *units) codeLength(scheme string) int {
	return longest(sortedKeys(u.byCode[scheme]))
}
