package mapping

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"holdfast/internal/schema"
)

// observer sees what a run does: which rule writes what, and which parts of a mapping are used. A run for a real message has none.
type observer struct {
	from []Origin
	used map[string]bool // parts, see parts
}

type observerKey struct{}

func observed(ctx context.Context, o *observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

func observerOf(ctx context.Context) *observer {
	o, _ := ctx.Value(observerKey{}).(*observer)
	return o
}

func (o *observer) mark(rl *rule, part string) {
	if o == nil || rl == nil {
		return
	}
	if o.used == nil {
		o.used = map[string]bool{}
	}
	o.used[partName(rl, part)] = true
}

// row notes that a row of a table was found, forwards or back.
func (o *observer) row(table, code string) {
	if o == nil {
		return
	}
	if o.used == nil {
		o.used = map[string]bool{}
	}
	o.used[rowName(table, code)] = true
}

// noRow stands for the codes without a row: no code has it, for a text has no such byte.
const noRow = "\xff"

// rowName cannot be the name of a part of a rule, which begins with a file.
func rowName(table, code string) string { return "\x00" + table + "\x00" + code }

// rows counts the rows of the tables, and those that were used; the others are named by their table in one line each.
func (m *mapping) rows(o *observer) (all, used int, unused []string) {
	for _, name := range sortedKeys(m.tables) {
		var left []string
		if t := m.tables[name]; t.open && t.goesOn() {
			if all++; o.used[rowName(name, noRow)] {
				used++
			} else {
				unused = append(unused, fmt.Sprintf("%s: tables.%s: a code without a row", m.file, name))
			}
		}
		for _, code := range sortedKeys(m.tables[name].rows) {
			if all++; o.used[rowName(name, code)] {
				used++
			} else {
				left = append(left, code)
			}
		}
		if len(left) == 0 {
			continue
		}
		shown := left[:min(len(left), mostCodes)]
		more := ""
		if n := len(left) - len(shown); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		unused = append(unused, fmt.Sprintf("%s: tables.%s: %s%s", m.file, name, strings.Join(shown, ", "), more))
	}
	return all, used, unused
}

// mostCodes is how many rows of a table are named that no example uses.
const mostCodes = 20

func partName(rl *rule, part string) string {
	if part == "" {
		return rl.at.String() + ": " + rl.path
	}
	return rl.at.String() + ": " + rl.path + ": " + part
}

// wrote notes that a rule made a part of the body.
func (o *observer) wrote(rl *rule, start, end int) {
	if o != nil {
		o.from = append(o.from, Origin{start, end, rl.path, rl.at.String()})
		o.mark(rl, "")
	}
}

// Parts of a rule, besides that it made something.
const (
	partUnheld  = "when it does not hold"
	partEmpty   = "each without an element"
	partDefault = "default"
)

// parts are what examples should use of a mapping: each rule, both answers of a condition, each side of a choice in any of its expressions, a
// default, and a list without an element where there can be one.
func (m *mapping) parts() []string {
	var out []string
	var walk func(rules ...*rule)
	walk = func(rules ...*rule) {
		for _, rl := range rules {
			if rl == nil {
				continue
			}
			out = append(out, partName(rl, ""))
			if rl.when != nil {
				out = append(out, partName(rl, partUnheld))
			}
			if rl.absent != nil {
				out = append(out, partName(rl, partDefault))
			}
			if rl.each != nil && rl.when == nil && rl.each.mayBeEmpty() {
				out = append(out, partName(rl, partEmpty))
			}
			for _, e := range []*expr{rl.when, rl.each, rl.value, rl.absent} {
				if e == nil {
					continue
				}
				for i := range e.choices {
					out = append(out, partName(rl, rl.choiceName(e, i, true)), partName(rl, rl.choiceName(e, i, false)))
				}
			}
			walk(rl.fields...)
		}
	}
	walk(m.when, m.toKind, m.toKey, m.toTime)
	walk(m.params...)
	walk(m.fields...)
	slices.Sort(out)
	return slices.Compact(out)
}

// mayBeEmpty tells whether an expression can make a list without an element, or none.
func (e *expr) mayBeEmpty() bool {
	s := e.shape
	if s.absent || s.typ != nil {
		return s.absent || s.typ.MinItems == 0
	}
	return s.kind != schema.List || s.made // else it is written out
}

// choiceName names one side of a choice in one of the rule's expressions.
func (rl *rule) choiceName(e *expr, i int, yes bool) string {
	of, side := "", ":"
	switch e {
	case rl.when:
		of = "when, "
	case rl.each:
		of = "each, "
	case rl.absent:
		of = partDefault + ", "
	}
	if yes {
		side = "?"
	}
	return fmt.Sprintf("%schoice %d, the side behind %s", of, i+1, side)
}

// choice is one ? : of an expression, by the numbers that CEL gives its condition.
type choice struct{ condition int64 }

// evaluate runs an expression; an observer sees which sides of its choices were taken, for each element of a list that it goes through.
func (r *run) evaluate(rl *rule, e *expr, s *scope) (ref.Val, *cel.EvalDetails, error) {
	o := r.observer
	if o == nil || len(e.choices) == 0 {
		return r.during(e, e.prog, s)
	}
	prog, err := e.tracked(func(part interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		i := slices.IndexFunc(e.choices, func(c choice) bool { return c.condition == part.ID() })
		if i < 0 {
			return part, nil
		}
		return watched{part, func(yes bool) { o.mark(rl, rl.choiceName(e, i, yes)) }}, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return r.during(e, prog, s)
}

// during runs a program until nobody waits for it any more. That is asked in its loops alone: all else is short.
func (r *run) during(e *expr, prog cel.Program, s *scope) (ref.Val, *cel.EvalDetails, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, nil, err
	}
	if !e.loops {
		return prog.Eval(s)
	}
	return prog.ContextEval(r.ctx, s)
}

// watched is the condition of a choice.
type watched struct {
	interpreter.InterpretableV2
	saw func(yes bool)
}

// Exec implements interpreter.InterpretableV2.
func (w watched) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := w.InterpretableV2.Exec(frame)
	if b, ok := v.(types.Bool); ok {
		w.saw(bool(b))
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (w watched) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, w.Exec)
}
