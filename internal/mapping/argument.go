package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types/ref"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// timeOfDay is the format of a text that holds a time of day.
const timeOfDay = "time"

// argument is a text that a function takes.
type argument struct {
	what  string   // for a person
	forms []string // formats of texts that it may have
	form  string   // what such a text looks like; "": that says nothing
	reads func(string) error
	hint  string
	tells bool // the error of reads says what is wrong
	bare  bool // a text of any form may be one: no format says so
}

// arguments are those of the functions that take texts of a form, n of them.
func arguments(function string, n int) []argument {
	in := func(layout string) func(string) error {
		return func(s string) error { _, err := time.Parse(layout, s); return err }
	}
	read := func(f func(string) (ref.Val, error)) func(string) error {
		return func(s string) error { _, err := f(s); return err }
	}
	const (
		makesDay   = `date(…, "Europe/Berlin") makes one of a time`
		makesClock = `clock(…, "Europe/Berlin") makes one of a time`
		makesTime  = `localTime(day, clock, "Europe/Berlin") makes one of a day and a time of day`
	)
	day := argument{what: "a day", forms: []string{"date", schema.IsCivil}, form: dayForm, reads: in(time.DateOnly), hint: makesDay}
	clock := argument{what: "a time of day", forms: []string{timeOfDay}, form: clockForm, reads: read(relaid(time.TimeOnly, compactTime)), hint: makesClock}
	instant := argument{what: "a date-time", forms: []string{dateTime}, form: timeForm, reads: in(time.RFC3339Nano), hint: makesTime}
	zone := argument{what: "a zone", forms: []string{schema.IsZone}, reads: func(s string) error { _, err := (&zones{}).load(s); return err }, hint: zoneHint, tells: true}
	written := func(as, form string, read func(string) error, hint string) []argument {
		return []argument{{what: as, form: form, reads: read, hint: hint, bare: true}}
	}
	switch {
	case function == "edmDate" && n == 2, function == "date", function == "clock", function == "dateTime":
		return []argument{instant, zone}
	case function == "edmDate":
		day.reads, day.hint = func(s string) error { _, err := edmDate(s); return err }, `of a time name the zone: edmDate(…, "Europe/Berlin"), or "UTC" for Edm.DateTimeOffset`
		return []argument{day}
	case function == "localTime":
		day.reads, day.forms = func(s string) error { _, err := inZone(s, "00:00:00", time.UTC); return err }, append(day.forms, dateTime)
		clock.reads = func(s string) error { _, err := inZone("2026-01-01", s, time.UTC); return err }
		return []argument{day, clock, zone}
	case function == "compactDate":
		return []argument{day}
	case function == "compactTime", function == "edmTime":
		return []argument{clock}
	case function == "fromCompactDate":
		return written("a day as 20261124 is", compactForm, func(s string) error { _, err := fromCompactDay(s); return err }, "compactDate writes one of a day")
	case function == "fromCompactTime":
		return written("a time of day as 063000 is", secondsForm, read(relaid(compactTime, time.TimeOnly)), "compactTime writes one of a time of day")
	case function == "fromEdmDate":
		return written("a time as /Date(1795500000000)/ is", edmDateForm.String(), func(s string) error { _, err := fromEdmDate(s); return err }, "edmDate writes one of a day or a time")
	case function == "fromEdmTime":
		return written("a time of day as PT06H30M00S is", edmTimeForm.String(), func(s string) error { _, err := fromEdmTime(s); return err }, "edmTime writes one of a time of day")
	case function == "decimal":
		return []argument{{what: "a number", forms: []string{schema.IsDecimal}, form: numberForm, reads: func(s string) error { _, err := decimal.Parse(s); return err }, hint: "give it the field that holds one"}}
	case function == "int":
		return []argument{{what: "a whole number", form: wholeForm, reads: func(s string) error { _, err := strconv.ParseInt(s, 10, 64); return err }, hint: `of a text with a decimal write int(round(decimal(…), 0, "half-up"))`}}
	case function == "bool":
		return []argument{{what: "true or false", form: boolForm, reads: func(s string) error { _, err := strconv.ParseBool(s); return err }, hint: `compare it with what stands for true: … == "X"`}}
	}
	return nil
}

