package main

import (
	"context"
	"fmt"
	"slices"

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
		if o.ERPNumber != "" {
			byNumber[o.ERPNumber], numbers = o, append(numbers, o.ERPNumber)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	err := erp.Orders(ctx, numbers, func(e message.OrderRead) error {
		o, ok := byNumber[e.Number]
		if !ok {
			return nil
		}
		delete(byNumber, e.Number)
		c.Orders++
		return r.compareOrder(ctx, c, o, e)
	})
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if o, ok := byNumber[n]; ok {
			c.add(difference{
				What: "order missing", Object: "order " + n, Plant: string(o.Status), ERP: "does not have it",
				Cause: "the ERP was restored from a copy that is older, or the order was archived", Repair: "have the ERP's people look for it",
			})
		}
	}
	return nil
}

// compareOrder finds what of one order differs. Units that cannot be compared are told as a difference of their own.
func (r *records) compareOrder(ctx context.Context, c *comparison, o mes.Order, e message.OrderRead) error {
	cause, repair, id, err := r.owedOf(ctx, c.Link, o.ID)
	if err != nil {
		return err
	}
	add := func(what, plant, erp, cause, repair string) {
		c.add(difference{What: what, Object: "order " + o.Number, Plant: plant, ERP: erp, Cause: cause, Message: id, Repair: repair})
	}
	if e.Deleted {
		add("state", string(o.Status), "marked for deletion", "somebody has deleted it in the ERP", "cancel it in the ERP, so that the plant is told")
	}
	if e.Material != o.Material {
		add("material", o.Material, e.Material, "the ERP has changed the order after the plant began it", "see: holdfast quarantine list")
	}
	if o.Unit != e.UnitISO && o.Unit != e.Unit && !c.knows(o.Unit, e.Unit) {
		add("unit", o.Unit, e.Unit, "the plant does not know that unit by this name", "quantities of this order are not compared; add the unit to the table "+mapping.UnitTable+" of the mapping that brings the order")
		return nil
	}
	for _, q := range []struct {
		what, erp     string
		plant         decimal.Decimal
		cause, repair string
	}{
		{"quantity", e.Quantity, o.Quantity, "the ERP has changed the order, and the plant has not taken that yet", "see: holdfast status, holdfast quarantine list"},
		{"yield", e.Yield, o.Yield, cause, repair},
		{"received", e.Received, o.Received, cause, repair},
	} {
		n, err := decimal.Parse(q.erp)
		if q.erp != "" && (err != nil || !n.Equal(q.plant)) {
			add(q.what, q.plant.String()+" "+o.Unit, q.erp+" "+e.Unit, q.cause, q.repair)
		}
	}
	return nil
}

// knows tells whether a mapping of what comes from the ERP reads its unit as this one of the plant's.
func (c *comparison) knows(plant, erp string) bool {
	return slices.ContainsFunc(c.reads, func(read func(string) []string) bool { return slices.Contains(read(erp), plant) })
}

// owedOf says of the lane of an order why the ERP may know less of it than the plant.
func (r *records) owedOf(ctx context.Context, link, order string) (cause, repair, id string, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		l, err := r.out.Lane(ctx, tx, link, order)
		if err != nil {
			return err
		}
		first, _, err := r.out.Messages(ctx, tx, outbox.Filter{Link: link, Lane: order, Owed: true, OldestFirst: true, Limit: 1}, "")
		if err != nil || len(first) == 0 {
			return err
		}
		id = first[0].ID
		cause = fmt.Sprintf("%s of the order still owed, and its lane is %s", count(l.Owed, "message is", "messages are"), l.State)
		repair = "see: holdfast msg show " + id
		return nil
	})
	if problem.KindOf(err) == problem.NotFound {
		err = nil
	}
	if cause == "" {
		cause, repair = "something was booked or cancelled in the ERP by hand, or a document is lost", "see what is lost, and what the ERP has of the order"
	}
	return cause, repair, id, err
}
