package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// shape is what is known of an expression's value before it runs. What is not known is not limited.
type shape struct {
	kind    schema.Kind
	typ     *schema.Type     // of an object or list that comes from the document as it is
	length  int              // the most characters of a text; 0: not known
	digits  int              // before the point; 0: not known
	scale   int              // behind the point; schema.AnyScale: not known
	least   *decimal.Decimal // of a number, or of one in a text; nil: not known
	most    *decimal.Decimal
	enum    []string         // every text that it can be; nil: not known
	some    []string         // texts that it can be, beside others that are not known
	stands  map[string]place // where those of enum and some stand that the mapping or a table's row has
	absent  bool             // it may have no value
	null    string           // the table that leaves it out, also where an optional value is there; "": none does
	theirs  bool             // a text of the ERP's own, which it is given back
	made    bool             // a list that an expression makes: how many elements it has is not known
	amount  bool             // a text that holds a decimal
	apart   bool             // a number that is not 0
	empty   bool             // a text that may be empty
	format  string           // date, date-time and the like of a text, or unformatted; "": not known. Of one of those in some it says nothing
	pattern string           // what a text fits, but for those in some; "": not known
	always  *bool            // a condition that is the same for every message
	guards  []string         // fields that are there if this condition holds
	either  []shape          // of a value that may be of several kinds: each of those that are known

	unscaled bool // of a whole expression: it has a quotient by a whole number without a scale, which earlier releases took for its scale

	item    *shape  // each element of a list that an expression makes
	tuple   []shape // the same one by one, of a list that is written out and always has as many
	members []part  // of an object that an expression writes out; nil: not known
	none    bool    // there is no such value, as in an empty list
}

// unformatted is the format of a text whose schema asks for none.
const (
	unformatted = "text of any form"
	dateTime    = "date-time"
)

// known tells whether anything is known.
func (s shape) known() bool { return s.kind != schema.Any }

// shapeOf is that of a value of a type.
func shapeOf(t *schema.Type) shape {
	s := shape{kind: t.Kind, length: t.MaxLength, digits: t.Digits, scale: t.Scale, enum: t.Enum, theirs: t.Theirs}
	s.amount = t.Kind == schema.Text && t.Format == schema.IsDecimal
	switch t.Kind {
	case schema.Text:
		s.format, s.pattern, s.empty = cmp.Or(t.Format, unformatted), t.Pattern, t.MinLength == 0 && t.Enum == nil && t.Format == ""
	case schema.Object, schema.List:
		s.typ = t
	case schema.Integer:
		s.digits, s.scale = 19, 0
	}
	if s.length == 0 {
		s.length = longest(t.Enum)
	}
	if most, bounded := longestOf(s.pattern); bounded && most > 0 && (s.length == 0 || most < s.length) {
		s.length = most
	}
	s.least, s.most = bound(t.Least), bound(t.Most)
	return s
}

// bound is a limit as a number, nil if there is none that can be kept.
func bound(b schema.Bound) *decimal.Decimal {
	d, err := decimal.Parse(b.Value)
	if err != nil {
		return nil
	}
	return &d
}

// between tells the limits of a value that is one of two.
func (s *shape) between(x, y shape) {
	if x.least != nil && y.least != nil {
		if s.least = x.least; y.least.Cmp(*x.least) < 0 {
			s.least = y.least
		}
	}
	if x.most != nil && y.most != nil {
		if s.most = x.most; y.most.Cmp(*x.most) > 0 {
			s.most = y.most
		}
	}
}

func longest(texts []string) (n int) {
	for _, t := range texts {
		n = max(n, utf8.RuneCountInString(t))
	}
	return n
}

// or is what is known of a value that is one of two.
func (s shape) or(o shape) shape {
	switch {
	case s.none:
		o.absent = o.absent || s.absent
		return o
	case o.none:
		s.absent = s.absent || o.absent
		return s
	}
	out := shape{
		kind: s.kind, scale: schema.AnyScale, absent: s.absent || o.absent, theirs: s.theirs && o.theirs, amount: s.amount || o.amount, made: s.made || o.made,
		apart: s.apart && o.apart, empty: s.empty || o.empty,
		null: cmp.Or(s.null, o.null), stands: eitherPlace(s.stands, o.stands),
	}
	switch { // texts that are known stand in some
	case s.format == o.format || o.enum != nil:
		out.format = s.format
	case s.enum != nil:
		out.format = o.format
	}
	switch {
	case s.pattern == o.pattern || o.enum != nil:
		out.pattern = s.pattern
	case s.enum != nil:
		out.pattern = o.pattern
	}
	if s.kind != o.kind {
		out.kind, out.either = schema.Any, slices.Concat(s.kinds(), o.kinds())
	}
	out.typ, out.item, out.tuple, out.members = s.listOf(o), s.elementOr(o), s.tupleOr(o), s.membersOr(o)
	if !s.limitless() && !o.limitless() {
		out.length = max(s.length, o.length)
	}
	x, y := s.spelt(), o.spelt()
	if x.digits > 0 && y.digits > 0 {
		out.digits = max(x.digits, y.digits)
	}
	if x.scale != schema.AnyScale && y.scale != schema.AnyScale {
		out.scale = max(x.scale, y.scale)
	}
	out.between(x, y)
	either := slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.enum, s.some, o.enum, o.some))))
	if s.enum != nil && o.enum != nil {
		out.enum = either
	} else {
		out.some = either
	}
	return out
}

