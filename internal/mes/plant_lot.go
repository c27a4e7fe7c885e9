package mes

import (
	"cmp"
	"context"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// CreateLot makes a lot, under a number of its own or the next of the plant's range, and owes lot.created; the ERP's number is a
// late reference. A lot of an order is reported in the order's lane, so that it precedes the receipts into it.
func (p *Plant) CreateLot(ctx context.Context, tx *store.Tx, c NewLot) (Lot, error) {
	if err := c.check(); err != nil {
		return Lot{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "creation of a lot", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Lot)
	}
	o, err := p.openOrder(ctx, tx, c.Order, "lot for order ")
	if err != nil {
		return Lot{}, err
	}
	lot, err := p.lot(ctx, tx, o, c)
	if err != nil {
		return Lot{}, err
	}
	if err := p.numberAndKeep(ctx, tx, &lot); err != nil {
		return Lot{}, err
	}
	return lot, p.owe(ctx, tx, lot.ID, LotCreatedKind, cmp.Or(lot.Order, lot.ID), "lot/"+lot.ID, LotCreated{Place: p.place(), Order: o.maybe(), Lot: lot})
}

// check refuses a lot that is wrong whatever the master data say.
func (c NewLot) check() error {
	var ck checks
	ck.that(c.Material != "" || c.Order != "", "/material", "is missing")
	ck.text(c.Material, "/material")
	ck.text(c.Number, "/number")
	ck.quantity(c.Quantity, "/quantity")
	ck.that(c.ExpiresAt.IsZero() || !c.ManufacturedAt.After(c.ExpiresAt), "/expiresAt", "is before the lot was made")
	ck.that(c.Status == "" || c.Status.known(), "/status", "is none of unrestricted, inspection and blocked")
	return ck.err("lot of material " + c.Material)
}

func (s LotStatus) known() bool { return s == Unrestricted || s == InInspection || s == Blocked }

// openOrder locks an order that must take something; nil if id is empty.
func (p *Plant) openOrder(ctx context.Context, tx *store.Tx, id, what string) (*Order, error) {
	if id == "" {
		return nil, nil
	}
	o, err := lockOrder(ctx, tx, id)
	if err != nil {
		return nil, named(err, "/order")
	}
	return &o, o.takes(what + o.Number)
}

// lot fills in what c leaves out.
func (p *Plant) lot(ctx context.Context, tx *store.Tx, o *Order, c NewLot) (Lot, error) {
	if o != nil {
		c.Material = cmp.Or(c.Material, o.Material)
	}
	m, known, err := findMaster[Material](ctx, tx, kindMaterial, c.Material)
	if err != nil {
		return Lot{}, err
	}
	what := "lot of material " + c.Material
	if known && !m.BatchManaged && (o == nil || o.Batch == "") {
		return Lot{}, conflict(what, "the material is not managed in batches", "book it without a lot", field("/material", "has no lots"))
	}
	made, err := p.happened(tx, c.ManufacturedAt, "/manufacturedAt", what)
	if err != nil {
		return Lot{}, err
	}
	if c.ExpiresAt.IsZero() && m.ShelfLifeDays > 0 {
		c.ExpiresAt = made.AddDate(0, 0, m.ShelfLifeDays)
	}
	return Lot{
		ID: c.ID, Number: c.Number, Material: c.Material, Quantity: c.Quantity, Unit: cmp.Or(c.Unit, m.BaseUnit), Origin: FromPlant,
		Order: c.Order, SupplierBatch: c.SupplierBatch, ManufacturedAt: made, ExpiresAt: c.ExpiresAt,
		ManufacturedOn: p.day(made), ExpiresOn: p.day(c.ExpiresAt), Status: cmp.Or(c.Status, Unrestricted),
		Version: 1, RecordedAt: p.now(tx), ChangedAt: p.now(tx),
	}, nil
}

// numberAndKeep inserts a lot. One without a number gets the next of the plant's range that no lot of the material has: people give
// numbers by hand, and may have been ahead of the range.
func (p *Plant) numberAndKeep(ctx context.Context, tx *store.Tx, lot *Lot) error {
	ranged := lot.Number == ""
	for {
		if ranged {
			var err error
			if lot.Number, err = nextNumber(ctx, tx, "lot", p.cfg.LotPrefix, 8); err != nil {
				return err
			}
		}
		ok, err := insertLot(ctx, tx, *lot)
		switch {
		case err != nil || ok:
			return err
		case !ranged:
			return conflict("lot "+lot.Number+" of material "+lot.Material, "the plant has it already", "use that lot, or another number",
				field("/number", "is taken"))
		}
	}
}

// DecideLot gives a lot free for use, or restricts it, and owes lot.changed. What is blocked must pass an inspection first, and what
// was last found bad is not given free.
func (p *Plant) DecideLot(ctx context.Context, tx *store.Tx, c LotDecision) (Lot, error) {
	what := fmt.Sprintf("change of lot %s to %s", c.Lot, c.Status)
	if err := c.check(what); err != nil {
		return Lot{}, err
	}
	act := c
	act.IfVersion = 0 // a repetition is one whatever version it has seen
	if seen, err := p.once(ctx, tx, &act.ID, "change of a lot", act); err != nil || seen {
		return orElse(ctx, tx, c.Lot, err, p.Lot)
	}
	at, err := p.happened(tx, c.At, "/at", what)
	if err != nil {
		return Lot{}, err
	}
	l, err := lockLot(ctx, tx, c.Lot)
	if err != nil {
		return Lot{}, err
	}
	what = fmt.Sprintf("change of lot %s to %s", l.Number, c.Status)
	if err := unchanged(what, l.Version, c.IfVersion); err != nil {
		return Lot{}, err
	}
	bad, err := rejectedCharacteristic(ctx, tx, l.ID)
	if err != nil {
		return Lot{}, err
	}
	if err := l.mayBecome(c.Status, bad, what); err != nil {
		return Lot{}, err
	}
	return l, p.restrict(ctx, tx, &l, LotChanged{Lot: Lot{Status: c.Status}, At: at, Reason: c.Reason, By: c.By}, act.ID)
}

// restrict saves the lot in the state that ch names, and owes ch under id.
func (p *Plant) restrict(ctx context.Context, tx *store.Tx, l *Lot, ch LotChanged, id string) error {
	ch.Place, ch.From, l.Status = p.place(), l.Status, ch.Lot.Status
	if err := p.saveLot(ctx, tx, l); err != nil {
		return err
	}
	ch.Lot = *l
	if l.Order != "" {
		o, err := p.Order(ctx, tx, l.Order)
		if err != nil {
			return err
		}
		ch.Order = o.maybe()
	}
	return p.owe(ctx, tx, id, LotChangedKind, cmp.Or(l.Order, l.ID), "", ch)
}

// RecordInspection keeps one result and owes inspection.recorded. A measured value is judged by its limits; a lot that fails is
// blocked, so that nothing more is issued from it, and lot.changed is owed too.
func (p *Plant) RecordInspection(ctx context.Context, tx *store.Tx, c NewInspection) (Inspection, error) {
	valuation, err := c.judge()
	if err != nil {
		return Inspection{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "inspection", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Inspection)
	}
	in, o, err := p.inspected(ctx, tx, c)
	if err != nil {
		return Inspection{}, err
	}
	in.Valuation = valuation
	if err := insertInspection(ctx, tx, in); err != nil {
		return Inspection{}, err
	}
	err = p.owe(ctx, tx, in.ID, InspectionRecordedKind, cmp.Or(in.Order, in.Lot), "", InspectionRecorded{Place: p.place(), Order: o.maybe(), Inspection: in})
	if err != nil || in.Lot == "" || valuation != Rejected {
		return in, err
	}
	return in, p.block(ctx, tx, in)
}

// block keeps anybody from issuing from the lot of a rejected inspection.
func (p *Plant) block(ctx context.Context, tx *store.Tx, in Inspection) error {
	l, err := lockLot(ctx, tx, in.Lot)
	if err != nil || l.Status == Blocked {
		return err
	}
	ch := LotChanged{Lot: Lot{Status: Blocked}, At: in.At, Reason: "rejected in the inspection of " + in.Characteristic, By: in.By}
	return p.restrict(ctx, tx, &l, ch, p.derive("lot blocked by inspection", in.ID))
}

// judge is the valuation: by the limits, or as given where there is nothing to measure by.
func (c NewInspection) judge() (Valuation, error) {
	var ck checks
	ck.that(c.Order != "" || c.Lot != "", "/order", "is missing: a result belongs to an order or a lot")
	ck.named(c.Characteristic, "/characteristic")
	ck.that((c.Value == nil) != (c.Code == ""), "/value", "or a code is needed, and not both")
	ck.that(c.Valuation == "" || c.Valuation == Accepted || c.Valuation == Rejected, "/valuation", "is neither accepted nor rejected")
	ck.that(c.Lower == nil || c.Upper == nil || c.Lower.Cmp(*c.Upper) <= 0, "/upperLimit", "is below the lower limit")
	limited := c.Value != nil && (c.Lower != nil || c.Upper != nil)
	ck.that(limited || c.Valuation != "", "/valuation", "is missing: there are no limits to judge by")
	what := "inspection of " + c.Characteristic
	if err := ck.err(what); err != nil || !limited {
		return c.Valuation, err
	}
	by := Accepted
	if (c.Lower != nil && c.Value.Cmp(*c.Lower) < 0) || (c.Upper != nil && c.Value.Cmp(*c.Upper) > 0) {
		by = Rejected
	}
	if c.Valuation != "" && c.Valuation != by {
		return "", &problem.Error{
			Kind: problem.Invalid, What: what, Why: fmt.Sprintf("%s lies where it is %s, and the report says %s", c.Value, by, c.Valuation),
			Hint: "correct the value, the limits or the valuation", Fields: []problem.Field{field("/valuation", "contradicts the limits")},
		}
	}
	return by, nil
}

// inspected joins a result with its order and lot.
func (p *Plant) inspected(ctx context.Context, tx *store.Tx, c NewInspection) (Inspection, *Order, error) {
	at, err := p.happened(tx, c.At, "/at", "inspection of "+c.Characteristic)
	if err != nil {
		return Inspection{}, nil, err
	}
	in := Inspection{
		ID: c.ID, Order: c.Order, Operation: c.Operation, Lot: c.Lot, Characteristic: c.Characteristic, Value: c.Value, Code: c.Code,
		Unit: c.Unit, Lower: c.Lower, Upper: c.Upper, At: at, By: c.By, Text: c.Text, RecordedAt: p.now(tx),
	}
	if c.Lot != "" {
		lot, err := lockLot(ctx, tx, c.Lot)
		if err != nil {
			return Inspection{}, nil, named(err, "/lot")
		}
		in.Order, in.Batch, in.Material = cmp.Or(in.Order, lot.Order), lot.Number, lot.Material
	}
	o, err := p.inspectedOrder(ctx, tx, &in)
	return in, o, err
}

// inspectedOrder is the order of a result; results may come in when it is closed, so that it need not take reports.
func (p *Plant) inspectedOrder(ctx context.Context, tx *store.Tx, in *Inspection) (*Order, error) {
	if in.Order == "" {
		return nil, nil
	}
	o, err := p.Order(ctx, tx, in.Order)
	if err != nil {
		return nil, named(err, "/order")
	}
	if o.Status == Cancelled {
		return nil, o.takes("inspection of " + in.Characteristic + " for order " + o.Number)
	}
	if in.Operation != "" && o.operation(in.Operation) < 0 {
		return nil, missing("inspection in operation "+in.Operation+" of order "+o.Number, "the order has no such operation",
			"name one of the order's operations", field("/operation", "is none of the order's"))
	}
	in.Material = cmp.Or(in.Material, o.Material)
	return &o, nil
}
