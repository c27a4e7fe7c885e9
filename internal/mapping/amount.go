package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// orStops ends a hint about what only some messages bring.
const orStops = ", or say required: true, which stops such a message"

// nought finds what is divided by 0, or may be.
func (a *analysis) nought(e ast.Expr, by shape) {
	switch {
	case by.least != nil && by.most != nil && by.least.Sign() == 0 && by.most.Sign() == 0:
		a.wrong(e, "nothing is divided by 0", "name what it is divided by")
	case a.c.known == nil, a.c.stops, by.apart, by.least != nil && by.least.Sign() > 0, by.most != nil && by.most.Sign() < 0:
	default:
		a.wrong(e, "it may be 0, by which nothing is divided", "ask first: decimal(…) != 0 && …"+orStops)
	}
}

// whole finds a decimal that may have places where a whole number is made of it.
func (a *analysis) whole(e ast.Expr, n shape) {
	if n.kind == schema.Decimal && n.scale != 0 && a.c.known != nil && !a.c.stops {
		a.wrong(e, "int takes a whole number, and this can have "+n.places(), `round it: int(round(…, 0, "half-up"))`+orStops)
	}
}

// rounded looks at the places and the way to round of round, ratio and convert where they do not stand in the expression.
func (a *analysis) rounded(c ast.CallExpr, args []shape) {
	if c.FunctionName() != "round" && len(args) != 5 {
		return
	}
	scale, mode := len(args)-2, len(args)-1
	if n := args[scale]; a.outside(c.Args()[scale], n, 0, decimal.MaxDigits) {
		a.wrong(c.Args()[scale], fmt.Sprintf("a scale is between 0 and %d, and this may be another", decimal.MaxDigits), "write how many places stand behind the point"+orStops)
	}
	a.oneOf(c.Args()[mode], args[mode], roundings(), "is no way to round")
}

// outside tells whether a whole number that does not stand in the expression may be beyond its limits.
func (a *analysis) outside(e ast.Expr, n shape, least, most int) bool {
	if _, written := intLiteral(e); written || n.kind != schema.Integer || a.c.stops {
		return false
	}
	return n.least == nil || n.least.Cmp(decimal.FromInt(int64(least))) < 0 || n.most == nil || n.most.Cmp(decimal.FromInt(int64(most))) > 0
}

// oneOf looks at a word that must be one of some, where it does not stand in the expression.
func (a *analysis) oneOf(e ast.Expr, s shape, words []string, is string) {
	use := "use " + strings.Join(words, ", ")
	if _, written := literal(e); written || s.kind != schema.Text {
		return
	}
	for _, v := range s.texts() {
		if !slices.Contains(words, v) {
			a.wrong(e, fmt.Sprintf("%q %s", clip(v), is), didYouMean(v, words, use))
			return
		}
	}
	if s.enum == nil && s.format != "" && !a.c.stops {
		a.wrong(e, "it can be any text, which "+is, use+orStops)
	}
}

// scheme looks at a scheme of units.
func (a *analysis) scheme(e ast.Expr, s shape) {
	a.oneOf(e, s, sortedKeys(a.c.units.byCode), "is no scheme of units")
}

