package openapi_test

import (
	"testing"

	"holdfast/openapi"
	"holdfast/openapi/contract"
)

func TestERPDocumentIsValid(t *testing.T) {
	d, err := contract.Load(openapi.ERP(), "openapi/erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if w := d.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	if got, want := d.Version(), "3.1.0"; got != want {
		t.Errorf("version %s, want %s", got, want)
	}
	for _, id := range []string{"findDocument", "createConfirmation", "listProductionOrders", "changeProductionOrder", "changeBatch"} {
		if _, ok := d.Operation(id); !ok {
			t.Errorf("no operation %s", id)
		}
	}
}
