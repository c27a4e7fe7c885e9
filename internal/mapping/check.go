package mapping

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast/internal/problem"
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

// Giver is a Contract that tells a document which the ERP does not give from one that is not known yet.
type Giver interface {
	Gives(document string) error // nil where the document is given, or may be; the error's Hint says what can be named instead
	Documents() []string         // what Gives is known to take
}

// Finding is one place where a mapping and a contract do not fit.
type Finding struct {
	Mistake
	Refused bool // the ERP would refuse the document; else it passes the field over, or does not
	Newer   bool // it would be refused too, but was published before this release found it (LoadPublished)
}

// Check holds the mapping for messages of kind (for what comes in: "") against a contract. What an expression passes on as a whole is not
// looked into. Nothing is said of a mapping that is not there, see Covers.
func (s *Set) Check(name, kind string, c Contract) []Finding {
	m, err := s.find(name, kind)
	if err != nil {
		return nil
	}
	if m.inbound && s.draft {
		return append(m.found(), s.notGiven(m, c)...) // what its document's type has against it is mixed with the mistakes that are told
	}
	if m.inbound {
		return s.checkIn(m, c)
	}
	op, ok := c.TargetType(m.target)
	if !ok {
		return m.found()
	}
	k := &checking{found: m.found(), whose: "operation " + m.target, typed: m.source != nil, forms: m.source != nil, was: s.was}
	k.params(m, op.Params)
	if op.Body != nil && !m.whole && !m.partly {
		k.object(m.fields, op.Body, "fields", m.root)
	}
	return k.found
}

// found is what was found in a mapping that compiled.
func (m *mapping) found() (out []Finding) {
	for _, l := range m.looks {
		out = append(out, Finding{Mistake: l})
	}
	for _, l := range m.newer {
		out = append(out, Finding{Mistake: l, Newer: true})
	}
	return out
}

// checkIn compiles a mapping in again, now that the type of its document is known.
func (s *Set) checkIn(m *mapping, c Contract) []Finding {
	_, ok := c.DocumentType(m.document)
	if !ok {
		return append(m.found(), s.notGiven(m, c)...)
	}
	if m.whole {
		return m.found()
	}
	again := s.base.again(c.DocumentType)
	again.fsys, again.was = m.folder, s.was
	var found []Finding
	if typed := again.compile(m.file, m.text); typed != nil {
		found = typed.found()
	}
	for _, mistake := range Mistakes(errors.Join(again.mistakes...)) {
		found = append(found, Finding{Mistake: *mistake, Refused: true})
	}
	return found
}

// notGiven refuses the name of a document that the contract says the ERP does not give: nothing would be held against it.
func (s *Set) notGiven(m *mapping, c Contract) []Finding {
	g, ok := c.(Giver)
	if !ok {
		return nil
	}
	err := g.Gives(m.document)
	if err == nil {
		return nil
	}
	why, hint := err.Error(), "name a document that the ERP's contract has"
	if p, ok := errors.AsType[*problem.Error](err); ok {
		why, hint = p.Why, cmp.Or(p.Hint, hint)
	}
	if near := nearest(m.document, g.Documents()); near != "" {
		hint = "did you mean " + near + "?"
	}
	k := &checking{was: s.was}
	k.advise(m.kindAt, "from.document", fmt.Sprintf("the contract gives no %s: %s", clip(m.document), why), hint)
	return k.found
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
				c.advise(place{m.File, m.Line, m.Col}, m.What, m.Why, m.Hint)
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
		return shape{scale: schema.AnyScale}
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
	return shape{scale: schema.AnyScale}
}

// checking holds rules against types.
type checking struct {
	whose string // operation createConfirmation, or a kind of message
	typed bool   // the source's limits are known
	forms bool   // and the formats of its texts
	binds bool   // a number beyond the target's limits stops the message
	found []Finding

	was bool // the mapping was published before

	inside map[[2]*schema.Type]bool // what is being looked at
}

func (k *checking) wrong(at place, what, why, hint string) {
	k.found = append(k.found, Finding{Mistake: Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint}, Refused: true})
}

