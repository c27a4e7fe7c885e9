package mes_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// numbered is the order that has that number.
func (p *plant) numbered(number string) mes.Order {
	p.t.Helper()
	return see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) { return p.OrderByNumber(ctx, tx, number) })
}

func TestAnOrderOfTheERP(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		if err := p.told(mes.OrderReleasedKind, id(1), e); err != nil {
			p.t.Fatal(err)
		}
		o := p.numbered(e.ERPNumber)
		want := mes.Order{
			ID: id(1), Number: e.ERPNumber, ERPNumber: e.ERPNumber, Origin: mes.FromERP, Type: "PP01", Material: "PUMP", Plant: "1000",
			StorageLocation: "FG01", Quantity: d("10"), Unit: "PCE", OverDelivery: d("10"), Start: e.Start, End: e.End, Priority: 5, Status: mes.Released,
			Operations: []mes.Operation{
				{Number: "0010", WorkCentre: "MILL", Control: mes.ControlConfirm, MachineTime: d("4.25"), TimeUnit: "MIN", Status: mes.OperationOpen},
				{Number: "0020", WorkCentre: "LINE", Control: mes.ControlConfirm, TimeUnit: "MIN", Status: mes.OperationOpen},
			},
			Components: []mes.Component{
				{Item: "0010", Material: "CAST", Quantity: d("10"), Unit: "PCE", Operation: "0010", StorageLocation: "RM01", BatchManaged: true},
				{Item: "0020", Material: "BOLT", Quantity: d("80"), Unit: "PCE", Operation: "0020"},
				{Item: "0030", Material: "OIL", Quantity: d("4"), Unit: "LTR", Operation: "0020"},
				{Item: "0040", Material: "MOTOR", Quantity: d("10"), Unit: "PCE", Operation: "0020"},
				{Item: "0050", Material: "GLUE", Quantity: d("1"), Unit: "KGM", Operation: "0020", Backflush: true},
			},
			Version: 1, ERPVersion: "1", CreatedAt: now.Truncate(time.Microsecond), ChangedAt: now.Truncate(time.Microsecond),
		}
		equal(p.t, "the order", o, want)
		if got := p.refs["erp order/"+id(1)]; got != e.ERPNumber {
			p.t.Errorf("got reference %q, want %s", got, e.ERPNumber)
		}
		if len(p.out.sent) != 0 {
			p.t.Errorf("got %q, want nothing: the ERP knows what it said", p.out.last().Kind)
		}
	})
}

// TestAnOrderOfTheERPWithoutOperationsHasLists: the API promises lists, and null is none.
func TestAnOrderOfTheERPWithoutOperationsHasLists(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.Operations, e.Components = nil, nil
		p.apply(mes.OrderReleasedKind, e)
		o := p.numbered(e.ERPNumber)
		if o.Operations == nil || o.Components == nil || len(o.Operations)+len(o.Components) > 0 {
			p.t.Errorf("got operations %#v and components %#v, want two empty lists", o.Operations, o.Components)
		}
	})
}

// TestAnOrderHasOneIDWhereverItIsReplayed: messages about it keep their key, even for a plant that has lost its copy.
func TestAnOrderHasOneIDWhereverItIsReplayed(t *testing.T) {
	ids := map[string]bool{}
	each(t, func(p *plant) {
		o := p.release()
		e := p.erpOrder()
		e.ERPNumber = o.ERPNumber
		p.apply(mes.OrderReleasedKind, e)
		equal(p.t, "the order after the same again", p.numbered(o.ERPNumber), o)
		ids[o.ID] = true
	})
	if len(ids) != 1 {
		t.Errorf("got IDs %v for one number of the ERP, want one", ids)
	}
}

func TestOrdersOfTheERPThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(e *mes.ERPOrder)
		want   problem.Kind
		why    string
	}{
		{"of another plant", func(e *mes.ERPOrder) { e.Plant = "2000" }, problem.Conflict, "it is for plant 2000"},
		{"without a number", func(e *mes.ERPOrder) { e.ERPNumber = "" }, problem.Invalid, "/erpNumber is missing"},
		{"of nothing", func(e *mes.ERPOrder) { e.Quantity = ptr(d("0")) }, problem.Invalid, "/quantity is not above 0"},
		{"of more than any ERP keeps", func(e *mes.ERPOrder) { e.Quantity = ptr(d("1000000000000000")) }, problem.Invalid, "/quantity has more than 15 digits"},
		{"of more places than any ERP keeps", func(e *mes.ERPOrder) { e.Quantity = ptr(d("0.0000000001")) }, problem.Invalid, "/quantity has more than 9 places"},
		{"with an allowance beyond reason", func(e *mes.ERPOrder) { e.OverDelivery = ptr(d("10001")) }, problem.Invalid, "/overDeliveryPercent is more than 10000"},
		{"with an allowance too fine", func(e *mes.ERPOrder) { e.OverDelivery = ptr(d("0.00001")) }, problem.Invalid, "/overDeliveryPercent has more than 4 places"},
		{"without a quantity", func(e *mes.ERPOrder) { e.Quantity = nil }, problem.NotFound, "does not have the order"},
		{"without a unit", func(e *mes.ERPOrder) { e.Unit = "" }, problem.Invalid, "/unit is missing"},
		{"without a start", func(e *mes.ERPOrder) { e.Start = time.Time{} }, problem.Invalid, "/start is missing"},
		{"ending before it starts", func(e *mes.ERPOrder) { e.End = e.Start.Add(-1) }, problem.Invalid, "/end is before the start"},
		{"too urgent", func(e *mes.ERPOrder) { e.Priority = ptr(10) }, problem.Invalid, "/priority is not between"},
		{"with less than no allowance", func(e *mes.ERPOrder) { e.OverDelivery = ptr(d("-1")) }, problem.Invalid, "/overDeliveryPercent"},
		{"with an operation twice", func(e *mes.ERPOrder) { e.Operations[1].Number = "0010" }, problem.Invalid, "/operations/1/number is there twice"},
		{"with an unknown control key", func(e *mes.ERPOrder) { e.Operations[0].Control = "x" }, problem.Invalid, "/operations/0/controlKey"},
		{"with a component twice", func(e *mes.ERPOrder) { e.Components[1].Item = "0010" }, problem.Invalid, "/components/1/item is there twice"},
		{"with a component of no operation", func(e *mes.ERPOrder) { e.Components[1].Operation = "0099" }, problem.Invalid, "/components/1/operation"},
		{"that the plant should have made", func(e *mes.ERPOrder) { e.ExternalID = "PL1000-000099" }, problem.NotFound, "the plant has no such order"},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				e := p.erpOrder()
				tt.change(&e)
				refused(t, p.told(mes.OrderReleasedKind, "", e), tt.want, tt.why)
			})
		}
		refused(p.t, p.told("order.praised", "", 1), problem.Invalid, "no such kind")
		const field = `unknown field "colour"`
		err := p.told(mes.OrderReleasedKind, "", map[string]string{"colour": "red"})
		if refused(p.t, err, problem.Invalid, field); strings.Count(err.Error(), field) != 1 {
			p.t.Errorf("%q tells it more than once", err)
		}
		refused(p.t, p.told(mes.OrderCancelledKind, "", mes.ERPOrder{ERPNumber: "7"}), problem.NotFound, "does not have the order")
		more := message.Message{Kind: mes.OrderReleasedKind, Body: []byte(`{} {}`)}
		err = p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.Apply(p.t.Context(), tx, more) })
		refused(p.t, err, problem.Invalid, "more follows")
	})
}

