package mes_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func TestALotIsKeptAndOwedInFull(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		made := now.Add(-time.Hour).In(berlin)
		got := must(p, p.CreateLot, mes.NewLot{ID: id(1), Order: o.ID, Quantity: d("10"), SupplierBatch: "X-1", ManufacturedAt: made})
		want := mes.Lot{
			ID: id(1), Number: "L00000001", Material: "PUMP", Quantity: d("10"), Unit: "PCE", Origin: mes.FromPlant, Order: o.ID, SupplierBatch: "X-1",
			ManufacturedAt: made, ExpiresAt: made.AddDate(0, 0, 365), ManufacturedOn: "2026-11-24", ExpiresOn: "2027-11-24", Status: mes.Unrestricted,
			Version: 1, RecordedAt: now.Truncate(time.Microsecond), ChangedAt: now.Truncate(time.Microsecond),
		}
		equal(p.t, "the lot", got, want)
		equal(p.t, "the lot read again", see(p, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, id(1)) }), want)
		m := p.out.last()
		if m.Kind != mes.LotCreatedKind || m.Key != o.ID || m.Creates != "lot/"+id(1) {
			p.t.Errorf("got message %+v, want lot.created in the order's lane that creates the lot", m)
		}
		equal(p.t, "the message", body[mes.LotCreated](p.t, m).Lot, want)
	})
}

func TestLotsThatCannotBeMade(t *testing.T) {
	tests := []struct {
		name string
		c    mes.NewLot
		want problem.Kind
		why  string
	}{
		{"of nothing", mes.NewLot{}, problem.Invalid, "/material is missing"},
		{"of a material without lots", mes.NewLot{Material: "BOLT"}, problem.Conflict, "not managed in batches"},
		{"under a number that is taken", mes.NewLot{Material: "CAST", Number: "C-1"}, problem.Conflict, "the plant has it already"},
		{"that expires before it is made", mes.NewLot{Material: "CAST", ManufacturedAt: now, ExpiresAt: now.Add(-1)}, problem.Invalid, "/expiresAt is before"},
		{"in a state that there is not", mes.NewLot{Material: "CAST", Status: "lost"}, problem.Invalid, "/status is none of"},
		{"of less than nothing", mes.NewLot{Material: "CAST", Quantity: d("-1")}, problem.Invalid, "/quantity is less than 0"},
		{"for an order that there is not", mes.NewLot{Order: id(9)}, problem.NotFound, "none of that ID"},
	}
	each(t, func(p *plant) {
		must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "C-1"})
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				_, err := do(p, p.CreateLot, tt.c)
				refused(t, err, tt.want, tt.why)
			})
		}
	})
}

func TestInspections(t *testing.T) {
	between := func(value, lower, upper string) mes.NewInspection {
		limit := func(s string) *decimal.Decimal {
			if s == "" {
				return nil
			}
			return ptr(d(s))
		}
		return mes.NewInspection{Characteristic: "Diameter", Unit: "MMT", Value: limit(value), Lower: limit(lower), Upper: limit(upper)}
	}
	with := func(c mes.NewInspection, v mes.Valuation) mes.NewInspection {
		c.Valuation = v
		return c
	}
	tests := []struct {
		name string
		c    mes.NewInspection
		want mes.Valuation // "" means refused
		why  string
	}{
		{"on the lower limit", between("9.95", "9.95", "10.05"), mes.Accepted, ""},
		{"just below it", between("9.949", "9.95", "10.05"), mes.Rejected, ""},
		{"on the upper limit", between("10.050", "9.95", "10.05"), mes.Accepted, ""},
		{"just above it", between("10.051", "", "10.05"), mes.Rejected, ""},
		{"judged as it is", with(between("10", "9.95", ""), mes.Accepted), mes.Accepted, ""},
		{"judged otherwise", with(between("10", "9.95", ""), mes.Rejected), "", "10 lies where it is accepted, and the report says rejected"},
		{"a value without limits", with(between("10", "", ""), mes.Accepted), mes.Accepted, ""},
		{"a value without limits and valuation", between("10", "", ""), "", "/valuation is missing"},
		{"limits the wrong way round", between("10", "11", "9"), "", "/upperLimit is below the lower limit"},
		{"a code", mes.NewInspection{Characteristic: "Colour", Code: "OK", Valuation: mes.Accepted}, mes.Accepted, ""},
		{"a code without valuation", mes.NewInspection{Characteristic: "Colour", Code: "OK"}, "", "/valuation is missing"},
		{"neither value nor code", mes.NewInspection{Characteristic: "Colour", Valuation: mes.Accepted}, "", "/value or a code is needed"},
		{"a valuation that there is not", mes.NewInspection{Characteristic: "Colour", Code: "OK", Valuation: "fine"}, "", "/valuation is neither"},
		{"no characteristic", mes.NewInspection{Code: "OK", Valuation: mes.Accepted}, "", "/characteristic is missing"},
	}
	each(t, func(p *plant) {
		o := p.started()
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				tt.c.Order, tt.c.Operation = o.ID, "0010"
				got, err := do(p, p.RecordInspection, tt.c)
				if tt.want == "" {
					refused(t, err, problem.Invalid, tt.why)
					return
				}
				if err != nil || got.Valuation != tt.want || got.Material != "PUMP" {
					t.Errorf("got %+v, %v; want it %s for PUMP", got, err, tt.want)
				}
			})
		}
		_, err := do(p, p.RecordInspection, mes.NewInspection{Characteristic: "Colour", Code: "OK", Valuation: mes.Accepted})
		refused(p.t, err, problem.Invalid, "belongs to an order or a lot")
		_, err = do(p, p.RecordInspection, mes.NewInspection{Order: o.ID, Operation: "0099", Characteristic: "Colour", Code: "OK", Valuation: mes.Accepted})
		refused(p.t, err, problem.NotFound, "no such operation")
		for _, c := range []mes.NewInspection{{Order: id(9)}, {Lot: id(9)}} {
			c.Characteristic, c.Code, c.Valuation = "Colour", "OK", mes.Accepted
			_, err = do(p, p.RecordInspection, c)
			refused(p.t, err, problem.NotFound, "none of that ID")
		}
	})
}

