package shopfloor

import (
	"context"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
)

// issue takes the components of an operation from stock; batch-managed ones with their batch, some in another unit.
func (j *job) issue(ctx context.Context, operation string) error {
	var items []mes.NewItem
	for _, c := range j.order.Components {
		if c.Operation == operation && !c.Backflush {
			items = append(items, j.item(c))
		}
	}
	if len(items) == 0 {
		return nil
	}
	in := movement{Type: "issue", ID: uuid.NewString(), Order: j.order.ID, Items: items, By: "operator 12"}
	if err := j.act(ctx, "/v1/movements", in, nil, func(c *Counts) { c.Movements++ }); err != nil || !j.chance(5) {
		return err
	}
	return j.issueAgain(ctx, in)
}

// issueAgain takes an issue back, because somebody scanned the wrong pallet, and books it anew.
func (j *job) issueAgain(ctx context.Context, in movement) error {
	back := mes.Reversal{ID: uuid.NewString(), Reason: "wrong pallet"}
	if err := j.act(ctx, "/v1/movements/"+in.ID+"/reverse", reversal(back), nil, func(c *Counts) { c.Movements++; c.Reversals++ }); err != nil {
		return err
	}
	in.ID = uuid.NewString()
	return j.act(ctx, "/v1/movements", in, nil, func(c *Counts) { c.Movements++ })
}

// reversal is the API's ReversalCreate: the path names what is taken back.
func reversal(r mes.Reversal) map[string]any {
	return map[string]any{"id": r.ID, "reason": r.Reason}
}

func (j *job) item(c mes.Component) mes.NewItem {
	item := mes.NewItem{Component: c.Item, Quantity: c.Quantity, Unit: c.Unit}
	m := j.set.Material(c.Material)
	if m == nil {
		return item
	}
	if (c.BatchManaged || m.BatchManaged) && len(m.Lots) > 0 { // not every ERP says it with the component
		item.Batch = m.Lots[j.rng.IntN(len(m.Lots))].Batch
	}
	if len(m.Units) == 0 || !j.chance(30) {
		return item
	}
	other := m.Units[j.rng.IntN(len(m.Units))].Code
	if base, ok := m.ToBase(c.Quantity, c.Unit); ok {
		if q, ok := m.FromBase(base, other); ok && enterable(q) {
			item.Quantity, item.Unit = q, other
		}
	}
	return item
}

// enterable tells whether a person could type the quantity and an ERP keep it.
func enterable(q decimal.Decimal) bool { return q.Sign() > 0 && q.Scale() <= 3 }

// confirm reports an operation: what came from the one before, in one or two parts, now and then with scrap or in the base unit.
func (j *job) confirm(ctx context.Context, op mes.Operation) error {
	first, rest := j.split(j.left)
	scrap := decimal.Decimal{}
	if j.chance(20) && rest.Cmp(unitOf(1)) > 0 {
		scrap = unitOf(1)
		rest = rest.Sub(scrap)
	}
	if !first.IsZero() && !rest.IsZero() {
		if err := j.confirmPart(ctx, op, mes.NewConfirmation{Yield: first}); err != nil {
			return err
		}
	} else {
		rest = first.Add(rest)
	}
	j.left = j.left.Sub(scrap)
	last := mes.NewConfirmation{Yield: rest, Scrap: scrap, Final: true}
	if !scrap.IsZero() {
		last.Reason = "damaged"
	}
	return j.confirmPart(ctx, op, last)
}

// confirmPart posts one confirmation; one of a dozen partial ones is taken back and posted anew.
func (j *job) confirmPart(ctx context.Context, op mes.Operation, in mes.NewConfirmation) error {
	in.ID, in.Order, in.Operation, in.Unit, in.Personnel = uuid.NewString(), j.order.ID, op.Number, j.order.Unit, "operator 12"
	if op.TimeUnit != "" {
		in.MachineTime, in.LabourTime, in.TimeUnit = op.MachineTime, op.LabourTime, op.TimeUnit
	}
	j.inBaseUnit(&in)
	if err := j.act(ctx, "/v1/confirmations", in, nil, func(c *Counts) { c.Confirmations++ }); err != nil || in.Final || !j.chance(8) {
		return err
	}
	back := reversal(mes.Reversal{ID: uuid.NewString(), Reason: "counted twice"})
	if err := j.act(ctx, "/v1/confirmations/"+in.ID+"/reverse", back, nil, func(c *Counts) { c.Confirmations++; c.Reversals++ }); err != nil {
		return err
	}
	in.ID = uuid.NewString()
	return j.act(ctx, "/v1/confirmations", in, nil, func(c *Counts) { c.Confirmations++ })
}

// inBaseUnit now and then reports pieces where the order counts boxes.
func (j *job) inBaseUnit(in *mes.NewConfirmation) {
	if in.Unit == j.material.BaseUnit || !j.chance(30) {
		return
	}
	yield, ok1 := j.material.ToBase(in.Yield, in.Unit)
	scrap, ok2 := j.material.ToBase(in.Scrap, in.Unit)
	if ok1 && ok2 && yield.Scale() <= 3 && scrap.Scale() <= 3 {
		in.Yield, in.Scrap, in.Unit = yield, scrap, j.material.BaseUnit
	}
}

// split gives a quantity in two parts of whole units; the second is 0 if there is nothing to split.
func (j *job) split(q decimal.Decimal) (first, rest decimal.Decimal) {
	if !j.chance(60) || q.Cmp(unitOf(4)) < 0 {
		return q, decimal.Decimal{}
	}
	half, err := q.Ratio(unitOf(1), unitOf(2))
	if err != nil {
		return q, decimal.Decimal{}
	}
	if first, err = half.Round(0, decimal.Down); err != nil {
		return q, decimal.Decimal{}
	}
	return first, q.Sub(first)
}

func unitOf(n int64) decimal.Decimal { return decimal.FromInt(n) }

// inspect measures what the data set asks for at an operation; now and then a value is out of its limits.
func (j *job) inspect(ctx context.Context, operation string) error {
	for _, i := range j.material.Inspections {
		if i.Operation != operation {
			continue
		}
		value := i.Lower.Add(i.Upper)
		if middle, err := value.Ratio(unitOf(1), unitOf(2)); err == nil {
			value = middle
		}
		if j.chance(4) {
			value, j.bad = i.Upper.Add(unitOf(1)), true
		}
		in := mes.NewInspection{
			ID: uuid.NewString(), Order: j.order.ID, Operation: operation, Lot: j.lot.ID, Characteristic: i.Characteristic, Value: &value, Unit: i.Unit,
			Lower: &i.Lower, Upper: &i.Upper, By: "laboratory",
		}
		if err := j.act(ctx, "/v1/inspection-results", in, nil, func(c *Counts) { c.Inspections++ }); err != nil {
			return err
		}
	}
	return nil
}
