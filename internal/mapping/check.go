package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// Contract is what an ERP's contract says of what it takes and gives.
type Contract interface {
	// TargetType is what the operation that a mapping names takes. It is false where nothing is known.
	TargetType(target string) (*schema.Operation, bool)
	// DocumentType is the type of a document that the ERP gives, by the name that a mapping in calls it.
	DocumentType(name string) (*schema.Type, bool)
}

// Finding is one place where a mapping and a contract do not fit.
type Finding struct {
	Mistake
	Refused bool // the ERP would refuse the document; else it passes the field over, or does not
}

// Check holds the mapping for messages of kind (for what comes in: "") against a contract. What an expression passes on as a whole is not
// looked into. Nothing is said of a mapping that is not there, see Covers.
func (s *Set) Check(name, kind string, c Contract) []Finding {
	m, err := s.find(name, kind)
	if err != nil {
		return nil
	}
	if m.inbound {
		return s.checkIn(m, c)
	}
	op, ok := c.TargetType(m.target)
	if !ok {
		return m.found()
	}
	k := &checking{found: m.found(), whose: "operation " + m.target, typed: m.source != nil, forms: m.source != nil}
	k.params(m, op.Params)
	if op.Body != nil && !m.whole {
		k.object(m.fields, op.Body, "fields", m.root)
	}
	return k.found
}

// found is what was found in a mapping that compiled.
func (m *mapping) found() (out []Finding) {
	for _, l := range m.looks {
		out = append(out, Finding{Mistake: l})
	}
	return out
}

// checkIn compiles a mapping in again, now that the type of its document is known.
func (s *Set) checkIn(m *mapping, c Contract) []Finding {
	if _, ok := c.DocumentType(m.document); !ok || m.whole {
		return m.found()
	}
	again := s.base.again(c.DocumentType)
	again.fsys = m.folder
	var found []Finding
	if typed := again.compile(m.file, m.text); typed != nil {
		found = typed.found()
	}
	for _, mistake := range Mistakes(errors.Join(again.mistakes...)) {
		found = append(found, Finding{*mistake, true})
	}
	return found
}

// Mistakes are those that an error of Load joins.
func Mistakes(err error) []*Mistake {
	if m, ok := err.(*Mistake); ok { //nolint:errorlint // each of the joined errors is looked at
		return []*Mistake{m}
	}
	var out []*Mistake
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, Mistakes(e)...)
		}
	}
	return out
}

// plantTargets holds the fields of a mapping in against the messages that the plant takes.
func (c *compiler) plantTargets() {
	if c.m.toKind == nil || len(c.m.fields) == 0 {
		return
	}
	var t *schema.Type
	for _, kind := range c.m.toKind.known().enum {
		if t = PlantType(kind, c.m.makes); t == nil {
			return
		}
		k := &checking{whose: kind, typed: c.known != nil, binds: true}
		k.object(c.m.fields, t, "fields", c.m.root)
		for _, f := range k.found {
			m := f.Mistake
			if !f.Refused {
				c.m.looked(m)
				continue
			}
			if !slices.ContainsFunc(c.mistakes, func(o error) bool {
				was, ok := o.(*Mistake) //nolint:errorlint // the compiler's own list
				return ok && was.File == m.File && was.Line == m.Line && was.Col == m.Col
			}) {
				c.mistakes = append(c.mistakes, &m)
			}
		}
	}
}

// known is the shape of what a rule makes, with its default.
func (r *rule) known() shape {
	switch {
	case r.constant != nil:
		return constantShape(r.constant)
	case r.value == nil:
		return shape{scale: schema.AnyScale}
	}
	s := r.value.shape
	if r.absent != nil {
		s.absent = false
		s = s.or(r.absent.shape)
	}
	return s
}

