package mes_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestConfirmations has an order of 10 with an allowance of 10 %, of which operation 0010 has yielded 6 and 0020 has yielded 4.
func TestConfirmations(t *testing.T) {
	tests := []struct {
		name string
		c    mes.NewConfirmation
		want problem.Kind // "" means accepted
		why  string
	}{
		{"exactly the rest", mes.NewConfirmation{Operation: "0010", Yield: d("4")}, "", ""},
		{"the allowance too", mes.NewConfirmation{Operation: "0010", Yield: d("5.000")}, "", ""},
		{"a gram beyond the allowance", mes.NewConfirmation{Operation: "0010", Yield: d("5.001")}, problem.Conflict, "only 5 of 11 PCE are still open"},
		{"scrap beyond the allowance", mes.NewConfirmation{Operation: "0010", Yield: d("5"), Scrap: d("1"), Reason: "S1"}, problem.Conflict, "only 5 of 11"},
		{"rework beyond the allowance", mes.NewConfirmation{Operation: "0010", Yield: d("5"), Rework: d("1"), Reason: "R1"}, problem.Conflict, "only 5 of 11"},
		{"all that came from before", mes.NewConfirmation{Operation: "0020", Yield: d("1"), Scrap: d("1"), Reason: "S1"}, "", ""},
		{"more than came from before", mes.NewConfirmation{Operation: "0020", Yield: d("3")}, problem.Conflict, "operation 0010 before it has yielded 6 PCE, of which 2 are left"},
		{"half a box", mes.NewConfirmation{Operation: "0010", Yield: d("0.25"), Unit: "BOX"}, "", ""},
		{"a whole box", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Unit: "BOX"}, problem.Conflict, "only 5"},
		{"by weight, by way of the material", mes.NewConfirmation{Operation: "0010", Yield: d("10000"), Unit: "GRM"}, "", ""},
		{"a weight that is no whole number of digits", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Unit: "LBR"}, "", ""},
		{"in litres", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Unit: "LTR"}, problem.Invalid, "LTR is a unit of volume, PCE one of count"},
		{"in an unknown unit", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Unit: "XYZ"}, problem.Invalid, "no ratio between them is known for material PUMP"},
		{"of an unknown operation", mes.NewConfirmation{Operation: "0099", Yield: d("1")}, problem.NotFound, "no such operation"},
		{"of nothing", mes.NewConfirmation{Operation: "0010"}, problem.Invalid, "nothing to confirm"},
		{"of time alone", mes.NewConfirmation{Operation: "0010", MachineTime: d("12.5")}, "", ""},
		{"of time in pieces", mes.NewConfirmation{Operation: "0010", MachineTime: d("12.5"), TimeUnit: "PCE"}, problem.Invalid, "/timeUnit is not a unit of time"},
		{"less than nothing", mes.NewConfirmation{Operation: "0010", Yield: d("-1")}, problem.Invalid, "/yield is less than 0"},
		{"less than no time", mes.NewConfirmation{Operation: "0010", Yield: d("1"), LabourTime: d("-1")}, problem.Invalid, "/labourTime is less than 0"},
		{"scrap without a reason", mes.NewConfirmation{Operation: "0010", Scrap: d("1")}, problem.Invalid, "/reason is missing"},
		{"the end before the start", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Start: now, End: now.Add(-1)}, problem.Invalid, "/end is before the start"},
		{"a start without an end", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Start: now.Add(-1)}, problem.Invalid, "/start and the end belong together"},
		{"an end that lies ahead", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Start: now, End: now.Add(time.Hour)}, problem.Invalid, "lies in the future"},
		{"a start that lies ahead", mes.NewConfirmation{Operation: "0010", Yield: d("1"), Start: now.Add(time.Hour), End: now.Add(2 * time.Hour)}, problem.Invalid, "lies in the future"},
		{"a posting that lies ahead", mes.NewConfirmation{Operation: "0010", Yield: d("1"), PostedAt: now.Add(time.Hour)}, problem.Invalid, "lies in the future"},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				tt.c.Order = p.made().ID
				_, err := do(p, p.Confirm, tt.c)
				refused(t, err, tt.want, tt.why)
			})
		}
		_, err := do(p, p.Confirm, mes.NewConfirmation{Order: id(1), Operation: "0010", Yield: d("1")})
		refused(p.t, err, problem.NotFound, "none of that ID")
		o := p.made()
		_, err = do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010"})
		if e, ok := errors.AsType[*problem.Error](err); !ok || e.What != "confirmation in operation 0010 of order "+o.ID && e.What != "confirmation in operation 0010 of order "+o.Number {
			p.t.Errorf("got %v, want it named without a quantity", err)
		}
	})
}

