package mes_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestIssues has an order that needs 10 CAST (in batches), 80 BOLT, 4 LTR OIL, 10 MOTOR (with serial numbers) and GLUE, which the
// ERP issues itself; 10 % more may be issued of each.
func TestIssues(t *testing.T) {
	tests := []struct {
		name string
		item mes.NewItem
		want problem.Kind // "" means accepted
		why  string
	}{
		{"what is needed", mes.NewItem{Material: "BOLT", Quantity: d("80")}, "", ""},
		{"by the component's item", mes.NewItem{Component: "0020", Quantity: d("80")}, "", ""},
		{"the allowance too", mes.NewItem{Material: "BOLT", Quantity: d("88")}, "", ""},
		{"more than the allowance", mes.NewItem{Material: "BOLT", Quantity: d("88.001")}, problem.Conflict, "component 0020 needs 88 PCE, of which 88 are still open"},
		{"more than the allowance, unplanned", mes.NewItem{Material: "BOLT", Quantity: d("100"), Unplanned: true}, "", ""},
		{"what is no component", mes.NewItem{Material: "CHIPS", Quantity: d("1")}, problem.Conflict, "no such component"},
		{"what is no component, unplanned", mes.NewItem{Material: "CHIPS", Quantity: d("1"), Unplanned: true}, "", ""},
		{"an unknown material, unplanned", mes.NewItem{Material: "TAPE", Quantity: d("1"), Unplanned: true}, problem.NotFound, "does not know the material"},
		{"an unknown material with its unit", mes.NewItem{Material: "TAPE", Quantity: d("1"), Unit: "MTR", Unplanned: true}, "", ""},
		{"for the wrong operation", mes.NewItem{Material: "BOLT", Operation: "0010", Quantity: d("1")}, problem.Conflict, "no such component"},
		{"what the ERP issues itself", mes.NewItem{Material: "GLUE", Quantity: d("1")}, problem.Conflict, "the ERP issues component 0050 itself"},
		{"by weight what is counted by volume", mes.NewItem{Material: "OIL", Quantity: d("3.52"), Unit: "KGM"}, "", ""},
		{"a little too much by weight", mes.NewItem{Material: "OIL", Quantity: d("3.53"), Unit: "KGM"}, problem.Conflict, "component 0030 needs 4.4 LTR"},
		{"in millilitres", mes.NewItem{Material: "OIL", Quantity: d("500"), Unit: "MLT"}, "", ""},
		{"in grams", mes.NewItem{Material: "OIL", Quantity: d("800"), Unit: "GRM"}, "", ""},
		{"in metres", mes.NewItem{Material: "OIL", Quantity: d("1"), Unit: "MTR"}, problem.Invalid, "MTR is a unit of length, LTR one of volume"},
		{"without its batch", mes.NewItem{Material: "CAST", Quantity: d("1")}, problem.Conflict, "managed in batches"},
		{"with a batch that the plant has not made", mes.NewItem{Material: "CAST", Batch: "S-77", Quantity: d("1")}, "", ""},
		{"with a batch that it does not have", mes.NewItem{Material: "BOLT", Batch: "S-77", Quantity: d("1")}, problem.Conflict, "not managed in batches"},
		{"from a blocked lot", mes.NewItem{Material: "CAST", Batch: "BLOCKED", Quantity: d("1")}, problem.Conflict, "its state is blocked"},
		{"from a lot in inspection", mes.NewItem{Material: "CAST", Batch: "INSPECTED", Quantity: d("1")}, problem.Conflict, "its state is inspection"},
		{"from an expired lot", mes.NewItem{Material: "CAST", Batch: "OLD", Quantity: d("1")}, problem.Conflict, "lot OLD expired at"},
		{"with a serial number each", mes.NewItem{Material: "MOTOR", Quantity: d("2"), Serials: []string{"M1", "M2"}}, "", ""},
		{"with a serial number too few", mes.NewItem{Material: "MOTOR", Quantity: d("2"), Serials: []string{"M1"}}, problem.Conflict, "1 serial numbers are given for 2 PCE"},
		{"with a serial number twice", mes.NewItem{Material: "MOTOR", Quantity: d("2"), Serials: []string{"M1", "M1"}}, problem.Invalid, "/items/0/serials names one twice"},
		{"without serial numbers", mes.NewItem{Material: "MOTOR", Quantity: d("2")}, problem.Conflict, "0 serial numbers"},
		{"of nothing", mes.NewItem{Material: "BOLT"}, problem.Invalid, "/items/0/quantity is not above 0"},
		{"of no material", mes.NewItem{Quantity: d("1")}, problem.Invalid, "/items/0/material is missing"},
	}
	each(t, func(p *plant) {
		must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "BLOCKED", Status: mes.Blocked})
		must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "INSPECTED", Status: mes.InInspection})
		must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "OLD", ManufacturedAt: now.Add(-time.Hour), ExpiresAt: now.Add(-time.Minute)})
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				_, err := do(p, p.IssueGoods, mes.NewMovement{Order: p.release().ID, Items: []mes.NewItem{tt.item}})
				refused(t, err, tt.want, tt.why)
			})
		}
		_, err := do(p, p.IssueGoods, mes.NewMovement{Order: p.release().ID})
		refused(p.t, err, problem.Invalid, "/items is empty")
		_, err = do(p, p.IssueGoods, mes.NewMovement{Items: []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}})
		refused(p.t, err, problem.Invalid, "/order is missing")
		_, err = do(p, p.IssueGoods, mes.NewMovement{Order: id(1), Items: []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}})
		refused(p.t, err, problem.NotFound, "none of that ID")
	})
}

