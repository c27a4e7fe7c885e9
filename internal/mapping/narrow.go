package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"holdfast/internal/schema"
)

// What a condition says of a value, as guards of it.
func isOneOf(value string, texts []string) string {
	list, err := json.Marshal(texts)
	if err != nil {
		return ""
	}
	return value + " is one of " + string(list)
}
func hasForm(value, pattern string) string { return value + " fits " + pattern }
func isAtMost(value string, n int) string  { return fmt.Sprintf("%s has at most %d", value, n) }
func isApart(value string) string          { return value + " is not 0" }

// narrowing lists what is known of a value if the condition holds, and if it does not.
func narrowing(c ast.CallExpr) (yes, no []string) {
	args := c.Args()
	switch c.FunctionName() {
	case "matches":
		of, pattern := c.Target(), args[len(args)-1]
		if !c.IsMemberFunction() {
			of = args[0]
		}
		v, ok := valueOf(of)
		if text, written := literal(pattern); ok && written {
			return []string{hasForm(v, text)}, nil
		}
	case operators.In:
		v, ok := valueOf(args[0])
		if texts, written := literals(args[1]); ok && written {
			return []string{isOneOf(v, texts)}, areNot(v, texts)
		}
	case operators.Equals:
		return is(args)
	case operators.NotEquals:
		no, yes = is(args)
		return yes, no
	case operators.Greater, operators.GreaterEquals, operators.Less, operators.LessEquals:
		return measured(c.FunctionName(), args)
	}
	return nil, nil
}

// is lists what is known of a value that equals a text or 0, and of one that does not.
func is(args []ast.Expr) (yes, no []string) {
	for i := range args {
		v, ok := valueOf(args[i])
		text, written := literal(args[len(args)-1-i])
		if ok && written {
			yes, no = []string{isOneOf(v, []string{text})}, []string{isNot(v, text)}
			if p, found := strings.CutSuffix(v, fmt.Sprintf(" or %q", text)); found {
				no = append(no, p) // it is there, since it is not what stands in its place
			}
			return yes, no
		}
	}
	if v, ok := numberOf(args[0]); ok && isZero(args[1]) {
		return nil, []string{isApart(v)}
	}
	return nil, nil
}

// measured lists what is known of a number, or of the length of a text, that compares with a number as it is said, and if it does not.
func measured(operator string, args []ast.Expr) (yes, no []string) {
	if text, ok := sizeOf(args[0]); ok {
		n, written := intLiteral(args[1])
		switch {
		case !written:
		case operator == operators.LessEquals:
			return []string{isAtMost(text, n)}, nil
		case operator == operators.Less:
			return []string{isAtMost(text, n-1)}, nil
		case operator == operators.Greater:
			return nil, []string{isAtMost(text, n)}
		case operator == operators.GreaterEquals:
			return nil, []string{isAtMost(text, n-1)}
		}
		return nil, nil
	}
	v, ok := numberOf(args[0])
	switch {
	case !ok || !isZero(args[1]):
	case operator == operators.Greater, operator == operators.Less:
		return []string{isApart(v)}, nil
	default:
		return nil, []string{isApart(v)}
	}
	return nil, nil
}

// numberOf is the field of a number, or of a decimal in a text.
func numberOf(e ast.Expr) (string, bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "decimal" && len(e.AsCall().Args()) == 1 {
		e = e.AsCall().Args()[0]
	}
	return valueOf(e)
}

func isZero(e ast.Expr) bool {
	n, isInt := intLiteral(e)
	d, isDecimal := numberLiteral(e)
	return isInt && n == 0 || isDecimal && d.Sign() == 0
}

// literals are the texts of a list that is written out.
func literals(e ast.Expr) (texts []string, ok bool) {
	if e.Kind() != ast.ListKind {
		return nil, false
	}
	for _, x := range e.AsList().Elements() {
		text, ok := literal(x)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, len(texts) > 0
}

func areNot(value string, texts []string) (out []string) {
	for _, text := range texts {
		out = append(out, isNot(value, text))
	}
	return out
}

// others takes away what a guarded value is not.
func (s *shape) others(e ast.Expr, guards []string) {
	if v, ok := valueOf(e); ok && len(guards) > 0 {
		s.told(v, guards)
	}
}

// told is others of a value that the guards call v, and of the elements of a list that is written out.
func (s *shape) told(v string, guards []string) {
	if s.tuple != nil {
		s.tuple = slices.Clone(s.tuple)
		item := shape{scale: schema.AnyScale, none: true}
		for i := range s.tuple {
			s.tuple[i].told(elementOf(v, i), guards)
			item = item.or(s.tuple[i])
		}
		s.item = &item
	}
	for _, g := range guards {
		if said, of := strings.CutPrefix(g, v+" "); of {
			s.narrow(said)
		}
	}
	if slices.Contains(guards, isNot(v, "")) {
		s.empty = false
	}
	s.keep(func(text string) bool { return !slices.Contains(guards, isNot(v, text)) })
}

// keep leaves those texts that a value can be. None would be another mistake, or a dead side.
func (s *shape) keep(can func(text string) bool) {
	those := func(texts []string) []string {
		left := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return !can(text) })
		if len(left) == 0 && s.enum != nil {
			return texts
		}
		return left
	}
	s.enum, s.some = those(s.enum), those(s.some)
}

// narrow takes what one guard says of a value.
func (s *shape) narrow(said string) {
	if s.bounds(said) {
		return
	}
	if said == "is not 0" {
		s.apart = true
	} else if n, ok := strings.CutPrefix(said, "has at most "); ok && s.kind == schema.Text {
		if most, err := strconv.Atoi(n); err == nil && most > 0 && (s.length == 0 || most < s.length) {
			s.length = most
		}
	} else if pattern, ok := strings.CutPrefix(said, "fits "); ok {
		re, _, err := compilePattern(pattern)
		if err != nil {
			return
		}
		s.keep(re.MatchString)
		if s.pattern, s.empty = pattern, s.empty && re.MatchString(""); s.enum == nil {
			if most, ok := longestOf(pattern); ok && most > 0 && (s.length == 0 || most < s.length) {
				s.length = most
			}
		}
	} else if list, ok := strings.CutPrefix(said, "is one of "); ok && s.kind == schema.Text {
		var texts []string
		if json.Unmarshal([]byte(list), &texts) != nil {
			return
		}
		if s.enum != nil {
			s.keep(func(text string) bool { return slices.Contains(texts, text) })
			return
		}
		s.enum, s.some, s.length, s.empty = texts, nil, longest(texts), false
	}
}
