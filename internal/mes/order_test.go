package mes_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func TestAnOrderOfThePlantsOwn(t *testing.T) {
	each(t, func(p *plant) {
		over := d("2.5")
		o := must(p, p.CreateOrder, mes.NewOrder{
			ID: id(1), Material: "PUMP", Quantity: d("10"), OverDelivery: &over, Start: now, End: now.Add(time.Hour), Priority: 9, By: "A. Huber",
		})
		want := mes.Order{
			ID: id(1), Number: "PL1000-000001", PlantNumber: "PL1000-000001", Origin: mes.FromPlant, Material: "PUMP", MaterialDescription: "Pump",
			Plant: "1000", Quantity: d("10"), Unit: "PCE", OverDelivery: over, Start: now, End: now.Add(time.Hour), Priority: 9, Status: mes.Released,
			Operations: []mes.Operation{
				{
					Number: "0010", Description: "Mill", WorkCentre: "MILL", Control: mes.ControlConfirm, SetupTime: d("15"), MachineTime: d("4.25"),
					BaseQuantity: d("1"), TimeUnit: "MIN", Status: mes.OperationOpen,
				},
				{
					Number: "0020", Description: "Assemble", WorkCentre: "LINE", Control: mes.ControlConfirm, LabourTime: d("9"), BaseQuantity: d("1"),
					TimeUnit: "MIN", Status: mes.OperationOpen,
				},
			},
			Components: []mes.Component{
				{Item: "0010", Material: "CAST", Quantity: d("10"), Unit: "PCE", Operation: "0010", BatchManaged: true},
				{Item: "0020", Material: "BOLT", Quantity: d("84"), Unit: "PCE", Operation: "0020"},
				{Item: "0030", Material: "OIL", Quantity: d("3.334"), Unit: "LTR", Operation: "0020"}, // 10 ÷ 3, rounded up
			},
			Version: 1, CreatedAt: now.Truncate(time.Microsecond), ChangedAt: now.Truncate(time.Microsecond),
		}
		equal(p.t, "the order", o, want)
		equal(p.t, "the order read again", p.order(o.ID), want)

		m := p.out.last()
		if m.ID != o.ID || m.Key != o.ID || m.Kind != mes.OrderCreatedKind || m.Creates != "order/"+o.ID {
			p.t.Errorf("got message %+v, want order.created that creates the order", m)
		}
		equal(p.t, "the message", body[mes.OrderCreated](p.t, m), mes.OrderCreated{
			Place: mes.Place{Plant: "1000", Zone: "Europe/Berlin"}, Order: want, By: "A. Huber",
		})
		if got := must(p, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("1"), Unit: "BOX"}); got.Number != "PL1000-000002" || !got.Components[0].Quantity.Equal(d("12")) {
			p.t.Errorf("got order %s of a box that takes %s castings, want PL1000-000002 and 12", got.Number, got.Components[0].Quantity)
		}
	})
}

func TestOrdersThatCannotBeMade(t *testing.T) {
	tests := []struct {
		name string
		c    mes.NewOrder
		why  string
	}{
		{"of nothing", mes.NewOrder{Material: "PUMP"}, "/quantity is not above 0"},
		{"of no material", mes.NewOrder{Quantity: d("1")}, "/material is missing"},
		{"ending before it starts", mes.NewOrder{Material: "PUMP", Quantity: d("1"), Start: now, End: now.Add(-1)}, "/end is before the start"},
		{"too urgent", mes.NewOrder{Material: "PUMP", Quantity: d("1"), Priority: 10}, "/priority"},
		{"with less than no allowance", mes.NewOrder{Material: "PUMP", Quantity: d("1"), OverDelivery: ptr(d("-1"))}, "/overDeliveryPercent"},
		{"in a unit of another dimension", mes.NewOrder{Material: "PUMP", Quantity: d("1"), Unit: "LTR"}, "material PUMP has no ratio between them"},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				_, err := do(p, p.CreateOrder, tt.c)
				refused(t, err, problem.Invalid, tt.why)
			})
		}
		if got := must(p, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("1")}).Number; got != "PL1000-000001" {
			p.t.Errorf("got number %s, want PL1000-000001: what was refused takes none", got)
		}
	})
}

// TestTheLifeOfAnOrder goes through every state that the plant brings about.
func TestTheLifeOfAnOrder(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		status := func(want mes.Status) {
			p.t.Helper()
			if got := p.order(o.ID).Status; got != want {
				p.t.Fatalf("got an order that is %s, want %s", got, want)
			}
		}
		status(mes.Released)
		_, err := do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("1")})
		refused(p.t, err, problem.Conflict, "not started")

		must(p, p.StartOrder, mes.OrderAct{Order: o.ID, At: now.Add(-time.Hour), By: "B. Maier"})
		status(mes.Started)
		_, err = do(p, p.StartOrder, mes.OrderAct{Order: o.ID})
		refused(p.t, err, problem.Conflict, "it was started at")

		must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("10"), Final: true})
		status(mes.PartlyConfirmed)
		last := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("9"), Scrap: d("1"), Reason: "S01", Final: true})
		status(mes.PartlyConfirmed)
		received := must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: p.lot(o).Number, Quantity: d("9")}}})
		status(mes.Completed)

		must(p, p.ReverseMovement, mes.Reversal{Of: received.ID, Reason: "wrong lot"})
		status(mes.PartlyConfirmed)
		must(p, p.ReverseConfirmation, mes.Reversal{Of: last.ID, Reason: "miscounted"})
		if got := p.order(o.ID).Operations[1].Status; got != mes.OperationOpen {
			p.t.Errorf("got an operation that is %s after its final confirmation was reversed, want it open", got)
		}
		o = must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID, Reason: "rest is not needed", By: "B. Maier"})
		status(mes.TechnicallyComplete)
		equal(p.t, "the message", body[mes.OrderCompleted](p.t, p.out.last()), mes.OrderCompleted{
			Place: mes.Place{Plant: "1000", Zone: "Europe/Berlin"},
			Order: mes.OrderRef{ID: o.ID, Number: o.Number, ERPNumber: o.ERPNumber, Material: "PUMP", Unit: "PCE"},

			CompletedAt: now.Truncate(time.Microsecond), Reason: "rest is not needed", By: "B. Maier",
		})
	})
}