func constantShape(text []byte) shape {
	v, err := contract.Decode(text)
	if err != nil {
		return shape{}
	}
	switch x := v.(type) {
	case string:
		return shape{kind: schema.Text, length: max(1, utf8.RuneCountInString(x)), enum: []string{x}, scale: schema.AnyScale}
	case bool:
		return shape{kind: schema.Bool}
	case json.Number:
		n := shape{kind: schema.Text, enum: []string{x.String()}}.number()
		if n.kind = schema.Decimal; n.scale == 0 {
			n.kind = schema.Integer
		}
		return n
	}
	return shape{}
}

// checking holds rules against types.
type checking struct {
	whose string // operation createConfirmation, or a kind of message
	typed bool   // the source's limits are known
	forms bool   // and the formats of its texts
	binds bool   // a number beyond the target's limits stops the message
	found []Finding
}

func (k *checking) wrong(at place, what, why, hint string) {
	k.found = append(k.found, Finding{Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint}, true})
}

// params holds parameters against those that the operation has.
func (k *checking) params(m *mapping, known []*schema.Field) {
	names := make([]string, 0, len(known))
	for _, f := range known {
		names = append(names, f.Name)
	}
	for _, p := range m.params {
		i := slices.IndexFunc(known, func(f *schema.Field) bool { return strings.EqualFold(f.Name, p.name) })
		if i < 0 {
			k.stray(p, names, true)
			continue
		}
		loose := *known[i]
		t := *loose.Type
		t.Loose = true
		loose.Type = &t
		k.field(p, &loose)
	}
	for _, f := range known {
		if f.Required && !slices.ContainsFunc(m.params, func(p *rule) bool { return strings.EqualFold(f.Name, p.name) }) {
			k.wrong(m.root, "params."+f.Name, k.whose+" requires this parameter, and nothing makes it", "add it below params:")
		}
	}
}

func (k *checking) stray(r *rule, known []string, refused bool) {
	why, hint := fmt.Sprintf("%s knows no %q", k.whose, r.name), "it knows "+strings.Join(known, ", ")
	switch near := nearest(r.name, known); {
	case near != "":
		hint = "did you mean " + near + "?"
	case len(known) == 0:
		hint = "leave it out"
	}
	if refused {
		why += ", and the contract refuses it"
	}
	k.found = append(k.found, Finding{Mistake{File: r.at.file, Line: r.at.line, Col: r.at.col, What: r.path, Why: why, Hint: hint}, refused})
}

// object looks at fields that stand together, and at those that are missing.
func (k *checking) object(rules []*rule, t *schema.Type, path string, at place) {
	for _, r := range rules {
		switch f, ok := t.Field(r.name); {
		case ok:
			k.field(r, f)
		case !t.Open:
			k.stray(r, t.Names(), t.Closed)
		}
	}
	for _, f := range t.Fields {
		if f.Required && !slices.ContainsFunc(rules, func(r *rule) bool { return r.name == f.Name }) {
			k.wrong(at, path+"."+f.Name, fmt.Sprintf("%s requires %s, and nothing makes it", k.whose, f.Name), "add it: "+f.Name+": …")
		}
	}
}

// field looks at one rule and the field that it makes.
func (k *checking) field(r *rule, f *schema.Field) {
	k.present(r, f)
	t := f.Type
	if r.each != nil {
		if t.Kind != schema.List && t.Kind != schema.Any {
			k.wrong(r.at, r.path, fmt.Sprintf("it makes a list, and %s is a %s", f.Name, t.Kind), "leave out each:")
			return
		}
		if k.binds && (t.MinItems > 0 || t.MaxItems > 0) {
			r.most = t
		}
		k.elements(r.path+".each", r.each.shape, f.Name, t, r.each.at)
		if t = t.Item; t == nil {
			return
		}
	}
	switch {
	case t.Kind == schema.Any:
	case r.fields != nil && t.Kind != schema.Object:
		k.wrong(r.at, r.path, fmt.Sprintf("it makes an object, and %s is a %s", f.Name, t.Kind), "write a value")
	case r.fields != nil:
		k.object(r.fields, t, r.path, r.at)
	default:
		if k.binds && (t.Least.Value != "" || t.Most.Value != "") {
			r.target = t
		}
		k.value(r, f.Name, t)
	}
}