// TestAnOrderOfThePlantComesBackFromTheERP: it is the same order, however the ERP names it, and has the ERP's number from then on.
func TestAnOrderOfThePlantComesBackFromTheERP(t *testing.T) {
	each(t, func(p *plant) {
		for name, told := range map[string]func(o mes.Order) (key, external string){
			"by the plant's number":  func(o mes.Order) (string, string) { return "", o.PlantNumber },
			"by the plant's ID":      func(o mes.Order) (string, string) { return "", o.ID },
			"by the key of the lane": func(o mes.Order) (string, string) { return o.ID, "" },
		} {
			o := must(p, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
			must(p, p.StartOrder, mes.OrderAct{Order: o.ID})
			must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("4")})
			before := p.order(o.ID)
			key, external := told(o)
			e := p.erpOrder()
			e = mes.ERPOrder{ERPNumber: e.ERPNumber, ExternalID: external, ERPVersion: "1", Quantity: ptr(d("10.000")), Start: o.Start, End: o.End}
			if err := p.told(mes.OrderReleasedKind, key, e); err != nil {
				p.t.Fatalf("%s: refused: %v", name, err)
			}
			want := before
			want.Number, want.ERPNumber, want.ERPVersion, want.Version = e.ERPNumber, e.ERPNumber, "1", before.Version+1
			equal(p.t, name, p.order(o.ID), want)
			if p.numbered(o.PlantNumber).ID != o.ID || p.numbered(e.ERPNumber).ID != o.ID {
				p.t.Errorf("%s: the order is not found by both of its numbers", name)
			}
			if got := p.refs["erp order/"+o.ID]; got != e.ERPNumber {
				p.t.Errorf("%s: got reference %q, want %s", name, got, e.ERPNumber)
			}
			e.ERPNumber = "999"
			e.ExternalID = o.PlantNumber
			refused(p.t, p.told(mes.OrderReleasedKind, "", e), problem.Conflict, "the ERP calls it")
		}
	})
}

// TestTheReceiptBringsTheNumber: what the ERP answered to order.created and lot.created.
func TestTheReceiptBringsTheNumber(t *testing.T) {
	each(t, func(p *plant) {
		o := must(p, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		lot := p.lot(o)
		numbered := func(object, number string) error {
			return p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.Numbered(p.t.Context(), tx, object, number) })
		}
		for _, object := range []string{"order/" + o.ID, "order/" + id(9), "lot/" + lot.ID, "lot/" + id(9), "confirmation/" + id(9)} {
			refused(p.t, numbered(object, "42"), "", "")
			refused(p.t, numbered(object, "42"), "", "")
		}
		refused(p.t, numbered("order/"+o.ID, "43"), problem.Conflict, "the ERP calls it 42 already")
		after := p.order(o.ID)
		if after.ERPNumber != "42" || after.Number != "42" || after.PlantNumber != o.Number || after.Version != o.Version+1 {
			p.t.Errorf("got %+v, want number 42 and one version more", after)
		}
		if got := see(p, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, lot.ID) }); got.ERPNumber != "42" || got.Number != lot.Number {
			p.t.Errorf("got lot %+v, want it numbered 42 in the ERP and %s in the plant", got, lot.Number)
		}
	})
}

// TestChangesByTheERP has an order of 10 of which operation 0010 has yielded 6, 0020 has yielded 4, and 20 BOLT are issued.
func TestChangesByTheERP(t *testing.T) {
	tests := []struct {
		name   string
		change func(e *mes.ERPOrder)
		want   problem.Kind // "" means accepted
		why    string
	}{
		{"more", func(e *mes.ERPOrder) { e.Quantity = ptr(d("12")) }, "", ""},
		{"as little as is confirmed", func(e *mes.ERPOrder) { e.Quantity, e.OverDelivery = ptr(d("6")), ptr(d("0")) }, "", ""},
		{"less than is confirmed", func(e *mes.ERPOrder) { e.Quantity, e.OverDelivery = ptr(d("5.999")), ptr(d("0")) }, problem.Conflict, "operation 0010 would have 6 PCE behind it, of 5.999"},
		{"other dates", func(e *mes.ERPOrder) { e.End = e.End.Add(time.Hour) }, "", ""},
		{"another material", func(e *mes.ERPOrder) { e.Material = "CAST" }, problem.Conflict, "it would make material CAST"},
		{"another unit", func(e *mes.ERPOrder) { e.Unit = "BOX" }, problem.Conflict, "it would be counted in BOX"},
		{"an operation more at the end", func(e *mes.ERPOrder) {
			e.Operations = append(e.Operations, mes.PlannedOperation{Number: "0030", WorkCentre: "PACK"})
		}, "", ""},
		{"an operation more before what is confirmed", func(e *mes.ERPOrder) {
			e.Operations = append(e.Operations, mes.PlannedOperation{Number: "0015", WorkCentre: "WASH"})
		}, problem.Conflict, "operation 0020 would have 4 PCE behind it, of 0 that operation 0015 yields"},
		{"a confirmed operation less", func(e *mes.ERPOrder) { e.Operations, e.Components = e.Operations[:1], nil }, problem.Conflict, "operation 0020 is left out"},
		{"an issued component less", func(e *mes.ERPOrder) { e.Components = e.Components[:1] }, problem.Conflict, "component 0020 is left out"},
		{"an issued component in another unit", func(e *mes.ERPOrder) { e.Components[1].Unit = "KGM" }, problem.Conflict, "component 0020 is left out or has"},
		{"another component less", func(e *mes.ERPOrder) { e.Components = e.Components[:2] }, "", ""},
		{"no lists", func(e *mes.ERPOrder) { e.Operations, e.Components, e.Batch = nil, nil, "B-1" }, "", ""},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				o := p.made()
				must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("20")}}})
				o = p.order(o.ID)
				e := p.erpOrder()
				e.ERPNumber, e.ERPVersion = o.ERPNumber, "2"
				tt.change(&e)
				refused(t, p.told(mes.OrderChangedKind, "", e), tt.want, tt.why)
				got := p.order(o.ID)
				if tt.want != "" {
					equal(t, "the order", got, o)
					return
				}
				if !got.ChangedInWork || got.Version != o.Version+1 || got.ERPVersion != "2" || got.Status != mes.PartlyConfirmed {
					t.Errorf("got %+v, want it changed in work", got)
				}
				if !got.Operations[0].Yield.Equal(d("6")) || !got.Operations[1].Yield.Equal(d("4")) || !got.Components[1].Withdrawn.Equal(d("20")) {
					t.Errorf("got %+v, want what is booked as before", got)
				}
			})
		}
	})
}

