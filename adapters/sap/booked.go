package sap

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"holdfast/adapters/odata"
	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// Booked is how much of an item by which SAP has received goods itself stands for one message: SAP's document names none.
type Booked struct{ Item, Message, Quantity string }

// Receipts keeps which item of SAP's own receipts stands for which message, so that none stands for two, also after a restart and on
// another node. Orders are named by their numbers in SAP, without leading zeros.
type Receipts interface {
	// Booked is what was kept of an order.
	Booked(ctx context.Context, order string) ([]Booked, error)
	// Book keeps what stands for a message, in the place of what was, if what Booked says is still as it was known: else its error is of kind
	// Precondition, and nothing is kept.
	Book(ctx context.Context, order, message string, known, all []Booked) error
}

// Remember gives the link where it keeps what SAP's own receipts stand for; without, it knows that as long as it lives.
func (l *Link) Remember(r Receipts) { l.receipts = r }

// receiptsInMemory are Receipts of one process.
type receiptsInMemory struct {
	mu  sync.Mutex
	all map[string][]Booked // by order; guarded by mu
}

func (r *receiptsInMemory) Booked(_ context.Context, order string) ([]Booked, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all[order]), nil
}

func (r *receiptsInMemory) Book(_ context.Context, order, message string, known, all []Booked) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all[order], known) {
		return &problem.Error{Kind: problem.Precondition, What: "keep what stands for message " + message, Why: "it or another was looked at meanwhile"}
	}
	others := slices.DeleteFunc(slices.Clone(known), func(b Booked) bool { return b.Message == message })
	r.all[order] = append(others, all...)
	return nil
}

// ownItem is an item of a message by which goods are received that SAP receives itself, and the document by which it has; "" if by none.
type ownItem struct {
	order, batch, said string
	quantity           decimal.Decimal // what it says, 0 if that is no number
	document           string
	booked             map[string]decimal.Decimal // by which items, and how much of each
}

// bookedItem is an item by which SAP has received goods itself, and how much of it stands for no other message.
type bookedItem struct {
	item, document, batch string
	quantity, left        decimal.Decimal
	mine                  bool // it was found for this message before
}

// free tells that nothing of it stands for another.
func (b *bookedItem) free() bool { return b.left.Equal(b.quantity) && !b.left.IsZero() }

// quantity is what an item says, 0 if that is no number.
func quantity(said string) (d decimal.Decimal) {
	if q, err := decimal.Parse(said); err == nil {
		d = q
	}
	return d
}

// ownReceipts finds the document of each item of a message among those by which SAP has received goods of its order and which stand for no other
// message; and keeps what it has found before anybody is told.
func (l *Link) ownReceipts(ctx context.Context, message string, own []*ownItem) error {
	for len(own) > 0 {
		var same, others []*ownItem
		for _, o := range own {
			if o.order == own[0].order {
				same = append(same, o)
			} else {
				others = append(others, o)
			}
		}
		if err := l.ownReceiptsOf(ctx, own[0].order, message, same); err != nil {
			return err
		}
		own = others
	}
	return nil
}

// mostTurns is how often a message is looked at anew that others of its order get in the way of.
const mostTurns = 50

// ownReceiptsOf finds the documents of items of one order. Another message of it that is looked at meanwhile, on whichever node, may have been given the same:
// then both are looked at one after the other.
func (l *Link) ownReceiptsOf(ctx context.Context, order, message string, own []*ownItem) error {
	for range mostTurns {
		known, err := l.receipts.Booked(ctx, bare(order))
		if err != nil {
			return err
		}
		booked, err := l.received(ctx, order, message, known)
		if err != nil {
			return err
		}
		for _, o := range own {
			o.document, o.booked = "", nil
		}
		assign(own, booked)
		err = l.receipts.Book(ctx, bare(order), message, known, standing(own, message))
		if problem.KindOf(err) != problem.Precondition {
			return err
		}
	}
	return &problem.Error{
		Kind: problem.Precondition, What: "receipt of order " + order + " for message " + message, Why: "others of the order are looked at all the time",
		Hint: "nothing; it is tried again",
	}
}

