package schema

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Document is a JSON document with references: a contract.Document is one. At gives the value at a JSON pointer with references
// followed, and where it stands.
type Document interface {
	At(pointer string) (value any, where string, ok bool)
}

// Direction is which way a document goes: it decides which of its fields can be there.
type Direction string

// The directions. What an ERP fills in itself (readOnly) is not sent to it; what it takes and keeps to itself (writeOnly) does not come.
const (
	Sent     Direction = "readOnly"
	Received Direction = "writeOnly"
)

// FromJSON reads the JSON Schema at a pointer; nil if there is none.
func FromJSON(doc Document, pointer string, way Direction) *Type {
	r := &reader{doc: doc, hidden: string(way), known: map[string]*Type{}}
	return r.read(pointer)
}

type reader struct {
	doc    Document
	hidden string
	known  map[string]*Type
}

func (r *reader) read(pointer string) *Type {
	v, at, ok := r.doc.At(pointer)
	schema, isObject := v.(map[string]any)
	if !ok || !isObject {
		return nil
	}
	if t := r.known[at]; t != nil {
		return t
	}
	t := &Type{Scale: AnyScale}
	r.known[at] = t
	parts := r.parts(at)
	for _, p := range parts {
		t.is(p.schema)
	}
	for _, p := range parts {
		if !p.optional { // a limit that one choice has is none of the others'
			t.limits(p.schema)
		}
	}
	if t.mixed {
		*t = Type{Scale: AnyScale, Nullable: t.Nullable, Theirs: t.Theirs}
	}
	if t.Kind == Object {
		r.object(t, at, parts)
	}
	if t.Kind == List {
		r.list(t, at, schema)
	}
	return t
}

// part is one of the schemas that together describe a value.
type part struct {
	at       string
	schema   map[string]any
	optional bool // it is one of several that may hold
}

// maxParts bounds what may be combined.
const maxParts = 200

// parts are the schema at a place and those that allOf, anyOf and oneOf combine with it.
func (r *reader) parts(at string) []part {
	var out []part
	todo := []part{{at: at}}
	for len(todo) > 0 && len(out) < maxParts {
		p := todo[0]
		todo = todo[1:]
		v, where, ok := r.doc.At(p.at)
		schema, isObject := v.(map[string]any)
		if !ok || !isObject || slices.ContainsFunc(out, func(o part) bool { return o.at == where }) {
			continue
		}
		p.at, p.schema = where, schema
		out = append(out, p)
		for _, key := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := schema[key].([]any)
			for i := range list {
				todo = append(todo, part{at: fmt.Sprintf("%s/%s/%d", where, key, i), optional: p.optional || key != "allOf" && several(list)})
			}
		}
	}
	return out
}

// several tells whether there is a choice: null beside one schema is none.
func several(choices []any) bool {
	n := len(choices)
	for _, v := range choices {
		if s, _ := v.(map[string]any); s["type"] == "null" {
			n--
		}
	}
	return n > 1
}

// is adds what one schema says that the value is. One that may be of two kinds is of any.
func (t *Type) is(s map[string]any) {
	names := types(s)
	t.Nullable = t.Nullable || s["nullable"] == true || slices.Contains(names, "null")
	for _, name := range names {
		if k, ok := kinds[name]; ok {
			t.mixed = t.mixed || t.Kind != Any && t.Kind != k
			t.Kind = k
		}
	}
	if t.Kind == Any && s["properties"] != nil {
		t.Kind = Object
	}
	t.Theirs = t.Theirs || s["x-theirs"] == true
}

