package mes

import (
	"context"
	"time"

	"holdfast/internal/store"
)

// Confirm books what was done in an operation and owes operation.confirmed. Refused are: more than is open, an order that is not
// started, a closed operation, a unit with no exact way to the order's, and times that end before they start or lie ahead.
func (p *Plant) Confirm(ctx context.Context, tx *store.Tx, c NewConfirmation) (Confirmation, error) {
	if err := c.check(); err != nil {
		return Confirmation{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "confirmation", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Confirmation)
	}
	o, err := lockOrder(ctx, tx, c.Order)
	if err != nil {
		return Confirmation{}, named(err, "/order")
	}
	done, err := p.book(ctx, tx, &o, c)
	if err != nil {
		return Confirmation{}, err
	}
	if err := p.saveOrder(ctx, tx, &o); err != nil {
		return Confirmation{}, err
	}
	if err := insertConfirmation(ctx, tx, done); err != nil {
		return Confirmation{}, err
	}
	return done, p.owe(ctx, tx, done.ID, OperationConfirmedKind, o.ID, "confirmation/"+done.ID,
		OperationConfirmed{Place: p.place(), Order: o.ref(), Confirmation: done})
}

// book applies the rules of a confirmation to its order.
func (p *Plant) book(ctx context.Context, tx *store.Tx, o *Order, c NewConfirmation) (Confirmation, error) {
	if c.Unit == "" {
		c.Unit = o.Unit
	}
	what := c.what(o.Number)
	if err := o.at(c.IfVersion, what); err != nil {
		return Confirmation{}, err
	}
	i := o.operation(c.Operation)
	if i < 0 {
		return Confirmation{}, missing(what, "the order has no such operation", "name one of the order's operations", field("/operation", "is none of the order's"))
	}
	posted, err := p.confirmedAt(tx, c, what)
	if err != nil {
		return Confirmation{}, err
	}
	if c.TimeUnit, err = timeUnit(c, o.Operations[i], what); err != nil {
		return Confirmation{}, err
	}
	booked, err := p.amounts(ctx, tx, o, c)
	if err != nil {
		return Confirmation{}, err
	}
	if err := o.confirm(i, booked, c.Final, what); err != nil {
		return Confirmation{}, err
	}
	return Confirmation{
		ID: c.ID, Order: o.ID, Operation: c.Operation, WorkCentre: o.Operations[i].WorkCentre,
		Yield: c.Yield, Scrap: c.Scrap, Rework: c.Rework, Unit: c.Unit, Booked: booked, Reason: c.Reason,
		SetupTime: c.SetupTime, MachineTime: c.MachineTime, LabourTime: c.LabourTime, TimeUnit: c.TimeUnit,
		Personnel: c.Personnel, Start: c.Start, End: c.End, PostedAt: posted, PostingDate: p.day(posted), Final: c.Final, Text: c.Text,
		RecordedAt: p.now(tx),
	}, nil
}

// confirmedAt is when a confirmation counts. Neither the work nor the posting may lie ahead.
func (p *Plant) confirmedAt(tx *store.Tx, c NewConfirmation, what string) (time.Time, error) {
	if _, err := p.happened(tx, c.Start, "/start", what); err != nil {
		return time.Time{}, err
	}
	end, err := p.happened(tx, c.End, "/end", what)
	if err != nil || c.PostedAt.IsZero() {
		return end, err
	}
	return p.happened(tx, c.PostedAt, "/postedAt", what)
}

// timeUnit is the unit of the actual times: one of time, by default the operation's.
func timeUnit(c NewConfirmation, op Operation, what string) (string, error) {
	unit := c.TimeUnit
	if unit == "" && c.timed() {
		unit = op.TimeUnit
	}
	known, ok := standardUnits()[unit]
	var ck checks
	ck.that(unit != "" || !c.timed(), "/timeUnit", "is missing")
	ck.that(unit == "" || (ok && known.Dimension == "time"), "/timeUnit", "is not a unit of time such as MIN")
	return unit, ck.err(what)
}

