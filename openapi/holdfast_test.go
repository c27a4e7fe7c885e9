package openapi_test

import (
	"strings"
	"testing"

	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestHoldfastContract also demands what each operation of our API owes: the action that a
// caller must be permitted, an Idempotency-Key on each POST, and problem documents for whatever goes wrong.
func TestHoldfastContract(t *testing.T) {
	d, err := contract.Load(openapi.Holdfast(), "holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range d.Warnings() {
		t.Error(w)
	}
	for _, o := range d.Operations() {
		action, _ := o.Extension("x-holdfast-action").(string)
		if action == "" {
			t.Errorf("%s: it names no action, so that nobody could be permitted it", o.Position())
		}
		if o.Method == "POST" && !takes(o, "Idempotency-Key") {
			t.Errorf("%s: a POST without Idempotency-Key", o.Position())
		}
		if o.Method == "PATCH" && !takes(o, "If-Match") {
			t.Errorf("%s: a PATCH without If-Match", o.Position())
		}
		if r, ok := o.Response(500); !ok || len(r.MediaTypes()) != 1 || r.MediaTypes()[0] != "application/problem+json" {
			t.Errorf("%s: no problem document for what goes wrong", o.Position())
		}
	}
	if n := len(d.Operations()); n < 40 {
		t.Errorf("only %d operations were found", n)
	}
}

func takes(o *contract.Operation, name string) bool {
	for _, p := range o.Parameters() {
		if strings.EqualFold(p.Name, name) {
			return true
		}
	}
	return false
}

// TestHoldfastNumbersAreWhole keeps quantities out of JSON numbers, which most readers turn into floats.
func TestHoldfastNumbersAreWhole(t *testing.T) {
	if text := string(openapi.Holdfast()); strings.Contains(text, "type: number") {
		t.Error("a property has type: number; write {type: string, format: decimal, pattern: …}")
	}
}