func TestAChangeBeforeWorkBeginsIsNoChangeInWork(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		e := p.erpOrder()
		e.ERPNumber, e.ERPVersion, e.Quantity = o.ERPNumber, "2", ptr(d("4"))
		e.Operations = []mes.PlannedOperation{{Number: "0010", WorkCentre: "LATHE"}}
		e.Components = nil
		p.apply(mes.OrderChangedKind, e)
		got := p.order(o.ID)
		if got.ChangedInWork || !got.Quantity.Equal(d("4")) || len(got.Operations) != 1 || len(got.Components) != 5 {
			p.t.Errorf("got %+v, want 4 pieces, one operation, the components as before, and no change in work", got)
		}
		at := func(workCentre string) int {
			return len(see(p, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Order], error) {
				return p.Orders(ctx, tx, mes.OrderFilter{WorkCentre: workCentre}, mes.Page{})
			}).Items)
		}
		if at("LATHE") != 1 || at("MILL") != 0 {
			p.t.Errorf("got %d orders at LATHE and %d at MILL, want 1 and 0", at("LATHE"), at("MILL"))
		}
	})
}

// TestVersionsOfTheERP: what is older, or says nothing new, is without effect.
func TestVersionsOfTheERP(t *testing.T) {
	tests := []struct {
		name, has, comes string
		effect           bool
	}{
		{"newer", "9", "10", true},
		{"older", "10", "9", false},
		{"the same", "10", "10", true},
		{"newer, with zeros in front", "0009", "10", true},
		{"older change time", "20261124120001", "20261124120000", false},
		{"older by its moment, not its text", "2026-11-24T05:30:00Z", "2026-11-24T06:15:00+01:00", false},
		{"newer by its moment, not its text", "2026-11-24T06:00:00+01:00", "2026-11-24T05:30:00Z", true},
		{"older text", "b-7", "a-9", false},
		{"newer text", "a-9", "b-7", true},
		{"none", "10", "", true},
		{"the first", "", "1", true},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				e := p.erpOrder()
				e.ERPVersion = tt.has
				p.apply(mes.OrderReleasedKind, e)
				e.ERPVersion, e.Quantity = tt.comes, ptr(d("20"))
				p.apply(mes.OrderChangedKind, e)
				if got := p.numbered(e.ERPNumber).Quantity.Equal(d("20")); got != tt.effect {
					t.Errorf("got an effect: %t, want %t", got, tt.effect)
				}
				before := p.numbered(e.ERPNumber)
				p.apply(mes.OrderChangedKind, e)
				equal(t, "the order after the same again", p.numbered(e.ERPNumber), before)
			})
		}
	})
}

