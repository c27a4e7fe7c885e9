package httpapi_test

import (
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/mes"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAConflictIsDismissedWithAReason: once, and the audit record knows why.
func TestAConflictIsDismissedWithAReason(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		var made httpapi.LotAct
		p.call("POST", "/v1/lots", object{"material": "FRAME", "number": "F-1"}).want(t, 201, &made)
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO plant_number_conflicts (sort, id) VALUES ('lot', ?)", made.Lot.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		path, why := "/v1/number-conflicts/lot/"+made.Lot.ID+"/dismiss", object{"reason": "the second batch is cancelled"}
		p.call("POST", path, object{}).refused(t, 400, "contract")
		p.call("POST", "/v1/number-conflicts/wagon/1/dismiss", why).refused(t, 400, "contract")
		p.call("POST", "/v1/number-conflicts/order/"+made.Lot.ID+"/dismiss", why).refused(t, 404, "not-found")
		var got, again mes.Conflicted
		want := mes.Conflicted{Sort: "lot", ID: made.Lot.ID, Number: "F-1"}
		p.call("POST", path, why, "Idempotency-Key", "dismiss-000000001").want(t, 200, &got)
		p.call("POST", path, why, "Idempotency-Key", "dismiss-000000001").want(t, 200, &again)
		if got != want || again != want {
			t.Errorf("got %+v, and %+v again, want %+v", got, again, want)
		}
		p.call("POST", path, why).refused(t, 404, "not-found")
		var record httpapi.AuditPage
		p.call("GET", "/v1/audit-entries?action="+access.ConflictDismiss+"&object=lot/"+made.Lot.ID, nil).want(t, 200, &record)
		done := 0
		for _, e := range record.Items {
			if e.Outcome == "done" && e.Reason == "the second batch is cancelled" {
				done++
			}
		}
		if done != 1 {
			t.Errorf("got %+v, want one entry that it was done, with the reason", record.Items)
		}
	})
}
