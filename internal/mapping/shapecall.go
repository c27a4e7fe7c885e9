package mapping

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// result is what is known of a call's result. What stands in no line here is known by its type alone.
func (a *analysis) result(e ast.Expr, c ast.CallExpr, on shape, args []shape) shape {
	s := a.byType(e)
	a.amounts(e, c.FunctionName(), args)
	a.taken(c, args)
	switch name := c.FunctionName(); name {
	case "orValue", "or":
		s = on
		s.absent = s.null != ""
		return s.or(args[0])
	case "value":
		on.absent = on.null != ""
		return on
	case "optional.of":
		return args[0]
	case "optional.ofNonZeroValue":
		s = args[0]
		s.absent = true
		return s
	case "optional.none":
		return shape{scale: schema.AnyScale, absent: true, none: true}
	case "lookup", "reverse":
		return a.looked(c, args[1])
	case "ref", "plantID":
		a.referred(c.Args()[0], name, args[0])
		a.ownNumber(c, name, args[0])
		if slices.Contains(args[1].texts(), "") {
			a.wrong(c.Args()[1], "it refers to nothing", "give it the object's ID or number: "+map[string]string{"ref": "src.order.id", "plantID": "src.number"}[name])
		}
		s.theirs = name == "ref"
		s.length = map[string]int{"plantID": 36}[name]
	case operators.Equals, operators.NotEquals:
		a.untyped(e, c.Args())
	case operators.In:
		a.untypedIn(e, c.Args())
	case operators.LogicalNot:
		if args[0].always != nil {
			no := !*args[0].always
			s.always = &no
		}
	default:
		return a.carried(a.sized(s, c, on, args), c, on, args)
	}
	return s
}

// amounts finds decimals in texts that are compared or added as texts. A text that holds no number, such as "", may be compared with one, and
// joined to it.
func (a *analysis) amounts(e ast.Expr, operator string, args []shape) {
	if len(args) != 2 || !args[0].amount && !args[1].amount || args[0].kind != args[1].kind {
		return
	}
	why := "quantities come as texts, of which 9 is more than 10 and 1.0 is not 1"
	switch operator {
	case operators.Equals, operators.NotEquals:
		if args[0].wordy() || args[1].wordy() {
			return
		}
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
	case operators.Add:
		if why = "quantities come as texts, and + joins texts: 1 + 2 would be 12"; !args[0].amount || !args[1].amount {
			return
		}
	default:
		return
	}
	a.wrong(e, why, "write decimal(…) on both sides")
}

// untyped finds a decimal that is compared with what has no type while it runs: a whole number of it would never be equal to one.
func (a *analysis) untyped(e ast.Expr, args []ast.Expr) {
	left, right := plain(a.ast.GetType(args[0].ID())), plain(a.ast.GetType(args[1].ID()))
	if left.IsDyn() && right.IsExactType(decimalType) {
		a.wrong(e, "what comes has no type while it runs, and a whole number on the left is never equal to a decimal", "write decimal(…) on both sides")
	}
}

// untypedIn finds the same of a decimal that is looked for in a list.
func (a *analysis) untypedIn(e ast.Expr, args []ast.Expr) {
	in := plain(a.ast.GetType(args[1].ID()))
	if plain(a.ast.GetType(args[0].ID())).IsDyn() && in.Kind() == types.ListKind && in.Parameters()[0].IsExactType(decimalType) {
		a.wrong(e, "what comes has no type while it runs, and a whole number is in no list of decimals", "write decimal(…) of what is looked for")
	}
}

// wordy tells whether a text is known to be no number.
func (s shape) wordy() bool {
	return s.enum != nil && !slices.ContainsFunc(s.enum, func(v string) bool { _, err := decimal.Parse(v); return err == nil })
}

// compared is what comes of comparing texts of which one can never be the other.
func compared(equal bool, a, b shape) *bool {
	if a.enum == nil || b.enum == nil || slices.ContainsFunc(a.enum, func(v string) bool { return slices.Contains(b.enum, v) }) {
		return nil
	}
	never := !equal
	return &never
}

