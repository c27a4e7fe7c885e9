package mapping

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

func literalShape(e ast.Expr) shape {
	switch v := e.AsLiteral().(type) {
	case types.String:
		return shape{kind: schema.Text, length: max(1, utf8.RuneCountInString(string(v))), enum: []string{string(v)}, scale: schema.AnyScale}
	case types.Bool:
		b := bool(v)
		return shape{kind: schema.Bool, always: &b, scale: schema.AnyScale}
	case types.Int:
		d := decimal.FromInt(int64(v))
		return shape{kind: schema.Integer, digits: len(strings.TrimPrefix(fmt.Sprint(int64(v)), "-")), least: &d, most: &d}
	case types.Null:
		return shape{absent: true, none: true, scale: schema.AnyScale}
	default:
		return shape{scale: schema.AnyScale}
	}
}

// eventLengths are those of what comes with the body.
func eventLengths() map[string]int {
	return map[string]int{
		"event.id": 200, "event.kind": 60, "event.key": 200, "event.lane": 200, "event.digest": 64, "event.time": len("2006-01-02T15:04:05.999999999+00:00"),
	}
}

func (a *analysis) eventShape(e ast.Expr) shape {
	s := a.byType(e)
	s.length = eventLengths()[e.AsIdent()]
	if e.AsIdent() == "event.time" {
		s.format = dateTime
	}
	return s
}