func TestVersionsThatCannotBeComparedAreRefused(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		e := mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "2026-11-24T06:00:00Z", Quantity: ptr(d("20"))}
		refused(p.t, p.told(mes.OrderChangedKind, "", e), problem.Invalid, "cannot be compared")
		m := mes.Material{Number: "NUT", Description: "Nut", BaseUnit: "PCE", ERPVersion: "a-9"}
		p.apply(mes.MaterialChangedKind, m)
		m.ERPVersion = "a-10"
		refused(p.t, p.told(mes.MaterialChangedKind, "", m), problem.Invalid, "cannot be compared")
	})
}

func TestCancellationByTheERP(t *testing.T) {
	each(t, func(p *plant) {
		cancel := func(o mes.Order) error {
			return p.told(mes.OrderCancelledKind, "", mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "5"})
		}
		o := p.started()
		refused(p.t, cancel(o), "", "")
		refused(p.t, cancel(o), "", "")
		if got := p.order(o.ID); got.Status != mes.Cancelled || got.CompletedAt.IsZero() {
			p.t.Errorf("got %+v, want it cancelled: it was started, and nothing booked", got)
		}
		refused(p.t, p.told(mes.OrderChangedKind, "", mes.ERPOrder{ERPNumber: o.ERPNumber, Quantity: ptr(d("1"))}), problem.Conflict, "cancelled")
		refused(p.t, p.told(mes.OrderChangedKind, "", mes.ERPOrder{ERPNumber: o.ERPNumber, Quantity: ptr(d("10.0"))}), "", "")

		o = p.made()
		refused(p.t, cancel(o), problem.Conflict, "work on it is booked")
		o = p.release()
		issue := must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}})
		refused(p.t, cancel(o), problem.Conflict, "work on it is booked")
		must(p, p.ReverseMovement, mes.Reversal{Of: issue.ID, Reason: "order is cancelled"})
		refused(p.t, cancel(o), "", "")

		o = p.release()
		must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID})
		refused(p.t, cancel(o), problem.Conflict, "technically completed")
	})
}

// TestCancellationByTheERPSeesAllThatIsBooked: also what the order's sums leave out.
func TestCancellationByTheERPSeesAllThatIsBooked(t *testing.T) {
	move := func(act func(p *plant, o mes.Order) mes.Movement) func(p *plant, o mes.Order) func() {
		return func(p *plant, o mes.Order) func() {
			m := act(p, o)
			return func() { must(p, p.ReverseMovement, mes.Reversal{Of: m.ID, Reason: "order is cancelled"}) }
		}
	}
	item := []mes.NewItem{{Material: "SWARF", Quantity: d("1"), Unit: "KGM"}}
	tests := []struct {
		name string
		book func(p *plant, o mes.Order) (takeBack func())
	}{
		{"an issue that no component foresees", move(func(p *plant, o mes.Order) mes.Movement {
			return must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Material: "SWARF", Quantity: d("1"), Unit: "KGM", Unplanned: true}}})
		})},
		{"a by-product", move(func(p *plant, o mes.Order) mes.Movement {
			return must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, ByProduct: true, Items: item})
		})},
		{"scrap", move(func(p *plant, o mes.Order) mes.Movement {
			return must(p, p.ScrapGoods, mes.NewMovement{Order: o.ID, Reason: "rust", Items: item})
		})},
		{"time alone", func(p *plant, o mes.Order) func() {
			c := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", SetupTime: d("5")})
			return func() { must(p, p.ReverseConfirmation, mes.Reversal{Of: c.ID, Reason: "order is cancelled"}) }
		}},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				o := p.started()
				takeBack := tt.book(p, o)
				cancel := mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "5"}
				refused(t, p.told(mes.OrderCancelledKind, "", cancel), problem.Conflict, "work on it is booked")
				takeBack()
				refused(t, p.told(mes.OrderCancelledKind, "", cancel), "", "")
			})
		}
	})
}