// sized is the length of a text, or the digits of a number.
func (a *analysis) sized(s shape, c ast.CallExpr, on shape, args []shape) shape {
	switch c.FunctionName() {
	case operators.Add, operators.Subtract, operators.Multiply:
		return arithmeticShape(c.FunctionName(), s, args)
	case operators.Negate:
		return negated(s, args[0].number())
	case "abs":
		n := args[0].number()
		s.digits, s.scale = n.digits, n.scale
	case "decimal":
		return decimalShape(s, args[0])
	case "int":
		return wholeShape(s, args[0])
	case "round":
		return roundedShape(s, c, args[0])
	case "ratio", "convert":
		if args := c.Args(); len(args) > 3 {
			if n, ok := intLiteral(args[3]); ok {
				s.scale = n
			}
		} else if _, ok := intLiteral(args[2]); ok {
			a.unscaled = true
		}
	case "string":
		if n := args[0]; n.kind == schema.Text {
			return n
		} else if n.digits > 0 && n.scale != schema.AnyScale {
			s.length = n.digits + n.scale + len("-.")
		} else if n.kind == schema.Bool {
			s.enum, s.length = []string{"false", "true"}, len("false")
		}
		s.amount = args[0].kind == schema.Decimal && !oneSpelling(c.Args()[0])
	case "upper", "lower", "trim":
		s.length, s.theirs, s.amount, s.format = on.length, on.theirs, on.amount, on.format
	case "stripZeros":
		s.length, s.theirs, s.format = on.length, on.theirs, on.partFormat()
	case "substring":
		a.pieces(c, on)
		s.length, s.format = between(c.Args(), on.length), on.partFormat()
	case "split":
		return a.split(s, c, on)
	case "replace":
		a.pieces(c, on)
		s.format = on.partFormat()
	case "pad", "padRight":
		s.format = args[0].partFormat()
		if n, ok := intLiteral(c.Args()[1]); ok {
			s.length = n
		}
	case "unitCode":
		s.format = schema.IsUnit
		if to, ok := literal(c.Args()[2]); ok {
			s.length = a.c.units.codeLength(to)
		}
	default:
		return timed(s, c.FunctionName())
	}
	return s
}

// negated is a number with the other sign.
func negated(s, n shape) shape {
	if s.digits, s.scale = n.digits, n.scale; n.least != nil {
		most := n.least.Neg()
		s.most = &most
	}
	if n.most != nil {
		least := n.most.Neg()
		s.least = &least
	}
	return s
}

// decimalShape is the decimal that a number, or a text, becomes.
func decimalShape(s, of shape) shape {
	n := of.number()
	s.digits, s.scale, s.least, s.most, s.apart = n.digits, n.scale, n.least, n.most, of.apart
	if all, _, _ := covered(of.patternOf(), `^-?[0-9]*$`); all && of.kind == schema.Text {
		s.digits, s.scale = of.longestPattern(), 0
		for _, v := range of.some {
			s = s.orNumber(v)
		}
	}
	return s
}

// roundedShape is a number with so many places, where they stand in the expression.
func roundedShape(s shape, c ast.CallExpr, of shape) shape {
	n, ok := intLiteral(c.Args()[1])
	if !ok {
		return s
	}
	if s.digits, s.scale = of.digits, n; s.digits > 0 {
		s.digits++
	}
	mode, _ := literal(c.Args()[2])
	s.least, s.most = roundedBound(of.least, n, mode), roundedBound(of.most, n, mode)
	return s
}

// roundedBound is a limit of what is rounded; nil where it is not known.
func roundedBound(d *decimal.Decimal, places int, mode string) *decimal.Decimal {
	if d == nil || places < 0 || places > decimal.MaxDigits || !slices.Contains(roundings(), mode) {
		return nil
	}
	r, err := d.Round(int32(places), decimal.Mode(mode))
	if err != nil {
		return nil
	}
	return &r
}

// timed is the length and the format of a day or a time.
func timed(s shape, function string) shape {
	switch function {
	case "date", "fromCompactDate":
		s.length, s.format = len("2006-01-02"), "date"
	case "clock", "fromCompactTime", "fromEdmTime":
		s.length, s.format, s.pattern = len("15:04:05"), timeOfDay, clockForm
	case "dateTime", "localTime", "fromEdmDate":
		s.length, s.format = len("2006-01-02T15:04:05.999999999+00:00"), dateTime
	case "compactDate":
		s.length, s.pattern = len("20060102"), `^[0-9]{8}$`
	case "compactTime":
		s.length, s.pattern = len("150405"), secondsForm
	case "edmDate":
		s.length, s.pattern = len("/Date(-62135596800000)/"), edmDateForm.String()
	case "edmTime":
		s.length, s.pattern = len("PT06H30M00S"), edmTimeForm.String()
	}
	return s
}

// wholeShape is the whole number that a number, or a text, becomes.
func wholeShape(s, of shape) shape {
	if of.kind == schema.Text {
		if all, _, _ := covered(of.patternOf(), `^[0-9]{1,18}$`); all {
			s.digits = min(cmp.Or(of.longestPattern(), 18), 18)
			none, most := decimal.FromInt(0), decimal.MustParse(strings.Repeat("9", s.digits))
			s.least, s.most = &none, &most
			for _, v := range of.some {
				s = s.orNumber(v)
			}
		}
		return s.wholly()
	}
	if s.least, s.most = of.least, of.most; of.digits > 0 {
		s.digits = min(s.digits, of.digits)
	}
	return s.wholly()
}

