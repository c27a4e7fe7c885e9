package mes

import (
	"context"
	"fmt"

	"holdfast/internal/decimal"
	"holdfast/internal/store"
)

// CreateOrder makes an order of the plant's own, released at once: operations and components come from the plant's copy of
// routing and bill of material, its number from the plant's range. The message order.created is the first in the order's lane;
// the ERP's number is a late reference.
func (p *Plant) CreateOrder(ctx context.Context, tx *store.Tx, c NewOrder) (Order, error) {
	if err := c.check(); err != nil {
		return Order{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "creation of an order", c); err != nil || seen {
		return p.orElse(ctx, tx, c.ID, err)
	}
	o, err := p.plan(ctx, tx, c)
	if err != nil {
		return Order{}, err
	}
	if o.Number, err = nextNumber(ctx, tx, "order", p.cfg.OrderPrefix, 6); err != nil {
		return Order{}, err
	}
	o.PlantNumber = o.Number
	if err := insertOrder(ctx, tx, &o); err != nil {
		return Order{}, err
	}
	if err := keepWord(ctx, tx, o.ID, o.word()); err != nil {
		return Order{}, err
	}
	return o, p.owe(ctx, tx, o.ID, OrderCreatedKind, o.ID, "order/"+o.ID, OrderCreated{Place: p.place(), Order: o, By: c.By})
}

// check refuses an order that is wrong whatever the master data say.
func (c NewOrder) check() error {
	var ck checks
	ck.named(c.Material, "/material")
	ck.positive(c.Quantity, "/quantity")
	ck.that(c.Priority >= 0 && c.Priority <= 9, "/priority", "is not between 0 and 9")
	ck.that(c.End.IsZero() || !c.Start.After(c.End), "/end", "is before the start")
	if c.OverDelivery != nil {
		ck.percent(*c.OverDelivery, "/overDeliveryPercent")
	}
	return ck.err(fmt.Sprintf("order of %s %s of material %s", c.Quantity, c.Unit, c.Material))
}

// plan explodes the routing and the bill of material that are valid on the day of the planned start.
func (p *Plant) plan(ctx context.Context, tx *store.Tx, c NewOrder) (Order, error) {
	m, err := p.Material(ctx, tx, c.Material)
	if err != nil {
		return Order{}, named(err, "/material")
	}
	o := p.header(tx, c, m)
	routing, err := p.Routing(ctx, tx, c.Material, p.day(o.Start))
	if err != nil {
		return Order{}, named(err, "/material")
	}
	bom, err := p.BOM(ctx, tx, c.Material, p.day(o.Start))
	if err != nil {
		return Order{}, named(err, "/material")
	}
	if o.Components, err = p.explode(ctx, tx, m, bom, o); err != nil {
		return Order{}, err
	}
	for _, op := range routing.Operations {
		o.Operations = append(o.Operations, op.operation())
	}
	o.sorted()
	o.settle()
	return o, nil
}

// header is a plant-made order without operations and components.
func (p *Plant) header(tx *store.Tx, c NewOrder, m Material) Order {
	now := p.now(tx)
	o := Order{
		ID: c.ID, Origin: FromPlant, Material: c.Material, MaterialDescription: m.Description, Plant: p.cfg.Number,
		StorageLocation: c.StorageLocation, Quantity: c.Quantity, Unit: c.Unit, OverDelivery: p.cfg.OverDelivery,
		Start: c.Start, End: c.End, Priority: c.Priority, Status: Released, Version: 1, CreatedAt: now, ChangedAt: now,
	}
	if o.Unit == "" {
		o.Unit = m.BaseUnit
	}
	if c.OverDelivery != nil {
		o.OverDelivery = *c.OverDelivery
	}
	if o.Start.IsZero() {
		o.Start = now
	}
	if o.End.IsZero() || o.End.Before(o.Start) {
		o.End = o.Start
	}
	return o
}

// explode is what the order takes: each item of the bill of material for the order's quantity, scrap added.
func (p *Plant) explode(ctx context.Context, tx *store.Tx, m Material, bom BOM, o Order) ([]Component, error) {
	quantity, err := p.convert(ctx, tx, m, o.Quantity, o.Unit, bom.Unit, "/unit")
	if err != nil {
		return nil, err
	}
	components := make([]Component, 0, len(bom.Items))
	for _, it := range bom.Items {
		each, err := percentOf(it.Quantity, it.ScrapPercent)
		if err != nil {
			return nil, err
		}
		required, err := planned(each, quantity, bom.BaseQuantity)
		if err != nil {
			return nil, err
		}
		part, _, err := findMaster[Material](ctx, tx, kindMaterial, it.Material)
		if err != nil {
			return nil, err
		}
		components = append(components, Component{
			Item: it.Item, Material: it.Material, Quantity: required, Unit: it.Unit, Operation: it.Operation,
			StorageLocation: it.StorageLocation, BatchManaged: it.BatchManaged || part.BatchManaged, Backflush: it.Backflush,
		})
	}
	return components, nil
}

// operation is the operation before anything is confirmed.
func (op PlannedOperation) operation() Operation {
	control := op.Control
	if control == "" {
		control = ControlConfirm
	}
	return Operation{
		Number: op.Number, Description: op.Description, WorkCentre: op.WorkCentre, Control: control, BaseQuantity: op.BaseQuantity,
		SetupTime: op.SetupTime, MachineTime: op.MachineTime, LabourTime: op.LabourTime, TimeUnit: op.TimeUnit, Status: OperationOpen,
	}
}

// StartOrder begins work on an order and owes order.started.
func (p *Plant) StartOrder(ctx context.Context, tx *store.Tx, c OrderAct) (Order, error) {
	at, err := p.happened(tx, c.At, "/at", "start of an order")
	if err != nil {
		return Order{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "start of an order", c); err != nil || seen {
		return p.orElse(ctx, tx, c.Order, err)
	}
	o, err := p.changeOrder(ctx, tx, c.Order, c.IfVersion, "start", func(o *Order) error { return o.start(at) })
	if err != nil {
		return Order{}, err
	}
	return o, p.owe(ctx, tx, c.ID, OrderStartedKind, o.ID, "", OrderStarted{Place: p.place(), Order: o.ref(), StartedAt: at, By: c.By})
}

// CompleteOrder completes an order technically: it takes nothing from then on. It owes order.completed.
func (p *Plant) CompleteOrder(ctx context.Context, tx *store.Tx, c OrderAct) (Order, error) {
	at, err := p.happened(tx, c.At, "/at", "technical completion of an order")
	if err != nil {
		return Order{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "technical completion of an order", c); err != nil || seen {
		return p.orElse(ctx, tx, c.Order, err)
	}
	o, err := p.changeOrder(ctx, tx, c.Order, c.IfVersion, "technical completion", func(o *Order) error { return o.complete(at) })
	if err != nil {
		return Order{}, err
	}
	return o, p.owe(ctx, tx, c.ID, OrderCompletedKind, o.ID, "", OrderCompleted{
		Place: p.place(), Order: o.ref(), CompletedAt: at, Yield: o.Yield, Scrap: o.Scrap, Rework: o.Rework, Received: o.Received,
		Reason: c.Reason, By: c.By,
	})
}

// ChangeOrder changes what the plant plans itself: dates within the shop floor, priority, where the goods go. The ERP is not told.
func (p *Plant) ChangeOrder(ctx context.Context, tx *store.Tx, c OrderChange) (Order, error) {
	return p.changeOrder(ctx, tx, c.Order, c.IfVersion, "change", func(o *Order) error { return o.change(c) })
}

// changeOrder reads an order, applies one rule and saves it.
func (p *Plant) changeOrder(ctx context.Context, tx *store.Tx, id string, version int64, verb string, rule func(*Order) error) (Order, error) {
	o, err := lockOrder(ctx, tx, id)
	if err != nil {
		return Order{}, err
	}
	if err := o.at(version, verb+" of order "+o.Number); err != nil {
		return Order{}, err
	}
	if err := rule(&o); err != nil {
		return Order{}, err
	}
	return o, p.saveOrder(ctx, tx, &o)
}

// saveOrder keeps a changed order under its next version.
func (p *Plant) saveOrder(ctx context.Context, tx *store.Tx, o *Order) error {
	o.Version++
	o.ChangedAt = p.now(tx)
	return updateOrder(ctx, tx, o)
}

// orElse is the order as it is for an act that was done before.
func (p *Plant) orElse(ctx context.Context, tx *store.Tx, id string, err error) (Order, error) {
	if err != nil {
		return Order{}, err
	}
	return p.Order(ctx, tx, id)
}

// convert is q of from, in to, for a material that may be unknown here.
func (p *Plant) convert(ctx context.Context, tx *store.Tx, m Material, q decimal.Decimal, from, to, pointer string) (decimal.Decimal, error) {
	if from == to {
		return q, nil
	}
	c, err := p.converter(ctx, tx, m)
	if err != nil {
		return decimal.Decimal{}, err
	}
	return c.convert(q, from, to, pointer)
}
