package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// timeOfDay is the format of a text that holds a time of day.
const timeOfDay = "time"

// argument is a text that a function takes.
type argument struct {
	what  string   // for a person; "" if the error of reads says it
	forms []string // of days and times, those that it may have
	reads func(string) error
	hint  string
}

// arguments are those of the functions that take days, times and zones, n of them.
func arguments(function string, n int) []argument {
	in := func(layout string) func(string) error {
		return func(s string) error { _, err := time.Parse(layout, s); return err }
	}
	const (
		makesDay   = `date(…, "Europe/Berlin") makes one of a time`
		makesClock = `clock(…, "Europe/Berlin") makes one of a time`
		makesTime  = `localTime(day, clock, "Europe/Berlin") makes one of a day and a time of day`
	)
	zone := argument{reads: func(s string) error { _, err := (&zones{}).load(s); return err }, hint: `name the plant's zone: "Europe/Berlin"`}
	written := func(as string, read func(string) error, hint string) []argument {
		return []argument{{as, nil, read, hint}}
	}
	if function == "edmDate" && n == 2 {
		function = "dateTime"
	}
	switch function {
	case "date", "clock", "dateTime":
		return []argument{{"a date-time", []string{dateTime}, in(time.RFC3339Nano), makesTime}, zone}
	case "localTime":
		day := func(s string) error { _, err := inZone(s, "00:00:00", time.UTC); return err }
		clock := func(s string) error { _, err := inZone("2026-01-01", s, time.UTC); return err }
		return []argument{{"a day", []string{"date", schema.IsCivil, dateTime}, day, makesDay}, {"a time of day", []string{timeOfDay}, clock, makesClock}, zone}
	case "compactDate":
		return []argument{{"a day", []string{"date", schema.IsCivil}, in(time.DateOnly), makesDay}}
	case "compactTime", "edmTime":
		return []argument{{"a time of day", []string{timeOfDay}, in(time.TimeOnly), makesClock}}
	case "edmDate":
		return []argument{{"a day", []string{"date", schema.IsCivil}, func(s string) error { _, err := edmDate(s); return err }, `of a time name the zone: edmDate(…, "Europe/Berlin"), or "UTC" for Edm.DateTimeOffset`}}
	case "fromCompactDate":
		return written("a day as 20261124 is", func(s string) error { _, err := fromCompactDay(s); return err }, "compactDate writes one of a day")
	case "fromCompactTime":
		return written("a time of day as 063000 is", in(compactTime), "compactTime writes one of a time of day")
	case "fromEdmDate":
		return written("a time as /Date(1795500000000)/ is", func(s string) error { _, err := fromEdmDate(s); return err }, "edmDate writes one of a day or a time")
	case "fromEdmTime":
		return written("a time of day as PT06H30M00S is", func(s string) error { _, err := fromEdmTime(s); return err }, "edmTime writes one of a time of day")
	}
	return nil
}

// texts are those that a value is known to be able to be.
func (s shape) texts() []string { return slices.Concat(s.enum, s.some) }

// taken finds an argument of which it is known that the function stops the message at it.
func (a *analysis) taken(c ast.CallExpr, args []shape) {
	for i, want := range arguments(c.FunctionName(), len(args)) {
		a.timely(c, i, want, args[i])
	}
	switch c.FunctionName() {
	case "pad", "padRight":
		n, known := intLiteral(c.Args()[1])
		for _, v := range args[0].texts() {
			if known && utf8.RuneCountInString(v) > n {
				a.wrong(c.Args()[0], fmt.Sprintf("%q is longer than the %d characters that it is filled up to", clip(v), n),
					fmt.Sprintf("name the length of the longest, or take a part of it: .substring(0, %d)", n))
				return
			}
		}
	case "ratio":
		a.nought(c.Args()[2], args[2])
	case operators.Modulo:
		a.nought(c.Args()[1], args[1])
	case "unitCode":
		from, ok1 := literal(c.Args()[1])
		to, ok2 := literal(c.Args()[2])
		a.units(c.Args()[0], args[0], func(code string) error {
			if !ok1 || !ok2 {
				return nil
			}
			_, err := a.c.units.code(code, from, to)
			return err
		})
	case "convert":
		a.units(c.Args()[1], args[1], func(code string) error { _, err := a.c.units.find(code); return err })
		a.units(c.Args()[2], args[2], func(code string) error { _, err := a.c.units.find(code); return err })
		if to, ok := literal(c.Args()[2]); ok {
			a.units(c.Args()[1], args[1], func(code string) error { return a.c.units.alike(code, to) })
		}
	}
}

// timely looks at one text that shall be a day, a time or a zone.
func (a *analysis) timely(c ast.CallExpr, i int, want argument, s shape) {
	takes := fmt.Sprintf("%s takes %s, and this ", c.FunctionName(), want.what)
	if isTime := slices.Contains([]string{"date", dateTime, timeOfDay, schema.IsCivil}, s.format); isTime && want.what != "" && !slices.Contains(want.forms, s.format) {
		a.wrong(c.Args()[i], takes+"is a "+formName(s.format), want.hint)
		return
	}
	for _, v := range s.texts() {
		err := want.reads(v)
		switch {
		case err == nil:
			continue
		case want.what == "":
			a.wrong(c.Args()[i], err.Error(), want.hint)
		default:
			a.wrong(c.Args()[i], fmt.Sprintf("%scan be %q", takes, clip(v)), want.hint)
		}
		return
	}
}

