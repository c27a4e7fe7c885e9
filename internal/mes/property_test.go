package mes_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// world runs random commands against a plant and knows what must hold after each.
type world struct {
	*plant
	r             *rand.Rand
	orders        []string
	confirmations []string
	movements     []string
	lots          []string
	accepted      int
	refused       map[problem.Kind]int
}

// TestNoSequenceOfCommandsBreaksTheRules runs random commands, right and wrong ones, and works out anew from confirmations and
// movements what orders and stock must say.
func TestNoSequenceOfCommandsBreaksTheRules(t *testing.T) {
	each(t, func(p *plant) {
		for _, seed := range []uint64{1, 2} {
			w := &world{plant: p, r: rand.New(rand.NewPCG(seed, 0)), refused: map[problem.Kind]int{}}
			for step := range 250 {
				w.step(step)
			}
			for _, id := range w.orders {
				w.holds(w.order(id))
			}
			w.stockHolds()
			if w.accepted < 60 || w.refused[problem.Conflict] < 20 {
				p.t.Errorf("seed %d: got %d accepted and %v refused, want many of both", seed, w.accepted, w.refused)
			}
		}
		gapless(p)
	})
}

// step does one thing, and checks that a refusal changed nothing.
func (w *world) step(n int) {
	w.t.Helper()
	if len(w.orders) == 0 || (len(w.orders) < 4 && w.r.IntN(10) == 0) {
		w.create()
		return
	}
	o := w.order(pick(w.r, w.orders))
	sent := len(w.out.sent)
	name, err := w.act(o)
	if err == nil {
		w.accepted++
		w.holds(w.order(o.ID))
		return
	}
	kind := problem.KindOf(err)
	w.refused[kind]++
	if kind == problem.Internal {
		w.t.Fatalf("step %d, %s: got a defect: %v", n, name, err)
	}
	equal(w.t, fmt.Sprintf("step %d: the order after a refused %s (%v)", n, name, err), w.order(o.ID), o)
	if len(w.out.sent) != sent {
		w.t.Errorf("step %d: a refused %s was told to the ERP", n, name)
	}
}

func (w *world) create() {
	w.t.Helper()
	var o mes.Order
	if w.r.IntN(2) == 0 {
		o = w.release()
	} else {
		o = must(w.plant, w.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: w.quantity(20), OverDelivery: ptr(d("10"))})
		if w.r.IntN(3) == 0 {
			_, err := do(w.plant, w.CreateOrder, mes.NewOrder{Material: "NONE", Quantity: d("1")})
			refused(w.t, err, problem.NotFound, "")
		}
	}
	w.orders = append(w.orders, o.ID)
}

// act does something random with an order.
func (w *world) act(o mes.Order) (string, error) {
	acts := []struct {
		name string
		do   func(o mes.Order) error
	}{
		{"start", func(o mes.Order) error { _, err := do(w.plant, w.StartOrder, mes.OrderAct{Order: o.ID}); return err }},
		{"confirmation", w.confirm},
		{"confirmation", w.confirm},
		{"confirmation", w.confirm},
		{"confirmation", w.confirm},
		{"reversal of a confirmation", w.unconfirm},
		{"issue", w.issue},
		{"issue", w.issue},
		{"lot", w.open},
		{"receipt", w.receive},
		{"receipt", w.receive},
		{"scrapping", w.scrap},
		{"reversal of a movement", w.unmove},
		{"change by the ERP", w.changed},
		{"cancellation", w.cancelled},
		{"completion", w.complete},
	}
	a := acts[w.r.IntN(len(acts))]
	return a.name, a.do(o)
}

