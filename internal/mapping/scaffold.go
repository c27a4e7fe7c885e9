package mapping

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// Scaffold writes a mapping from a kind of message to a target, with every field that the target requires and every other one that a source
// was found for. Sources are guessed by name and type, and marked as guesses. The second text is a first example, whose expectation is to be
// filled in by mapping test --update.
func Scaffold(kind, target string, c Contract) (file, example []byte, err error) {
	from := PlantType(kind, 1)
	if from == nil {
		return nil, nil, &problem.Error{
			Kind: problem.NotFound, What: "write a mapping from " + kind, Why: "the plant has no such kind of message",
			Hint: kindHint(kind),
		}
	}
	op, ok := c.TargetType(target)
	if !ok {
		return nil, nil, &problem.Error{
			Kind: problem.NotFound, What: "write a mapping to " + target, Why: "the contract has no such target",
			Hint: targetHint(target, c),
		}
	}
	w := &scaffold{kind: kind, from: from, sources: sourcesOf(from)}
	fmt.Fprintf(&w.b, "# What becomes of %s. Lines that end in \"guess\" were guessed by name: look at each, and take the word away.\n", kind)
	fmt.Fprintf(&w.b, "from: {kind: %s, version: 1}\nto: {operation: %s}\n", kind, target)
	if len(op.Params) > 0 {
		w.section("params", op.Params, true)
	}
	if op.Body != nil {
		w.section("fields", op.Body.Fields, false)
	}
	example, err = firstExample(kind, target, from)
	return []byte(w.b.String()), example, err
}

// mostTargets bounds how many targets a hint lists.
const mostTargets = 30

// targetHint names the nearest target of a contract, or those that there are.
func targetHint(target string, c Contract) string {
	l, ok := c.(interface{ Targets() []string })
	if !ok {
		return "name an operationId of the OpenAPI document, SERVICE/SET of the OData service, or an IDoc type"
	}
	all := slices.Sorted(slices.Values(l.Targets()))
	listed := "the targets are: " + strings.Join(all[:min(len(all), mostTargets)], ", ")
	if more := len(all) - mostTargets; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	return didYouMean(target, all, listed)
}

// kindHint names the kind that says the same of another object (operation.confirmed for order.confirmed), or the nearest.
func kindHint(kind string) string {
	_, happened, _ := strings.Cut(kind, ".")
	for _, k := range PlantKinds() {
		if _, h, _ := strings.Cut(k, "."); h == happened {
			return "did you mean " + k + "?"
		}
	}
	return didYouMean(kind, PlantKinds(), "the kinds are: "+strings.Join(PlantKinds(), ", "))
}

// firstExample is a message in which every text is the name of its field, so that a reader sees what went where.
func firstExample(kind, target string, from *schema.Type) ([]byte, error) {
	g := newGenerator(1)
	g.plain = true
	names := usualNames()
	return FormatExamples([]Example{{
		Name: "every field", Kind: kind,
		Refs: map[string]string{"order/ID": names["order"], "lot/LOT": names["lot"], "confirmation/REVERSES": names["confirmation"], "movement/REVERSES": names["movement"]},
		Body: indented(g.document(from)), Want: Expected{Target: target},
	}})
}

// scaffold is a mapping that is being written.
type scaffold struct {
	b       strings.Builder
	kind    string
	from    *schema.Type
	sources []candidate
	depth   int
}

// candidate is a field of the source, with the expression that reads it.
type candidate struct {
	name, expr string
	t          *schema.Type
	optional   bool
}

// maxReach bounds how deep fields of the source are offered, and targetDepth how deep the target's objects are written.
const (
	maxReach    = 3
	targetDepth = 6
	maxNamed    = 8 // members of an object for which nothing was found
)

// sourcesOf lists the values of a message, the event's own first.
func sourcesOf(from *schema.Type) []candidate {
	text := &schema.Type{Kind: schema.Text, Scale: schema.AnyScale, MaxLength: 200}
	digest := &schema.Type{Kind: schema.Text, Scale: schema.AnyScale, MaxLength: 64}
	out := []candidate{
		{"messageId", "event.id", text, false},
		{"digest", "event.digest", digest, false},
		{"lane", "event.lane", text, false},
		{"laneNumber", "event.number", &schema.Type{Kind: schema.Integer}, false},
	}
	return append(out, valuesOf(from, "src")...)
}

// valuesOf are the values of an object and of the objects in it.
func valuesOf(of *schema.Type, as string) (out []candidate) {
	var walk func(t *schema.Type, path string, optional bool, depth int)
	walk = func(t *schema.Type, path string, optional bool, depth int) {
		for _, f := range t.Fields {
			maybe := optional || !f.Required || f.Type.Nullable
			expr := path + "." + f.Name
			if !f.Required || f.Type.Nullable {
				expr = path + ".?" + f.Name
			}
			switch f.Type.Kind {
			case schema.Object:
				if depth < maxReach {
					walk(f.Type, expr, maybe, depth+1)
				}
			case schema.List:
			default:
				out = append(out, candidate{f.Name, expr, f.Type, maybe})
			}
		}
	}
	walk(of, as, false, 0)
	return out
}