// standing is what items of a message are booked by.
func standing(own []*ownItem, message string) []Booked {
	sums := map[string]decimal.Decimal{}
	for _, o := range own {
		for item, q := range o.booked {
			sums[item] = sums[item].Add(q)
		}
	}
	all := make([]Booked, 0, len(sums))
	for _, item := range slices.Sorted(maps.Keys(sums)) {
		all = append(all, Booked{item, message, sums[item].String()})
	}
	return all
}

// received are the items by which goods of an order were received: those that stand for the message already, then the latest first. Those that were
// reversed are left out.
func (l *Link) received(ctx context.Context, order, message string, known []Booked) (out []*bookedItem, err error) {
	c, err := l.Service(Movements)
	if err != nil {
		return nil, err
	}
	q := odata.Query{
		Set: "A_MaterialDocumentItem", Where: odata.And(odata.Equal(movedOrder, order), odata.Equal(movedType, receipt)),
		OrderBy: []odata.Order{{Field: "MaterialDocumentYear"}, {Field: "MaterialDocument"}, {Field: "MaterialDocumentItem"}},
	}
	_, err = c.All(ctx, q, func(e odata.Entity) error {
		if e.Values["GoodsMovementIsCancelled"] == true {
			return nil
		}
		b := &bookedItem{item: document(e) + "/" + text(e, "MaterialDocumentItem"), document: document(e), batch: text(e, "Batch"), quantity: quantity(text(e, "QuantityInEntryUnit"))}
		b.left = b.quantity
		for _, k := range known {
			switch {
			case k.Item == b.item && k.Message == message:
				b.mine = true
			case k.Item == b.item:
				b.left = b.left.Sub(quantity(k.Quantity))
			}
		}
		out = append(out, b)
		return nil
	})
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b *bookedItem) int { return cmp.Compare(rank(a), rank(b)) })
	return out, err
}

func rank(b *bookedItem) int {
	if b.mine {
		return 0
	}
	return 1
}

// assign gives each item the document of one that SAP has booked: one of its quantity, and its batch if it has that; or for all that are left, one
// that is their sum; or a part of one that is more, as where one confirmation is received in several messages; or else any that stands for nothing.
func assign(own []*ownItem, booked []*bookedItem) {
	give := func(o *ownItem, b *bookedItem, part decimal.Decimal) {
		o.document, o.booked = b.document, map[string]decimal.Decimal{b.item: part}
		b.left = b.left.Sub(part)
	}
	take := func(fits func(o *ownItem, b *bookedItem) bool, part func(o *ownItem, b *bookedItem) decimal.Decimal) {
		for _, o := range own {
			if o.document != "" {
				continue
			}
			if at := slices.IndexFunc(booked, func(b *bookedItem) bool { return fits(o, b) }); at >= 0 {
				give(o, booked[at], part(o, booked[at]))
			}
		}
	}
	all := func(_ *ownItem, b *bookedItem) decimal.Decimal { return b.left }
	said := func(o *ownItem, _ *bookedItem) decimal.Decimal { return o.quantity }
	equal := func(o *ownItem, b *bookedItem) bool { return b.free() && b.quantity.Equal(o.quantity) }
	take(func(o *ownItem, b *bookedItem) bool { return equal(o, b) && b.batch == o.batch }, all)
	take(equal, all)
	var sum decimal.Decimal
	for _, o := range own {
		if o.document == "" {
			sum = sum.Add(o.quantity)
		}
	}
	if at := slices.IndexFunc(booked, func(b *bookedItem) bool { return b.free() && b.quantity.Equal(sum) }); at >= 0 {
		for _, o := range own {
			if o.document == "" {
				give(o, booked[at], o.quantity)
			}
		}
	}
	take(func(o *ownItem, b *bookedItem) bool { return o.quantity.Sign() > 0 && b.left.Cmp(o.quantity) >= 0 }, said)
	take(func(_ *ownItem, b *bookedItem) bool { return b.free() }, all)
}