// TestTwoComponentsOfOneMaterial are told apart by their item or their operation.
func TestTwoComponentsOfOneMaterial(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.Components = []mes.PlannedComponent{
			{Item: "0010", Material: "BOLT", Quantity: d("8"), Unit: "PCE", Operation: "0010"},
			{Item: "0020", Material: "BOLT", Quantity: d("4"), Unit: "PCE", Operation: "0020"},
		}
		p.apply(mes.OrderReleasedKind, e)
		o := see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) {
			return p.OrderByNumber(ctx, tx, e.ERPNumber)
		})
		issue := func(it mes.NewItem) error {
			it.Quantity = d("4")
			_, err := do(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{it}})
			return err
		}
		refused(p.t, issue(mes.NewItem{Material: "BOLT"}), problem.Conflict, "2 components of the order have this material")
		refused(p.t, issue(mes.NewItem{Component: "0010"}), "", "")
		refused(p.t, issue(mes.NewItem{Material: "BOLT", Operation: "0020"}), "", "")
		equal(p.t, "what is withdrawn", []string{p.order(o.ID).Components[0].Withdrawn.String(), p.order(o.ID).Components[1].Withdrawn.String()}, []string{"4", "4"})
	})
}

// TestReceipts has an order of which 4 pieces are confirmed in the last operation.
func TestReceipts(t *testing.T) {
	tests := []struct {
		name  string
		other bool // a by-product
		item  mes.NewItem
		want  problem.Kind // "" means accepted
		why   string
	}{
		{"what is confirmed", false, mes.NewItem{Quantity: d("4")}, "", ""},
		{"a quarter of a box", false, mes.NewItem{Quantity: d("0.25"), Unit: "BOX"}, "", ""},
		{"more than is confirmed", false, mes.NewItem{Quantity: d("5")}, problem.Conflict, "of 4 PCE that are confirmed, 4 are not received yet"},
		{"something else", false, mes.NewItem{Material: "BOLT", Quantity: d("1")}, problem.Conflict, "the order makes material PUMP"},
		{"into a lot that the plant does not have", false, mes.NewItem{Batch: "NONE", Quantity: d("1")}, problem.NotFound, "no lot NONE"},
		{"as unplanned", false, mes.NewItem{Quantity: d("1"), Unplanned: true}, problem.Invalid, "/items/0/unplanned"},
		{"a by-product", true, mes.NewItem{Material: "CHIPS", Quantity: d("2500"), Unit: "GRM"}, "", ""},
		{"a by-product that is the product", true, mes.NewItem{Material: "PUMP", Quantity: d("1")}, problem.Conflict, "it is what the order makes"},
		{"a by-product of no name", true, mes.NewItem{Quantity: d("1")}, problem.Invalid, "/items/0/material is missing"},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				o := p.made()
				if tt.item.Batch == "" && !tt.other {
					tt.item.Batch = p.lot(o).Number
				}
				_, err := do(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, ByProduct: tt.other, Items: []mes.NewItem{tt.item}})
				refused(t, err, tt.want, tt.why)
			})
		}
		o := p.made()
		_, err := do(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Quantity: d("1")}}})
		refused(p.t, err, problem.Conflict, "managed in batches")
	})
}