// section writes parameters or fields: those that are required, and those that a source was found for.
func (w *scaffold) section(name string, fields []*schema.Field, params bool) {
	fmt.Fprintf(&w.b, "%s:\n", name)
	before := w.b.Len()
	for _, f := range fields {
		w.field(f, "  ", params)
	}
	text := w.b.String()
	if written := text[before:]; onlyRemarks(written) {
		w.b.Reset()
		w.b.WriteString(strings.TrimSuffix(text[:before], name+":\n"))
		if written != "" {
			w.b.WriteString(name + ": {}\n" + written)
		}
	}
}

// onlyRemarks tells whether no rule was written.
func onlyRemarks(text string) bool {
	return !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return line != "" && !strings.HasPrefix(strings.TrimSpace(line), "#") })
}

func (w *scaffold) field(f *schema.Field, indent string, param bool) {
	if f.Type.Kind == schema.Object || f.Type.Kind == schema.List {
		w.nested(f, indent)
		return
	}
	from := w.orderNumber(f)
	c, found := w.guess(f)
	if object, id := numbered(w.kind); from != "" && object == "order" { // the ERP gives it in its answer to this very message
		c, found = candidate{f.Name, id, &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}, false}, f.Required
	} else if from != "" {
		fmt.Fprintf(&w.b, "%s%s: %s # guess\n", indent, f.Name, from)
		return
	}
	switch {
	case found:
		fmt.Fprintf(&w.b, "%s%s: %s # guess\n", indent, f.Name, c.rule(f, param))
	case f.Required:
		fmt.Fprintf(&w.b, "%s# %s is required (%s), and nothing like it is in the message: write where it comes from\n%s# %s: {const: …}\n", indent, f.Name, f.Type.Kind, indent, f.Name)
	}
}

// orderNumber reads the ERP's number of the message's order, by its reference where the plant made it; "" of another field. Some messages have an
// order at times only.
func (w *scaffold) orderNumber(f *schema.Field) string {
	if f.Name != "order" && !strings.EqualFold(f.Name, "orderid") && !strings.EqualFold(f.Name, "manufacturingorder") {
		return ""
	}
	for _, c := range w.sources {
		switch c.expr {
		case "src.order.?erpNumber":
			return `'src.order.?erpNumber.orValue(ref("order", src.order.id))'`
		case "src.?order.?erpNumber":
			value := `'src.?order.optMap(o, o.?erpNumber.orValue(ref("order", o.id)))'`
			if f.Required {
				return "{value: " + value + ", required: true}"
			}
			return value
		}
	}
	return ""
}

// nested writes an object, or a list: of a list of the message, or of the message itself, once. What is not required is written where the
// message has a list for it.
func (w *scaffold) nested(f *schema.Field, indent string) {
	of, list := f.Type, f.Type.Kind == schema.List
	each, item := "'[src]'", (*schema.Type)(nil)
	if list {
		of = f.Type.Item
		if at, t := w.listFor(f.Name); at != "" {
			each, item = at, t
		}
	}
	if !f.Required && item == nil || of == nil || of.Kind != schema.Object || w.depth > targetDepth {
		if f.Required {
			fmt.Fprintf(&w.b, "%s# %s is required, and is a %s: write it with fields:, or go through a list with each:\n", indent, f.Name, f.Type.Kind)
		}
		return
	}
	inner := &scaffold{kind: w.kind, from: w.from, sources: w.sources, depth: w.depth + 1}
	if item != nil {
		inner.sources = append(valuesOf(item, "item"), w.sources...)
	}
	for _, x := range of.Fields {
		inner.field(x, indent+"    ", false)
	}
	text := inner.b.String()
	if onlyRemarks(text) {
		if f.Required {
			names := of.Names()
			fmt.Fprintf(&w.b, "%s# %s is required, and nothing like what is in it is in the message: write it with fields: (%s)\n", indent, f.Name,
				strings.Join(names[:min(len(names), maxNamed)], ", "))
		}
		return
	}
	fmt.Fprintf(&w.b, "%s%s:\n", indent, f.Name)
	if list {
		fmt.Fprintf(&w.b, "%s  each: %s # guess\n", indent, each)
	}
	fmt.Fprintf(&w.b, "%s  fields:\n%s", indent, text)
}

// listFor is a list of the message that a list of the target may be made of, by its name without the s.
func (w *scaffold) listFor(target string) (expr string, item *schema.Type) {
	var walk func(t *schema.Type, path string, depth int)
	walk = func(t *schema.Type, path string, depth int) {
		for _, f := range t.Fields {
			at := path + "." + f.Name
			if !f.Required || f.Type.Nullable {
				at = path + ".?" + f.Name
			}
			switch {
			case f.Type.Kind == schema.Object && depth < maxReach:
				walk(f.Type, at, depth+1)
			case expr == "" && f.Type.Kind == schema.List && f.Type.Item.Kind == schema.Object && strings.Contains(letters(target), strings.TrimSuffix(letters(f.Name), "s")):
				expr, item = at, f.Type.Item
			}
		}
	}
	walk(w.from, "src", 0)
	return expr, item
}

