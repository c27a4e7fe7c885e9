package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"holdfast/internal/decimal"
)

// Load reads a set from its files; name stands before each file in what is told of mistakes.
func Load(fsys fs.FS, name string) (*Set, error) {
	l := &loader{fsys: fsys, name: name}
	s := &Set{}
	l.plant(s)
	l.materials(s)
	l.units(s)
	l.workCentres(s)
	l.routings(s)
	l.boms(s)
	l.lots(s)
	l.inspections(s)
	l.orders(s)
	if len(l.mistakes) == 0 && len(s.Orders) == 0 {
		l.wrong("orders.csv", "it has no orders", "give at least one row: what the plant makes")
	}
	return s, errors.Join(l.mistakes...)
}

func (l *loader) plant(s *Set) {
	rows := 0
	l.each("plant.csv", []string{"number", "name", "zone"}, func(r row) {
		if rows++; rows > 1 {
			r.wrong("number", "there is a second plant", "a data set is one plant's: leave one row")
		}
		s.Plant = Plant{Number: r.text("number", 4), Name: r.text("name", 80), Zone: r.text("zone", 40)}
		if _, err := time.LoadLocation(s.Plant.Zone); err != nil {
			r.wrong("zone", "it is no time zone", "write a name of the IANA database, such as Europe/Berlin")
		}
	})
	if rows == 0 {
		l.wrong("plant.csv", "it has no plant", "give one row with number, name and zone")
	}
}

func (l *loader) materials(s *Set) {
	columns := []string{"number", "description", "type", "base_unit", "batch_managed", "shelf_life_days", "net_weight", "weight_unit"}
	l.each("materials.csv", columns, func(r row) {
		m := Material{
			Number: r.text("number", 40), Description: r.text("description", 80), BaseUnit: r.text("base_unit", 6),
			Type:          r.among("type", "finished", "semifinished", "raw", "packaging", "operating"),
			BatchManaged:  r.among("batch_managed", "yes", "no") == "yes",
			ShelfLifeDays: r.whole("shelf_life_days", 0, 36500), NetWeight: r.number("net_weight", true), WeightUnit: r.cells["weight_unit"],
		}
		if s.Material(m.Number) != nil {
			r.wrong("number", "material "+m.Number+" is there already", "leave one of the rows out")
			return
		}
		s.Materials = append(s.Materials, m)
	})
}

// material finds the material of a row; nil, after telling the mistake, if there is none.
func (r row) material(s *Set, column string) *Material {
	m := s.Material(r.cells[column])
	if m == nil {
		r.wrong(column, fmt.Sprintf("materials.csv has no material %q", r.cells[column]), "add it there, or correct the number")
	}
	return m
}

// unitOf is a unit that converts into the material's base unit.
func (r row) unitOf(m *Material, column string) string {
	u := r.text(column, 6)
	if _, ok := m.ToBase(decimal.FromInt(1), u); !ok && u != "" {
		r.wrong(column, fmt.Sprintf("%s of %s does not convert into its base unit %s", u, m.Number, m.BaseUnit), "add the ratio to units.csv")
	}
	return u
}

func (l *loader) units(s *Set) {
	l.each("units.csv", []string{"material", "unit", "numerator", "denominator"}, func(r row) {
		u := Unit{Code: r.text("unit", 6), Numerator: r.number("numerator", false), Denominator: r.number("denominator", false)}
		m := r.material(s, "material")
		if m == nil {
			return
		}
		if u.Code == m.BaseUnit || slices.ContainsFunc(m.Units, func(o Unit) bool { return o.Code == u.Code }) {
			r.wrong("unit", u.Code+" of "+m.Number+" is known already", "leave one of the rows out")
			return
		}
		m.Units = append(m.Units, u)
	})
}

func (l *loader) workCentres(s *Set) {
	columns := []string{"number", "description", "category", "cost_centre", "capacity_hours_per_day"}
	l.each("work_centres.csv", columns, func(r row) {
		w := WorkCentre{
			Number: r.text("number", 40), Description: r.text("description", 80), Category: r.among("category", "machine", "line", "manual", "inspection"),
			CostCentre: r.cells["cost_centre"], Capacity: r.number("capacity_hours_per_day", true),
		}
		if s.workCentre(w.Number) {
			r.wrong("number", "work centre "+w.Number+" is there already", "leave one of the rows out")
			return
		}
		s.WorkCentres = append(s.WorkCentres, w)
	})
}

func (s *Set) workCentre(number string) bool {
	return slices.ContainsFunc(s.WorkCentres, func(w WorkCentre) bool { return w.Number == number })
}