func TestAClosedOrderTakesNothing(t *testing.T) {
	each(t, func(p *plant) {
		cancelled := p.started()
		p.apply(mes.OrderCancelledKind, mes.ERPOrder{ERPNumber: cancelled.ERPNumber, ERPVersion: "2"})
		completed := p.made()
		issued := must(p, p.IssueGoods, mes.NewMovement{Order: completed.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}})
		confirmed := see(p, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Confirmation], error) {
			return p.Confirmations(ctx, tx, mes.ConfirmationFilter{Order: completed.ID, Operation: "0020"}, mes.Page{})
		}).Items[0]
		must(p, p.CompleteOrder, mes.OrderAct{Order: completed.ID})

		for why, o := range map[string]mes.Order{"cancelled": cancelled, "technically completed": completed} {
			item := []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}
			var errs []error
			note := func(_ any, err error) { errs = append(errs, err) }
			note(do(p, p.StartOrder, mes.OrderAct{Order: o.ID}))
			note(do(p, p.CompleteOrder, mes.OrderAct{Order: o.ID}))
			note(do(p, p.ChangeOrder, mes.OrderChange{Order: o.ID, Priority: ptr(1)}))
			note(do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("1")}))
			note(do(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: item}))
			note(do(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Quantity: d("1")}}}))
			note(do(p, p.ScrapGoods, mes.NewMovement{Order: o.ID, Items: item, Reason: "x"}))
			note(do(p, p.CreateLot, mes.NewLot{Order: o.ID}))
			if o.ID == completed.ID {
				note(do(p, p.ReverseMovement, mes.Reversal{Of: issued.ID, Reason: "x"}))
				note(do(p, p.ReverseConfirmation, mes.Reversal{Of: confirmed.ID, Reason: "x"}))
			}
			for _, err := range errs {
				refused(p.t, err, problem.Conflict, why)
			}
		}
		inspection := mes.NewInspection{Order: completed.ID, Characteristic: "Leak", Code: "OK", Valuation: mes.Accepted}
		must(p, p.RecordInspection, inspection) // results come in late
		inspection.Order = cancelled.ID
		_, err := do(p, p.RecordInspection, inspection)
		refused(p.t, err, problem.Conflict, "cancelled")
	})
}

func TestThePlantPlansItsShopFloor(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		sent := len(p.out.sent)
		got := must(p, p.ChangeOrder, mes.OrderChange{
			Order: o.ID, Priority: ptr(9), Start: o.Start.Add(time.Hour), End: o.End.Add(time.Hour), StorageLocation: ptr("FG02"), IfVersion: o.Version,
		})
		want := o
		want.Priority, want.Start, want.End, want.StorageLocation, want.Version = 9, o.Start.Add(time.Hour), o.End.Add(time.Hour), "FG02", o.Version+1
		equal(p.t, "the order", got, want)
		if len(p.out.sent) != sent {
			p.t.Errorf("got %q, want nothing: the ERP does not plan the shop floor", p.out.last().Kind)
		}
		_, err := do(p, p.ChangeOrder, mes.OrderChange{Order: o.ID, End: o.Start.Add(-time.Hour)})
		refused(p.t, err, problem.Invalid, "/end is before the start")
		_, err = do(p, p.ChangeOrder, mes.OrderChange{Order: id(9)})
		refused(p.t, err, problem.NotFound, "none of that ID")
	})
}

// TestMilestones has an order of which only the last operation is a milestone, one that needs no confirmation among them.
func TestMilestones(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.Operations = []mes.PlannedOperation{
			{Number: "0010", WorkCentre: "MILL"},
			{Number: "0020", WorkCentre: "WASH", Control: mes.ControlNone},
			{Number: "0030", WorkCentre: "LINE", Control: mes.ControlMilestone},
		}
		e.Components = nil
		p.apply(mes.OrderReleasedKind, e)
		o := see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) {
			return p.OrderByNumber(ctx, tx, e.ERPNumber)
		})
		must(p, p.StartOrder, mes.OrderAct{Order: o.ID})

		_, err := do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("1")})
		refused(p.t, err, problem.Conflict, "nothing is confirmed in this operation")
		must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0030", Yield: d("10"), Final: true})
		must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: p.lot(o).Number, Quantity: d("10")}}})
		if got := p.order(o.ID).Status; got != mes.Completed {
			p.t.Errorf("got an order that is %s, want it completed: the milestone stands for what is before it", got)
		}
	})
}

// TestAnOrderWithoutOperations is received against its quantity.
func TestAnOrderWithoutOperations(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.Operations, e.Components = nil, nil
		p.apply(mes.OrderReleasedKind, e)
		o := see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) {
			return p.OrderByNumber(ctx, tx, e.ERPNumber)
		})
		receive := func(q decimal.Decimal) error {
			_, err := do(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: "L00000001", Quantity: q}}})
			return err
		}
		p.lot(o)
		refused(p.t, receive(d("11.001")), problem.Conflict, "are not received yet")
		refused(p.t, receive(d("10")), "", "")
		if got := p.order(o.ID).Status; got != mes.Completed {
			p.t.Errorf("got an order that is %s, want it completed", got)
		}
	})
}
