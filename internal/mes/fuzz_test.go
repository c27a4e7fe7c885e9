package mes_test

import (
	"encoding/json"
	"errors"
	"testing"

	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

var errUndo = errors.New("undo")

// FuzzApply hands the plant bodies as a mapping might make them. Whatever they are, they are taken or refused with a reason; none
// of them is a defect, and none breaks the database's transaction.
func FuzzApply(f *testing.F) {
	kinds := []string{
		mes.OrderReleasedKind, mes.OrderChangedKind, mes.OrderCancelledKind, mes.OrderClosedKind, mes.MaterialChangedKind, mes.UnitChangedKind,
		mes.WorkCentreChangedKind, mes.BOMChangedKind, mes.RoutingChangedKind,
	}
	for i, body := range []any{
		mes.ERPOrder{ERPNumber: "1", Material: "PUMP", Quantity: ptr(d("10")), Unit: "PCE", Start: now, End: now},
		mes.ERPOrder{ERPNumber: "1", Operations: []mes.PlannedOperation{{Number: "0010", WorkCentre: "MILL"}}},
		mes.ERPOrder{ERPNumber: "1", ExternalID: "PL1000-000001", ERPVersion: "10"},
		mes.ERPOrder{ERPNumber: "1", Components: []mes.PlannedComponent{{Item: "0010", Material: "BOLT", Quantity: d("1"), Unit: "PCE"}}},
		mes.Material{Number: "M", BaseUnit: "PCE", Units: []mes.UnitRatio{{Unit: "BOX", Numerator: d("12"), Denominator: d("1")}}},
		mes.Unit{Code: "GRO", Dimension: "count", Numerator: d("144"), Denominator: d("1")},
		mes.WorkCentre{Number: "W"},
		mes.BOM{Material: "M", BaseQuantity: d("1"), Unit: "PCE", Items: []mes.BOMItem{{Item: "1", Material: "N", Quantity: d("1"), Unit: "PCE"}}},
		mes.Routing{Material: "M", Operations: []mes.PlannedOperation{{Number: "0010"}}},
	} {
		text, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), text)
	}
	f.Add(uint8(0), []byte(`{"erpNumber":"\u0000","quantity":"1e40"}`))
	db := storetest.SQLite(f)
	plant := mes.New(&recorder{}, mes.Config{})
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		m := message.Message{Kind: kinds[int(kind)%len(kinds)], Body: body}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			err := plant.Apply(t.Context(), tx, m)
			if err == nil {
				err = plant.Apply(t.Context(), tx, m) // the same again has no effect
			}
			if kind := problem.KindOf(err); kind == problem.Internal {
				t.Errorf("%s %q: got a defect: %v", m.Kind, m.Body, err)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Errorf("%s %q: the transaction is broken: %v", m.Kind, m.Body, err)
		}
	})
}