func (l *loader) routings(s *Set) {
	columns := []string{
		"material", "operation", "description", "work_centre", "control_key", "base_quantity", "setup_time", "machine_time", "labour_time", "time_unit",
	}
	l.each("routings.csv", columns, func(r row) {
		o := Operation{
			Number: r.four("operation"), Description: r.text("description", 80), WorkCentre: r.text("work_centre", 40),
			Control: r.among("control_key", "confirm", "milestone", "none"), Base: r.number("base_quantity", false),
			Setup: r.number("setup_time", true), Machine: r.number("machine_time", true), Labour: r.number("labour_time", true),
			TimeUnit: r.among("time_unit", "S", "MIN", "H"),
		}
		if !s.workCentre(o.WorkCentre) {
			r.wrong("work_centre", fmt.Sprintf("work_centres.csv has no work centre %q", o.WorkCentre), "add it there, or correct the number")
		}
		m := r.material(s, "material")
		if m == nil {
			return
		}
		if n := len(m.Routing); n > 0 && m.Routing[n-1].Number >= o.Number {
			r.wrong("operation", o.Number+" does not follow "+m.Routing[n-1].Number, "put the operations of a material in their order")
		}
		m.Routing = append(m.Routing, o)
	})
}

func (m *Material) operation(number string) bool {
	return slices.ContainsFunc(m.Routing, func(o Operation) bool { return o.Number == number })
}

// operationOf is an operation of the material's routing.
func (r row) operationOf(m *Material) string {
	o := r.four("operation")
	if !m.operation(o) {
		r.wrong("operation", fmt.Sprintf("routings.csv has no operation %s of %s", o, m.Number), "add it there, or correct the number")
	}
	return o
}

func (l *loader) boms(s *Set) {
	columns := []string{
		"material", "base_quantity", "base_unit", "item", "component", "quantity", "unit", "operation", "storage_location", "scrap_percent",
	}
	l.each("boms.csv", columns, func(r row) {
		m, c := r.material(s, "material"), r.material(s, "component")
		base := r.number("base_quantity", false)
		if m == nil || c == nil {
			return
		}
		r.base(m, base)
		i := Item{
			Item: r.four("item"), Component: c.Number, Quantity: r.number("quantity", false), Unit: r.unitOf(c, "unit"),
			Operation: r.operationOf(m), Location: r.cells["storage_location"], ScrapPercent: r.number("scrap_percent", true),
		}
		if n := len(m.BOM.Items); n > 0 && m.BOM.Items[n-1].Item >= i.Item {
			r.wrong("item", i.Item+" does not follow "+m.BOM.Items[n-1].Item, "put the items of a material in their order")
		}
		m.BOM.Items = append(m.BOM.Items, i)
	})
}

// base is what the BOM is for; each row of a material says the same.
func (r row) base(m *Material, base decimal.Decimal) {
	one := decimal.FromInt(1)
	switch _, err := one.Ratio(one, base); {
	case base.Sign() <= 0:
		return // told already
	case err != nil:
		r.wrong("base_quantity", "1 ÷ "+base.String()+" does not end", "write 1, 10, 100, 1000 or another number of which requirements can be exact parts")
	case r.cells["base_unit"] != m.BaseUnit:
		r.wrong("base_unit", fmt.Sprintf("it is not %s, the base unit of %s", m.BaseUnit, m.Number), "write "+m.BaseUnit)
	case len(m.BOM.Items) > 0 && !m.BOM.Base.Equal(base):
		r.wrong("base_quantity", "another row of "+m.Number+" says "+m.BOM.Base.String(), "write the same in each row of a material")
	}
	m.BOM.Base = base
}

func (l *loader) lots(s *Set) {
	l.each("lots.csv", []string{"material", "batch", "supplier_batch"}, func(r row) {
		lot := Lot{Batch: r.text("batch", 20), SupplierBatch: r.cells["supplier_batch"]}
		m := r.material(s, "material")
		if m == nil {
			return
		}
		if !m.BatchManaged {
			r.wrong("batch", m.Number+" is not managed in batches", "leave the row out, or write yes under batch_managed")
		}
		m.Lots = append(m.Lots, lot)
	})
	for _, m := range s.Materials {
		for _, i := range m.BOM.Items {
			if c := s.Material(i.Component); c.BatchManaged && len(c.Lots) == 0 {
				l.wrong("lots.csv", fmt.Sprintf("no batch of %s is in stock, and %s takes it", c.Number, m.Number), "add a row for it")
			}
		}
	}
}

func (l *loader) inspections(s *Set) {
	l.each("inspections.csv", []string{"material", "operation", "characteristic", "unit", "lower", "upper"}, func(r row) {
		m := r.material(s, "material")
		if m == nil {
			return
		}
		i := Inspection{
			Operation: r.operationOf(m), Characteristic: r.text("characteristic", 40), Unit: r.text("unit", 6),
			Lower: r.number("lower", false), Upper: r.number("upper", false),
		}
		if i.Lower.Cmp(i.Upper) > 0 {
			r.wrong("lower", "it is above upper", "swap them")
		}
		m.Inspections = append(m.Inspections, i)
	})
}

func (l *loader) orders(s *Set) {
	l.each("orders.csv", []string{"material", "quantity", "unit", "priority", "storage_location"}, func(r row) {
		o := Order{Quantity: r.number("quantity", false), Priority: r.whole("priority", 0, 9), Location: r.cells["storage_location"]}
		m := r.material(s, "material")
		if m == nil {
			return
		}
		o.Material, o.Unit = m.Number, r.unitOf(m, "unit")
		if len(m.Routing) == 0 || len(m.BOM.Items) == 0 {
			r.wrong("material", m.Number+" has no routing or no bill of material", "add both, or order something that is made here")
		}
		s.Orders = append(s.Orders, o)
	})
}