// longestPattern is how many characters a text has at most that its pattern takes; those that are known beside it may have more.
func (s shape) longestPattern() int {
	if n, bounded := longestOf(s.pattern); bounded {
		return n
	}
	return s.length
}

// orNumber is what is known of a number that may also be the one in a text.
func (s shape) orNumber(text string) shape {
	n := shape{kind: schema.Text, enum: []string{text}}.number()
	if n.least == nil { // no number: another mistake is told of it
		return s
	}
	if s.digits > 0 {
		s.digits = max(s.digits, n.digits)
	}
	if s.scale != schema.AnyScale {
		s.scale = max(s.scale, n.scale)
	}
	was := s
	s.least, s.most = nil, nil
	s.between(was, n)
	return s
}

// wholly gives a whole number the bounds that its digits set.
func (s shape) wholly() shape {
	least, most := decimal.FromInt(math.MinInt64), decimal.FromInt(math.MaxInt64)
	if s.digits > 0 && s.digits < wholeDigits {
		most = decimal.MustParse(strings.Repeat("9", s.digits))
		least = most.Neg()
	}
	if s.least == nil {
		s.least = &least
	}
	if s.most == nil {
		s.most = &most
	}
	return s
}

// wholeDigits is how many digits CEL's whole number has at most.
const wholeDigits = 19

// split is a list of at least one text.
func (a *analysis) split(s shape, c ast.CallExpr, on shape) shape {
	a.pieces(c, on)
	s.typ = &schema.Type{Kind: schema.List, MinItems: 1, Scale: schema.AnyScale}
	s.item = &shape{kind: schema.Text, length: on.length, scale: schema.AnyScale, format: on.partFormat()}
	return s
}

// partFormat is the format of a text that is cut from one, or filled up: of a text of any form it is one too, and of others it is not known.
func (s shape) partFormat() string {
	if s.format == unformatted && s.pattern == "" && s.enum == nil {
		return unformatted
	}
	return ""
}

// pieces finds a quantity or a time of which a piece alone goes on: digits are lost, or the zone.
func (a *analysis) pieces(c ast.CallExpr, on shape) {
	switch {
	case on.format == dateTime:
		a.wrong(c.Target(), "a piece of a time is cut from its own offset, which may be another day in the plant's zone",
			"name the zone: date(…, \"Europe/Berlin\"), or clock(…, …)")
	case on.amount:
		a.wrong(c.Target(), c.FunctionName()+" takes a quantity's text apart, so that another one arrives", "compute with it, decimal(…), and say how it is rounded: maxScale and round")
	}
}

func between(args []ast.Expr, most int) int {
	from, ok1 := intLiteral(args[0])
	to, ok2 := intLiteral(args[1])
	if !ok1 || !ok2 {
		return most
	}
	if n := to - from; most == 0 || n < most {
		return max(n, 1)
	}
	return most
}

func intLiteral(e ast.Expr) (int, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := e.AsLiteral().(types.Int)
	return int(n), ok
}

// arithmeticShape is the sum of lengths for texts, and for numbers what the digits of both can become.
func arithmeticShape(op string, s shape, args []shape) shape {
	if len(args) != 2 {
		return s
	}
	x, y := args[0], args[1]
	if s.kind == schema.List {
		return bothLists(s, x, y)
	}
	if s.kind == schema.Text {
		if !x.limitless() && !y.limitless() && !x.theirs && !y.theirs {
			s.length = x.length + y.length
		}
		if s.enum = joined(x.enum, y.enum); s.enum != nil {
			s.length, s.stands = max(1, longest(s.enum)), joinedPlaces(x, y)
		}
		if x.format == dateTime || y.format == dateTime {
			s.format = dateTime
		} else if first, second := x.joint(), y.joint(); s.enum == nil && first != "" && second != "" {
			s.pattern = "^" + first + second + "$"
		}
		return s
	}
	if s.kind != schema.Decimal || x.digits == 0 || y.digits == 0 {
		return s
	}
	switch {
	case x.scale == schema.AnyScale || y.scale == schema.AnyScale:
	case op == operators.Multiply:
		s.digits, s.scale = x.digits+y.digits, x.scale+y.scale
	default:
		s.digits, s.scale = max(x.digits, y.digits)+1, max(x.scale, y.scale)
	}
	return s
}