// guess finds the source whose name is that of the field, or is part of it, and whose type fits.
func (w *scaffold) guess(f *schema.Field) (candidate, bool) {
	best, found := 0, candidate{}
	for _, c := range w.sources {
		n := alike(f.Name, c.name)
		nearer := n == best && n > 0 && strings.HasPrefix(found.expr, "src.order.") && !c.optional
		if (n > best || nearer) && fitsKind(f.Type, c.t) && (n == sameName || f.Required || roomFor(f.Type, c.t)) {
			best, found = n, c
		}
	}
	return found, best > 0
}

// sameName is how much two names have in common that are one.
const sameName = 100

// roomFor tells whether a field can hold what a source of another name may have: a key is no guess for a code of three letters.
func roomFor(target, source *schema.Type) bool {
	const most = 10
	return target.Kind != schema.Text || target.MaxLength == 0 || source.MaxLength <= most*target.MaxLength
}

// alike says how much two names have in common: 0 for nothing that is worth a guess.
func alike(target, source string) int {
	a, b := letters(target), letters(source)
	switch {
	case a == b:
		return sameName
	case len(b) >= 4 && strings.HasSuffix(a, b), len(b) >= 4 && strings.HasPrefix(a, b):
		return 50 + len(b)
	case len(b) >= 5 && strings.Contains(a, b):
		return 10 + len(b)
	}
	return 0
}

func letters(s string) string {
	s = strings.ToLower(s)
	s = strings.NewReplacer("_", "", "-", "").Replace(s)
	return sapWords().Replace(s)
}

// sapWords are words that SAP's segments have short, and others long or in another spelling.
func sapWords() *strings.Replacer {
	return strings.NewReplacer("center", "centre", "cntr", "centre", "pstng", "posting", "postg", "posting", "stgeloc", "storagelocation", "qnt", "quantity", "uom", "unit")
}

func fitsKind(target, source *schema.Type) bool {
	number := func(t *schema.Type) bool {
		return t.Kind == schema.Decimal || t.Kind == schema.Integer || t.Format == schema.IsDecimal
	}
	if number(target) || number(source) {
		return number(target) && number(source)
	}
	strange := func(code string) bool { return !slices.Contains(target.Enum, code) }
	switch {
	case target.MaxLength > 0 && longest(source.Enum) > target.MaxLength:
		return false
	case source.Enum != nil && slices.Contains([]string{"date", dateTime, isUUID, schema.IsCivil}, target.Format):
		return false // a code is no day
	case source.Enum != nil && target.Enum != nil && slices.ContainsFunc(source.Enum, strange):
		return false
	}
	return target.Kind == source.Kind || target.Kind == schema.Any
}

// inPlant is the day of a time in the plant's zone.
func (c candidate) inPlant(function string) string {
	if c.optional {
		return fmt.Sprintf("'%s.optMap(t, %s(t, src.zone))'", c.expr, function)
	}
	return fmt.Sprintf("%s(%s, src.zone)", function, c.expr)
}

// rule writes a source as a field of the target takes it: no longer and no more precise.
func (c candidate) rule(f *schema.Field, param bool) string {
	t := f.Type
	var keys []string
	value := c.expr
	if c.t.Format == schema.IsDecimal || t.Format == schema.IsDecimal && c.t.Kind != schema.Integer {
		if !c.optional {
			value = "decimal(" + value + ")"
		}
		if t.Scale != schema.AnyScale && (c.t.Scale == schema.AnyScale || c.t.Scale > t.Scale) {
			keys = append(keys, fmt.Sprintf("scale: %d, round: half-up", t.Scale))
		}
		if t.Digits > 0 && (c.t.Digits == 0 || c.t.Digits > t.Digits) {
			keys = append(keys, fmt.Sprintf("maxDigits: %d", t.Digits))
		}
		if t.Kind == schema.Decimal && !param {
			keys = append(keys, "as: number")
		}
	} else if c.t.Format == "date-time" && (t.Format == "date" || t.Format == schema.IsCivil) {
		value = c.inPlant("date")
	} else if c.t.Format == "date-time" && (t.Format == "time" || t.Format == "" && t.MaxLength == 0 && strings.HasSuffix(strings.ToLower(f.Name), "time")) {
		value = c.inPlant("clock")
	} else if t.MaxLength > 0 && (c.t.MaxLength == 0 || c.t.MaxLength > t.MaxLength) && len(c.t.Enum) == 0 && t.Kind == schema.Text {
		keys = append(keys, fmt.Sprintf("maxLength: %d", t.MaxLength))
	}
	if f.Required && c.optional {
		keys = append(keys, "required: true")
	}
	if len(keys) == 0 {
		return value
	}
	return "{value: " + value + ", " + strings.Join(keys, ", ") + "}"
}