// TestALotThatFailsIsBlocked: nothing more is issued from it.
func TestALotThatFailsIsBlocked(t *testing.T) {
	each(t, func(p *plant) {
		lot := must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "C-1"})
		inspection := must(p, p.RecordInspection, mes.NewInspection{Lot: lot.ID, Characteristic: "Pores", Value: ptr(d("3")), Upper: ptr(d("2"))})
		if inspection.Batch != "C-1" || inspection.Material != "CAST" {
			p.t.Errorf("got %+v, want batch C-1 of CAST", inspection)
		}
		equal(p.t, "what the ERP is told", p.out.kinds(lot.ID), []string{mes.LotCreatedKind, mes.InspectionRecordedKind, mes.LotChangedKind})
		if m := body[mes.LotChanged](p.t, p.out.last()); m.From != mes.Unrestricted || m.Lot.Status != mes.Blocked || m.Reason != "rejected in the inspection of Pores" {
			p.t.Errorf("got %+v, want the lot blocked", m)
		}
		equal(p.t, "the inspection read again", see(p, func(ctx context.Context, tx *store.Tx) (mes.Inspection, error) {
			return p.Inspection(ctx, tx, inspection.ID)
		}), inspection)
		_, err := do(p, p.IssueGoods, mes.NewMovement{Order: p.release().ID, Items: []mes.NewItem{{Material: "CAST", Batch: "C-1", Quantity: d("1")}}})
		refused(p.t, err, problem.Conflict, "its state is blocked")
	})
}