// TestTheERPReopensAnOrder: a newer version that is neither closed nor cancelled opens what the ERP closed, and only that.
func TestTheERPReopensAnOrder(t *testing.T) {
	byERP := func(kind string) func(p *plant, o mes.Order) {
		return func(p *plant, o mes.Order) { p.apply(kind, mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "5"}) }
	}
	byPlant := func(p *plant, o mes.Order) { must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID}) }
	both := func(p *plant, o mes.Order) {
		byPlant(p, o)
		byERP(mes.OrderClosedKind)(p, o)
	}
	tests := []struct {
		name              string
		close             func(p *plant, o mes.Order)
		version, quantity string
		want              mes.Status
		refused           problem.Kind
	}{
		{"cancelled, released again", byERP(mes.OrderCancelledKind), "6", "10", mes.Started, ""},
		{"cancelled, changed", byERP(mes.OrderCancelledKind), "6", "12", mes.Started, ""},
		{"closed by the ERP", byERP(mes.OrderClosedKind), "6", "10", mes.Started, ""},
		{"closed by the ERP, the same version changed", byERP(mes.OrderClosedKind), "5", "12", mes.TechnicallyComplete, problem.Conflict},
		{"completed by the plant, an echo", byPlant, "6", "10", mes.TechnicallyComplete, ""},
		{"completed by the plant, changed", byPlant, "6", "12", mes.TechnicallyComplete, problem.Conflict},
		{"completed by the plant, which the ERP has taken over", both, "6", "10", mes.Started, ""},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				o := p.started()
				tt.close(p, o)
				e := mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: tt.version, Quantity: ptr(d(tt.quantity))}
				refused(t, p.told(mes.OrderReleasedKind, "", e), tt.refused, "")
				got := p.order(o.ID)
				if open := tt.want == mes.Started; got.Status != tt.want || got.CompletedAt.IsZero() != open || open && !got.Quantity.Equal(*e.Quantity) {
					t.Errorf("got %+v, want it %s", got, tt.want)
				}
			})
		}
	})
}

// TestACancelledOrderThatComesFirstStaysCancelled: the ERP's older word comes late.
func TestACancelledOrderThatComesFirstStaysCancelled(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.ERPVersion = "2"
		p.apply(mes.OrderCancelledKind, e)
		e.ERPVersion = "1"
		p.apply(mes.OrderReleasedKind, e)
		if got := p.numbered(e.ERPNumber).Status; got != mes.Cancelled {
			p.t.Errorf("got %s, want %s", got, mes.Cancelled)
		}
	})
}

func TestTheERPClosesAnOrder(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		closed := mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "7"}
		p.apply(mes.OrderClosedKind, closed)
		after := p.order(o.ID)
		if after.Status != mes.TechnicallyComplete || after.CompletedAt.IsZero() {
			p.t.Errorf("got %+v, want it technically completed", after)
		}
		p.apply(mes.OrderClosedKind, closed)
		equal(p.t, "the order after the same again", p.order(o.ID), after)
		e := p.erpOrder()
		p.apply(mes.OrderClosedKind, e)
		if got := p.numbered(e.ERPNumber).Status; got != mes.TechnicallyComplete {
			p.t.Errorf("got an order that was closed before it came: %s, want %s", got, mes.TechnicallyComplete)
		}
	})
}

func TestMasterDataOfTheERP(t *testing.T) {
	each(t, func(p *plant) {
		m := mes.Material{Number: "BOLT", Description: "Bolt M8 × 40", BaseUnit: "PCE", ERPVersion: "2", Units: []mes.UnitRatio{
			{Unit: "PCE", Numerator: d("1"), Denominator: d("1")}, {Unit: "CT", Numerator: d("200"), Denominator: d("1")},
		}}
		p.apply(mes.MaterialChangedKind, m)
		equal(p.t, "the material", see(p, func(ctx context.Context, tx *store.Tx) (mes.Material, error) { return p.Material(ctx, tx, "BOLT") }), m)
		old := m
		old.Description, old.ERPVersion = "Bolt", "1"
		p.apply(mes.MaterialChangedKind, old)
		equal(p.t, "the material after an older word", see(p, func(ctx context.Context, tx *store.Tx) (mes.Material, error) { return p.Material(ctx, tx, "BOLT") }), m)

		p.apply(mes.UnitChangedKind, mes.Unit{Code: "GRO", Dimension: "count", Numerator: d("144"), Denominator: d("1")})
		o := p.started()
		issue := must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("0.5"), Unit: "GRO"}}})
		if !issue.Items[0].BaseQuantity.Equal(d("72")) {
			p.t.Errorf("got %s bolts in half a gross, want 72", issue.Items[0].BaseQuantity)
		}
		centre := see(p, func(ctx context.Context, tx *store.Tx) (mes.WorkCentre, error) { return p.WorkCentre(ctx, tx, "MILL") })
		equal(p.t, "the work centre", centre, mes.WorkCentre{Number: "MILL", Plant: "1000", Description: "Mill", CapacityHoursPerDay: d("16")})

		p.apply(mes.RoutingChangedKind, mes.Routing{Material: "CAST", Plant: "2000", Operations: []mes.PlannedOperation{{Number: "0010", WorkCentre: "X"}}})
		err := p.db.View(p.t.Context(), func(tx *store.Tx) error { _, err := p.Routing(p.t.Context(), tx, "CAST", ""); return err })
		refused(p.t, err, problem.NotFound, "no copy")
	})
}

