package sap

import (
	"strings"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// received is a receipt of an order's finished goods.
func received(order, quantity string) string {
	return `{"GoodsMovementCode":"02","to_MaterialDocumentItem":[{"Material":"FG-100","Plant":"1000","ManufacturingOrder":"` + order +
		`","ManufacturingOrderItem":"0001","GoodsMovementType":"101","GoodsMovementRefDocType":"F","QuantityInEntryUnit":"` + quantity + `"}]}`
}

// TestAReceiptThatSAPBooksItselfIsNotBookedTwice: the control key of an operation says so. The receipt is not sent, and has SAP's own
// document; where SAP cannot be asked, nothing is sent; and it is taken back with its confirmation alone.
func TestAReceiptThatSAPBooksItselfIsNotBookedTwice(t *testing.T) {
	w := start(t, func(c *Config) { c.AutomaticReceipt = []string{"PP05", "ZP05"} })
	for order, key := range map[string]string{"1": "PP05", "2": "PP01"} {
		err := w.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": order, "to_ProductionOrderOperation": []any{
			map[string]any{"OrderInternalBillOfOperations": order, "OrderIntBillOfOperationsItem": "1", "ManufacturingOrderOperation": "0010", "OperationControlProfile": "PP01"},
			map[string]any{"OrderInternalBillOfOperations": order, "OrderIntBillOfOperationsItem": "2", "ManufacturingOrderOperation": "0020", "OperationControlProfile": key},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	first := w.deliver(t, delivery(t, "m0", movement, received("1", "4.000"), nil))
	if first.Verdict != message.Delivered || first.Receipt.Document != "" || !strings.Contains(string(first.Receipt.Answer), "COGI") || len(w.system.Effects()) != 0 {
		t.Errorf("before SAP has booked it: %v %q %s, %d effects", first, first.Receipt.Document, first.Receipt.Answer, len(w.system.Effects()))
	}
	for i, quantity := range []string{"4.000", "6.000"} {
		err := w.system.Seed("A_MaterialDocumentHeader", map[string]any{
			"MaterialDocument": "500000000" + string(rune('1'+i)), "MaterialDocumentYear": "2026",
			"to_MaterialDocumentItem": []any{map[string]any{"MaterialDocumentItem": "0001", "ManufacturingOrder": "1", "GoodsMovementType": "101", "QuantityInEntryUnit": quantity}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.system.AddFault(erpmock.Fault{Kind: erpmock.Status, Status: 503, Method: "GET", Count: 1}); err != nil {
		t.Fatal(err)
	}
	m1 := delivery(t, "m1", movement, received("1", "4.000"), nil)
	if out := w.deliver(t, m1); out.Verdict != message.Again || !out.LinkDown {
		t.Errorf("where SAP cannot be asked: %v", out)
	}
	out := w.deliver(t, m1)
	if out.Verdict != message.Delivered || out.Receipt.Document != "5000000001/2026" || !strings.Contains(string(out.Receipt.Answer), "control key PP05 of operation 0020") {
		t.Errorf("of an order whose receipts SAP books: %v %q %s", out, out.Receipt.Document, out.Receipt.Answer)
	}
	back := w.deliver(t, delivery(t, "m2", reversal, `{"MaterialDocument":"5000000001","MaterialDocumentYear":"2026"}`, nil))
	if back.Verdict != message.Refused || problem.KindOf(back.Err) != problem.Conflict || len(w.system.Effects()) != 0 {
		t.Errorf("its reversal: %v, %v; %d effects", back, back.Err, len(w.system.Effects()))
	}
	own := w.deliver(t, delivery(t, "m3", movement, received("2", "1.000"), nil))
	if own.Verdict != message.Delivered || len(w.system.Effects()) != 1 {
		t.Fatalf("of another order: %v, %v; %d effects", own, own.Err, len(w.system.Effects()))
	}
	number, year, _ := strings.Cut(own.Receipt.Document, "/")
	if out := w.deliver(t, delivery(t, "m4", reversal, `{"MaterialDocument":"`+number+`","MaterialDocumentYear":"`+year+`"}`, nil)); out.Verdict != message.Delivered {
		t.Errorf("the reversal of one that was sent: %v, %v", out, out.Err)
	}
	issued := `{"GoodsMovementCode":"03","to_MaterialDocumentItem":[{"Material":"RM-1","Plant":"1000","ManufacturingOrder":"1","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"}]}`
	if out := w.deliver(t, delivery(t, "m5", movement, issued, nil)); out.Verdict != message.Delivered || out.Receipt.Kind != "material document" {
		t.Errorf("an issue for such an order: %v, %v", out, out.Err)
	}
	if got := strings.Join(w.link.Warnings(), "\n"); !strings.Contains(got, "automatic_receipt") || !strings.Contains(got, "PP05, ZP05") {
		t.Errorf("the doctor is told %q", got)
	}
}

// TestControlKeysAreLookedAtWhenTheLinkOpens.
func TestControlKeysAreLookedAtWhenTheLinkOpens(t *testing.T) {
	for _, bad := range []string{"", "PP005"} {
		if err := checkAutomatic([]string{"PP05", bad}); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "automatic_receipt[1]") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
