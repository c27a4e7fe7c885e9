package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// value compiles the expression of a field or a default and checks that its type can be written the way the rule says.
func (c *compiler) value(n *yaml.Node, path string, r *rule, flat bool) *expr {
	e, t := c.expression(n, path)
	if e == nil {
		return nil
	}
	if optional := t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type"; optional {
		t = t.Parameters()[0]
	}
	isText, isNumber := t.IsExactType(cel.StringType), t.IsExactType(cel.IntType) || t.IsExactType(decimalType)
	writable := isText || isNumber || t.IsDyn() || t.IsExactType(cel.BoolType) || t.IsExactType(cel.NullType)
	structured := t.Kind() == types.ListKind || t.Kind() == types.MapKind || t.Kind() == types.StructKind
	switch {
	case e.shape.none:
		c.advise(place{c.src.file, n.Line, n.Column}, path, "there is never a value, so that the rule is dead", "leave it out: what has no value is not written")
	case !writable && !structured:
		c.wrong(n, path, fmt.Sprintf("a %s cannot be written", t), "make it a string, a decimal, an int or a bool")
	case structured && (flat || r.as != "" || r.numeric() || r.length > 0):
		c.wrong(n, path, fmt.Sprintf("one value is needed, this is a %s", t), "use each: for lists")
	case r.numeric() && !isNumber && !t.IsDyn() && (!isText || e.shape.digits == 0):
		c.wrong(n, path, fmt.Sprintf("scale is for decimals, this is a %s", t), "wrap it: decimal(…)")
	case r.as == "number" && !isNumber && !isText && !t.IsDyn():
		c.wrong(n, path, fmt.Sprintf("a %s cannot be written as a number", t), "wrap it: decimal(…)")
	case r.cut && e.shape.amount:
		c.wrong(n, path, "cut takes digits away from a quantity, so that another one arrives", "say how it is rounded: maxScale and round")
	case r.cut && e.shape.format == dateTime:
		c.wrong(n, path, "cut leaves a piece of a time in its own offset, which may be another day in the plant's zone", "name the zone: date(…, \"Europe/Berlin\"), or clock(…, …)")
	case r.length > 0 && !isText && !t.IsDyn():
		c.wrong(n, path, fmt.Sprintf("maxLength is for texts, this is a %s", t), "wrap it: string(…)")
	}
	return e
}

// condition compiles an expression that is true or false.
func (c *compiler) condition(n *yaml.Node, path string) *expr {
	e, t := c.expression(n, path)
	switch {
	case e == nil:
	case !t.IsExactType(cel.BoolType) && !t.IsDyn():
		c.wrong(n, path, fmt.Sprintf("a condition is true or false, this is a %s", t), "compare it with something: … == …")
	case e.shape.always != nil && *e.shape.always:
		c.advise(place{c.src.file, n.Line, n.Column}, path, "the condition holds for every message", "leave it out")
	case e.shape.always != nil:
		c.advise(place{c.src.file, n.Line, n.Column}, path, "the condition never holds, so that the rule is dead", "compare with a value that there can be, or leave the rule out")
	}
	return e
}

// list compiles the expression of a loop.
func (c *compiler) list(n *yaml.Node, path string) *expr {
	e, t := c.expression(n, path)
	if e == nil {
		return nil
	}
	if t.TypeName() == "optional_type" {
		t = t.Parameters()[0]
	}
	if t.Kind() != types.ListKind && !t.IsDyn() {
		c.wrong(n, path, fmt.Sprintf("each goes through a list, this is a %s", t), "name a field that is a list, or write the one value in brackets: [src.x]")
	}
	return e
}

// expression compiles one expression; nil after a mistake.
func (c *compiler) expression(n *yaml.Node, path string) (*expr, *cel.Type) {
	if !c.scalar(n, path) {
		return nil, nil
	}
	before := len(c.mistakes)
	p := c.program(n, path)
	if len(c.mistakes) > before {
		return nil, nil
	}
	e := &expr{text: n.Value, at: place{c.src.file, n.Line, n.Column}}
	if e.shape, e.choices, e.loops = c.analyse(n, path, p.checked.NativeRep()); len(c.mistakes) > before {
		return nil, nil
	}
	if p.prog == nil {
		var err error
		if p.prog, err = c.env.Program(p.checked, append(bounds(), cel.EvalOptions(cel.OptOptimize))...); err != nil {
			c.wrong(n, path, err.Error(), "write it in another way: a shorter pattern, or fewer parts in one expression")
			return nil, nil
		}
	}
	e.prog = p.prog
	if env := c.env; len(e.choices) > 0 {
		e.tracked = func(watch interpreter.InterpretableDecoratorV2) (cel.Program, error) {
			return env.Program(p.checked, append(bounds(), cel.CustomDecoratorV2(watch))...)
		}
	}
	return e, p.checked.OutputType()
}