func TestAMovementIsKeptAndOwedInFull(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		lot := p.lot(o)
		got := must(p, p.ReceiveGoods, mes.NewMovement{
			ID: id(1), Order: o.ID, PostedAt: now.Add(-time.Hour).In(berlin), Text: "pallet 4", By: "4711", Items: []mes.NewItem{
				{Batch: lot.Number, Quantity: d("0.25"), Unit: "BOX"}, {Batch: lot.Number, Quantity: d("1"), StorageLocation: "FG02"},
			},
		})
		want := mes.Movement{
			ID: id(1), Type: mes.Receipt, Order: o.ID, PostedAt: now.Add(-time.Hour).In(berlin), PostingDate: "2026-11-24", Text: "pallet 4", By: "4711",
			RecordedAt: now.Truncate(time.Microsecond), Items: []mes.Item{
				{
					Item: "0001", Material: "PUMP", Batch: lot.Number, Lot: lot.ID, Quantity: d("0.25"), Unit: "BOX", BaseQuantity: d("3"), BaseUnit: "PCE",
					StorageLocation: "FG01", Booked: d("3"),
				},
				{
					Item: "0002", Material: "PUMP", Batch: lot.Number, Lot: lot.ID, Quantity: d("1"), Unit: "PCE", BaseQuantity: d("1"), BaseUnit: "PCE",
					StorageLocation: "FG02", Booked: d("1"),
				},
			},
		}
		equal(p.t, "the movement", got, want)
		equal(p.t, "the movement read again", see(p, func(ctx context.Context, tx *store.Tx) (mes.Movement, error) { return p.Movement(ctx, tx, id(1)) }), want)
		equal(p.t, "the message", body[mes.GoodsMoved](p.t, p.out.last()), mes.GoodsMoved{
			Place: mes.Place{Plant: "1000", Zone: "Europe/Berlin"},
			Order: &mes.OrderRef{ID: o.ID, Number: o.Number, ERPNumber: o.ERPNumber, Material: "PUMP", Unit: "PCE"}, Movement: want,
		})
	})
}

