package main

import (
	"fmt"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/decimal"
)

// planner plays the ERP's side of the demo and of torture: the words here are those of openapi/erp.yaml, which no other part of
// the program knows outside the mappings.
type planner struct {
	set  *dataset.Set
	zone *time.Location
}

func newPlanner(set *dataset.Set) (planner, error) {
	zone, err := time.LoadLocation(set.Plant.Zone)
	return planner{set, zone}, err
}

// document is one document of the ERP.
type document = map[string]any

// put sets a value that is there.
func put(d document, name string, value any) {
	if v, ok := value.(decimal.Decimal); ok && v.IsZero() || value == "" || value == 0 {
		return
	}
	d[name] = value
}

// masterTypes are the types of master data in the order in which they refer to each other.
func masterTypes() []string { return []string{"material", "workCentre", "billOfMaterial", "routing"} }

// master is the ERP's master data, by type.
func (p planner) master() map[string][]document {
	out := map[string][]document{}
	for _, m := range p.set.Materials {
		out["material"] = append(out["material"], p.material(m))
		if len(m.BOM.Items) > 0 {
			out["billOfMaterial"] = append(out["billOfMaterial"], document{
				"number": "BOM-" + m.Number, "material": m.Number, "plant": p.set.Plant.Number, "baseQuantity": m.BOM.Base,
				"unit": m.BaseUnit, "items": p.components(m, func(i dataset.Item) decimal.Decimal { return i.Quantity }),
			})
		}
		if len(m.Routing) > 0 {
			out["routing"] = append(out["routing"], document{
				"number": "RT-" + m.Number, "material": m.Number, "plant": p.set.Plant.Number, "operations": operations(m),
			})
		}
	}
	for _, w := range p.set.WorkCentres {
		d := document{"number": w.Number, "plant": p.set.Plant.Number, "description": w.Description}
		put(d, "category", w.Category)
		put(d, "costCentre", w.CostCentre)
		put(d, "capacityHoursPerDay", w.Capacity)
		out["workCentre"] = append(out["workCentre"], d)
	}
	return out
}

func (p planner) material(m dataset.Material) document {
	d := document{"number": m.Number, "description": m.Description, "baseUnit": m.BaseUnit, "batchManaged": m.BatchManaged}
	put(d, "type", m.Type)
	put(d, "shelfLifeDays", m.ShelfLifeDays)
	put(d, "netWeight", m.NetWeight)
	put(d, "weightUnit", m.WeightUnit)
	var units []any
	for _, u := range m.Units {
		units = append(units, document{"unit": u.Code, "numerator": u.Numerator, "denominator": u.Denominator})
	}
	if len(units) > 0 {
		d["units"] = units
	}
	return d
}

func operations(m dataset.Material) []any {
	var out []any
	for _, o := range m.Routing {
		d := document{"number": o.Number, "workCentre": o.WorkCentre, "controlKey": o.Control}
		put(d, "description", o.Description)
		put(d, "baseQuantity", o.Base)
		put(d, "setupTime", o.Setup)
		put(d, "machineTime", o.Machine)
		put(d, "labourTime", o.Labour)
		put(d, "timeUnit", o.TimeUnit)
		out = append(out, d)
	}
	return out
}

// components are the lines of a bill of material, each with the quantity that the caller works out.
func (p planner) components(m dataset.Material, quantity func(dataset.Item) decimal.Decimal) []any {
	var out []any
	for _, i := range m.BOM.Items {
		d := document{"item": i.Item, "material": i.Component, "quantity": quantity(i), "unit": i.Unit}
		put(d, "operation", i.Operation)
		put(d, "storageLocation", i.Location)
		if c := p.set.Material(i.Component); c != nil {
			d["batchManaged"] = c.BatchManaged
		}
		out = append(out, d)
	}
	return out
}

// order is a released order of the ERP: one of the set, to be made within hours of start.
func (p planner) order(o dataset.Order, start time.Time, hours int) (document, error) {
	m := p.set.Material(o.Material)
	base, _ := m.ToBase(o.Quantity, o.Unit) // the set was checked when it was read
	var failed error
	need := func(i dataset.Item) decimal.Decimal {
		q, err := m.BOM.Requirement(i, base)
		if err != nil {
			failed = err
		}
		return q
	}
	start = start.In(p.zone).Truncate(time.Minute)
	d := document{
		"origin": "erp", "orderType": "PP01", "material": m.Number, "materialDescription": m.Description, "plant": p.set.Plant.Number,
		"quantity": o.Quantity, "unit": o.Unit, "scheduledStart": start.Format(time.RFC3339),
		"scheduledEnd": start.Add(time.Duration(hours) * time.Hour).Format(time.RFC3339), "timeZone": p.set.Plant.Zone,
		"priority": o.Priority, "status": "released", "operations": operations(*m), "components": p.components(*m, need),
	}
	put(d, "storageLocation", o.Location)
	return d, failed
}

// seed gives a mock what an ERP has when a plant is connected to it: master data, lots in stock, and every order of the set,
// released from start on, one each hour.
func (p planner) seed(m *erpmock.Mock, start time.Time) error {
	if err := p.seedMaster(m); err != nil {
		return err
	}
	var orders []document
	for i, o := range p.set.Orders {
		d, err := p.order(o, start.Add(time.Duration(i)*time.Hour), 8)
		if err != nil {
			return err
		}
		d["messageId"] = fmt.Sprintf("planner-%d", i+1)
		orders = append(orders, d)
	}
	return m.Seed("productionOrder", orders...)
}

// seedMaster gives a mock the master data and the lots in stock.
func (p planner) seedMaster(m *erpmock.Mock) error {
	master := p.master()
	for _, kind := range masterTypes() {
		if err := m.Seed(kind, master[kind]...); err != nil {
			return err
		}
	}
	return m.Seed("batch", p.batches()...)
}

// batches are the lots in stock, as the ERP has them.
func (p planner) batches() []document {
	var out []document
	for _, m := range p.set.Materials {
		for _, l := range m.Lots {
			d := document{"number": l.Batch, "messageId": "seed-" + l.Batch, "material": m.Number, "plant": p.set.Plant.Number, "status": "unrestricted"}
			put(d, "supplierBatch", l.SupplierBatch)
			out = append(out, d)
		}
	}
	return out
}
