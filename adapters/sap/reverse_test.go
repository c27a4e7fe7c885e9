package sap

import (
	"strings"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestAPartialReversalIsNotTheWholeOne: somebody has reversed one item of a document in SAP. Of the reversal of all, whose answer was lost,
// that says nothing, and reconciliation does not take the document for reversed.
func TestAPartialReversalIsNotTheWholeOne(t *testing.T) {
	w := start(t)
	const two = `{"GoodsMovementCode":"03","to_MaterialDocumentItem":[
		{"Material":"RM-1","Plant":"1000","ManufacturingOrder":"1","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"},
		{"Material":"RM-2","Plant":"1000","ManufacturingOrder":"1","GoodsMovementType":"261","QuantityInEntryUnit":"2.000"}]}`
	made := w.deliver(t, delivery(t, "a1", movement, two, nil))
	number, year, _ := strings.Cut(made.Receipt.Document, "/")
	set := "A_MaterialDocumentItem"
	if n := w.mock[Movements].Change(set, "Material", "RM-1", map[string]any{"GoodsMovementIsCancelled": true}); n != 1 {
		t.Fatalf("%v: %d items", made, n)
	}
	back := w.deliver(t, delivery(t, "a2", movement, `{"GoodsMovementCode":"06","to_MaterialDocumentItem":[
		{"Material":"RM-1","Plant":"1000","ManufacturingOrder":"1","GoodsMovementType":"262","QuantityInEntryUnit":"1.000"}]}`, nil))
	if back.Verdict != message.Delivered {
		t.Fatal(back.Err)
	}
	w.mock[Movements].Change(set, "GoodsMovementType", "262", map[string]any{
		"ReversedMaterialDocument": number, "ReversedMaterialDocumentYear": year, "ReversedMaterialDocumentItem": "0001",
	})
	whole := delivery(t, "m1", reversal, `{"MaterialDocument":"`+number+`","MaterialDocumentYear":"`+year+`"}`, nil)
	out, err := w.link.Ask(t.Context(), whole)
	if err != nil || out.Verdict != message.Unsure || problem.KindOf(out.Err) != problem.Conflict || !strings.Contains(out.Err.Error(), "1 of its 2 items") {
		t.Errorf("asked of a document that is reversed in part: %v, %v", out, err)
	}
	err = w.link.movements(t.Context(), []string{"1"}, func(d message.DocumentRead) error {
		if d.Number == made.Receipt.Document && d.Reversed {
			t.Errorf("the document is taken for reversed: %+v", d)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	w.mock[Movements].Change(set, "Material", "RM-2", map[string]any{"GoodsMovementIsCancelled": true})
	if out, err := w.link.Ask(t.Context(), whole); err != nil || out.Verdict != message.Delivered || out.Receipt.Document != back.Receipt.Document {
		t.Errorf("asked when the rest is reversed too: %v, %v", out, err)
	}
}

// TestAnOrderIsFoundWithOrWithoutItsZeros: IDocs write an order's number with leading zeros, and services without. SAP takes either for the same, and what it
// shows of a message whose answer was lost is found by either; texts of people's own making are compared as they are.
func TestAnOrderIsFoundWithOrWithoutItsZeros(t *testing.T) {
	w := start(t)
	for _, order := range []string{"1000042", "000001000043"} {
		if err := w.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": order, "OrderIsTechnicallyCompleted": "X"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.system.Seed("Batch", map[string]any{"Material": "FG-100", "BatchIdentifyingPlant": "", "Batch": "0000000042", "BatchBySupplier": "42"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target, doc string
		want        message.Verdict
	}{
		{"orders/TechlyCmpltOrder", `{"ManufacturingOrder":"000001000042"}`, message.Delivered},
		{"orders/TechlyCmpltOrder", `{"ManufacturingOrder":"1000042"}`, message.Delivered},
		{"orders/TechlyCmpltOrder", `{"ManufacturingOrder":"1000043"}`, message.Delivered},
		{"orders/TechlyCmpltOrder", `{"ManufacturingOrder":"10000420"}`, message.Again},
		{"batches/Batch", `{"Material":"FG-100","BatchBySupplier":"0042"}`, message.Again},
		{"batches/Batch", `{"Material":"FG-100","BatchBySupplier":"42"}`, message.Delivered},
	} {
		if out, err := w.link.Ask(t.Context(), delivery(t, "m1", tt.target, tt.doc, nil)); err != nil || out.Verdict != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.doc, out, err, tt.want)
		}
	}
}