// TestEachMovementIsTakenBack goes through the types and their reversals; stock and order are then as before.
func TestEachMovementIsTakenBack(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		lot := p.lot(o)
		before := p.order(o.ID)
		move := map[mes.MovementType]func() mes.Movement{
			mes.IssueReversal: func() mes.Movement {
				return must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{
					{Material: "OIL", Quantity: d("1.25"), Unit: "KGM"},
					{Material: "CAST", Batch: "S-1", Quantity: d("2")},
					{Material: "CAST", Batch: "S-1", Quantity: d("1"), Unplanned: true},
				}})
			},
			mes.ReceiptReversal: func() mes.Movement {
				return must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: lot.Number, Quantity: d("0.25"), Unit: "BOX"}}})
			},
			mes.ByProductReversal: func() mes.Movement {
				return must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, ByProduct: true, Items: []mes.NewItem{{Material: "CHIPS", Quantity: d("3")}}})
			},
			mes.ScrappingReversal: func() mes.Movement {
				return must(p, p.ScrapGoods, mes.NewMovement{Order: o.ID, Reason: "dropped", Items: []mes.NewItem{{Material: "PUMP", Batch: lot.Number, Quantity: d("1")}}})
			},
		}
		for want, do := range move {
			done := do()
			back := must(p, p.ReverseMovement, mes.Reversal{Of: done.ID, Reason: "wrong order", By: "4712"})
			if back.Type != want || back.Reverses != done.ID || back.By != "4712" || len(back.Items) != len(done.Items) {
				p.t.Errorf("got %+v, want a %s that takes back %s", back, want, done.ID)
			}
			if got := p.out.last(); got.Kind != mes.GoodsReversedKind || got.ID != back.ID {
				p.t.Errorf("got message %s %s, want goods.reversed %s", got.Kind, got.ID, back.ID)
			}
		}
		after := p.order(o.ID)
		after.Version = before.Version
		equal(p.t, "the order", after, before)
		stock := see(p, func(ctx context.Context, tx *store.Tx) ([]mes.Stock, error) { return p.Stock(ctx, tx, "", "") })
		if len(stock) != 4 {
			p.t.Errorf("got %d rows of stock, want 4", len(stock))
		}
		for _, s := range stock {
			if !s.Quantity.IsZero() {
				p.t.Errorf("got %s %s of %s left, want nothing", s.Quantity, s.Unit, s.Material)
			}
		}
	})
}

func TestAMovementIsTakenBackOnce(t *testing.T) {
	each(t, func(p *plant) {
		scrap := must(p, p.ScrapGoods, mes.NewMovement{Reason: "rust", Items: []mes.NewItem{{Material: "BOLT", Quantity: d("3")}}})
		_, err := do(p, p.ScrapGoods, mes.NewMovement{Items: []mes.NewItem{{Material: "BOLT", Quantity: d("3")}}})
		refused(p.t, err, problem.Invalid, "/reason is missing")
		_, err = do(p, p.ReverseMovement, mes.Reversal{Of: scrap.ID})
		refused(p.t, err, problem.Invalid, "/reason is missing")
		back := must(p, p.ReverseMovement, mes.Reversal{Of: scrap.ID, Reason: "cleaned"})
		_, err = do(p, p.ReverseMovement, mes.Reversal{Of: scrap.ID, Reason: "cleaned"})
		refused(p.t, err, problem.Conflict, "it was reversed before")
		_, err = do(p, p.ReverseMovement, mes.Reversal{Of: back.ID, Reason: "rust again"})
		refused(p.t, err, problem.Conflict, "it is a reversal itself")
		_, err = do(p, p.ReverseMovement, mes.Reversal{Of: id(1), Reason: "x"})
		refused(p.t, err, problem.NotFound, "none of that ID")
	})
}

// TestStockIsTheSumOfTheMovements reads it by material and by lot.
func TestStockIsTheSumOfTheMovements(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		lot := p.lot(o)
		must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: lot.Number, Quantity: d("3")}}})
		must(p, p.ScrapGoods, mes.NewMovement{Reason: "dropped", Items: []mes.NewItem{{Material: "PUMP", Batch: lot.Number, Quantity: d("1.0")}}})
		must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Material: "OIL", Quantity: d("0.8"), Unit: "KGM"}}})
		got := see(p, func(ctx context.Context, tx *store.Tx) ([]mes.Stock, error) { return p.Stock(ctx, tx, "", "") })
		equal(p.t, "stock", got, []mes.Stock{
			{Material: "OIL", Quantity: d("-1"), Unit: "LTR"}, {Material: "PUMP", Batch: lot.Number, Quantity: d("2"), Unit: "PCE"},
		})
		got = see(p, func(ctx context.Context, tx *store.Tx) ([]mes.Stock, error) {
			return p.Stock(ctx, tx, "PUMP", lot.Number)
		})
		equal(p.t, "stock of the lot", got, []mes.Stock{{Material: "PUMP", Batch: lot.Number, Quantity: d("2"), Unit: "PCE"}})
	})
}