// spelt is what is known of a number that one text alone can be.
func (s shape) spelt() shape {
	if s.kind == schema.Text && s.digits == 0 && len(s.enum) == 1 {
		return s.number()
	}
	return s
}

// limitless tells whether a text may be of any length.
func (s shape) limitless() bool { return s.length == 0 && !s.theirs }

// analysis goes through one expression that CEL has checked.
type analysis struct {
	c     *compiler
	n     *yaml.Node
	path  string
	ast   *ast.AST
	binds map[string]shape

	shapes map[int64]shape // of each part
	loops  bool

	patterns bool // it holds a text against one

	choices  []choice
	unscaled bool
}

// analyse says what an expression's value is, and notes what could fail in it: a field that may be missing, a code without a row.
func (c *compiler) analyse(n *yaml.Node, path string, checked *ast.AST) (s shape, choices []choice, loops bool) {
	a := &analysis{c: c, n: n, path: path, ast: checked, binds: map[string]shape{}, shapes: map[int64]shape{}}
	s = a.of(checked.Expr(), c.guards)
	a.dear(checked.Expr())
	if t := checked.GetType(checked.Expr().ID()); t != nil && t.TypeName() == "optional_type" {
		s.absent = true
	}
	s.guards, _ = guarded(checked.Expr())
	s.unscaled = a.unscaled
	return s, a.choices, a.loops
}

func (a *analysis) wrong(e ast.Expr, why, hint string) { a.c.advise(a.at(e), a.path, why, hint) }

// at is where an expression stands in its file.
func (a *analysis) at(e ast.Expr) place {
	l := a.ast.SourceInfo().GetStartLocation(e.ID())
	return a.c.src.within(a.n, l.Line(), l.Column()+1)
}

// byType is what the type that CEL found says.
func (a *analysis) byType(e ast.Expr) shape {
	t := a.ast.GetType(e.ID())
	if t != nil && t.TypeName() == "optional_type" {
		t = t.Parameters()[0]
	}
	s := shape{scale: schema.AnyScale}
	switch {
	case t == nil:
	case t.IsExactType(types.StringType):
		s.kind = schema.Text
	case t.IsExactType(decimalType):
		s.kind = schema.Decimal
	case t.IsExactType(types.IntType):
		s.kind, s.digits, s.scale = schema.Integer, 19, 0
	case t.IsExactType(types.BoolType):
		s.kind = schema.Bool
	case t.Kind() == types.ListKind:
		s.kind, s.typ, s.made = schema.List, a.listType(t), true
	case t.Kind() == types.MapKind, t.Kind() == types.StructKind:
		s.kind, s.typ = schema.Object, a.c.objectType(t)
	}
	return s
}

// objectType finds the schema of an object that CEL knows by name.
func (c *compiler) objectType(t *types.Type) *schema.Type {
	if c.known == nil || t.Kind() != types.StructKind {
		return nil
	}
	return c.known.byName[t.TypeName()]
}

// of is the shape of one expression, where guards are the fields that are known to be there.
func (a *analysis) of(e ast.Expr, guards []string) shape {
	s := a.part(e, guards)
	s.others(e, guards)
	a.shapes[e.ID()] = s
	return s
}

func (a *analysis) part(e ast.Expr, guards []string) shape {
	switch e.Kind() {
	case ast.LiteralKind:
		s := literalShape(e)
		for _, v := range s.enum {
			s.stands = map[string]place{v: a.at(e)}
		}
		return s
	case ast.IdentKind:
		if s, ok := a.binds[e.AsIdent()]; ok {
			return s
		}
		if s, ok := a.c.locals[e.AsIdent()]; ok {
			return s
		}
		return a.eventShape(e)
	case ast.SelectKind:
		return a.selected(e, guards)
	case ast.CallKind:
		return a.called(e, guards)
	case ast.ComprehensionKind:
		return a.loop(e, guards)
	case ast.ListKind:
		return a.listed(e, guards)
	case ast.MapKind:
		return a.written(e, guards)
	case ast.StructKind:
		a.wrong(e, "an object of the source's types cannot be made", "write its members: {\"name\": …}")
	}
	return a.byType(e)
}