// spelt looks at a quantity in the place of a code: a table and an object know texts, and a quantity has more than one.
func (a *analysis) spelt(c ast.CallExpr, args []shape) {
	at := 1
	switch c.FunctionName() {
	case operators.In:
		at = 0
	case operators.Index, operators.OptIndex, "lookup", "reverse":
	default:
		return
	}
	if args[at].amount {
		a.wrong(c.Args()[at], "a quantity may be written 12 or 12.0, and a code has one spelling",
			`give it one spelling: string(int(…)) of a whole one, or string(round(…, 3, "half-up"))`)
	}
}

// oneSpelling tells whether a decimal has always the same places.
func oneSpelling(e ast.Expr) bool {
	if e.Kind() != ast.CallKind {
		return false
	}
	c := e.AsCall()
	return c.FunctionName() == "round" || len(c.Args()) == 5 // ratio and convert with places
}

func (a *analysis) nought(e ast.Expr, by shape) {
	if by.least != nil && by.most != nil && by.least.Sign() == 0 && by.most.Sign() == 0 {
		a.wrong(e, "nothing is divided by 0", "name what it is divided by")
	}
}

// units looks at codes of units, those of tables too.
func (a *analysis) units(e ast.Expr, s shape, known func(code string) error) {
	for _, code := range s.texts() {
		if err := known(code); err != nil {
			why, hint, _ := strings.Cut(err.Error(), ": ")
			a.wrong(e, why, hint)
			return
		}
	}
}

// alike tells whether a unit is of the same dimension as another. Of one that is none, another error is told.
func (u *units) alike(from, to string) error {
	if _, err := u.find(from); err != nil {
		return nil
	}
	if _, err := u.find(to); err != nil {
		return nil
	}
	if _, _, err := u.between(from, to); err != nil {
		return fmt.Errorf("%w: a unit becomes one of its own dimension only", err)
	}
	return nil
}

// hopeless finds what is written into a call and stops every message.
func (c *compiler) hopeless(call ast.CallExpr, path string, at func(ast.Expr) place) {
	name, args := call.FunctionName(), call.Args()
	switch {
	case name == "round" && len(args) == 3, (name == "ratio" || name == "convert") && len(args) == 5:
		e := args[len(args)-2]
		if n, ok := intLiteral(e); ok && (n < 0 || n > decimal.MaxDigits) {
			c.add(at(e), path, fmt.Sprintf("scale %d is not between 0 and %d", n, decimal.MaxDigits), "write how many places stand behind the point")
		}
	case name == "substring" && len(args) == 2:
		from, known := intLiteral(args[0])
		if to, both := intLiteral(args[1]); known && (from < 0 || both && to < from) {
			c.add(at(args[0]), path, fmt.Sprintf("characters %d to %d are no part of a text", from, to), "name the first one, counted from 0, and the one behind the last")
		}
	case name == "replace" && len(args) == 2 && isEmpty(args[0]):
		c.add(at(args[0]), path, "no text is looked for", "name the text that is replaced")
	case name == "split" && len(args) == 1 && isEmpty(args[0]):
		c.add(at(args[0]), path, "a text is split at nothing", "name what stands between its parts")
	case name == "matches" && len(args) > 0:
		if text, ok := literal(args[len(args)-1]); ok {
			c.regular(text, args[len(args)-1], path, at)
		}
	case (name == "pad" || name == "padRight") && len(args) == 3:
		c.filling(args, path, at)
	case name == "localTime" && len(args) == 3:
		if zone, ok := literal(args[2]); ok {
			if _, err := (&zones{}).load(zone); err != nil {
				c.add(at(args[2]), path, err.Error(), `name the plant's zone: "Europe/Berlin"`)
			}
		}
	}
}

func isEmpty(e ast.Expr) bool {
	text, ok := literal(e)
	return ok && text == ""
}

// filling looks at the length and the character of pad.
func (c *compiler) filling(args []ast.Expr, path string, at func(ast.Expr) place) {
	if n, ok := intLiteral(args[1]); ok && (n < 1 || n > maxText) {
		c.add(at(args[1]), path, fmt.Sprintf("%d characters are not between 1 and %d", n, maxText), "name the length of the text")
	}
	if fill, ok := literal(args[2]); ok && utf8.RuneCountInString(fill) != 1 {
		c.add(at(args[2]), path, fmt.Sprintf("fill with one character, not %q", clip(fill)), `such as "0"`)
	}
}

// regular finds a regular expression that is none.
func (c *compiler) regular(text string, e ast.Expr, path string, at func(ast.Expr) place) {
	if _, err := regexp.Compile(text); err != nil {
		c.add(at(e), path, "it is no regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "write it as RE2 has it, without look-ahead and back references")
	}
}