// advise is wrong, but for what was published before this was looked at.
func (k *checking) advise(at place, what, why, hint string) {
	k.wrong(at, what, why, hint)
	if k.was {
		f := &k.found[len(k.found)-1]
		f.Refused, f.Newer = false, true
	}
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
	k.found = append(k.found, Finding{Mistake: Mistake{File: r.at.file, Line: r.at.line, Col: r.at.col, What: r.path, Why: why, Hint: hint}, Refused: refused})
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
	if r.half {
		return
	}
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
		if v := r.value; k.typed && !k.binds && t.MinItems > 0 && v != nil && v.shape.absent && (r.absent == nil || r.absent.shape.absent) && !r.required {
			k.look(v.at, r.path, fmt.Sprintf("an element without a value is left out of the list, and %s needs %d", f.Name, t.MinItems), "give it a default:, which stands in for it")
		}
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
	if !f.Required || r.required && r.when == nil {
		return
	}
	of := r.value
	if r.each != nil {
		of = r.each
	}
	say := k.wrong
	if r.when != nil && r.required || r.when == nil && r.each != nil && r.absent != nil && !r.absent.shape.absent {
		say = k.advise // earlier releases took it
	}
	switch {
	case r.when != nil:
		say(r.when.at, r.path+".when", fmt.Sprintf("%s requires %s, which is left out where this does not hold", k.whose, f.Name),
			"leave when: out; where the whole message is to be left out, say when: of the mapping")
	case r.each != nil && of.shape.absent: // a default stands in for its elements
		say(of.at, r.path, fmt.Sprintf("it may have no value, and %s requires %s", k.whose, f.Name), "say required: true, which stops a message without it")
	case of != nil && of.shape.absent && (r.absent == nil || r.absent.shape.absent):
		k.wrong(of.at, r.path, fmt.Sprintf("it may have no value, and %s requires %s", k.whose, f.Name),
			"give it a default:, or say required: true, which stops a message without it")
	}
}

// value looks at each of the values that a rule may write: that of its expression, and the one that stands in its place.
func (k *checking) value(r *rule, name string, t *schema.Type) {
	switch {
	case r.constant != nil:
		s := constantShape(r.constant)
		if s.kind == schema.Decimal && t.Kind == schema.Text { // what CEL makes is written as the target has it, a constant as it stands
			k.advise(r.at, r.path, fmt.Sprintf("it is a number, and %s is a text", name), fmt.Sprintf("put it in quotes: const: %q", r.constant))
			if !k.was {
				return
			}
		}
		k.shape(r, s, name, t, r.at)
	case r.value != nil:
		k.shape(r, r.value.shape, name, t, r.value.at)
	}
	if r.absent == nil {
		return
	}
	before := len(k.found)
	k.shape(r, r.absent.shape, name, t, r.absent.at)
	for i := range k.found[before:] {
		if f := &k.found[before+i]; f.What == r.path {
			f.What += ".default"
		}
	}
}

// shape looks at what is written and what is expected.
func (k *checking) shape(r *rule, s shape, name string, t *schema.Type, at place) {
	for _, one := range s.either {
		k.shape(r, one, name, t, at)
	}
	if !s.known() || t.Kind == schema.Any {
		return
	}
	written, hint := r.written(s)
	if !takes(t, written, r.format) {
		if r.constant != nil && t.Kind == schema.Bool {
			k.wrong(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", written, name, t.Kind), "write const: true or const: false, without quotes")
			return
		}
		k.wrong(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", written, name, t.Kind), hintFor(t, written, hint))
		return
	}
	switch {
	case t.Format == schema.IsDecimal || t.Kind == schema.Decimal || t.Kind == schema.Integer:
		k.within(r, s, name, t, at)
		if t.Kind != schema.Integer {
			k.digits(r, s, name, t, at)
		}
		k.said(r, s, name, t, at)
	case t.Kind == schema.Text:
		k.text(r, s, name, t, at)
	case s.kind == schema.List || s.kind == schema.Object:
		k.parts(r, s, name, t, at)
	}
	if s.kind == schema.List {
		k.elements(r.path, s, name, t, at)
	}
}

// look notes what a message may bring that the target has no room for, where the mapping has no word to stop it.
func (k *checking) look(at place, what, why, hint string) {
	k.found = append(k.found, Finding{Mistake: Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint}})
}

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
	case t.Kind == schema.Decimal && written == schema.Text && as == "":
		return "wrap it: decimal(…), and add as: number"
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

// isUUID is the format of a text that holds a UUID.
const isUUID = "uuid"