// quantity is up to most, in quarters.
func (w *world) quantity(most int64) decimal.Decimal {
	q, err := decimal.FromInt(1+w.r.Int64N(4*most)).Ratio(d("1"), d("4"))
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (w *world) confirm(o mes.Order) error {
	c := mes.NewConfirmation{Order: o.ID, Operation: pick(w.r, o.Operations).Number, Yield: w.quantity(5), Final: w.r.IntN(8) == 0}
	switch w.r.IntN(6) {
	case 0:
		c.Scrap, c.Rework, c.Reason = w.quantity(2), w.quantity(2), "S01"
	case 1:
		c.Yield, c.Unit = d("0.25"), "BOX"
	case 2:
		c.Yield, c.Unit = d("400"), "GRM"
	}
	done, err := do(w.plant, w.Confirm, c)
	if err == nil {
		w.confirmations = append(w.confirmations, done.ID)
	}
	return err
}

func (w *world) unconfirm(o mes.Order) error {
	mine := slices.DeleteFunc(slices.Clone(w.confirmations), func(id string) bool {
		return see(w.plant, func(ctx context.Context, tx *store.Tx) (mes.Confirmation, error) { return w.Confirmation(ctx, tx, id) }).Order != o.ID
	})
	if len(mine) == 0 {
		return nil
	}
	_, err := do(w.plant, w.ReverseConfirmation, mes.Reversal{Of: pick(w.r, mine), Reason: "R"})
	return err
}

func (w *world) issue(o mes.Order) error {
	items := []mes.NewItem{
		{Material: "CAST", Batch: pick(w.r, []string{"S-1", "S-2", ""}), Quantity: w.quantity(5)},
		{Material: "BOLT", Quantity: w.quantity(40), Unplanned: w.r.IntN(3) == 0},
		{Material: "OIL", Quantity: w.quantity(1), Unit: pick(w.r, []string{"LTR", "KGM"})},
	}
	return w.moved(do(w.plant, w.IssueGoods, mes.NewMovement{Order: o.ID, Items: items[w.r.IntN(3):]}))
}

func (w *world) open(o mes.Order) error {
	lot, err := do(w.plant, w.CreateLot, mes.NewLot{Order: o.ID})
	if err == nil {
		w.lots = append(w.lots, lot.Number)
	}
	return err
}

func (w *world) receive(o mes.Order) error {
	batch := pick(w.r, append([]string{"NONE"}, w.lots...))
	return w.moved(do(w.plant, w.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{
		{Batch: batch, Quantity: w.quantity(2)}, {Batch: batch, Quantity: w.quantity(1), Unit: pick(w.r, []string{"PCE", "BOX"})},
	}}))
}

func (w *world) scrap(o mes.Order) error {
	return w.moved(do(w.plant, w.ScrapGoods, mes.NewMovement{Order: o.ID, Reason: "X", Items: []mes.NewItem{{Material: "BOLT", Quantity: w.quantity(3)}}}))
}

func (w *world) moved(m mes.Movement, err error) error {
	if err == nil {
		w.movements = append(w.movements, m.ID)
	}
	return err
}

func (w *world) unmove(o mes.Order) error {
	mine := slices.DeleteFunc(slices.Clone(w.movements), func(id string) bool {
		return see(w.plant, func(ctx context.Context, tx *store.Tx) (mes.Movement, error) { return w.Movement(ctx, tx, id) }).Order != o.ID
	})
	if len(mine) == 0 {
		return nil
	}
	_, err := do(w.plant, w.ReverseMovement, mes.Reversal{Of: pick(w.r, mine), Reason: "R"})
	return err
}

func (w *world) changed(o mes.Order) error {
	e := mes.ERPOrder{ERPNumber: o.ERPNumber, ExternalID: o.PlantNumber, Quantity: ptr(w.quantity(20))}
	if e.ERPNumber == "" {
		e.ERPNumber = "9" + o.PlantNumber
	}
	return w.told(mes.OrderChangedKind, "", e)
}

func (w *world) cancelled(o mes.Order) error {
	if w.r.IntN(8) != 0 || o.ERPNumber == "" {
		return nil
	}
	return w.told(mes.OrderCancelledKind, "", mes.ERPOrder{ERPNumber: o.ERPNumber})
}

func (w *world) complete(o mes.Order) error {
	if w.r.IntN(8) != 0 {
		return nil
	}
	_, err := do(w.plant, w.CompleteOrder, mes.OrderAct{Order: o.ID})
	return err
}

// booked is what confirmations and movements come to for one order.
type booked struct {
	yield, scrap, rework, withdrawn map[string]decimal.Decimal
	received                        decimal.Decimal
	closed                          map[string]bool
}

// recount reads every confirmation and movement of an order.
func (w *world) recount(order string) booked {
	b := booked{map[string]decimal.Decimal{}, map[string]decimal.Decimal{}, map[string]decimal.Decimal{}, map[string]decimal.Decimal{}, d("0"), map[string]bool{}}
	for _, c := range see(w.plant, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Confirmation], error) {
		return w.Confirmations(ctx, tx, mes.ConfirmationFilter{Order: order}, mes.Page{Limit: 500})
	}).Items {
		if c.Reverses != "" || c.ReversedBy != "" {
			continue
		}
		b.yield[c.Operation] = b.yield[c.Operation].Add(c.Booked.Yield)
		b.scrap[c.Operation] = b.scrap[c.Operation].Add(c.Booked.Scrap)
		b.rework[c.Operation] = b.rework[c.Operation].Add(c.Booked.Rework)
		b.closed[c.Operation] = b.closed[c.Operation] || c.Final
	}
	for _, m := range w.moves(order) {
		for _, it := range m.Items {
			switch {
			case m.Reverses != "" || m.ReversedBy != "":
			case m.Type == mes.Receipt:
				b.received = b.received.Add(it.Booked)
			case m.Type == mes.Issue:
				b.withdrawn[it.Component] = b.withdrawn[it.Component].Add(it.Booked)
			}
		}
	}
	return b
}