// padded finds a text that may be longer than it is filled up to, and what it is filled with.
func (a *analysis) padded(c ast.CallExpr, args []shape) {
	text, width := args[0], args[1]
	n, known := intLiteral(c.Args()[1])
	if fill := args[2]; fill.kind == schema.Text {
		if _, written := literal(c.Args()[2]); !written && !a.c.stops && (fill.enum == nil && fill.format != "" || slices.ContainsFunc(fill.texts(), func(v string) bool { return utf8.RuneCountInString(v) != 1 })) {
			a.wrong(c.Args()[2], "it may be more than one character, or none", `fill with one, such as "0"`+orStops)
		}
	}
	if a.outside(c.Args()[1], width, 1, maxText) {
		a.wrong(c.Args()[1], fmt.Sprintf("a text has between 1 and %d characters, and this may be another number", maxText), "name the length of the text"+orStops)
	}
	if !known {
		return
	}
	hint := fmt.Sprintf("name the length of the longest, or take a part of it: .substring(0, %d)", n)
	for _, v := range text.texts() {
		if utf8.RuneCountInString(v) > n {
			a.wrong(c.Args()[0], fmt.Sprintf("%q is longer than the %d characters that it is filled up to", clip(v), n), hint)
			return
		}
	}
	room := a.c.stops || a.c.room > 0 && a.c.room <= n
	switch {
	case text.kind != schema.Text || text.format == "" && text.length == 0 || text.theirs || text.enum != nil || room:
	case text.length == 0:
		a.wrong(c.Args()[0], fmt.Sprintf("it can be of any length, and is filled up to %d characters", n), fmt.Sprintf("add maxLength: %d, which stops a longer one, or take a part of it: .substring(0, %d)", n, n))
	case text.length > n:
		a.wrong(c.Args()[0], fmt.Sprintf("it can have %d characters, and is filled up to %d", text.length, n), fmt.Sprintf("add maxLength: %d, which stops a longer one, or take a part of it: .substring(0, %d)", n, n))
	}
}

// cutOut looks at where a substring begins and ends, where that does not stand in the expression.
func (a *analysis) cutOut(c ast.CallExpr, args []shape) {
	for i, e := range c.Args() {
		if a.outside(e, args[i], 0, maxText) {
			a.wrong(e, "it may be less than 0, where no text begins", "name the first character, counted from 0"+orStops)
			return
		}
	}
	from, to := args[0], args[1]
	_, written := intLiteral(c.Args()[0])
	if _, both := intLiteral(c.Args()[1]); written && both || from.most == nil || to.least == nil || a.c.stops {
		return
	}
	if from.most.Cmp(*to.least) > 0 {
		a.wrong(c.Args()[0], "it may begin behind its end", "name the first character, counted from 0, and the one behind the last"+orStops)
	}
}

// sought finds what replace looks for, or split splits at, that may be no text at all.
func (a *analysis) sought(e ast.Expr, s shape) {
	if _, written := literal(e); written || s.kind != schema.Text || a.c.stops {
		return
	}
	if slices.Contains(s.texts(), "") || s.enum == nil && s.empty {
		a.wrong(e, "it may be empty, and nothing is looked for then", `ask first: … != ""`+orStops)
	}
}

// units looks at codes of units, those of tables too, and at a text of the source that is none.
func (a *analysis) units(e ast.Expr, s shape, known func(code string) error) {
	for _, code := range s.texts() {
		if err := known(code); err != nil {
			why, hint, _ := strings.Cut(err.Error(), ": ")
			a.wrong(e, why, hint)
			return
		}
	}
	if s.kind != schema.Text || s.enum != nil || s.format == schema.IsUnit || !slices.Contains(formats(), s.format) {
		return
	}
	const hint = "take the field of the unit, or look the unit up in a table"
	switch {
	case s.format != unformatted:
		a.wrong(e, "a unit is wanted, and this is a "+formName(s.format), hint)
	case !slices.ContainsFunc(a.c.units.all, func(u *unit) bool { return u.fits(s) }):
		a.wrong(e, "a unit is wanted, and no code of one fits "+s.patternOf(), hint)
	case a.c.known.tellsUnits() && !a.c.stops:
		a.wrong(e, "a unit is wanted, and this can be any text", hint+orStops)
	}
}

// fits tells whether a text can be a code of the unit.
func (u *unit) fits(s shape) bool {
	for _, code := range u.codes {
		if _, some, known := covered("^"+regexp.QuoteMeta(code)+"$", s.patternOf()); some || !known {
			return true
		}
	}
	return false
}

// alike looks at a unit that becomes another. Of one that is none, another mistake is told.
func (a *analysis) alike(e ast.Expr, s shape, to string) {
	if _, err := a.c.units.find(to); err != nil {
		return
	}
	for _, from := range s.texts() {
		if _, err := a.c.units.find(from); err != nil {
			return
		}
		if _, _, err := a.c.units.between(from, to); err != nil {
			a.wrong(e, err.Error(), "a unit becomes one of its own dimension only")
			return
		}
	}
}