func TestMasterDataThatAreRefused(t *testing.T) {
	ratio := func(num, den string) []mes.UnitRatio {
		return []mes.UnitRatio{{Unit: "BOX", Numerator: d(num), Denominator: d(den)}}
	}
	tests := []struct {
		name, kind string
		body       any
		why        string
	}{
		{"a material without a number", mes.MaterialChangedKind, mes.Material{BaseUnit: "PCE"}, "/number is missing"},
		{"a material without a unit", mes.MaterialChangedKind, mes.Material{Number: "M"}, "/baseUnit is missing"},
		{"a ratio of nothing", mes.MaterialChangedKind, mes.Material{Number: "M", BaseUnit: "PCE", Units: ratio("0", "1")}, "/units/0/numerator"},
		{"a ratio to nothing", mes.MaterialChangedKind, mes.Material{Number: "M", BaseUnit: "PCE", Units: ratio("1", "0")}, "/units/0/denominator"},
		{"a ratio twice", mes.MaterialChangedKind, mes.Material{Number: "M", BaseUnit: "PCE", Units: append(ratio("1", "2"), ratio("1", "3")...)}, "/units/1/unit"},
		{"a ratio of the base unit", mes.MaterialChangedKind, mes.Material{Number: "M", BaseUnit: "BOX", Units: ratio("1", "2")}, "/units/0/unit"},
		{"a shelf life that is over", mes.MaterialChangedKind, mes.Material{Number: "M", BaseUnit: "PCE", ShelfLifeDays: -1}, "/shelfLifeDays"},
		{"a unit of no dimension", mes.UnitChangedKind, mes.Unit{Code: "X", Numerator: d("1"), Denominator: d("1")}, "/dimension is missing"},
		{"a unit of nothing", mes.UnitChangedKind, mes.Unit{Code: "X", Dimension: "mass", Denominator: d("1")}, "/numerator is not above 0"},
		{"a work centre without a number", mes.WorkCentreChangedKind, mes.WorkCentre{}, "/number is missing"},
		{"a bill of material for nothing", mes.BOMChangedKind, mes.BOM{Material: "M", Unit: "PCE"}, "/baseQuantity is not above 0"},
		{"a bill of material of itself", mes.BOMChangedKind, mes.BOM{Material: "M", Unit: "PCE", BaseQuantity: d("1"), Items: []mes.BOMItem{
			{Item: "0010", Material: "M", Quantity: d("1"), Unit: "PCE"},
		}}, "/items/0/material is the material itself"},
		{"a bill of material with an item twice", mes.BOMChangedKind, mes.BOM{Material: "M", Unit: "PCE", BaseQuantity: d("1"), Items: []mes.BOMItem{
			{Item: "0010", Material: "N", Quantity: d("1"), Unit: "PCE"}, {Item: "0010", Material: "O", Quantity: d("1"), Unit: "PCE"},
		}}, "/items/1/item is there twice"},
		{"a routing without operations", mes.RoutingChangedKind, mes.Routing{Material: "M"}, "/operations is empty"},
		{"a number that is too long", mes.WorkCentreChangedKind, mes.WorkCentre{Number: string(make([]byte, 81))}, "/number is longer than 80 bytes"},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) { refused(t, p.told(tt.kind, "", tt.body), problem.Invalid, tt.why) })
		}
	})
}