func TestAConfirmationIsKeptAndOwedInFull(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		start, end := now.Add(-2*time.Hour).In(berlin), now.Add(-time.Hour).In(berlin)
		got := must(p, p.Confirm, mes.NewConfirmation{
			ID: id(1), Order: o.ID, Operation: "0010", Yield: d("0.50"), Scrap: d("0.25"), Unit: "BOX", Reason: "S01", SetupTime: d("15"),
			MachineTime: d("42.50"), Personnel: "4711", Start: start, End: end, Final: true, Text: "new tool",
		})
		want := mes.Confirmation{
			ID: id(1), Order: o.ID, Operation: "0010", WorkCentre: "MILL", Yield: d("0.50"), Scrap: d("0.25"), Unit: "BOX",
			Booked: mes.Amounts{Yield: d("6"), Scrap: d("3"), Unit: "PCE"}, Reason: "S01", SetupTime: d("15"), MachineTime: d("42.50"), TimeUnit: "MIN",
			Personnel: "4711", Start: start, End: end, PostedAt: end, PostingDate: "2026-11-24", Final: true, Text: "new tool",
			RecordedAt: now.Truncate(time.Microsecond),
		}
		equal(p.t, "the confirmation", got, want)
		if got.MachineTime.String() != "42.50" {
			p.t.Errorf("got %s min, want 42.50 as it was entered", got.MachineTime)
		}
		kept := see(p, func(ctx context.Context, tx *store.Tx) (mes.Confirmation, error) {
			return p.Confirmation(ctx, tx, id(1))
		})
		equal(p.t, "the confirmation read again", kept, want)
		equal(p.t, "the message", body[mes.OperationConfirmed](p.t, p.out.last()), mes.OperationConfirmed{
			Place: mes.Place{Plant: "1000", Zone: "Europe/Berlin"},
			Order: mes.OrderRef{ID: o.ID, Number: o.Number, ERPNumber: o.ERPNumber, Material: "PUMP", Unit: "PCE"}, Confirmation: want,
		})
		op := p.order(o.ID).Operations[0]
		if !op.Yield.Equal(d("6")) || !op.Scrap.Equal(d("3")) || op.Status != mes.OperationClosed {
			p.t.Errorf("got operation %+v, want 6 good, 3 scrap and closed", op)
		}
		_, err := do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("1")})
		refused(p.t, err, problem.Conflict, "finally confirmed")
	})
}

func TestReversalOfAConfirmation(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		first := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("6"), Scrap: d("1"), Rework: d("2"), Reason: "R1", Final: true})
		second := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("4")})

		_, err := do(p, p.ReverseConfirmation, mes.Reversal{Of: first.ID})
		refused(p.t, err, problem.Invalid, "/reason is missing")
		_, err = do(p, p.ReverseConfirmation, mes.Reversal{Of: first.ID, Reason: "miscounted"})
		refused(p.t, err, problem.Conflict, "operation 0020 would have 4 PCE behind it, of 0 that operation 0010 yields")
		_, err = do(p, p.ReverseConfirmation, mes.Reversal{Of: id(1), Reason: "miscounted"})
		refused(p.t, err, problem.NotFound, "none of that ID")

		must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: p.lot(o).Number, Quantity: d("1")}}})
		_, err = do(p, p.ReverseConfirmation, mes.Reversal{Of: second.ID, Reason: "miscounted"})
		refused(p.t, err, problem.Conflict, "1 PCE are received, and only 0 would be confirmed")
		received := body[mes.GoodsMoved](p.t, p.out.last()).Movement
		must(p, p.ReverseMovement, mes.Reversal{Of: received.ID, Reason: "miscounted"})

		must(p, p.ReverseConfirmation, mes.Reversal{Of: second.ID, Reason: "miscounted"})
		back := must(p, p.ReverseConfirmation, mes.Reversal{ID: id(3), Of: first.ID, Reason: "miscounted", By: "4712"})
		want := first
		want.ID, want.Reverses, want.Reason, want.Personnel = id(3), first.ID, "miscounted", "4712"
		equal(p.t, "the reversal", back, want)
		equal(p.t, "the message", body[mes.OperationConfirmed](p.t, p.out.last()).Confirmation, want)
		if kept := see(p, func(ctx context.Context, tx *store.Tx) (mes.Confirmation, error) {
			return p.Confirmation(ctx, tx, first.ID)
		}); kept.ReversedBy != id(3) {
			p.t.Errorf("got a confirmation reversed by %q, want %s", kept.ReversedBy, id(3))
		}
		after := p.order(o.ID)
		if after.Status != mes.Started || after.Operations[0].Status != mes.OperationOpen || !after.Scrap.IsZero() || !after.Rework.IsZero() || !after.Yield.IsZero() {
			p.t.Errorf("got order %+v, want it started as if nothing had been confirmed", after)
		}
		_, err = do(p, p.ReverseConfirmation, mes.Reversal{Of: first.ID, Reason: "again"})
		refused(p.t, err, problem.Conflict, "it was reversed before")
		_, err = do(p, p.ReverseConfirmation, mes.Reversal{Of: back.ID, Reason: "back"})
		refused(p.t, err, problem.Conflict, "it is a reversal itself")
	})
}

// TestARefusalNamesTheField has a terminal mark every wrong field at once.
func TestARefusalNamesTheField(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		_, err := do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("-1"), Scrap: d("-1"), MachineTime: d("-1")})
		e, ok := errors.AsType[*problem.Error](err)
		if !ok || e.Kind != problem.Invalid {
			p.t.Fatalf("got %v, want a refusal as invalid", err)
		}
		var got []string
		for _, f := range e.Fields {
			got = append(got, f.Pointer)
		}
		equal(p.t, "the fields", got, []string{"/yield", "/scrap", "/machineTime", "/reason"})
	})
}
