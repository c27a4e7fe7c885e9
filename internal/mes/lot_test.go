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

func TestALotIsKeptAndOwedInFull(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		made := now.Add(-time.Hour).In(berlin)
		got := must(p, p.CreateLot, mes.NewLot{ID: id(1), Order: o.ID, Quantity: d("10"), SupplierBatch: "X-1", ManufacturedAt: made})
		want := mes.Lot{
			ID: id(1), Number: "L00000001", Material: "PUMP", Quantity: d("10"), Unit: "PCE", Origin: mes.FromPlant, Order: o.ID, SupplierBatch: "X-1",
			ManufacturedAt: made, ExpiresAt: made.AddDate(0, 0, 365), ManufacturedOn: "2026-11-24", ExpiresOn: "2027-11-24", Status: mes.Unrestricted,
			RecordedAt: now.Truncate(time.Microsecond),
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
		if inspection.Batch != "C-1" || inspection.Material != "CAST" || p.out.last().Key != lot.ID {
			p.t.Errorf("got %+v under key %s, want batch C-1 of CAST under the lot", inspection, p.out.last().Key)
		}
		equal(p.t, "the inspection read again", see(p, func(ctx context.Context, tx *store.Tx) (mes.Inspection, error) {
			return p.Inspection(ctx, tx, inspection.ID)
		}), inspection)
		_, err := do(p, p.IssueGoods, mes.NewMovement{Order: p.release().ID, Items: []mes.NewItem{{Material: "CAST", Batch: "C-1", Quantity: d("1")}}})
		refused(p.t, err, problem.Conflict, "its state is blocked")
	})
}