// present wants a value for what is required.
func (k *checking) present(r *rule, f *schema.Field) {
	if !f.Required || r.required {
		return
	}
	of := r.value
	if r.each != nil {
		of = r.each
	}
	switch {
	case r.when != nil:
		k.wrong(r.when.at, r.path+".when", fmt.Sprintf("%s requires %s, which is left out where this does not hold", k.whose, f.Name),
			"leave when: out, or say required: true, which stops a message without it")
	case of != nil && of.shape.absent && (r.absent == nil || r.absent.shape.absent):
		k.wrong(of.at, r.path, fmt.Sprintf("it may have no value, and %s requires %s", k.whose, f.Name),
			"give it a default:, or say required: true, which stops a message without it")
	}
}

// value looks at what is written and what is expected.
func (k *checking) value(r *rule, name string, t *schema.Type) {
	s := r.known()
	if !s.known() {
		return
	}
	at := r.at
	if r.value != nil {
		at = r.value.at
	}
	written, hint := r.written(s)
	if !takes(t, written, r.format) {
		k.wrong(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", written, name, t.Kind), hintFor(t, written, hint))
		return
	}
	switch {
	case t.Format == schema.IsDecimal || t.Kind == schema.Decimal || t.Kind == schema.Integer:
		k.within(r, s, name, t, at)
		if t.Kind != schema.Integer {
			k.digits(r, s, name, t, at)
		}
	case t.Kind == schema.Text:
		k.text(r, s, name, t, at)
	case s.kind == schema.List && s.typ != nil && t.Item != nil && t.Item.Kind == schema.Text && t.Item.Format != schema.IsDecimal:
		if item := shapeOf(s.typ.Item); item.kind == schema.Text {
			k.text(&rule{path: r.path, at: r.at}, item, "each element of "+name, t.Item, at)
		}
	}
	if s.kind == schema.List {
		k.elements(r.path, s, name, t, at)
	}
}

// look notes what a message may bring that the target has no room for, where the mapping has no word to stop it.
func (k *checking) look(at place, what, why, hint string) {
	k.found = append(k.found, Finding{Mistake: Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint}})
}

// elements looks at how many elements a list of the document has, and may have in the target.
func (k *checking) elements(path string, s shape, name string, t *schema.Type, at place) {
	if s.typ == nil || s.typ.Kind != schema.List || s.made || !k.typed {
		return
	}
	from, most := s.typ.MinItems, "any number of"
	if s.typ.MaxItems > 0 {
		most = fmt.Sprint(s.typ.MaxItems)
	}
	switch {
	case t.MaxItems > 0 && from > t.MaxItems:
		k.wrong(at, path, fmt.Sprintf("the list has at least %d elements, and %s takes %d", from, name, t.MaxItems), "take those that are meant: src.….filter(x, …)")
	case s.typ.MaxItems > 0 && s.typ.MaxItems < t.MinItems:
		k.wrong(at, path, fmt.Sprintf("the list has at most %d elements, and %s needs %d", s.typ.MaxItems, name, t.MinItems), "go through another list")
	case k.binds: // a message with too many or too few stops at the rule
		return
	case t.MaxItems > 0 && (s.typ.MaxItems == 0 || s.typ.MaxItems > t.MaxItems):
		k.look(at, path, fmt.Sprintf("the list can have %s elements, and %s takes %d", most, name, t.MaxItems), "a message with more would be refused by the contract")
	}
	if from < t.MinItems && (s.typ.MaxItems == 0 || s.typ.MaxItems >= t.MinItems) {
		k.look(at, path, fmt.Sprintf("the list can have %d elements, and %s needs %d", from, name, t.MinItems), "leave the field out of such a message: when: size(…) > 0")
	}
}