// nothing finds a code that a table leaves out where a text is needed.
func (a *analysis) nothing(parts ...ast.Expr) {
	for _, e := range parts {
		if table := a.shapes[e.ID()].null; table != "" {
			a.wrong(e, fmt.Sprintf("table %s leaves out a code without a row, and there is no value to go on with", table),
				"say otherwise: in the table, or let the lookup be all that the field has")
		}
	}
}

// looked is the result of a table, read forwards or back; every code, or value, that can be asked for must have a row.
func (a *analysis) looked(c ast.CallExpr, asked shape) shape {
	s := shape{kind: schema.Text, scale: schema.AnyScale}
	name, _ := literal(c.Args()[0])
	t := a.c.m.tables[name]
	if t == nil {
		return s
	}
	rows, row, codes := t.rows, "row", asked.enum
	if c.FunctionName() == "reverse" {
		rows, row, codes = t.back, "row with the value", t.codesOf(asked.enum)
	}
	fitting, narrowed := asked.fitting(sortedKeys(rows))
	if narrowed && asked.enum == nil {
		if codes = append(fitting, asked.some...); c.FunctionName() == "reverse" {
			codes = t.codesOf(codes)
		}
		if len(fitting) == 0 && t.missing == missingRefuse && t.otherwise == nil {
			a.wrong(c.Args()[1], asked.formSaid()+fmt.Sprintf(", and table %s has no %s of such a code", name, "row"), "write the codes as the source has them, or change it: .stripZeros(), .trim(), pad(…)")
		}
	}
	a.c.used.asks(name, codes)
	if narrowed && asked.enum == nil {
		a.c.used.asked[name].without = true
	}
	back := func(v string) bool { _, has := t.back[v]; return has }
	if c.FunctionName() == "reverse" && slices.ContainsFunc(asked.enum, func(v string) bool { return !back(v) }) {
		a.c.used.asked[name].without = true
	}
	s.stands = t.places(c.FunctionName())
	for _, v := range asked.enum {
		if _, ok := rows[v]; !ok && t.missing == missingRefuse && t.otherwise == nil {
			a.wrong(c.Args()[1], fmt.Sprintf("table %s has no %s %q", name, row, v), didYouMean(v, sortedKeys(rows), "add the row, or say otherwise: or missing:"))
		}
	}
	if s.enum = t.answers(rows, asked.enum); t.missing == missingKeep {
		if s.length = 0; asked.length > 0 { // a code of any length is kept as it is
			s.length = max(longest(s.enum), asked.length)
		}
		s.enum, s.some, s.theirs = nil, s.enum, asked.theirs
		return s
	}
	if s.absent = t.leavesOut(); s.absent {
		s.null = name
	}
	for _, v := range s.enum {
		s.length = max(s.length, 1, utf8.RuneCountInString(v))
	}
	return s
}

// references are the kinds of objects to which an ERP gives a number of its own: those that the plant's messages create.
func references() []string { return []string{"confirmation", "lot", "movement", "order"} }

// referred finds a reference of a kind that no ERP will ever number, for which a message would wait for ever. The plant's ID of an ERP's object
// follows from any kind, so that only a slip is found there.
func (a *analysis) referred(e ast.Expr, function string, kind shape) {
	if kind.kind == schema.Text && kind.enum == nil && kind.format != "" {
		a.wrong(e, "a reference is of a kind that the mapping names, and this can be any text", "it is one of "+strings.Join(references(), ", "))
	}
	for _, k := range kind.enum {
		like := func(known string) bool { return resembles(k, known) }
		if slices.Contains(references(), k) || function == "plantID" && !slices.ContainsFunc(references(), like) {
			continue
		}
		a.wrong(e, fmt.Sprintf("there is no kind of reference %q", clip(k)), didYouMean(k, references(), "it is one of "+strings.Join(references(), ", ")))
	}
}

// numbered is the kind of object whose number the ERP gives in its answer to a message of a kind, and the field of the object's ID.
func numbered(kind string) (object, id string) {
	switch kind {
	case "order.created":
		return "order", "src.order.id"
	case "lot.created":
		return "lot", "src.lot.id"
	case "operation.confirmed":
		return "confirmation", "src.confirmation.id"
	case "goods.issued", "goods.received", "goods.scrapped":
		return "movement", "src.movement.id"
	}
	return "", ""
}

// ownNumber finds a reference to what the message itself makes: its number comes with the answer, for which the message would wait unsent.
func (a *analysis) ownNumber(c ast.CallExpr, function string, kind shape) {
	object, id := numbered(a.c.m.kind)
	of, ok := pathOf(c.Args()[1])
	if function == "ref" && ok && object != "" && slices.Contains(kind.enum, object) && (of == id || of == "event.id") {
		a.wrong(c.Args()[1], "the ERP gives this number in its answer to this message, which would wait for it unsent", "send the plant's own: "+id)
	}
}