// bounds are the limits of a program.
func bounds() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.CostLimit(costOfExpr), cel.CostTracking(lengths{}), cel.InterruptCheckFrequency(loopsBetween), cel.CustomDecoratorV2(countedFirst((*regexp.Regexp).MatchString)),
	}
}

// program parses and checks an expression, unless that was done on this level before. What is wrong with it is noted.
func (c *compiler) program(n *yaml.Node, path string) *program {
	key := phrase{c.env, n.Value}
	if p := c.compiled[key]; p != nil {
		c.walk(n, path, p.parsed) // the tables that it names are those of another mapping now
		return p
	}
	before := len(c.mistakes)
	c.lostQuotes(n, path)
	parsed, iss := c.env.Parse(n.Value)
	if iss.Err() != nil {
		c.issues(n, path, iss)
		return nil
	}
	if c.walk(n, path, parsed); len(c.mistakes) > before { // CEL would compile a pattern of any size
		return nil
	}
	checked, iss := c.env.Check(parsed)
	if iss.Err() != nil {
		c.issues(n, path, iss)
		return nil
	}
	compareByValue(checked.NativeRep())
	p := &program{parsed: parsed, checked: checked}
	c.compiled[key] = p
	return p
}

// walk finds what CEL allows and a mapping does not: doubles, comparisons that would never be true, and tables, zones and ways to
// round that are not there.
func (c *compiler) walk(n *yaml.Node, path string, parsed *cel.Ast) {
	info := parsed.NativeRep().SourceInfo()
	at := func(e ast.Expr) place {
		l := info.GetStartLocation(e.ID())
		return c.src.within(n, l.Line(), l.Column()+1)
	}
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if d, ok := e.AsLiteral().(types.Double); ok {
				c.add(at(e), path, "a floating-point number loses digits", fmt.Sprintf(`write decimal("%v")`, float64(d)))
			}
		case ast.CallKind:
			if e.AsCall().FunctionName() == operators.Divide {
				c.add(at(e), path, "numbers are not divided: a quotient may not end, and that of whole numbers loses its rest",
					"use ratio(value, numerator, denominator) of decimals, and round")
			}
			c.call(e.AsCall(), path, at)
		}
	}))
}

func (c *compiler) call(call ast.CallExpr, path string, at func(ast.Expr) place) {
	args := call.Args()
	if name := call.FunctionName(); len(args) == 3 && (name == "convert" || name == "ratio") {
		c.endless(call, path, at)
	}
	c.hopeless(call, path, at)
	switch name := call.FunctionName(); {
	case (name == "lookup" || name == "reverse") && len(args) == 2:
		c.checkTable(name, args[0], path, at)
	case name == "convert" && (len(args) == 3 || len(args) == 5), name == "unitCode" && len(args) == 3:
		c.checkUnits(name, args, path, at)
	case (name == "date" || name == "clock" || name == "dateTime" || name == "edmDate") && len(args) == 2:
		c.checkTime(args, path, at)
	case name == "round" && len(args) == 3, name == "ratio" && len(args) == 5:
		c.checkRounding(args[len(args)-1], path, at)
	case name == "decimal" && len(args) == 1:
		if text, ok := literal(args[0]); ok {
			if _, err := decimal.Parse(text); err != nil {
				why, hint := noNumber(text, err)
				c.add(at(args[0]), path, why, hint)
			}
		}
	case (name == operators.Equals || name == operators.NotEquals) && len(args) == 2:
		if isInt(args[0]) && !isInt(args[1]) {
			c.add(at(args[0]), path, "a number on the left is not compared with a decimal on the right", "write the field first: src.count == 3")
		}
	}
}

