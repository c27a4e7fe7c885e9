package mes

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/decimal"
	"holdfast/internal/store"
)

// IssueGoods books components to an order (261) and owes goods.issued. Refused are: more than the component needs, a batch-managed
// component without a batch, and a lot that is blocked, in inspection or expired. Unplanned consumption has no component to exceed.
func (p *Plant) IssueGoods(ctx context.Context, tx *store.Tx, c NewMovement) (Movement, error) {
	return p.move(ctx, tx, c, Issue, GoodsIssuedKind)
}

// ReceiveGoods books finished goods of an order into stock (101), or a by-product (531), and owes goods.received. Refused are:
// more than was confirmed, a lot that the plant does not know, and serial numbers that are not one for each piece.
func (p *Plant) ReceiveGoods(ctx context.Context, tx *store.Tx, c NewMovement) (Movement, error) {
	if c.ByProduct {
		return p.move(ctx, tx, c, ByProduct, GoodsReceivedKind)
	}
	return p.move(ctx, tx, c, Receipt, GoodsReceivedKind)
}

// ScrapGoods books stock away (551), for an order or none, and owes goods.scrapped.
func (p *Plant) ScrapGoods(ctx context.Context, tx *store.Tx, c NewMovement) (Movement, error) {
	return p.move(ctx, tx, c, Scrapping, GoodsScrappedKind)
}

// move books one movement.
func (p *Plant) move(ctx context.Context, tx *store.Tx, c NewMovement, t MovementType, kind string) (Movement, error) {
	if err := c.check(t); err != nil {
		return Movement{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, t.verb()+" of goods", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Movement)
	}
	o, err := p.orderOf(ctx, tx, c, t)
	if err != nil {
		return Movement{}, err
	}
	m, err := p.bookMovement(ctx, tx, o, c, t)
	if err != nil {
		return Movement{}, err
	}
	if err := p.keep(ctx, tx, o, m); err != nil {
		return Movement{}, err
	}
	return m, p.owe(ctx, tx, m.ID, kind, m.key(), "movement/"+m.ID, GoodsMoved{Place: p.place(), Order: o.maybe(), Movement: m})
}

// orderOf locks the order of a movement; nil for free stock.
func (p *Plant) orderOf(ctx context.Context, tx *store.Tx, c NewMovement, t MovementType) (*Order, error) {
	if c.Order == "" {
		return nil, nil
	}
	o, err := lockOrder(ctx, tx, c.Order)
	if err != nil {
		return nil, named(err, "/order")
	}
	what := t.verb() + " for order " + o.Number
	if err := o.at(c.IfVersion, what); err != nil {
		return nil, err
	}
	return &o, o.takes(what)
}

// keep saves a movement and what it changed.
func (p *Plant) keep(ctx context.Context, tx *store.Tx, o *Order, m Movement) error {
	if o != nil {
		o.settle()
		if err := p.saveOrder(ctx, tx, o); err != nil {
			return err
		}
	}
	if err := insertMovement(ctx, tx, m); err != nil {
		return err
	}
	return moveStock(ctx, tx, m)
}

// key is the lane of a movement: its order, or else its material.
func (m Movement) key() string {
	if m.Order != "" {
		return m.Order
	}
	return "material/" + m.Items[0].Material
}

// maybe names the order in a message, if there is one.
func (o *Order) maybe() *OrderRef {
	if o == nil {
		return nil
	}
	ref := o.ref()
	return &ref
}

func (p *Plant) bookMovement(ctx context.Context, tx *store.Tx, o *Order, c NewMovement, t MovementType) (Movement, error) {
	posted, err := p.happened(tx, c.PostedAt, "/postedAt", t.verb()+" of goods")
	if err != nil {
		return Movement{}, err
	}
	m := Movement{
		ID: c.ID, Type: t, Order: c.Order, PostedAt: posted, PostingDate: p.day(posted), Reason: c.Reason, Text: c.Text, By: c.By,
		RecordedAt: p.now(tx),
	}
	for i, in := range c.Items {
		it, err := p.bookItem(ctx, tx, o, in, &m, itemPointer(i))
		if err != nil {
			return Movement{}, err
		}
		it.Item = fmt.Sprintf("%04d", i+1)
		m.Items = append(m.Items, it)
	}
	return m, nil
}

// source is what an item is measured by: the component, the order or nothing but its material.
type source struct {
	component int // index in the order's components, -1 for none
	material  Material
	known     bool // the plant has a copy of the material
	batches   bool // the material is managed in batches
	unit      string
}

// bookItem applies the rules to one item.
func (p *Plant) bookItem(ctx context.Context, tx *store.Tx, o *Order, in NewItem, m *Movement, pointer string) (Item, error) {
	src, err := p.source(ctx, tx, o, &in, m.Type, pointer)
	if err != nil {
		return Item{}, err
	}
	what := in.what(m.Type, o)
	it := Item{
		Material: in.Material, Batch: in.Batch, Serials: in.Serials, Quantity: in.Quantity, Unit: in.Unit,
		StorageLocation: in.StorageLocation, Operation: in.Operation, Unplanned: in.Unplanned,
		BaseUnit: cmp.Or(src.material.BaseUnit, src.unit, in.Unit),
	}
	if it.BaseQuantity, err = p.convert(ctx, tx, src.material, in.Quantity, in.Unit, it.BaseUnit, pointer+"/unit"); err != nil {
		return Item{}, err
	}
	if err := p.bookOnOrder(ctx, tx, o, &it, src, m.Type, what, pointer); err != nil {
		return Item{}, err
	}
	lot, err := findLot(ctx, tx, it.Material, it.Batch)
	if err != nil {
		return Item{}, err
	}
	if lot != nil {
		it.Lot = lot.ID
	}
	if err := it.checkBatch(m.Type, src.batches, src.known, lot, m.PostedAt, what, pointer); err != nil {
		return Item{}, err
	}
	return it, it.checkSerials(src.material.Serialised, what, pointer)
}