// within looks at the least and the most of a number. What is the same for every message is refused; what comes may be beyond a limit.
func (k *checking) within(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Text {
		s = s.number()
	}
	say := k.look
	switch {
	case s.least != nil && s.most != nil && s.least.Cmp(*s.most) == 0:
		say = k.wrong
	case k.binds:
		return
	}
	if least := bound(t.Least); least != nil && s.least != nil && beyond(least.Cmp(*s.least), t.Least.Open) {
		say(at, r.path, fmt.Sprintf("it can be %s, and %s is at least %s", s.least, name, t.Least), "a message with less would be refused by the contract")
	}
	if most := bound(t.Most); most != nil && s.most != nil && beyond(s.most.Cmp(*most), t.Most.Open) {
		say(at, r.path, fmt.Sprintf("it can be %s, and %s is at most %s", s.most, name, t.Most), "a message with more would be refused by the contract")
	}
}

// beyond tells whether a value that compares so with a limit is beyond it.
func beyond(compared int, open bool) bool { return compared > 0 || open && compared == 0 }

// written is the kind of what a rule writes.
func (r *rule) written(s shape) (kind schema.Kind, hint string) {
	switch {
	case s.kind == schema.Decimal && r.as != "number", s.kind == schema.Integer && r.as == "string":
		return schema.Text, "as: number"
	case s.kind == schema.Text && r.as == "number":
		return schema.Decimal, "as: string"
	case s.kind == schema.Integer, s.kind == schema.Decimal:
		return s.kind, "as: string"
	}
	return s.kind, ""
}

// takes tells whether a value of a kind can stand where one of t is expected.
func takes(t *schema.Type, written schema.Kind, f format) bool {
	if t.Kind == written {
		return true
	}
	switch t.Kind {
	case schema.Any:
		return true
	case schema.Decimal:
		return written == schema.Integer || t.Loose && written == schema.Text
	case schema.Integer:
		return written == schema.Decimal && f.scale != nil && *f.scale == 0 || t.Loose && written == schema.Text
	default:
		return t.Loose && (t.Kind == schema.Text || t.Kind == schema.Bool) && written != schema.Object && written != schema.List
	}
}

func hintFor(t *schema.Type, written schema.Kind, as string) string {
	switch {
	case t.Kind == schema.Object || t.Kind == schema.List || written == schema.Object || written == schema.List:
		return "write its parts below fields:, or go through a list with each:"
	case t.Kind == schema.Decimal && written == schema.Text, t.Kind == schema.Text && written != schema.Bool:
		return "add " + as
	case t.Kind == schema.Integer:
		return "wrap it: int(…)"
	default:
		return "make it a " + t.Kind.String()
	}
}