// limits adds what one schema that holds says of the value.
func (t *Type) limits(s map[string]any) {
	if f, ok := s["format"].(string); ok {
		t.Format = f
	}
	limit(&t.MaxLength, s["maxLength"])
	limit(&t.MaxItems, s["maxItems"])
	limit(&t.MinItems, s["minItems"])
	if n, err := strconv.Atoi(fmt.Sprint(s["minLength"])); err == nil {
		t.MinLength = max(t.MinLength, n)
	}
	if values, ok := s["enum"].([]any); ok {
		t.choices(values)
	}
	if c, ok := s["const"].(string); ok {
		t.Enum = []string{c}
	}
	if p, ok := s["pattern"].(string); ok {
		t.Pattern = p
		t.pattern(p)
	}
	if m, ok := s["multipleOf"]; ok && (t.Kind == Decimal || t.Kind == Integer) {
		if t.Step = fmt.Sprint(m); t.Kind == Decimal {
			t.Scale = places(t.Step)
		}
	}
	t.bounds(s)
	t.lengths()
}

// bounds keeps the narrower of the limits of a number. An exclusive one is a number of its own or, before OpenAPI 3.1, true beside the other.
func (t *Type) bounds(s map[string]any) {
	for _, of := range []struct {
		to             *Bound
		key, exclusive string
		beyond         int
	}{{&t.Least, "minimum", "exclusiveMinimum", -1}, {&t.Most, "maximum", "exclusiveMaximum", 1}} {
		of.to.narrow(s[of.key], s[of.exclusive] == true, of.beyond)
		if s[of.exclusive] != true && s[of.exclusive] != false {
			of.to.narrow(s[of.exclusive], true, of.beyond)
		}
	}
}

// narrow takes another limit in place of one that it is within; beyond is the sign of what lies behind a limit.
func (b *Bound) narrow(v any, open bool, beyond int) {
	limit, ok := new(big.Rat).SetString(fmt.Sprint(v))
	if !ok {
		return
	}
	if was, ok := new(big.Rat).SetString(b.Value); ok && (limit.Cmp(was) == beyond || limit.Cmp(was) == 0 && !open) {
		return
	}
	*b = Bound{fmt.Sprint(v), open}
}

var kinds = map[string]Kind{"object": Object, "array": List, "string": Text, "number": Decimal, "integer": Integer, "boolean": Bool}

func types(s map[string]any) []string {
	switch v := s["type"].(type) {
	case string:
		return []string{v}
	case []any:
		return texts(v)
	default:
		return nil
	}
}

func texts(values []any) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// limit keeps the narrower of two limits.
func limit(to *int, v any) {
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil && n > 0 && (*to == 0 || n < *to) {
		*to = n
	}
}

// lengths are those of formats whose texts all have one.
func (t *Type) lengths() {
	known := map[string]int{"date": len("2006-01-02"), "date-time": len("2006-01-02T15:04:05.999999999+00:00"), "uuid": 36}
	if n := known[t.Format]; n > 0 && t.MaxLength == 0 {
		t.MaxLength = n
	}
}

var (
	decimalPattern = regexp.MustCompile(`^\^-?\??\[0-9\]\{1,(\d+)\}(?:\((?:\[\.\]|\\\.)\[0-9\]\{1,(\d+)\}\)\?)?\$$`)
	lengthPattern  = regexp.MustCompile(`^\^\[[^\]]+\]\{(?:\d+,)?(\d+)\}\$$`)
)

// pattern reads digits and places of a decimal in a text, or the length of a text of one class of characters.
func (t *Type) pattern(p string) {
	if m := decimalPattern.FindStringSubmatch(p); m != nil && t.Format == IsDecimal {
		if t.Digits, t.Scale = atoi(m[1]), atoi(m[2]); !strings.HasPrefix(p, "^-") {
			t.Least.narrow("0", false, -1)
		}
		return
	}
	if m := lengthPattern.FindStringSubmatch(p); m != nil {
		limit(&t.MaxLength, m[1])
	}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // "" is no place at all
	return n
}

// places are those behind the point of a number such as 0.001.
func places(step string) int {
	n, ok := new(big.Rat).SetString(step)
	if !ok {
		return AnyScale
	}
	behind, _ := n.FloatPrec() // a number in JSON ends
	return behind
}

// choices keeps the values that an enum lists: the texts, or of a number all of them.
func (t *Type) choices(values []any) {
	if t.Kind != Decimal && t.Kind != Integer {
		t.Enum = texts(values)
		return
	}
	for _, v := range values {
		if v != nil {
			t.Numbers = append(t.Numbers, fmt.Sprint(v))
		}
	}
}

