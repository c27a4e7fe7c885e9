package mes

import (
	"fmt"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// check refuses an order of the ERP that is wrong whatever the plant has.
func (e *ERPOrder) check(plant string) error {
	what := "order " + e.ERPNumber + " of the ERP"
	if e.Plant != "" && e.Plant != plant {
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it is for plant " + e.Plant + ", and this is " + plant,
			Hint: "filter the link's orders by plant, or correct the mapping", Fields: []problem.Field{field("/plant", "is another plant")},
		}
	}
	var ck checks
	ck.named(e.ERPNumber, "/erpNumber")
	ck.text(e.Material, "/material")
	ck.text(e.Unit, "/unit")
	if e.Quantity != nil {
		ck.positive(*e.Quantity, "/quantity")
	}
	if e.OverDelivery != nil {
		ck.percent(*e.OverDelivery, "/overDeliveryPercent")
	}
	ck.that(e.Priority == nil || (*e.Priority >= 0 && *e.Priority <= 9), "/priority", "is not between 0 and 9")
	numbers := ck.operations(e.Operations)
	ck.components(e.Components, numbers)
	return ck.err(what)
}

// operations notes what is wrong with a list of operations, and says which numbers it has.
func (c *checks) operations(ops []PlannedOperation) map[string]bool {
	numbers := map[string]bool{}
	for i, op := range ops {
		at := fmt.Sprintf("/operations/%d", i)
		c.named(op.Number, at+"/number")
		c.text(op.WorkCentre, at+"/workCentre")
		c.that(!numbers[op.Number], at+"/number", "is there twice")
		c.that(op.Control == "" || op.Control == ControlConfirm || op.Control == ControlMilestone || op.Control == ControlNone,
			at+"/controlKey", "is none of confirm, milestone and none")
		c.quantity(op.BaseQuantity, at+"/baseQuantity")
		c.quantity(op.SetupTime, at+"/setupTime")
		c.quantity(op.MachineTime, at+"/machineTime")
		c.quantity(op.LabourTime, at+"/labourTime")
		numbers[op.Number] = true
	}
	return numbers
}

// components notes what is wrong with a list of components. Where the operations are given with it, each must be for one of them.
func (c *checks) components(components []PlannedComponent, operations map[string]bool) {
	items := map[string]bool{}
	for i, comp := range components {
		at := fmt.Sprintf("/components/%d", i)
		c.named(comp.Item, at+"/item")
		c.that(!items[comp.Item], at+"/item", "is there twice")
		c.named(comp.Material, at+"/material")
		c.named(comp.Unit, at+"/unit")
		c.quantity(comp.Quantity, at+"/quantity")
		c.that(comp.Operation == "" || len(operations) == 0 || operations[comp.Operation], at+"/operation", "is none of the order's")
		items[comp.Item] = true
	}
}

func (m *Material) check() error {
	var ck checks
	ck.named(m.Number, "/number")
	ck.named(m.BaseUnit, "/baseUnit")
	ck.text(m.ERPVersion, "/erpVersion")
	ck.that(m.ShelfLifeDays >= 0, "/shelfLifeDays", "is less than 0")
	seen := map[string]bool{m.BaseUnit: true}
	for i, r := range m.Units {
		at := fmt.Sprintf("/units/%d", i)
		ck.named(r.Unit, at+"/unit")
		one := decimal.FromInt(1)
		same := r.Unit == m.BaseUnit && r.Numerator.Equal(one) && r.Denominator.Equal(one)
		ck.that(same || !seen[r.Unit], at+"/unit", "is there twice, or is the base unit")
		ck.positive(r.Numerator, at+"/numerator")
		ck.positive(r.Denominator, at+"/denominator")
		seen[r.Unit] = true
	}
	return ck.err("material " + m.Number + " of the ERP")
}

func (u *Unit) check() error {
	var ck checks
	ck.named(u.Code, "/code")
	ck.named(u.Dimension, "/dimension")
	ck.positive(u.Numerator, "/numerator")
	ck.positive(u.Denominator, "/denominator")
	return ck.err("unit " + u.Code + " of the ERP")
}

func (w *WorkCentre) check() error {
	var ck checks
	ck.named(w.Number, "/number")
	ck.text(w.ERPVersion, "/erpVersion")
	ck.quantity(w.CapacityHoursPerDay, "/capacityHoursPerDay")
	return ck.err("work centre " + w.Number + " of the ERP")
}

func (b *BOM) check() error {
	var ck checks
	ck.named(b.Material, "/material")
	ck.named(b.Unit, "/unit")
	ck.text(b.ERPVersion, "/erpVersion")
	ck.positive(b.BaseQuantity, "/baseQuantity")
	ck.that(b.ValidFrom == "" || isDay(b.ValidFrom), "/validFrom", notADay)
	items := map[string]bool{}
	for i, it := range b.Items {
		at := fmt.Sprintf("/items/%d", i)
		ck.named(it.Item, at+"/item")
		ck.that(!items[it.Item], at+"/item", "is there twice")
		ck.named(it.Material, at+"/material")
		ck.that(it.Material != b.Material, at+"/material", "is the material itself")
		ck.named(it.Unit, at+"/unit")
		ck.positive(it.Quantity, at+"/quantity")
		ck.percent(it.ScrapPercent, at+"/scrapPercent")
		items[it.Item] = true
	}
	return ck.err("bill of material for " + b.Material + " of the ERP")
}

func (r *Routing) check() error {
	var ck checks
	ck.named(r.Material, "/material")
	ck.text(r.ERPVersion, "/erpVersion")
	ck.that(r.ValidFrom == "" || isDay(r.ValidFrom), "/validFrom", notADay)
	ck.that(len(r.Operations) > 0, "/operations", "is empty")
	ck.operations(r.Operations)
	return ck.err("routing for " + r.Material + " of the ERP")
}