// TestWhatALotMayBecome goes through every state and back, with results between.
func TestWhatALotMayBecome(t *testing.T) {
	result := func(characteristic string, v mes.Valuation) *mes.NewInspection {
		return &mes.NewInspection{Characteristic: characteristic, Code: "X", Valuation: v}
	}
	type step struct {
		found *mes.NewInspection // recorded first, if any
		to    mes.LotStatus
		want  problem.Kind // "" means accepted
		why   string
	}
	tests := []struct {
		name  string
		begin mes.LotStatus
		steps []step
	}{
		{"free after inspection", mes.InInspection, []step{{result("Pores", mes.Accepted), mes.Unrestricted, "", ""}}},
		{"free without a result", mes.InInspection, []step{{nil, mes.Unrestricted, "", ""}}},
		{"blocked after inspection", mes.InInspection, []step{{nil, mes.Blocked, "", ""}}},
		{"free to blocked, and back by inspection", mes.Unrestricted, []step{
			{nil, mes.Blocked, "", ""},
			{nil, mes.Unrestricted, problem.Conflict, "given free by an inspection only"},
			{nil, mes.InInspection, "", ""},
			{nil, mes.Unrestricted, "", ""},
			{nil, mes.InInspection, "", ""},
		}},
		{"what it is", mes.Blocked, []step{{nil, mes.Blocked, problem.Conflict, "it is blocked already"}}},
		{"free although it was found bad", mes.InInspection, []step{
			{result("Pores", mes.Rejected), mes.InInspection, "", ""},
			{result("Colour", mes.Accepted), mes.Unrestricted, problem.Conflict, "its last result for Pores is rejected"},
			{result("Pores", mes.Accepted), mes.Unrestricted, "", ""},
		}},
		{"lost", mes.InInspection, []step{{nil, "lost", problem.Invalid, "/status is none of"}}},
	}
	each(t, func(p *plant) {
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				p := p.in(t)
				lot := must(p, p.CreateLot, mes.NewLot{Material: "CAST", Status: tt.begin})
				for i, s := range tt.steps {
					if s.found != nil {
						s.found.Lot, s.found.ID = lot.ID, fmt.Sprintf("%s%012d", lot.ID[:24], i) // one clock for all: the ID tells their order
						must(p, p.RecordInspection, *s.found)
					}
					before := see(p, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, lot.ID) })
					got, err := do(p, p.DecideLot, mes.LotDecision{Lot: lot.ID, Status: s.to, Reason: "so it is"})
					refused(t, err, s.want, s.why)
					if s.want != "" {
						continue
					}
					if got.Status != s.to || got.Version != before.Version+1 {
						t.Errorf("step %d: got %s at version %d, want %s at %d", i, got.Status, got.Version, s.to, before.Version+1)
					}
					m := body[mes.LotChanged](t, p.out.last())
					if p.out.last().Kind != mes.LotChangedKind || m.From != before.Status || m.Lot.Status != s.to || m.Reason != "so it is" {
						t.Errorf("step %d: the ERP is told %+v, want from %s to %s", i, m, before.Status, s.to)
					}
				}
			})
		}
	})
}

func TestADecisionOnALot(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		lot := must(p, p.CreateLot, mes.NewLot{Order: o.ID, Status: mes.InInspection})
		_, err := do(p, p.DecideLot, mes.LotDecision{Lot: lot.ID, Status: mes.Blocked})
		refused(p.t, err, problem.Invalid, "/reason is missing")
		_, err = do(p, p.DecideLot, mes.LotDecision{Lot: id(9), Status: mes.Blocked, Reason: "r"})
		refused(p.t, err, problem.NotFound, "none of that ID")
		_, err = do(p, p.DecideLot, mes.LotDecision{Lot: lot.ID, Status: mes.Blocked, Reason: "r", At: now.Add(time.Hour)})
		refused(p.t, err, problem.Invalid, "lies in the future")
		_, err = do(p, p.DecideLot, mes.LotDecision{Lot: lot.ID, Status: mes.Blocked, Reason: "r", IfVersion: 2})
		refused(p.t, err, problem.Precondition, "at version 1, not 2")

		act := mes.LotDecision{ID: id(7), Lot: lot.ID, Status: mes.Unrestricted, Reason: "r", By: "anna", IfVersion: 1}
		done := must(p, p.DecideLot, act)
		if m := p.out.last(); m.ID != id(7) || m.Key != o.ID || body[mes.LotChanged](p.t, m).Order.ID != o.ID {
			p.t.Errorf("got message %+v, want it in the lane of the order", m)
		}
		sent := len(p.out.sent)
		act.IfVersion = 0 // whatever it has seen
		equal(p.t, "the lot after the same again", must(p, p.DecideLot, act), done)
		act.Status = mes.Blocked
		_, err = do(p, p.DecideLot, act)
		refused(p.t, err, problem.Duplicate, "for something else")
		if len(p.out.sent) != sent {
			p.t.Errorf("got %d messages more, want none", len(p.out.sent)-sent)
		}
	})
}

// TestTheNumberRangePassesOverNumbersGivenByHand: somebody was ahead of it.
func TestTheNumberRangePassesOverNumbersGivenByHand(t *testing.T) {
	each(t, func(p *plant) {
		for _, number := range []string{"L00000001", "L00000002", "L00000004"} {
			must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: number})
		}
		must(p, p.CreateLot, mes.NewLot{Material: "PUMP", Number: "L00000005"}) // of another material, so no obstacle
		var got []string
		for range 3 {
			got = append(got, must(p, p.CreateLot, mes.NewLot{Material: "CAST"}).Number)
		}
		equal(p.t, "the numbers", got, []string{"L00000003", "L00000005", "L00000006"})
	})
}