// object reads the members that parts describe together.
func (r *reader) object(t *Type, at string, parts []part) {
	t.Name = at
	var fields []*Field
	required := map[string]bool{}
	for _, p := range parts {
		for _, key := range []string{"additionalProperties", "unevaluatedProperties"} {
			allowed, given := p.schema[key]
			t.Open = t.Open || given && allowed != false
			t.Closed = t.Closed || allowed == false
		}
		for _, name := range texts(list(p.schema["required"])) {
			required[name] = required[name] || !p.optional
		}
		for _, name := range r.members(p) {
			if slices.ContainsFunc(fields, func(f *Field) bool { return f.Name == name }) {
				continue
			}
			if f := r.field(p.at+"/properties/"+escape(name), name); f != nil {
				fields = append(fields, f)
			}
		}
	}
	if len(fields) == 0 && !t.Closed {
		t.Open = true
	}
	for _, f := range fields {
		f.Required = required[f.Name]
	}
	t.SetFields(fields)
}

func list(v any) []any { l, _ := v.([]any); return l }

// members are the names of a part's properties, in the order of the document where it knows that.
func (r *reader) members(p part) []string {
	if o, ok := r.doc.(interface{ Keys(pointer string) []string }); ok {
		return o.Keys(p.at + "/properties")
	}
	props, _ := p.schema["properties"].(map[string]any)
	names := make([]string, 0, len(props))
	for name := range props {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// field reads one member; nil if it is not there in this direction.
func (r *reader) field(pointer, name string) *Field {
	v, at, ok := r.doc.At(pointer)
	schema, _ := v.(map[string]any)
	if !ok || schema[r.hidden] == true {
		return nil
	}
	t := r.read(at)
	if t == nil {
		t = &Type{Scale: AnyScale}
	}
	label, _ := schema["description"].(string)
	return &Field{Name: name, Type: t, Label: label}
}

func (r *reader) list(t *Type, at string, s map[string]any) {
	if s["items"] != nil {
		t.Item = r.read(at + "/items")
	}
	if t.Item == nil {
		t.Item = &Type{Scale: AnyScale}
	}
}

func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// FromOperation reads what an operation of an OpenAPI document takes.
func FromOperation(doc Document, method, path string) *Operation {
	item := "/paths/" + escape(path)
	at := item + "/" + strings.ToLower(method)
	op := &Operation{}
	v, where, _ := doc.At(at + "/requestBody/content")
	media, _ := v.(map[string]any)
	for name := range media {
		if name == "application/json" || strings.HasSuffix(name, "+json") {
			op.Body = FromJSON(doc, where+"/"+escape(name)+"/schema", Sent)
		}
	}
	for _, list := range []string{at + "/parameters", item + "/parameters"} {
		op.params(doc, list)
	}
	return op
}

// params adds the parameters of a list; those of the operation come first, and the path's own of the same name are passed over.
func (o *Operation) params(doc Document, pointer string) {
	v, where, _ := doc.At(pointer)
	for i := range list(v) {
		at := fmt.Sprintf("%s/%d", where, i)
		p, at, _ := doc.At(at)
		m, _ := p.(map[string]any)
		name, _ := m["name"].(string)
		if name == "" || slices.ContainsFunc(o.Params, func(f *Field) bool { return f.Name == name }) {
			continue
		}
		t := FromJSON(doc, at+"/schema", Sent)
		if t == nil {
			t = &Type{Scale: AnyScale}
		}
		label, _ := m["description"].(string)
		o.Params = append(o.Params, &Field{Name: name, Type: t, Required: m["required"] == true, Label: label})
	}
}

// FromComponent reads a schema by its name in an OpenAPI document, as the document's owner sends it; nil if there is none.
func FromComponent(doc Document, name string) *Type {
	return FromJSON(doc, "/components/schemas/"+escape(name), Received)
}