// zoneHint is what to do about a zone that is none.
const zoneHint = `name the plant's zone: "Europe/Berlin"`

// texts are those that a value is known to be able to be.
func (s shape) texts() []string { return slices.Concat(s.enum, s.some) }

// taken finds an argument of which it is known that the function stops the message at it, or that it may without the mapping's saying so.
func (a *analysis) taken(c ast.CallExpr, args []shape) {
	for i, want := range arguments(c.FunctionName(), len(args)) {
		a.formed(c, i, want, args[i])
	}
	switch c.FunctionName() {
	case "pad", "padRight":
		a.padded(c, args)
	case "int":
		a.whole(c.Args()[0], args[0])
	case "ratio":
		a.nought(c.Args()[2], args[2])
		a.rounded(c, args)
	case "round":
		a.rounded(c, args)
	case operators.Modulo:
		a.nought(c.Args()[1], args[1])
	case "substring":
		a.cutOut(c, args)
	case "replace", "split":
		a.sought(c.Args()[0], args[0])
	case "unitCode":
		a.scheme(c.Args()[1], args[1])
		a.scheme(c.Args()[2], args[2])
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
		find := func(code string) error { _, err := a.c.units.find(code); return err }
		a.units(c.Args()[1], args[1], find)
		a.units(c.Args()[2], args[2], find)
		if to, ok := literal(c.Args()[2]); ok {
			a.alike(c.Args()[1], args[1], to)
		}
		a.rounded(c, args)
	}
}

// formed looks at one text that shall be a day, a zone, a number or the like.
func (a *analysis) formed(c ast.CallExpr, i int, want argument, s shape) {
	if s.kind != schema.Text {
		return
	}
	takes := fmt.Sprintf("%s takes %s, and this ", c.FunctionName(), want.what)
	for _, v := range s.texts() {
		err := want.reads(v)
		switch {
		case err == nil:
			continue
		case want.tells:
			a.wrong(c.Args()[i], err.Error(), want.hint)
		case want.what == "a number" && commaNumber.MatchString(v):
			why, hint := noNumber(v, err)
			at, stands := s.stands[v]
			if !stands {
				at = a.at(c.Args()[i])
			}
			a.c.advise(at, a.path, why, hint)
		default:
			a.wrong(c.Args()[i], fmt.Sprintf("%scan be %q", takes, clip(v)), want.hint)
		}
		return
	}
	switch {
	case s.enum != nil, slices.Contains(want.forms, s.format), !slices.Contains(formats(), s.format):
	case s.format != unformatted:
		if !a.stopping(want, s) {
			a.wrong(c.Args()[i], takes+"is a "+formName(s.format), want.hint)
		}
	default:
		a.free(c.Args()[i], takes, want, s)
	}
}

// stopping tells whether a decimal is one that only some messages stop at, as a whole number with places behind its point does, and the mapping
// says that they shall.
func (a *analysis) stopping(want argument, s shape) bool {
	return want.what == "a whole number" && s.format == schema.IsDecimal && (a.c.stops || s.scale == 0)
}

// formats are those of which it is known what a text of them is.
func formats() []string {
	return []string{unformatted, "date", dateTime, timeOfDay, schema.IsCivil, schema.IsDecimal, schema.IsZone, schema.IsUnit, isUUID}
}

// free looks at a text whose source gives it no format: it may have a pattern, or a length, by which it is one that the function reads, or none.
func (a *analysis) free(e ast.Expr, takes string, want argument, s shape) {
	all, some, known := false, true, true
	if want.form != "" {
		all, some, known = covered(s.patternOf(), want.form)
	}
	switch {
	case !known, all:
	case !some && s.pattern == "":
		a.wrong(e, fmt.Sprintf("%shas %d characters at most", takes, s.length), want.hint)
	case !some:
		a.wrong(e, takes+"fits "+s.pattern, want.hint)
	case want.bare, a.c.stops:
	default:
		a.wrong(e, takes+"can be any text", want.asking())
	}
}

// asking is what to do about a text that may be one, or not.
func (want argument) asking() string {
	if want.form == "" {
		return want.hint + ", look it up in a table, or say required: true, which stops a message with none"
	}
	return "take a field that has such a format, ask first whether it matches(…), or say required: true, which stops a message with another text"
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