// checkRounding finds a way to round that is none.
func (c *compiler) checkRounding(e ast.Expr, path string, at func(ast.Expr) place) {
	if mode, ok := literal(e); ok && !slices.Contains(roundings(), mode) {
		c.add(at(e), path, fmt.Sprintf("%q is no way to round", clip(mode)), didYouMean(mode, roundings(), "use "+strings.Join(roundings(), ", ")))
	}
}

// checkTable finds the table that an expression looks into. Back, a value must stand for one code.
func (c *compiler) checkTable(function string, named ast.Expr, path string, at func(ast.Expr) place) {
	name, ok := literal(named)
	if !ok {
		c.add(at(named), path, "a table is named by a text in quotes", `lookup("reason", src.reason)`)
		return
	}
	t := c.m.tables[name]
	if t == nil {
		c.add(at(named), path, fmt.Sprintf("there is no table %q", clip(name)), didYouMean(name, sortedKeys(c.m.tables), "write it under tables:"))
		return
	}
	c.used.tables[name], c.used.read[[2]string{name, function}] = true, true
	for _, value := range sortedKeys(t.twice) {
		if function == "reverse" {
			codes := t.twice[value]
			c.add(at(named), path, fmt.Sprintf("%q stands for both %q and %q in table %s", value, codes[0], codes[1], name), "a table that is read back needs one code for each value")
		}
	}
}

// checkTime finds a zone that is none, and a time that stands in the expression and is none.
func (c *compiler) checkTime(args []ast.Expr, path string, at func(ast.Expr) place) {
	if zone, ok := literal(args[1]); ok {
		if _, err := (&zones{}).load(zone); err != nil {
			c.add(at(args[1]), path, err.Error(), zoneHint)
		}
	}
	if text, ok := literal(args[0]); ok {
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			c.add(at(args[0]), path, fmt.Sprintf("%q is no RFC 3339 time with an offset", clip(text)), `write it as "2026-11-24T06:00:00+01:00"`)
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func isInt(e ast.Expr) bool {
	if e.Kind() != ast.LiteralKind {
		return false
	}
	_, ok := e.AsLiteral().(types.Int)
	return ok
}

func didYouMean(name string, candidates []string, otherwise string) string {
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// operandBefore is what a field is asked of, such as src.order.operations[0].
var operandBefore = regexp.MustCompile(`(?:[\w.?]|\[\??[0-9]+\])*$`)

var undefinedField = regexp.MustCompile(`^undefined field '([^']*)'`)

// noField says which fields there are in the place of one that is not: those of the object that stands before the name.
func (c *compiler) noField(name, text string, line, col int) (why, hint string) {
	lines := strings.Split(text, "\n")
	before := []rune(lines[min(line, len(lines))-1])
	operand := operandBefore.FindString(string(before[:min(col, len(before))]))
	t := c.typeAt(strings.Split(strings.ReplaceAll(operand, "?", ""), "."))
	if t == nil {
		var all []string
		for _, of := range c.known.byName {
			all = append(all, of.Names()...)
		}
		all = slices.DeleteFunc(all, func(other string) bool { return other == name }) // another object has it
		return fmt.Sprintf("there is no field %s", name), didYouMean(name, all, "look it up in the document's schema")
	}
	return fmt.Sprintf("%s has no field %s", c.known.names[t], name), didYouMean(name, t.Names(), "it has "+strings.Join(t.Names(), ", "))
}

// typeAt follows a path of names, and of elements of lists; nil where it leads to no object that is known.
func (c *compiler) typeAt(path []string) *schema.Type {
	first, _, indexed := strings.Cut(path[0], "[")
	t := elementIf(indexed, c.locals[first].typ)
	for _, step := range path[1:] {
		name, _, indexed := strings.Cut(step, "[")
		if t == nil || name == "" {
			continue
		}
		f, ok := t.Field(name)
		if !ok {
			return nil
		}
		t = elementIf(indexed, f.Type)
	}
	if t == nil || t.Kind != schema.Object {
		return nil
	}
	return t
}

// elementIf is the type of the elements of a list if one of them is named, or else the type itself.
func elementIf(indexed bool, t *schema.Type) *schema.Type {
	if indexed && t != nil && t.Kind == schema.List {
		return t.Item
	}
	return t
}