func (w *world) moves(order string) []mes.Movement {
	return see(w.plant, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Movement], error) {
		return w.Movements(ctx, tx, mes.MovementFilter{Order: order}, mes.Page{Limit: 500})
	}).Items
}

// holds checks an order against what is booked and what the rules allow.
func (w *world) holds(o mes.Order) {
	w.t.Helper()
	b := w.recount(o.ID)
	allowed, err := o.Quantity.Ratio(d("110"), d("100"))
	if err != nil {
		w.t.Fatal(err)
	}
	given := allowed
	for _, op := range o.Operations {
		if !op.Yield.Equal(b.yield[op.Number]) || !op.Scrap.Equal(b.scrap[op.Number]) || !op.Rework.Equal(b.rework[op.Number]) {
			w.t.Errorf("order %s, operation %s: got %s good, %s scrap, %s rework; want %s, %s, %s", o.Number, op.Number,
				op.Yield, op.Scrap, op.Rework, b.yield[op.Number], b.scrap[op.Number], b.rework[op.Number])
		}
		if done := op.Yield.Add(op.Scrap); done.Cmp(given) > 0 || done.Cmp(allowed) > 0 {
			w.t.Errorf("order %s, operation %s: got %s through, given %s, allowed %s", o.Number, op.Number, done, given, allowed)
		}
		if closed := op.Status == mes.OperationClosed; closed != b.closed[op.Number] {
			w.t.Errorf("order %s, operation %s: got it closed: %t, want %t", o.Number, op.Number, closed, b.closed[op.Number])
		}
		given = op.Yield
	}
	if !o.Received.Equal(b.received) || o.Received.Cmp(given) > 0 || !o.Yield.Equal(given) {
		w.t.Errorf("order %s: got %s received of %s confirmed, want %s of %s", o.Number, o.Received, o.Yield, b.received, given)
	}
	for _, c := range o.Components {
		if most, err := c.Quantity.Ratio(d("110"), d("100")); err != nil || !c.Withdrawn.Equal(b.withdrawn[c.Item]) || c.Withdrawn.Cmp(most) > 0 {
			w.t.Errorf("order %s, component %s: got %s withdrawn, want %s, at most %s", o.Number, c.Item, c.Withdrawn, b.withdrawn[c.Item], most)
		}
	}
	if o.Status == mes.Cancelled && (len(b.yield) != 0 && !given.IsZero() || !b.received.IsZero()) {
		w.t.Errorf("order %s: it is cancelled, and %s are confirmed and %s received", o.Number, given, b.received)
	}
}

// stockHolds adds up every movement.
func (w *world) stockHolds() {
	w.t.Helper()
	want := map[string]decimal.Decimal{}
	for _, m := range pages(w.plant, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Movement], error) {
		return w.Movements(ctx, tx, mes.MovementFilter{}, page)
	}) {
		for _, it := range m.Items {
			key := it.Material + " " + it.Batch + " " + it.BaseUnit
			if slices.Contains([]mes.MovementType{mes.Receipt, mes.ByProduct, mes.IssueReversal, mes.ScrappingReversal}, m.Type) {
				want[key] = want[key].Add(it.BaseQuantity)
			} else {
				want[key] = want[key].Sub(it.BaseQuantity)
			}
		}
	}
	got := map[string]decimal.Decimal{}
	for _, s := range see(w.plant, func(ctx context.Context, tx *store.Tx) ([]mes.Stock, error) { return w.Stock(ctx, tx, "", "") }) {
		got[s.Material+" "+s.Batch+" "+s.Unit] = s.Quantity
	}
	equal(w.t, "stock", got, want)
}

// gapless checks that the plant's numbers follow each other, whatever was refused between them.
func gapless(p *plant) {
	p.t.Helper()
	var got []string
	for _, o := range see(p, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Order], error) {
		return p.Orders(ctx, tx, mes.OrderFilter{}, mes.Page{Limit: 500})
	}).Items {
		if o.PlantNumber != "" {
			got = append(got, o.PlantNumber)
		}
	}
	slices.Sort(got)
	for i, number := range got {
		if want := fmt.Sprintf("PL1000-%06d", i+1); number != want {
			p.t.Errorf("got number %s, want %s", number, want)
		}
	}
}