// source finds what an item is measured by, and fills in what the item leaves out.
func (p *Plant) source(ctx context.Context, tx *store.Tx, o *Order, in *NewItem, t MovementType, pointer string) (source, error) {
	src := source{component: -1}
	var err error
	switch {
	case t == Issue && !in.Unplanned:
		if src.component, err = o.component(*in, pointer); err != nil {
			return source{}, err
		}
		c := o.Components[src.component]
		in.Material, src.unit, src.batches = c.Material, c.Unit, c.BatchManaged
		in.StorageLocation, in.Operation = cmp.Or(in.StorageLocation, c.StorageLocation), cmp.Or(in.Operation, c.Operation)
	case t == Receipt:
		if in.Material = cmp.Or(in.Material, o.Material); in.Material != o.Material {
			return source{}, conflict(in.what(t, o), "the order makes material "+o.Material, "receive it as a by-product",
				field(pointer+"/material", "is not what the order makes"))
		}
		src.unit, in.StorageLocation = o.Unit, cmp.Or(in.StorageLocation, o.StorageLocation)
	case t == ByProduct && in.Material == o.Material:
		return source{}, conflict(in.what(t, o), "it is what the order makes", "receive it as finished goods", field(pointer+"/material", "is no by-product"))
	}
	if src.material, src.known, err = findMaster[Material](ctx, tx, kindMaterial, in.Material); err != nil {
		return source{}, err
	}
	src.batches = src.batches || src.material.BatchManaged
	if in.Unit = cmp.Or(in.Unit, src.unit, src.material.BaseUnit); in.Unit == "" {
		return source{}, missing(in.what(t, o), "the plant does not know the material", "name the unit, or have the ERP send the material",
			field(pointer+"/unit", "is missing"))
	}
	return src, nil
}

// bookOnOrder books an item against its component or what the order yields.
func (p *Plant) bookOnOrder(ctx context.Context, tx *store.Tx, o *Order, it *Item, src source, t MovementType, what, pointer string) error {
	if src.unit == "" {
		return nil
	}
	booked, err := p.convert(ctx, tx, src.material, it.Quantity, it.Unit, src.unit, pointer+"/unit")
	if err != nil {
		return err
	}
	it.Booked = booked
	if t == Receipt {
		return o.receive(booked, p.limits, what, pointer)
	}
	it.Component = o.Components[src.component].Item
	return o.issue(src.component, booked, p.limits, what, pointer)
}

// ReverseMovement takes a movement back, once (261 by 262, 101 by 102, 531 by 532, 551 by 552), and owes goods.reversed. Receipts
// that are taken back open a completed order again.
func (p *Plant) ReverseMovement(ctx context.Context, tx *store.Tx, c Reversal) (Movement, error) {
	what := "reversal of movement " + c.Of
	if err := c.check(what); err != nil {
		return Movement{}, err
	}
	if seen, err := p.once(ctx, tx, &c.ID, "reversal of a movement", c); err != nil || seen {
		return orElse(ctx, tx, c.ID, err, p.Movement)
	}
	posted, err := p.happened(tx, c.PostedAt, "/postedAt", what)
	if err != nil {
		return Movement{}, err
	}
	done, o, err := lockReversible(ctx, tx, c, what, p.Movement)
	if err != nil {
		return Movement{}, err
	}
	if o != nil {
		if err := o.takeBack(done, what); err != nil {
			return Movement{}, err
		}
	}
	back := done.reversal(c)
	back.PostedAt, back.PostingDate, back.RecordedAt = posted, p.day(posted), p.now(tx)
	if err := reverseMovement(ctx, tx, done, back.ID); err != nil {
		return Movement{}, err
	}
	if err := p.keep(ctx, tx, o, back); err != nil {
		return Movement{}, err
	}
	return back, p.owe(ctx, tx, back.ID, GoodsReversedKind, back.key(), "", GoodsMoved{Place: p.place(), Order: o.maybe(), Movement: back})
}

// reversal is the movement that takes m back.
func (m Movement) reversal(r Reversal) Movement {
	back := m
	back.Type, _ = m.Type.reversal()
	back.ID, back.Reverses, back.Reason, back.By, back.Text = r.ID, m.ID, r.Reason, r.By, ""
	return back
}

// deltas are what the movement adds to stock, by lot, in an order that is the same for everybody who locks the rows.
func (m Movement) deltas() []Stock {
	var out []Stock
	for _, it := range m.Items {
		q := it.BaseQuantity
		if !m.Type.adds() {
			q = decimal.Decimal{}.Sub(q)
		}
		i := slices.IndexFunc(out, func(s Stock) bool { return s.Material == it.Material && s.Batch == it.Batch && s.Unit == it.BaseUnit })
		if i < 0 {
			out = append(out, Stock{Material: it.Material, Batch: it.Batch, Unit: it.BaseUnit, Quantity: q})
			continue
		}
		out[i].Quantity = out[i].Quantity.Add(q)
	}
	slices.SortFunc(out, func(a, b Stock) int {
		return cmp.Or(strings.Compare(a.Material, b.Material), strings.Compare(a.Batch, b.Batch), strings.Compare(a.Unit, b.Unit))
	})
	return out
}
