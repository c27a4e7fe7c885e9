package mes

import (
	"fmt"

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

// notNegative notes a quantity or time below zero.
func (c *checks) notNegative(d decimal.Decimal, pointer string) {
	c.that(d.Sign() >= 0, pointer, "is less than 0")
}

// named notes a name that is missing or longer than any ERP keeps.
func (c *checks) named(s, pointer string) {
	c.that(s != "", pointer, "is missing")
	c.that(len(s) <= maxName, pointer, fmt.Sprintf("is longer than %d bytes", maxName))
}

// maxName is the most bytes that the number or name of anything may have.
const maxName = 80

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