// text looks at the length of a text and at what it may be.
func (k *checking) text(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Decimal || s.kind == schema.Integer {
		s.enum = nil
		if s.length = s.digits + max(0, s.scale) + len("-."); s.digits == 0 || s.scale == schema.AnyScale {
			s.length = 0
		}
	}
	switch {
	case t.MaxLength == 0 || r.length == 0 && (s.theirs || !k.typed):
	case r.length > t.MaxLength:
		k.wrong(r.at, r.path+".maxLength", fmt.Sprintf("%d characters are more than the %d that %s takes", r.length, t.MaxLength, name), fmt.Sprintf("maxLength: %d", t.MaxLength))
	case r.length == 0 && s.length == 0:
		k.wrong(at, r.path, fmt.Sprintf("it can be of any length, and %s takes %d characters", name, t.MaxLength), lengthHint(t))
	case r.length == 0 && s.length > t.MaxLength:
		k.wrong(at, r.path, fmt.Sprintf("it can have %d characters, and %s takes %d", s.length, name, t.MaxLength), lengthHint(t))
	}
	if k.misformed(s, t) {
		say := k.wrong
		if t.Format == isUUID && s.format == unformatted {
			say = k.look // it may be one
		}
		say(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", s.format, name, t.Format), formatHint(t))
		return
	}
	for _, v := range s.enum {
		if why := refuses(t, v); why != "" {
			takes := "it takes " + strings.Join(t.Enum, ", ")
			if t.Enum == nil {
				takes = formatHint(t)
			}
			k.wrong(at, r.path, fmt.Sprintf("it can be %q, and %s %s", v, name, why), didYouMean(v, t.Enum, takes))
			return
		}
	}
}

// misformed tells whether a text is known to be of another format than a day or a time is.
func (k *checking) misformed(s shape, t *schema.Type) bool {
	if s.enum != nil || s.format == "" || s.format == t.Format || t.Format != "date" && t.Format != dateTime && t.Format != isUUID {
		return false
	}
	return s.format != unformatted || k.forms
}

func formatHint(t *schema.Type) string {
	switch t.Format {
	case isUUID:
		return "make it of what has one, such as event.id"
	case "date":
		return "make it one: date(…, \"Europe/Berlin\") of a time, with the plant's zone"
	}
	return "make it one: localTime(day, clock, \"Europe/Berlin\"), with the plant's zone"
}

func lengthHint(t *schema.Type) string {
	return fmt.Sprintf("add maxLength: %d, which stops a longer one, and cut: true if the rest may be lost", t.MaxLength)
}

// refuses says why a text is none that a type takes, "" if it does.
func refuses(t *schema.Type, v string) string {
	if !formed(t.Format, v) {
		return "is a " + t.Format
	}
	if t.Enum != nil && !slices.Contains(t.Enum, v) {
		return "knows no such value"
	}
	return ""
}

// isUUID is the format of a text that holds a UUID.
const isUUID = "uuid"

// formed tells whether a text is of a format. Of one that is not known each is.
func formed(format, v string) bool {
	var err error
	switch format {
	case "date":
		_, err = time.Parse(time.DateOnly, v)
	case dateTime:
		_, err = time.Parse(time.RFC3339Nano, v)
	case isUUID:
		if _, err = uuid.Parse(v); err == nil && len(v) != len(uuid.Nil.String()) {
			return false
		}
	}
	return err == nil
}

// digits looks at the places of a number on both sides of the point.
func (k *checking) digits(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Text && len(s.enum) == 1 {
		if _, err := decimal.Parse(s.enum[0]); err != nil {
			k.wrong(at, r.path, err.Error(), "")
			return
		}
	}
	n := s
	if s.kind != schema.Integer {
		n = s.number()
	}
	given := r.scale
	if given == nil {
		given = r.maxScale
	}
	switch {
	case t.Scale == schema.AnyScale:
	case given != nil && int(*given) > t.Scale:
		k.wrong(r.at, r.path+".scale", fmt.Sprintf("%d places are more than the %d that %s takes", *given, t.Scale, name), fmt.Sprintf("scale: %d", t.Scale))
	case k.typed && given == nil && (n.scale == schema.AnyScale || n.scale > t.Scale):
		k.wrong(at, r.path, fmt.Sprintf("it can have %s, and %s takes %d", n.places(), name, t.Scale),
			fmt.Sprintf("add maxScale: %d (or scale: %d, which fills up with zeros) and round:", t.Scale, t.Scale))
	}
	switch {
	case t.Digits == 0 || s.kind == schema.Integer:
	case r.maxDigits > t.Digits:
		k.wrong(r.at, r.path+".maxDigits", fmt.Sprintf("%d digits are more than the %d that %s takes", r.maxDigits, t.Digits, name), fmt.Sprintf("maxDigits: %d", t.Digits))
	case k.typed && r.maxDigits == 0 && (n.digits == 0 || n.digits > t.Digits):
		k.wrong(at, r.path, fmt.Sprintf("it can have %s before the point, and %s takes %d", digitsOf(n), name, t.Digits), fmt.Sprintf("add maxDigits: %d, which stops a larger one", t.Digits))
	}
}

func digitsOf(n shape) string {
	if n.digits == 0 {
		return "any number of digits"
	}
	return fmt.Sprintf("%d digits", n.digits)
}
