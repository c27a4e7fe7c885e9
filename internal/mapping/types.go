package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// plantTypes are the types of the bodies of the plant's messages, by kind. All are of version 1.
var plantTypes = sync.OnceValues(func() (map[string]*schema.Type, error) {
	doc, err := contract.Load(openapi.Events(), "events.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]*schema.Type{}
	for _, kind := range doc.Keys("/webhooks") {
		out[kind] = schema.FromJSON(doc, "/webhooks/"+kind+"/post/requestBody/content/application~1json/schema", schema.Sent)
	}
	return out, nil
})

// PlantType is the type of the body of the plant's messages of a kind; nil if the plant has no such kind, or none of this version.
func PlantType(kind string, version int) *schema.Type {
	all, err := plantTypes()
	if err != nil || version != 1 {
		return nil // Load has told of the error
	}
	return all[kind]
}

// PlantKinds are the kinds of the plant's messages that are known, those that it sends and those that it takes.
func PlantKinds() []string {
	all, err := plantTypes()
	if err != nil {
		return nil
	}
	return sortedKeys(all)
}

// provider lets CEL know the fields of a document as its schema has them.
type provider struct {
	types.Provider
	byName map[string]*schema.Type
	names  map[*schema.Type]string
	units  bool // a field says that it holds a unit
}

func newProvider(below types.Provider, root *schema.Type) *provider {
	p := &provider{Provider: below, byName: map[string]*schema.Type{}, names: map[*schema.Type]string{}}
	p.add(root, "document")
	return p
}

// add names each object of a schema, by the last word of the name that its document gives it.
func (p *provider) add(t *schema.Type, name string) {
	if t == nil || p.names[t] != "" {
		return
	}
	switch t.Kind {
	case schema.List:
		p.add(t.Item, name)
	case schema.Object:
		if t.Name != "" && isWord(path.Base(t.Name)) {
			name = path.Base(t.Name)
		}
		unique := name
		for i := 2; p.byName[unique] != nil; i++ {
			unique = fmt.Sprintf("%s%d", name, i)
		}
		p.byName[unique], p.names[t] = t, unique
		for _, f := range t.Fields {
			p.units = p.units || f.Type.Format == schema.IsUnit
			p.add(f.Type, f.Name)
		}
	}
}

// tellsUnits tells whether the schema says of its fields which are units: one that it does not say that of is none then.
func (p *provider) tellsUnits() bool { return p != nil && p.units }

// of is what an expression knows a type as.
func (p *provider) of(t *schema.Type) *cel.Type {
	switch t.Kind {
	case schema.Object:
		if t.Open {
			return cel.DynType
		}
		return cel.ObjectType(p.names[t])
	case schema.List:
		return cel.ListType(p.of(t.Item))
	case schema.Text:
		return cel.StringType
	case schema.Decimal:
		return decimalType
	case schema.Integer:
		return cel.IntType
	case schema.Bool:
		return cel.BoolType
	default:
		return cel.DynType
	}
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if p.byName[name] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if t := p.byName[name]; t != nil {
		return t.Names(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider. Values are maps, so that no way to reach into them is given.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	t := p.byName[name]
	if t == nil {
		return p.Provider.FindStructFieldType(name, field)
	}
	f, ok := t.Field(field)
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: p.of(f.Type)}, true
}

// fits brings a decoded document to what its schema says: null counts as missing where a field or an element may be null, a number is a decimal where the
// schema has one, a whole number however it is written. What is not as the schema says stays as it is.
func fits(v any, t *schema.Type, depth int) any {
	if t == nil || depth > maxDepth {
		return v
	}
	switch x := v.(type) {
	case map[string]any:
		for _, f := range t.Fields {
			member, has := x[f.Name]
			if has && member == nil && (f.Type.Nullable || !f.Required) {
				delete(x, f.Name)
			} else if has {
				x[f.Name] = fits(member, f.Type, depth+1)
			}
		}
	case []any:
		if t.Item != nil && t.Item.Nullable {
			x = slices.DeleteFunc(x, func(e any) bool { return e == nil })
		}
		for i := range x {
			x[i] = fits(x[i], t.Item, depth+1)
		}
		return x
	case json.Number:
		return fitNumber(x, t.Kind)
	}
	return v
}

func fitNumber(n json.Number, kind schema.Kind) any {
	d, err := decimal.Parse(n.String())
	switch {
	case err != nil:
		return n
	case kind == schema.Decimal:
		return d
	case kind == schema.Integer && strings.ContainsAny(n.String(), ".eE"):
		if whole, err := d.Rescale(0); err == nil {
			return json.Number(whole.String())
		}
	}
	return n
}

// withoutNulls takes members without a value out of a document of the ERP and of what is in it, so that null counts as missing, as the check
// of a mapping against the ERP's contract has it.
func withoutNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, inner any) bool { return inner == nil })
		for _, inner := range v {
			withoutNulls(inner)
		}
	case []any:
		for _, inner := range v {
			withoutNulls(inner)
		}
	}
}
