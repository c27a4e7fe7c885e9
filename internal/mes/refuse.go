package mes

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// conflict refuses what is right in itself but not now.
func conflict(what, why, hint string, fields ...problem.Field) error {
	return &problem.Error{Kind: problem.Conflict, What: what, Why: why, Hint: hint, Fields: fields}
}

// missing refuses what names something that is not there.
func missing(what, why, hint string, fields ...problem.Field) error {
	return &problem.Error{Kind: problem.NotFound, What: what, Why: why, Hint: hint, Fields: fields}
}

// named says which field of the input refers to what err has not found.
func named(err error, pointer string) error {
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Kind == problem.NotFound && len(e.Fields) == 0 {
		e.Fields = []problem.Field{field(pointer, "is not known: "+e.Why)}
	}
	return err
}

// field is one wrong field of the input.
func field(pointer, why string) problem.Field { return problem.Field{Pointer: pointer, Why: why} }

// checks gathers everything that is wrong with an input, so that a person corrects it once.
type checks struct{ fields []problem.Field }

// that notes why the field at pointer is wrong unless ok.
func (c *checks) that(ok bool, pointer, why string) {
	if !ok {
		c.fields = append(c.fields, field(pointer, why))
	}
}

// The limits of what is entered: beyond what any ERP keeps (13 digits, 3 of them behind the point), and such that no product of
// two of them outgrows decimal.MaxDigits.
const (
	maxName          = 80 // bytes of the number or name of anything
	maxPlaces        = 9  // behind the point of a quantity or time
	maxBooked        = 12 // behind the point of a converted quantity
	maxPercent       = 10_000
	maxPercentPlaces = 4
)

// most is what a quantity or time must be below.
func most() decimal.Decimal { return decimal.FromInt(1_000_000_000_000_000) }

// quantity notes a quantity or time that is below zero, or beyond the limits.
func (c *checks) quantity(d decimal.Decimal, pointer string) {
	c.that(d.Sign() >= 0, pointer, "is less than 0")
	c.that(d.Cmp(most()) < 0, pointer, "has more than 15 digits before the point")
	c.that(d.Scale() <= maxPlaces, pointer, fmt.Sprintf("has more than %d places behind the point", maxPlaces))
}

// positive is quantity, and notes 0 too.
func (c *checks) positive(d decimal.Decimal, pointer string) {
	c.that(!d.IsZero(), pointer, "is not above 0")
	c.quantity(d, pointer)
}

// percent notes a percentage that is below zero, or beyond the limits.
func (c *checks) percent(d decimal.Decimal, pointer string) {
	c.that(d.Sign() >= 0, pointer, "is less than 0")
	c.that(d.Cmp(decimal.FromInt(maxPercent)) <= 0, pointer, fmt.Sprintf("is more than %d", maxPercent))
	c.that(d.Scale() <= maxPercentPlaces, pointer, fmt.Sprintf("has more than %d places behind the point", maxPercentPlaces))
}

// isDay tells whether s is a day of the calendar, as in 2026-11-24.
func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

const notADay = "is not a day such as 2026-11-24"

// named notes a name that is missing, or is not one that both databases keep.
func (c *checks) named(s, pointer string) {
	c.that(s != "", pointer, "is missing")
	c.text(s, pointer)
}

// text notes a name that is too long, or has what a database does not keep in text.
func (c *checks) text(s, pointer string) {
	c.that(len(s) <= maxName, pointer, fmt.Sprintf("is longer than %d bytes", maxName))
	c.that(storable(s), pointer, "has a control character, or is not UTF-8")
}

// storable tells whether both databases keep s in text.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// err is nil if nothing was noted.
func (c *checks) err(what string) error {
	if len(c.fields) == 0 {
		return nil
	}
	first := c.fields[0]
	return &problem.Error{
		Kind: problem.Invalid, What: what, Why: fmt.Sprintf("%s %s", first.Pointer, first.Why),
		Hint: "correct the fields named and send it again", Fields: c.fields,
	}
}
