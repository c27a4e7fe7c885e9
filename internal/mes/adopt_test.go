package mes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/problem"
)

// planned is what both the plant and the ERP may change of an order.
func planned(o mes.Order) string {
	return fmt.Sprintf("%s to %s, priority %d, to %s, %s %s", o.Start.In(berlin).Format("02T15:04"), o.End.In(berlin).Format("02T15:04"),
		o.Priority, o.StorageLocation, o.Quantity, o.Unit)
}

// TestThePlantsPlanAndTheERPs: of what the plant has changed, the ERP's message takes back only what the ERP has changed itself. The
// ERP's order is from 06:00 to 14:00 on the 24th, of priority 5, into FG01.
func TestThePlantsPlanAndTheERPs(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, berlin) }
	urgent := mes.OrderChange{Priority: ptr(9)}
	later := mes.OrderChange{Start: at(25, 6), End: at(25, 14)}
	tests := []struct {
		name   string
		plant  mes.OrderChange
		erp    []func(e *mes.ERPOrder) // one message after the other
		want   string
		notes  []string // how each begins
		partly bool     // each message gives only what it changes
	}{
		{
			name: "the ERP repeats itself", plant: urgent, erp: []func(e *mes.ERPOrder){func(*mes.ERPOrder) {}, func(*mes.ERPOrder) {}},
			want: "24T06:00 to 24T14:00, priority 9, to FG01, 10 PCE",
		},
		{
			name: "the ERP repeats other dates", plant: later, erp: []func(e *mes.ERPOrder){func(*mes.ERPOrder) {}},
			want: "25T06:00 to 25T14:00, priority 5, to FG01, 10 PCE",
		},
		{
			name: "the ERP changes something else", plant: mes.OrderChange{StorageLocation: ptr("FG02")}, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) { e.Quantity = ptr(d("12")) }},
			want: "24T06:00 to 24T14:00, priority 5, to FG02, 12 PCE",
		},
		{
			name: "the ERP changes the same", plant: urgent, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) { e.Priority = ptr(7) }},
			want: "24T06:00 to 24T14:00, priority 7, to FG01, 10 PCE", notes: []string{"the ERP set the priority to 7; the plant had set 9"},
		},
		{
			name: "the ERP changes the same in the same way", plant: urgent, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) { e.Priority = ptr(9) }},
			want: "24T06:00 to 24T14:00, priority 9, to FG01, 10 PCE",
		},
		{name: "the ERP changes it to and fro", plant: urgent, erp: []func(e *mes.ERPOrder){
			func(e *mes.ERPOrder) { e.Priority = ptr(7) }, func(e *mes.ERPOrder) { e.Priority = ptr(5) }, func(e *mes.ERPOrder) { e.Priority = ptr(5) },
		}, want: "24T06:00 to 24T14:00, priority 5, to FG01, 10 PCE", notes: []string{"the ERP set the priority to 7; the plant had set 9"}},
		{
			name: "the ERP moves it where the plant's date does not fit", plant: mes.OrderChange{End: at(24, 10)}, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) { e.Start = at(24, 12) }},
			want: "24T12:00 to 24T14:00, priority 5, to FG01, 10 PCE", notes: []string{"the ERP set the end to 2026-11-24T14:00:00+01:00; the plant had set 2026-11-24T10:00:00"},
		},
		{
			name: "the ERP moves it where the plant's date fits", plant: mes.OrderChange{End: at(24, 10)}, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) { e.Start = at(24, 7) }},
			want: "24T07:00 to 24T10:00, priority 5, to FG01, 10 PCE",
		},
		{name: "the ERP changes everything", plant: mes.OrderChange{Start: at(25, 6), End: at(25, 14), Priority: ptr(9), StorageLocation: ptr("FG02")}, erp: []func(e *mes.ERPOrder){func(e *mes.ERPOrder) {
			e.Start, e.End, e.Priority, e.StorageLocation = at(26, 6), at(26, 14), ptr(1), "FG03"
		}}, want: "26T06:00 to 26T14:00, priority 1, to FG03, 10 PCE", notes: []string{"the ERP set the start", "the ERP set the end", "the ERP set the priority", "the ERP set the storage"}},
		{name: "the ERP tells only what changes", plant: urgent, partly: true, erp: []func(e *mes.ERPOrder){
			func(e *mes.ERPOrder) { e.Quantity = ptr(d("12")) }, func(e *mes.ERPOrder) { e.Priority = ptr(5) }, func(e *mes.ERPOrder) { e.Priority = ptr(6) },
		}, want: "24T06:00 to 24T14:00, priority 6, to FG01, 12 PCE", notes: []string{"the ERP set the priority to 6; the plant had set 9"}},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				e := p.erpOrder()
				p.apply(mes.OrderReleasedKind, e)
				tt.plant.Order = p.numbered(e.ERPNumber).ID
				must(p, p.ChangeOrder, tt.plant)
				for i, change := range tt.erp {
					if tt.partly {
						e = mes.ERPOrder{ERPNumber: e.ERPNumber}
					}
					e.ERPVersion = fmt.Sprint(i + 2)
					change(&e)
					p.apply(mes.OrderChangedKind, e)
				}
				got := p.order(tt.plant.Order)
				equal(t, "the plan", planned(got), tt.want)
				if !slices.EqualFunc(got.Notes, tt.notes, func(n mes.Note, begin string) bool {
					return n.Code == mes.Overruled && strings.HasPrefix(n.Text, begin)
				}) {
					t.Errorf("got notes %+v, want %q", got.Notes, tt.notes)
				}
			})
		}
	})
}