// TestAnOrderIsPlannedByWhatIsValidAtItsStart: the ERP sends next month's bill of material and routing before this month is over.
func TestAnOrderIsPlannedByWhatIsValidAtItsStart(t *testing.T) {
	bom := func(number, version, from, quantity string) mes.BOM {
		return mes.BOM{Number: number, Material: "SHAFT", BaseQuantity: d("1"), Unit: "PCE", ValidFrom: from, ERPVersion: version, Items: []mes.BOMItem{
			{Item: "0010", Material: "BOLT", Quantity: d(quantity), Unit: "PCE"},
		}}
	}
	tests := []struct {
		name string
		told []mes.BOM
		want map[string]string // bolts of one piece, by the day of the start; "" is refused
	}{
		{"from ever", []mes.BOM{bom("B", "1", "", "4")}, map[string]string{"2020-01-01": "4", "2026-12-01": "4"}},
		{"from a day on", []mes.BOM{bom("B", "1", "2026-12-01", "4")}, map[string]string{"2026-11-30": "", "2026-12-01": "4", "2027-01-01": "4"}},
		{
			"a change to come",
			[]mes.BOM{bom("B", "1", "", "4"), bom("B", "2", "2026-12-01", "5")},
			map[string]string{"2026-11-30": "4", "2026-12-01": "5"},
		},
		{
			"two changes to come, and one that comes late",
			[]mes.BOM{bom("B", "1", "", "4"), bom("B", "2", "2026-12-01", "5"), bom("B", "3", "2027-01-01", "6"), bom("B", "2", "2026-12-01", "7")},
			map[string]string{"2026-11-30": "4", "2026-12-31": "5", "2027-01-01": "6"},
		},
		{
			"a change brought forward",
			[]mes.BOM{bom("B", "1", "", "4"), bom("B", "2", "2027-01-01", "5"), bom("B", "3", "2026-12-01", "6")},
			map[string]string{"2026-11-30": "4", "2026-12-01": "6", "2027-01-01": "6"},
		},
		{
			"a version corrected",
			[]mes.BOM{bom("B", "1", "", "4"), bom("B", "2", "2026-12-01", "5"), bom("B", "3", "2026-12-01", "6")},
			map[string]string{"2026-11-30": "4", "2026-12-01": "6"},
		},
		{
			"another document, whose versions count for themselves",
			[]mes.BOM{bom("B", "7", "", "4"), bom("C", "1", "2026-12-01", "5")},
			map[string]string{"2026-11-30": "4", "2026-12-01": "5"},
		},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				material := fmt.Sprintf("SHAFT-%d", i)
				p.apply(mes.MaterialChangedKind, mes.Material{Number: material, BaseUnit: "PCE"})
				for _, b := range tt.told {
					b.Material = material
					p.apply(mes.BOMChangedKind, b)
					p.apply(mes.RoutingChangedKind, mes.Routing{
						Number: b.Number, Material: material, ValidFrom: b.ValidFrom, ERPVersion: b.ERPVersion,
						Operations: []mes.PlannedOperation{{Number: "0010", WorkCentre: "BY-" + b.Items[0].Quantity.String()}},
					})
				}
				for day, want := range tt.want {
					start, err := time.ParseInLocation("2006-01-02 15:04", day+" 00:30", berlin) // the day before in UTC
					if err != nil {
						t.Fatal(err)
					}
					o, err := do(p, p.CreateOrder, mes.NewOrder{Material: material, Quantity: d("1"), Start: start})
					if want == "" {
						refused(t, err, problem.NotFound, "none is valid on "+day)
						continue
					}
					if err != nil {
						t.Errorf("%s: refused: %v", day, err)
						continue
					}
					if got := o.Components[0].Quantity.String(); got != want || o.Operations[0].WorkCentre != "BY-"+want {
						t.Errorf("%s: got %s bolts made at %s, want %s", day, got, o.Operations[0].WorkCentre, want)
					}
				}
			})
		}
		refused(t, p.told(mes.BOMChangedKind, "", bom("B", "1", "soon", "4")), problem.Invalid, "/validFrom is not a day")
		err := db.View(t.Context(), func(tx *store.Tx) error { _, err := p.BOM(t.Context(), tx, "PUMP", "soon"); return err })
		refused(t, err, problem.Invalid, "on is not a day")
	}, storetest.WithClock(func() time.Time { return now }))
}
