package httpapi_test

import (
	"testing"

	"github.com/google/uuid"

	"holdfast/internal/httpapi"
	"holdfast/internal/store/storetest"
)

// TestWhatIsNotThereIsNamedByItsField: a body that refers to something unknown is answered with the pointer of the reference.
func TestWhatIsNotThereIsNamedByItsField(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.apply("material.changed", object{"number": "RAW", "description": "No routing", "baseUnit": "PCE"})
	o := p.order()
	for _, operation := range []string{"0010", "0020"} {
		p.call("POST", "/v1/confirmations", object{"order": o.ID, "operation": operation, "yield": "5"}).want(t, 201, nil)
	}
	none := uuid.NewString()
	receipt := func(order string, item object) object {
		return object{"type": "receipt", "order": order, "items": []object{item}}
	}
	tests := []struct {
		name, path string
		body       object
		want       string
	}{
		{"an order of no material", "/v1/orders", object{"material": "NONE", "quantity": "1"}, "/material"},
		{"an order of a material that nobody can make", "/v1/orders", object{"material": "RAW", "quantity": "1"}, "/material"},
		{"a confirmation of no order", "/v1/confirmations", object{"order": none, "operation": "0010", "yield": "1"}, "/order"},
		{"a confirmation of no operation", "/v1/confirmations", object{"order": o.ID, "operation": "0099", "yield": "1"}, "/operation"},
		{"a movement of no order", "/v1/movements", receipt(none, object{"quantity": "1", "unit": "PCE"}), "/order"},
		{"a movement of no lot", "/v1/movements", receipt(o.ID, object{"quantity": "1", "unit": "PCE", "batch": "NONE"}), "/items/0/batch"},
		{"a movement of no material", "/v1/movements", object{"type": "scrap", "reason": "broken", "items": []object{{"material": "NONE", "quantity": "1"}}}, "/items/0/unit"},
		{"a lot of no order", "/v1/lots", object{"material": "BIKE", "order": none}, "/order"},
		{"a result of no order", "/v1/inspection-results", object{"order": none, "characteristic": "PH", "value": "1", "valuation": "accepted"}, "/order"},
		{"a result of no lot", "/v1/inspection-results", object{"lot": none, "characteristic": "PH", "value": "1", "valuation": "accepted"}, "/lot"},
		{"a result of no operation", "/v1/inspection-results", object{"order": o.ID, "operation": "0099", "characteristic": "PH", "value": "1", "valuation": "accepted"}, "/operation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := p.call("POST", tt.path, tt.body)
			got := a.refused(t, 404, "not-found")
			if len(got.Errors) != 1 || got.Errors[0].Pointer != tt.want || got.Errors[0].In != httpapi.FieldErrorInBody || got.Errors[0].Detail == "" {
				t.Errorf("got %s, want one error in the body at %s", a.body, tt.want)
			}
		})
	}
}
