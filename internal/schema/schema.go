// Package schema describes any document: its fields and their types, lengths and precision, whatever said so: an OpenAPI document, the
// $metadata of an OData service, or the description of an IDoc. Mappings are held against it before they run.
//
// # Guarantees
//
//   - A limit that is not known is not invented: 0 (of Scale: AnyScale) says that there is none, or that nobody told.
//   - A Type may contain itself; whoever walks one bounds the depth.
//   - A Type does not change once it is handed out. It is safe for concurrent use.
package schema

import "slices"

// Kind is what a value is.
type Kind int

// The kinds.
const (
	Any     Kind = iota // nothing is known of it
	Object              // Fields
	List                // Item
	Text                // MaxLength, Format, Enum
	Decimal             // a number in JSON: Digits, Scale
	Integer
	Bool
)

// String is the kind's name for a person.
func (k Kind) String() string {
	return [...]string{"value of any type", "object", "list", "text", "decimal", "whole number", "true or false"}[k]
}

// AnyScale is the Scale of a number whose places behind the point are not limited.
const AnyScale = -1

// IsCivil is the Format of a text that holds a day, or a day and a time of no zone. One that is sent may stand in a form of the target's own too.
const IsCivil = "civil"

// IsDecimal is the Format of a text that holds an exact decimal.
const IsDecimal = "decimal"

// IsZone is the Format of a text that holds the IANA name of a time zone, and IsUnit that of one that holds a code of a unit of measure.
const (
	IsZone = "time-zone"
	IsUnit = "unit"
)

// Type is what is known of a value.
type Type struct {
	Kind      Kind
	Name      string   // of an object, unique in its document; "" of others
	Fields    []*Field // of an object, in the order of the document
	Open      bool     // an object that takes any other field too
	Closed    bool     // one that refuses any other
	Item      *Type    // of a list
	MinItems  int
	MaxItems  int
	MinLength int
	MaxLength int   // characters of a text
	Digits    int   // before the point, of a number or a decimal in a text
	Scale     int   // behind it
	Least     Bound // of a number, or of a decimal in a text
	Most      Bound
	Step      string   // of a number: what it is a multiple of; "": of none
	Numbers   []string // of a number: all that it can be; nil: any
	Format    string   // of a text: decimal, date, date-time, …
	Pattern   string   // of a text
	Enum      []string
	Nullable  bool
	Loose     bool // a text that may be written as a number, or a number as a text
	Theirs    bool // a text of the ERP's own, which it is given back

	byName map[string]*Field
	mixed  bool // it was read as of two kinds
}

// Bound is a limit of a number as its document writes it, digit for digit; without a Value there is none.
type Bound struct {
	Value string
	Open  bool // the limit itself is beyond it
}

// String says the limit, for a person.
func (b Bound) String() string {
	if b.Open {
		return b.Value + ", without it"
	}
	return b.Value
}

// Field is a member of an object.
type Field struct {
	Name     string
	Type     *Type
	Required bool
	Label    string // what it means, for a person
}

// Operation is what can be called in an ERP with a document.
type Operation struct {
	Body   *Type // nil if it takes none
	Params []*Field
}

// NewObject makes an object type.
func NewObject(name string, fields ...*Field) *Type {
	t := &Type{Kind: Object, Name: name, Scale: AnyScale}
	t.SetFields(fields)
	return t
}

// SetFields gives an object its members, in order. It is for whoever describes a document that contains itself.
func (t *Type) SetFields(fields []*Field) {
	t.Fields, t.byName = fields, make(map[string]*Field, len(fields))
	for _, f := range fields {
		t.byName[f.Name] = f
	}
}

// Field finds a member.
func (t *Type) Field(name string) (*Field, bool) {
	f, ok := t.byName[name]
	return f, ok
}

// Names are the members, in order.
func (t *Type) Names() []string {
	names := make([]string, 0, len(t.Fields))
	for _, f := range t.Fields {
		names = append(names, f.Name)
	}
	return names
}

// Without is a copy of an object that does not require the fields named, since somebody else fills them in.
func (t *Type) Without(names ...string) *Type {
	out := *t
	fields := make([]*Field, 0, len(t.Fields))
	for _, f := range t.Fields {
		if slices.Contains(names, f.Name) {
			filled := *f
			filled.Required = false
			f = &filled
		}
		fields = append(fields, f)
	}
	out.SetFields(fields)
	return &out
}