// amounts are the quantities of c in the order's unit.
func (p *Plant) amounts(ctx context.Context, tx *store.Tx, o *Order, c NewConfirmation) (Amounts, error) {
	out := Amounts{Yield: c.Yield, Scrap: c.Scrap, Rework: c.Rework, Unit: o.Unit}
	if c.Unit == o.Unit {
		return out, nil
	}
	m, _, err := findMaster[Material](ctx, tx, kindMaterial, o.Material)
	if err != nil {
		return Amounts{}, err
	}
	conv, err := p.converter(ctx, tx, m)
	if err != nil {
		return Amounts{}, err
	}
	if out.Yield, err = conv.convert(c.Yield, c.Unit, o.Unit, "/unit"); err != nil {
		return Amounts{}, err
	}
	if out.Scrap, err = conv.convert(c.Scrap, c.Unit, o.Unit, "/unit"); err != nil {
		return Amounts{}, err
	}
	out.Rework, err = conv.convert(c.Rework, c.Unit, o.Unit, "/unit")
	return out, err
}

// check refuses a reversal that is wrong whatever it takes back.
func (c Reversal) check(what string) error {
	var ck checks
	ck.named(c.Of, "/of")
	ck.that(c.Reason != "", "/reason", "is missing: a reversal needs one")
	return ck.err(what)
}

// ReverseConfirmation takes a confirmation back, once, as long as nothing builds on it, and owes confirmation.reversed. The
// reversal of a final confirmation opens the operation again.
func (p *Plant) ReverseConfirmation(ctx context.Context, tx *store.Tx, c Reversal) (Confirmation, error) {
	what := "reversal of confirmation " + c.Of
	if err := c.check(what); err != nil {
		return Confirmation{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "reversal of a confirmation", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Confirmation)
	}
	posted, err := p.happened(tx, c.PostedAt, "/postedAt", what)
	if err != nil {
		return Confirmation{}, err
	}
	done, o, err := lockReversible(ctx, tx, c, what, p.Confirmation)
	if err != nil {
		return Confirmation{}, err
	}
	if err := o.unconfirm(done, p.limits, what); err != nil {
		return Confirmation{}, err
	}
	if err := p.saveOrder(ctx, tx, o); err != nil {
		return Confirmation{}, err
	}
	back := done.reversal(c, posted, p.day(posted), p.now(tx))
	if err := reverseConfirmation(ctx, tx, done, back); err != nil {
		return Confirmation{}, err
	}
	return back, p.owe(ctx, tx, back.ID, ConfirmationReversedKind, o.ID, "", OperationConfirmed{Place: p.place(), Order: o.ref(), Confirmation: back})
}

// reversal is the confirmation that takes c back.
func (c Confirmation) reversal(r Reversal, posted time.Time, day string, now time.Time) Confirmation {
	back := c
	back.ID, back.Reverses, back.Reason, back.Personnel = r.ID, c.ID, r.Reason, r.By
	back.PostedAt, back.PostingDate, back.RecordedAt, back.Text = posted, day, now, ""
	return back
}

// reversible is what may be taken back.
type reversible interface {
	of() (order, reverses, reversedBy string)
}

func (c Confirmation) of() (order, reverses, reversedBy string) {
	return c.Order, c.Reverses, c.ReversedBy
}

func (m Movement) of() (order, reverses, reversedBy string) { return m.Order, m.Reverses, m.ReversedBy }

// lockReversible reads what c takes back and locks its order (nil if it has none). It reads twice: only under the order's lock is
// it certain that nobody else has taken it back.
func lockReversible[T reversible](
	ctx context.Context, tx *store.Tx, c Reversal, what string, read func(context.Context, *store.Tx, string) (T, error),
) (T, *Order, error) {
	it, err := read(ctx, tx, c.Of)
	if err != nil {
		return it, nil, err
	}
	order, reverses, by := it.of()
	var o *Order
	if order != "" {
		locked, err := lockOrder(ctx, tx, order)
		if err != nil {
			return it, nil, err
		}
		if err := locked.at(c.IfVersion, what); err != nil {
			return it, nil, err
		}
		o = &locked
		if it, err = read(ctx, tx, c.Of); err != nil {
			return it, nil, err
		}
		_, reverses, by = it.of()
	}
	switch {
	case reverses != "":
		return it, nil, conflict(what, "it is a reversal itself, of "+reverses, "report it anew", field("/of", "is a reversal"))
	case by != "":
		return it, nil, conflict(what, "it was reversed before, by "+by, "nothing is left to reverse", field("/of", "was reversed before"))
	default:
		return it, o, nil
	}
}

// orElse reads what an act made that was done before.
func orElse[T any](ctx context.Context, tx *store.Tx, id string, err error, read func(context.Context, *store.Tx, string) (T, error)) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return read(ctx, tx, id)
}
