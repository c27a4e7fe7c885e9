package sap

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/odata"
	"holdfast/adapters/odata/edm"
	"holdfast/internal/problem"
)

// ownMovement is a goods movement that SAP makes itself with the confirmations of an operation: the issue of a component that is marked for
// backflush, or the receipt that a control key books.
type ownMovement struct {
	operation string // "" stands for each
	goods     goods
	issued    bool // nothing of it is open, by whichever document
}

// ownMovements are those of an order, and when they were read.
type ownMovements struct {
	all []ownMovement
	at  time.Time
}

// How long it is believed what SAP books itself, and how long it is not asked for again by a user who may not read it: as long as a link rests whose user lacks a right.
const (
	ownKept   = 10 * time.Minute
	ownDenied = time.Minute
)

// of are the movements that SAP makes with a confirmation.
func (m ownMovements) of(c confirmed) (out []goods) {
	for _, o := range m.all {
		if o.operation == "" || c.Operation == "" || bare(o.operation) == bare(c.Operation) {
			if o.goods.GoodsMovementType == receipt && c.Yield.IsZero() || o.issued {
				continue
			}
			out = append(out, o.goods)
		}
	}
	return out
}

// bare is a number without leading zeros: with them or without, it is the same order or operation.
func bare(number string) string { return strings.TrimLeft(number, "0") }

// own gives, by the order's bare number, what SAP makes itself with the confirmations of these orders. What was read a short while ago is
// not read again unless it must be fresh. While SAP denies us the orders it is asked once a minute, and each call in between has its refusal.
func (l *Link) own(ctx context.Context, orders []string, fresh bool) (map[string]ownMovements, error) {
	now := l.now()
	out, ask := map[string]ownMovements{}, map[string]string{}
	l.mu.Lock()
	denied := l.ownDenied
	if !now.Before(l.ownAgain) {
		denied = nil
	}
	for _, order := range orders {
		if m, ok := l.owns[bare(order)]; ok && !fresh && now.Sub(m.at) < ownKept {
			out[bare(order)] = m
			continue
		}
		ask[bare(order)] = order
	}
	l.mu.Unlock()
	if len(ask) == 0 {
		return out, nil
	}
	if denied != nil {
		return out, denied
	}
	read := map[string]ownMovements{}
	for order := range ask {
		read[order] = ownMovements{at: now}
	}
	var err error
	for some := range slices.Chunk(slices.Sorted(maps.Values(ask)), readTogether) {
		if err = l.readOwn(ctx, some, read); err != nil {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if problem.KindOf(err) == problem.Denied {
			l.ownDenied, l.ownAgain = err, now.Add(ownDenied)
		}
		return out, err
	}
	if len(l.owns)+len(read) > mostReservations {
		clear(l.owns)
	}
	maps.Copy(l.owns, read)
	maps.Copy(out, read)
	return out, nil
}

// readOwn asks SAP, and adds to what is known of each order. A service that has no such field tells nothing.
func (l *Link) readOwn(ctx context.Context, orders []string, known map[string]ownMovements) error {
	c, err := l.Service(Orders)
	if err != nil {
		return err
	}
	m, err := c.Model(ctx)
	if err != nil {
		return err
	}
	var qs []odata.Query
	var is []func(odata.Entity) ownMovement
	read := func(set, field string, where odata.Condition, made func(odata.Entity) ownMovement) {
		if s := m.Sets[set]; s == nil {
			return
		} else if _, ok := s.Of.Field(field); !ok {
			return
		}
		_ = chunks(orders, func(some []any) error { // no function returns an error
			qs, is = append(qs, odata.Query{Set: set, Where: odata.And(odata.AnyOf("ManufacturingOrder", some...), where)}), append(is, made)
			return nil
		})
	}
	const marked = "MatlCompIsMarkedForBackflush"
	read(components(m), marked, odata.Equal(marked, true), func(e odata.Entity) ownMovement {
		return ownMovement{
			operation: text(e, "ManufacturingOrderOperation"), issued: e.Values["ReservationIsFinallyIssued"] == true,
			goods: goods{Material: text(e, "Material"), Batch: text(e, "Batch"), GoodsMovementType: text(e, "GoodsMovementType")},
		}
	})
	if len(l.automatic) > 0 && !slices.Contains(l.automatic, always) { // which confirmation has the receipt, * does not say
		var keys []any
		for _, key := range l.automatic {
			keys = append(keys, key)
		}
		read(operations, controlKey, odata.AnyOf(controlKey, keys...), func(e odata.Entity) ownMovement {
			return ownMovement{operation: text(e, "ManufacturingOrderOperation"), goods: goods{GoodsMovementType: receipt}}
		})
	}
	return c.Together(ctx, qs, func(n int, e odata.Entity) error {
		order := bare(text(e, "ManufacturingOrder"))
		of := known[order]
		of.all = append(of.all, is[n](e))
		known[order] = of
		return nil
	})
}

// components is the set of the orders' components, which has another name in each release.
func components(m *edm.Model) string {
	const usual = "A_ProductionOrderComponent_3"
	for _, name := range []string{usual, "A_ProductionOrderComponent_2", "A_ProductionOrderComponent_4"} {
		if m.Sets[name] != nil {
			return name
		}
	}
	return usual
}
