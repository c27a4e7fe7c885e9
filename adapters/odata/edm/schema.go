package edm

import (
	"fmt"

	"holdfast/internal/schema"
)

// Sent is the type of what is sent as s, with what a service fills in itself left out. Of a change nothing is required, and what cannot be
// changed is left out too.
func (s *Struct) Sent(use Use) *schema.Type {
	d := describer{known: map[*Struct]*schema.Type{}, use: use, sent: true}
	return d.object(s, true)
}

// Received is the type of an entity in its plain form, as Plain gives it.
func (s *Struct) Received() *schema.Type {
	d := describer{known: map[*Struct]*schema.Type{}}
	return d.object(s, true)
}

type describer struct {
	known map[*Struct]*schema.Type
	use   Use
	sent  bool
}

func (d *describer) object(s *Struct, top bool) *schema.Type {
	if t := d.known[s]; t != nil {
		return t
	}
	t := &schema.Type{Kind: schema.Object, Name: s.Name, Open: s.Open, Closed: !s.Open, Scale: schema.AnyScale}
	d.known[s] = t
	var fields []*schema.Field
	for _, f := range s.Fields {
		if d.sent && (f.ReadOnly || top && d.use == Change && (f.Fixed || f.Key)) {
			continue
		}
		required := f.Required && (d.use == Create || !top)
		if !d.sent {
			required = f.Key || !f.Nullable
		}
		fields = append(fields, &schema.Field{Name: f.Name, Type: d.field(f), Required: required, Label: f.Label})
	}
	for _, l := range s.Links {
		of := d.object(l.Target, false)
		if l.Many {
			of = &schema.Type{Kind: schema.List, Item: of, Scale: schema.AnyScale}
		}
		fields = append(fields, &schema.Field{Name: l.Name, Type: of, Label: l.Label})
	}
	t.SetFields(fields)
	return t
}

func (d *describer) field(f *Field) *schema.Type {
	if f.Struct != nil && !f.Many {
		return d.object(f.Struct, false)
	}
	t := d.value(f)
	if f.Many {
		return &schema.Type{Kind: schema.List, Item: t, Scale: schema.AnyScale, Nullable: f.Nullable}
	}
	t.Nullable = f.Nullable
	return t
}

// value is the type of one value in its plain form. What is sent may stand in other forms too, see Field.Wire.
func (d *describer) value(f *Field) *schema.Type {
	t := &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}
	switch {
	case f.Struct != nil:
		return d.object(f.Struct, false)
	case f.flags: // any of its names together
		return t
	case len(f.Members) > 0:
		for _, m := range f.Members {
			t.Enum = append(t.Enum, m.Name)
		}
		return t
	}
	switch f.Type {
	case "Edm.String":
		t.MaxLength = f.MaxLength
	case "Edm.Guid":
		t.Format, t.MaxLength = "uuid", 36
	case "Edm.Date":
		t.Format, t.MaxLength = "date", len("2006-01-02")
	case "Edm.DateTimeOffset":
		t.Format = "date-time"
	case "Edm.DateTime":
		t.Format = schema.IsCivil
	case "Edm.Time", "Edm.TimeOfDay":
		t.Format = onlyReceived(d, "time")
	case "Edm.Boolean":
		t.Kind = schema.Bool
	case "Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32":
		t.Kind, t.Loose = schema.Integer, true
		t.Least, t.Most = within(f.Type)
	case "Edm.Int64":
		t.Format, t.Digits, t.Scale, t.Loose = schema.IsDecimal, 19, 0, true
		t.Least, t.Most = within(f.Type)
	case "Edm.Decimal":
		t.Format, t.Loose = schema.IsDecimal, true
		if f.Scale != AnyScale {
			t.Scale = f.Scale
			t.Digits = max(0, f.Precision-f.Scale)
		}
	case "Edm.Single", "Edm.Double":
		t.Kind, t.Loose = schema.Decimal, true
	}
	return t
}

// within are the least and the most of a whole number.
func within(typ string) (least, most schema.Bound) {
	n, signed := bits(typ)
	if !signed {
		return schema.Bound{Value: "0"}, schema.Bound{Value: fmt.Sprint(uint64(1)<<n - 1)}
	}
	half := uint64(1) << (n - 1)
	return schema.Bound{Value: "-" + fmt.Sprint(half)}, schema.Bound{Value: fmt.Sprint(half - 1)}
}

// onlyReceived is a format of what comes in: what is sent may stand in others too.
func onlyReceived(d *describer, format string) string {
	if d.sent {
		return ""
	}
	return format
}
