// Package edm is the entity data model of an OData service: what its $metadata says there is, and how its values are written.
//
// # Guarantees
//
//   - One Model for OData V2 (EDMX 1.0), V3 as far as it is like V2, and V4 (EDMX 4.0). Parse reads namespaces as XML has them,
//     knows aliases and several schemas, and follows base types. What it does not know is a warning, never a failure.
//   - A document that is no EDMX, or contradicts itself, is refused with its line and the reason. Size and depth are bounded.
//   - Values have one plain form inside Holdfast, whatever the version writes on the wire (see Field.Wire): no digit and no zone is
//     lost on the way, and a value that does not fit its field is refused before it is sent.
//   - A literal or key is made from the field's type and quoted by it. Nothing pastes text into an address.
package edm

import (
	"fmt"
	"slices"
)

// Version is the protocol's.
type Version int

// The versions. V3 is spoken as V2.
const (
	V2 Version = 2
	V4 Version = 4
)

// Model is one service's $metadata, compiled. Nothing changes it; it is safe for concurrent use.
type Model struct {
	Version    Version
	Structs    map[string]*Struct    // entity and complex types by their qualified name
	Sets       map[string]*Set       // and singletons, by name
	Operations map[string]*Operation // function imports, action imports and bound operations, by name
	Warnings   []string              // what was passed over, with its line
}

// Struct is an entity type or a complex type.
type Struct struct {
	Name   string   // qualified by its namespace
	Key    []string // empty for a complex type
	Fields []*Field // in the order of the document, those of the base type first
	Links  []*Link
	Open   bool // fields may come that are not declared
	Label  string

	up     *Struct           // the base type; nil if there is none
	fields map[string]*Field // its own
	links  map[string]*Link
}

// Field is a property of a Struct, or a parameter of an Operation.
type Field struct {
	Name      string
	Type      string  // such as "Edm.Decimal"; of a type definition the one underneath; "" of a complex type
	Struct    *Struct // of a complex type
	Members   []Member
	Many      bool // a collection
	Nullable  bool
	MaxLength int // characters or bytes; 0 is no limit
	Precision int // digits; 0 is not said
	Scale     int // digits behind the point; AnyScale is not said
	Label     string
	Unit      string // the field that has this quantity's unit
	Key       bool
	Required  bool // a new entity must have it
	ETag      bool // it is (part of) the entity's version
	ReadOnly  bool // the service fills it in; it cannot be sent
	Fixed     bool // it can be sent with a new entity, and not be changed
	NoFilter  bool // it cannot stand in a $filter
	DateOnly  bool // V2: an Edm.DateTime without a time of day

	enum  string // qualified name of an enumeration, for literals
	flags bool   // of which a value can have several names at once, with commas between (IsFlags)
}

// AnyScale is the Scale of a field that does not limit it.
const AnyScale = -1

// Member is one name of an enumeration.
type Member struct{ Name, Value string }

// Link is a navigation property.
type Link struct {
	Name   string
	Target *Struct
	Many   bool
	Label  string

	target, role string // as written, until all types are known
}

// Set is an entity set, or a V4 singleton.
type Set struct {
	Name      string
	Of        *Struct
	Singleton bool
	Label     string
	Versioned bool // changes need the ETag (If-Match)
	NoCreate  bool
	NoUpdate  bool
	NoDelete  bool
	NoDelta   bool              // it gives no links to what changes
	Targets   map[string]string // by navigation property: the set that it leads to
}

// Operation is a function import (V2), or an action or function (V4).
type Operation struct {
	Name      string // as it is called: bound V4 operations with their namespace
	Method    string // GET or POST
	Bound     *Struct
	BoundMany bool
	Params    []*Field
	Returns   *Field // nil if nothing; its Name is empty
	Label     string
}

// Field finds a property.
func (s *Struct) Field(name string) (*Field, bool) {
	for ; s != nil; s = s.up {
		if f, ok := s.fields[name]; ok {
			return f, true
		}
	}
	return nil, false
}

// Link finds a navigation property.
func (s *Struct) Link(name string) (*Link, bool) {
	for ; s != nil; s = s.up {
		if l, ok := s.links[name]; ok {
			return l, true
		}
	}
	return nil, false
}

// Param finds a parameter of an operation.
func (o *Operation) Param(name string) (*Field, bool) {
	i := slices.IndexFunc(o.Params, func(f *Field) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return o.Params[i], true
}

// Error is what is wrong with a $metadata document, and where.
type Error struct {
	Line int
	Why  string
}

// Error has the line first, as compilers do.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// NewStruct makes a type of fields that stand together without one, such as the parameters of an operation.
func NewStruct(name string, fields []*Field) *Struct {
	s := &Struct{Name: name, Fields: fields, fields: make(map[string]*Field, len(fields))}
	for _, f := range fields {
		s.fields[f.Name] = f
	}
	return s
}
