package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/store"
)

// compareOrders reads back the orders that the plant has from the ERP, or that the ERP has numbered, and holds their quantities and
// states against the plant's, page by page.
func (r *records) compareOrders(ctx context.Context, erp relay.Reader, c *comparison) error {
	for page := (mes.Page{Limit: 500}); ; {
		var list mes.List[mes.Order]
		err := r.db.View(ctx, func(tx *store.Tx) (err error) {
			list, err = r.plant.Orders(ctx, tx, mes.OrderFilter{}, page)
			return err
		})
		if err != nil {
			return err
		}
		if err := r.comparePage(ctx, erp, c, list.Items); err != nil {
			return err
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			return nil
		}
	}
}

// comparePage holds those of some orders that the ERP has a number for against the ERP's.
func (r *records) comparePage(ctx context.Context, erp relay.Reader, c *comparison, orders []mes.Order) error {
	byNumber, numbers := map[string]mes.Order{}, []string{}
	for _, o := range orders {
		if o.ERPNumber != "" && !c.past(o) {
			byNumber[o.ERPNumber], numbers = o, append(numbers, o.ERPNumber)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	found := map[string]message.OrderRead{}
	err := erp.Orders(ctx, numbers, func(e message.OrderRead) error {
		if _, ok := byNumber[e.Number]; ok {
			found[e.Number] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	var look []string // at whose documents
	for _, n := range numbers {
		e, ok := found[n]
		switch o := byNumber[n]; {
		case !ok:
			if err := r.orderMissing(ctx, c, o); err != nil {
				return err
			}
		case len(c.amounts(o, e)) > 0 || !o.ChangedAt.Before(c.From):
			look = append(look, n)
		}
	}
	explained, err := r.compareDocuments(ctx, erp, c, byNumber, look)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if e, ok := found[n]; ok {
			c.Orders++
			if err := r.compareOrder(ctx, c, byNumber[n], e, explained[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// past tells of an order that has ended before the time that is compared. Of these there is ever more, and each costs a question.
func (c *comparison) past(o mes.Order) bool {
	return (o.Status == mes.TechnicallyComplete || o.Status == mes.Cancelled) && o.ChangedAt.Before(c.From)
}

// orderMissing tells of an order that the ERP does not have. One that the plant has made is made again by the message that made it.
func (r *records) orderMissing(ctx context.Context, c *comparison, o mes.Order) error {
	d := difference{
		What: "order missing", Object: "order " + o.Number, Plant: string(o.Status), ERP: "does not have it",
		Cause:  "the ERP was restored from a copy that is older, or the order was archived",
		Repair: "no message of the plant's makes it, since the ERP has made it: have the ERP's people restore it under this number",
	}
	if o.Origin != mes.FromPlant {
		c.add(d)
		return nil
	}
	made, err := r.delivered(ctx, c.Link, o.ID)
	if err != nil {
		return err
	}
	for _, m := range made {
		if m.Kind == mes.OrderCreatedKind {
			d.Message = m.ID
			d.Repair = "the message that made it is sent again, if the ERP does not have it: " + c.again(m)
		}
	}
	c.add(d)
	return nil
}

// again is how a message is sent again that the ERP has lost, whether it is of the time that is compared or not.
func (c *comparison) again(d outbox.Detail) string {
	if !c.within(d) {
		return fmt.Sprintf("compare from when it was delivered: holdfast reconcile --link %s --from %s", c.Link, d.SettledAt.Format(time.RFC3339))
	}
	return "then it stands here as " + lost
}

// within tells whether a message was delivered in the time that is compared, and the ERP asked for it.
func (c *comparison) within(d outbox.Detail) bool {
	return !d.SettledAt.Before(c.From) && d.SettledAt.Before(c.To)
}

// unknownOrders tells of the orders that are in work in the ERP, and that the plant does not have.
func (r *records) unknownOrders(ctx context.Context, erp relay.Reader, c *comparison) error {
	repair, again := "have the ERP send it again: nothing is read over this link", false
	if l := r.cfg.Links[c.Link]; len(l.odata().Polls)+len(l.REST.Polls) > 0 {
		repair, again = "see whether it is in quarantine: holdfast quarantine list. If not, --apply has what the ERP has to say read again; where it still does not come, no poll of the link asks for it", true
	}
	return erp.Orders(ctx, nil, func(e message.OrderRead) error {
		known := e.PlantNumber
		err := r.db.View(ctx, func(tx *store.Tx) error {
			_, err := r.plant.OrderByNumber(ctx, tx, e.Number)
			if problem.KindOf(err) == problem.NotFound && known != "" {
				_, err = r.plant.OrderByNumber(ctx, tx, known)
			}
			return err
		})
		if problem.KindOf(err) != problem.NotFound {
			return err
		}
		c.add(difference{
			What: "order unknown", Object: "order " + e.Number, Plant: "does not have it", ERP: "released, " + e.Quantity + " " + e.Unit + " of " + e.Material,
			Cause: "the plant could not take it, or has never been told of it", Repair: repair, ReadAgain: again,
		})
		return nil
	})
}

// compareOrder finds what of one order differs. Units that cannot be compared are told as a difference of their own.
func (r *records) compareOrder(ctx context.Context, c *comparison, o mes.Order, e message.OrderRead, by explanation) error {
	cause, repair, id, err := r.owedOf(ctx, c, o)
	if err != nil {
		return err
	}
	if cause == "" {
		cause, repair, id = by.or(o)
	}
	add := func(what, plant, erp, cause, repair string) {
		c.add(difference{What: what, Object: "order " + o.Number, Plant: plant, ERP: erp, Cause: cause, Message: id, Repair: repair})
	}
	if e.Deleted && o.Status != mes.Cancelled {
		add("state", string(o.Status), "marked for deletion", "somebody has deleted it in the ERP", "cancel it in the ERP, so that the plant is told")
	}
	if e.Material != o.Material {
		add("material", o.Material, e.Material, "the ERP has changed the order after the plant began it", "see: holdfast quarantine list")
	}
	if !c.sameUnit(o.Unit, e.Unit, e.UnitISO) {
		add("unit", o.Unit, e.Unit, "the plant does not know that unit by this name", "quantities of this order are not compared; add the unit to the table "+mapping.UnitTable+" of the mapping that brings the order")
		return nil
	}
	for _, q := range c.amounts(o, e) {
		if q.what == "quantity" {
			add(q.what, q.plant, q.erp, "the ERP has changed the order, and the plant has not taken that yet",
				"no message of the plant's says it: see holdfast quarantine list; if it is not there, have the ERP send the order again")
			continue
		}
		add(q.what, q.plant, q.erp, cause, repair)
	}
	return nil
}

// amount is a quantity of an order that plant and ERP do not agree upon.
type amount struct{ what, plant, erp string }

// amounts are the quantities of an order that differ. What the ERP does not say differs from nothing, and neither does what is in a unit that the
// plant does not know.
func (c *comparison) amounts(o mes.Order, e message.OrderRead) (differ []amount) {
	if !c.sameUnit(o.Unit, e.Unit, e.UnitISO) {
		return nil
	}
	for _, q := range []struct {
		what, erp string
		plant     decimal.Decimal
	}{{"quantity", e.Quantity, o.Quantity}, {"yield", e.Yield, o.Yield}, {"received", e.Received, o.Received}} {
		if !same(q.plant, q.erp) {
			differ = append(differ, amount{q.what, q.plant.String() + " " + o.Unit, q.erp + " " + e.Unit})
		}
	}
	return differ
}

// same tells whether the ERP says a quantity of the plant's, or says none.
func same(plant decimal.Decimal, erp string) bool {
	n, err := decimal.Parse(erp)
	return erp == "" || err == nil && n.Equal(plant)
}

// sameUnit tells whether a unit of the ERP's, by its own name or by ISO's, is this one of the plant's.
func (c *comparison) sameUnit(plant, erp, iso string) bool {
	return plant == iso || plant == erp || c.knows(plant, erp)
}

// knows tells whether a mapping of what comes from the ERP reads its unit as this one of the plant's.
func (c *comparison) knows(plant, erp string) bool {
	return slices.ContainsFunc(c.reads, func(read func(string) []string) bool { return slices.Contains(read(erp), plant) })
}

// owedOf says of the lane of an order why the ERP may know less of it than the plant, "" if it owes nothing and nothing of it is lost.
func (r *records) owedOf(ctx context.Context, c *comparison, o mes.Order) (cause, repair, id string, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		l, err := r.out.Lane(ctx, tx, c.Link, o.ID)
		if err != nil {
			return err
		}
		first, _, err := r.out.Messages(ctx, tx, outbox.Filter{Link: c.Link, Lane: o.ID, Owed: true, OldestFirst: true, Limit: 1}, "")
		if err != nil || len(first) == 0 {
			return err
		}
		id = first[0].ID
		cause = fmt.Sprintf("%s of the order still owed, and its lane is %s", count(l.Owed, "message is", "messages are"), l.State)
		repair = standing(l) + ": holdfast msg show " + id + ". No message is made beside it"
		return nil
	})
	if problem.KindOf(err) == problem.NotFound {
		err = nil
	}
	if err != nil || cause != "" {
		return cause, repair, id, err
	}
	for _, d := range c.Differences {
		if d.What == lost && d.lane == o.ID {
			return "message " + d.Message + " of the order is lost", "it is sent again, as " + lost + " here", d.Message, nil
		}
	}
	return "", "", "", nil
}

// standing is what repairs what the ERP does not know yet of a lane that owes something.
func standing(l outbox.Lane) string {
	switch {
	case l.Paused:
		return "what is owed repairs it, once the lane is resumed"
	case l.State == outbox.Parked:
		return "what is owed repairs it, once the first is corrected and tried again"
	case l.State == outbox.Unknown:
		return "what is owed repairs it, once somebody has said whether the ERP has the first"
	default:
		return "what is owed repairs it, and goes by itself"
	}
}