// selected is a field of an object. One that may be missing must be guarded.
func (a *analysis) selected(e ast.Expr, guards []string) shape {
	sel := e.AsSelect()
	if sel.Operand().Kind() == ast.IdentKind && sel.Operand().AsIdent() == "event" {
		s := a.byType(e)
		if s.length = eventLengths()["event."+sel.FieldName()]; sel.FieldName() == "time" {
			s.format = dateTime
		}
		return s
	}
	on := a.of(sel.Operand(), guards)
	t := a.c.objectType(plain(a.ast.GetType(sel.Operand().ID())))
	if sel.IsTestOnly() {
		return a.tested(e, t)
	}
	if on.members != nil {
		return a.memberOf(e, on, sel.FieldName(), guards)
	}
	if t == nil {
		if a.made(sel.Operand(), on) && !isOptional(a.ast.GetType(e.ID())) && !a.c.stops {
			a.wrong(e, "the object may have no such member", orNoMember)
		}
		a.open(e, on.typ, guards)
		return a.byType(e)
	}
	f, ok := t.Field(sel.FieldName())
	if !ok {
		return a.byType(e)
	}
	s := shapeOf(f.Type)
	if optional := isOptional(a.ast.GetType(sel.Operand().ID())); optional {
		s.absent = true
		return s
	}
	if s.absent = on.absent; !f.Required || f.Type.Nullable {
		a.missing(e, guards)
	}
	return s
}

// tested is has(): of a field that is always there it is true for every message.
func (a *analysis) tested(e ast.Expr, t *schema.Type) shape {
	s := shape{kind: schema.Bool, scale: schema.AnyScale}
	if t == nil {
		return s
	}
	if f, ok := t.Field(e.AsSelect().FieldName()); ok && f.Required && !f.Type.Nullable {
		yes := true
		s.always = &yes
	}
	return s
}

func plain(t *types.Type) *types.Type {
	if isOptional(t) {
		return t.Parameters()[0]
	}
	if t == nil {
		return types.DynType
	}
	return t
}

func isOptional(t *types.Type) bool { return t != nil && t.TypeName() == "optional_type" }

// called is the result of a function or operator.
func (a *analysis) called(e ast.Expr, guards []string) shape {
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.Conditional:
		return a.conditional(c, guards)
	case operators.LogicalAnd, operators.LogicalOr:
		return a.logical(c, guards)
	case operators.OptSelect:
		return a.optional(e, c, guards)
	}
	var on shape
	if c.IsMemberFunction() {
		on = a.of(c.Target(), guards)
	}
	args := make([]shape, 0, len(c.Args()))
	for _, x := range c.Args() {
		args = append(args, a.of(x, guards))
	}
	a.spelt(c, args)
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.In, sameValue, otherValue, amongThem, "optional.of", "optional.ofNonZeroValue", "or", "orValue", "hasValue":
	case "value":
		a.unwrapped(e, c, on, guards)
	case operators.Index, operators.OptIndex:
		a.nothing(c.Args()[1])
		return a.indexed(e, c, args[0], args[1], guards)
	default:
		if a.nothing(c.Args()...); c.IsMemberFunction() {
			a.nothing(c.Target())
		}
	}
	s := a.result(e, c, on, args)
	if d := a.decided(c, args, guards); d != nil {
		s.always = d
	}
	return s
}

func (a *analysis) conditional(c ast.CallExpr, guards []string) shape {
	args := c.Args()
	cond := a.of(args[0], guards)
	if cond.always != nil {
		why, hint := fmt.Sprintf("this is %t for every message, so that one side is never used", *cond.always), "leave the other side out"
		if ofMacro(args) {
			why, hint = fmt.Sprintf("this is %t for every element", *cond.always), "leave it out"
		}
		a.wrong(args[0], why, hint)
	}
	if !ofMacro(args) {
		a.choices = append(a.choices, choice{args[0].ID()})
	}
	yes, no := guarded(args[0])
	return a.of(args[1], append(slices.Clone(guards), yes...)).or(a.of(args[2], append(slices.Clone(guards), no...)))
}

// ofMacro tells whether a condition is not written in the expression, but what optMap or filter is made of.
func ofMacro(args []ast.Expr) bool {
	if args[0].Kind() == ast.CallKind && args[0].AsCall().FunctionName() == "hasValue" {
		return true
	}
	return args[2].Kind() == ast.IdentKind && strings.HasPrefix(args[2].AsIdent(), "@")
}

func (a *analysis) logical(c ast.CallExpr, guards []string) shape {
	and := c.FunctionName() == operators.LogicalAnd
	out := shape{kind: schema.Bool, scale: schema.AnyScale}
	all := true
	for _, x := range c.Args() {
		s := a.of(x, guards)
		yes, no := guarded(x)
		if and {
			guards = append(slices.Clone(guards), yes...)
		} else {
			guards = append(slices.Clone(guards), no...)
		}
		if s.always != nil && *s.always != and {
			out.always = s.always
		}
		a.deadPart(x, s, and)
		all = all && s.always != nil
	}
	if all && out.always == nil {
		out.always = &and
	}
	return out
}

// optional is .?name.
func (a *analysis) optional(e ast.Expr, c ast.CallExpr, guards []string) shape {
	on := a.of(c.Args()[0], guards)
	name, _ := literal(c.Args()[1])
	if on.members != nil {
		s := a.memberOf(e, on, name, guards)
		s.absent = s.absent || on.absent
		return s
	}
	t := a.c.objectType(plain(a.ast.GetType(c.Args()[0].ID())))
	s := a.byType(e)
	if t != nil {
		if f, ok := t.Field(name); ok {
			s = shapeOf(f.Type)
		}
	}
	s.absent = true
	return s
}