// echo is an order of the plant as an ERP sends it back: to the second, with what the ERP fills in.
func echo(o mes.Order, number string) mes.ERPOrder {
	e := mes.ERPOrder{
		ERPNumber: number, ExternalID: o.PlantNumber, ERPVersion: "1", Type: "PP01", Material: o.Material, MaterialDescription: "Pump, by the ERP",
		StorageLocation: "FG09", Quantity: &o.Quantity, Unit: o.Unit, OverDelivery: &o.OverDelivery, Priority: &o.Priority,
		Start: o.Start.UTC().Truncate(time.Second), End: o.End.UTC().Truncate(time.Second),
	}
	for _, op := range o.Operations {
		e.Operations = append(e.Operations, mes.PlannedOperation{
			Number: op.Number, Description: op.Description + " (ERP)", WorkCentre: op.WorkCentre, BaseQuantity: op.BaseQuantity,
			SetupTime: op.SetupTime, MachineTime: op.MachineTime, LabourTime: op.LabourTime, TimeUnit: op.TimeUnit,
		})
	}
	for _, c := range o.Components {
		e.Components = append(e.Components, mes.PlannedComponent{Item: c.Item, Material: c.Material, Quantity: c.Quantity, Unit: c.Unit, Operation: c.Operation, BatchManaged: c.BatchManaged})
	}
	slices.Reverse(e.Operations)
	return e
}

// TestTheEchoOfWhatThePlantMade: it brings what the ERP has filled in, and takes nothing back that the plant did since.
func TestTheEchoOfWhatThePlantMade(t *testing.T) {
	tests := []struct {
		name   string
		since  func(p *plant, o mes.Order)
		change func(e *mes.ERPOrder)
		want   problem.Kind // "" means accepted
		why    string
	}{
		{"untouched", func(*plant, mes.Order) {}, func(*mes.ERPOrder) {}, "", ""},
		{"replanned", func(p *plant, o mes.Order) {
			must(p, p.ChangeOrder, mes.OrderChange{Order: o.ID, Priority: ptr(9), End: o.End.Add(time.Hour)})
		}, func(*mes.ERPOrder) {}, "", ""},
		{"in work", func(p *plant, o mes.Order) {
			must(p, p.StartOrder, mes.OrderAct{Order: o.ID})
			must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("4")})
		}, func(*mes.ERPOrder) {}, "", ""},
		{"completed", func(p *plant, o mes.Order) { must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID}) }, func(*mes.ERPOrder) {}, "", ""},
		{
			"completed, and changed by the ERP", func(p *plant, o mes.Order) { must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID}) },
			func(e *mes.ERPOrder) { e.Quantity = ptr(d("20")) }, problem.Conflict, "technically completed",
		},
	}
	each(t, func(p *plant) {
		for i, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				o := must(p, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
				tt.since(p, o)
				before := p.order(o.ID)
				e := echo(o, fmt.Sprintf("77%d", i))
				tt.change(&e)
				refused(t, p.told(mes.OrderReleasedKind, "", e), tt.want, tt.why)
				got, want := p.order(o.ID), before
				if tt.want == "" {
					want.Number, want.ERPNumber, want.ERPVersion, want.Version = e.ERPNumber, e.ERPNumber, "1", before.Version+1
					want.Type, want.MaterialDescription, want.StorageLocation = "PP01", "Pump, by the ERP", "FG09"
					want.ChangedInWork = !before.StartedAt.IsZero() // into another storage location
					want.Operations = slices.Clone(want.Operations)
					for i := range want.Operations {
						want.Operations[i].Description += " (ERP)"
					}
				}
				equal(t, "the order", got, want)
			})
		}
	})
}

// TestWhatIsRefusedIsNotTheERPsLastWord: after the obstacle is gone, the same message takes effect.
func TestWhatIsRefusedIsNotTheERPsLastWord(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		done := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("6")})
		e := mes.ERPOrder{ERPNumber: o.ERPNumber, ERPVersion: "2", Quantity: ptr(d("5")), OverDelivery: ptr(d("0"))}
		refused(p.t, p.told(mes.OrderChangedKind, "", e), problem.Conflict, "operation 0010 would have 6 PCE behind it")
		must(p, p.ReverseConfirmation, mes.Reversal{Of: done.ID, Reason: "replay"})
		p.apply(mes.OrderChangedKind, e)
		if got := p.order(o.ID); !got.Quantity.Equal(d("5")) {
			p.t.Errorf("got %s, want 5", got.Quantity)
		}
		e.ERPVersion, e.Quantity, e.Type = "3", nil, "PP02" // a label
		p.apply(mes.OrderChangedKind, e)
		if got := p.order(o.ID); got.Type != "PP02" {
			p.t.Errorf("got type %s, want PP02", got.Type)
		}
	})
}
