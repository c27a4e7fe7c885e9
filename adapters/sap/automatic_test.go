package sap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	w.link.patience = 0
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

// booking seeds an order whose receipts SAP books itself, if key is PP05.
func (w *world) booking(t *testing.T, order, key string) {
	t.Helper()
	if err := w.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": order, "to_ProductionOrderOperation": []any{
		map[string]any{"OrderInternalBillOfOperations": order, "OrderIntBillOfOperationsItem": "1", "ManufacturingOrderOperation": "0010", "OperationControlProfile": key},
	}}); err != nil {
		t.Fatal(err)
	}
}

// books seeds a document by which SAP has received goods itself: each item is a quantity and a batch.
func (w *world) books(t *testing.T, number, order string, items ...string) {
	t.Helper()
	var all []any
	for i, item := range items {
		quantity, batch, _ := strings.Cut(item, " ")
		all = append(all, map[string]any{
			"MaterialDocumentItem": fmt.Sprintf("%04d", i+1), "ManufacturingOrder": order, "GoodsMovementType": "101", "QuantityInEntryUnit": quantity, "Batch": batch,
		})
	}
	if err := w.system.Seed("A_MaterialDocumentHeader", map[string]any{"MaterialDocument": number, "MaterialDocumentYear": "2026", "to_MaterialDocumentItem": all}); err != nil {
		t.Fatal(err)
	}
}

// TestEachItemOfAReceiptIsSettled: those that SAP books itself have each a document of SAP's own, once, or one document the lot of them, and
// what SAP has not booked is named. The others are sent, alone, and once.
func TestEachItemOfAReceiptIsSettled(t *testing.T) {
	item := func(order, typ, quantity, batch string) string {
		return `{"Material":"FG-100","Plant":"1000","ManufacturingOrder":"` + order + `","GoodsMovementType":"` + typ + `","QuantityInEntryUnit":"` + quantity + `","Batch":"` + batch + `"}`
	}
	doc := func(items ...string) string {
		return `{"GoodsMovementCode":"02","to_MaterialDocumentItem":[` + strings.Join(items, ",") + `]}`
	}
	split := doc(item("1", "101", "4.000", "B1"), item("1", "101", "4.000", "B2"))
	for _, tt := range []struct {
		name, doc string
		booked    map[string][]string // documents of order 1
		document  string              // of the receipt, "sent" if it is that of what was sent
		says      []string
		sent      []string // the batches
	}{
		{"two batches, two documents", split, map[string][]string{"5000000001": {"4 B1"}, "5000000002": {"4.000 B2"}}, "5000000001/2026", []string{"5000000001/2026, 5000000002/2026"}, nil},
		{"two batches, one document", split, map[string][]string{"5000000001": {"4.000 B1", "4.000 B2"}}, "5000000001/2026", []string{"(control key PP05 of operation 0010); as 5000000001/2026"}, nil},
		{"two batches in one item", split, map[string][]string{"5000000001": {"8.000"}, "5000000002": {"2.000"}}, "5000000001/2026", []string{"as 5000000001/2026"}, nil},
		{"one failed", split, map[string][]string{"5000000001": {"4.000 B2"}}, "5000000001/2026", []string{"5000000001/2026", "none yet of 4.000 B1: look in COGI"}, nil},
		{"all failed", split, nil, "", []string{"none yet of 4.000 B1, 4.000 B2: look in COGI"}, nil},
		{
			"beside another order's", doc(item("1", "101", "4.000", "B1"), item("2", "101", "5.000", "B3")),
			map[string][]string{"5000000001": {"4.000 B1"}},
			"sent",
			[]string{"1 of its items", "order 1", "5000000001/2026"},
			[]string{"B3"},
		},
		{"beside a by-product", doc(item("1", "531", "1.000", "C1"), item("1", "101", "4.000", "B1")), nil, "sent", []string{"1 of its items", "none yet of 4.000 B1"}, []string{"C1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, func(c *Config) { c.AutomaticReceipt = []string{"PP05"} })
			w.link.patience = 0
			w.booking(t, "1", "PP05")
			w.booking(t, "2", "PP01")
			for number, items := range tt.booked {
				w.books(t, number, "1", items...)
			}
			before := len(w.mock[Movements].Documents("A_MaterialDocumentItem"))
			d := delivery(t, "m1", movement, tt.doc, nil)
			out := w.deliver(t, d)
			if out.Verdict != message.Delivered {
				t.Fatalf("got %v, %v", out, out.Err)
			}
			for _, want := range tt.says {
				if !strings.Contains(string(out.Receipt.Answer), want) {
					t.Errorf("the receipt says %s, want %q", out.Receipt.Answer, want)
				}
			}
			var sent []string
			for _, i := range w.mock[Movements].Documents("A_MaterialDocumentItem")[before:] {
				sent = append(sent, i["Batch"].(string))
			}
			if !slices.Equal(sent, tt.sent) {
				t.Errorf("sent %q, want %q", sent, tt.sent)
			}
			if tt.document != "sent" && out.Receipt.Document != tt.document {
				t.Errorf("document %q, want %q", out.Receipt.Document, tt.document)
			}
			if tt.document != "sent" {
				return
			}
			if again, err := w.link.Ask(t.Context(), d); err != nil || again.Receipt.Document != out.Receipt.Document || !strings.Contains(string(again.Receipt.Answer), tt.says[0]) {
				t.Errorf("asked: %v %q %s, %v, want %q", again, again.Receipt.Document, again.Receipt.Answer, err, out.Receipt.Document)
			}
		})
	}
}

// TestNoReceiptOfSAPStandsForTwoMessages: messages of the same quantity each have a document of their own, or none: that the second's has failed
// and waits in COGI must not be hidden by the first's. So it is after a restart, and where a message is looked at twice. One document may stand for
// several messages that make up its quantity, and for no more.
func TestNoReceiptOfSAPStandsForTwoMessages(t *testing.T) {
	keys := func(c *Config) { c.AutomaticReceipt = []string{"PP05"} }
	w := start(t, keys)
	w.link.patience = 0
	w.booking(t, "1", "PP05")
	kept := w.link.receipts
	told := func(id, quantity, want string) {
		t.Helper()
		out := w.deliver(t, delivery(t, id, movement, received("1", quantity), nil))
		if out.Verdict != message.Delivered || out.Receipt.Document != want || strings.Contains(string(out.Receipt.Answer), "COGI") != (want == "") {
			t.Errorf("%s of %s is told %q (%v, %v) %s, want %q", id, quantity, out.Receipt.Document, out, out.Err, out.Receipt.Answer, want)
		}
	}
	w.books(t, "5000000001", "1", "4.000")
	told("m1", "4.000", "5000000001/2026")
	told("m2", "4.000", "")
	told("m2", "4", "")
	w.link = open(t, w.url, keys)
	w.link.Remember(kept)
	w.link.patience = 0
	told("m2", "4.000", "")
	told("m1", "4.000", "5000000001/2026")
	w.books(t, "5000000002", "1", "4.000")
	told("m1", "4.000", "5000000001/2026")
	told("m2", "4.000", "5000000002/2026")
	w.books(t, "5000000003", "1", "8.000")
	told("m3", "3.000", "5000000003/2026")
	told("m4", "5.000", "5000000003/2026")
	told("m5", "5.000", "")
	w.books(t, "5000000004", "1", "2.000")
	told("m5", "5.000", "5000000004/2026") // in another unit, most likely
	told("m6", "2.000", "")
	w.booking(t, "2", "PP05")
	w.books(t, "5000000005", "2", "4.000")
	told("m7", "4.000", "")
}

// TestAReceiptThatSAPBooksLateIsAwaited: it is no fault of the message or the link, and spends no attempt. What comes in time has its number; of what does
// not, somebody is told, once an hour. Nothing of the message is sent before.
func TestAReceiptThatSAPBooksLateIsAwaited(t *testing.T) {
	w := start(t, func(c *Config) { c.AutomaticReceipt = []string{"PP05"} })
	w.booking(t, "1", "PP05")
	at := time.Now()
	w.link.now = func() time.Time { return at }
	var told []error
	w.link.WhenUnposted(func(why error) { told = append(told, why) })
	late := delivery(t, "m1", movement, received("1", "4.000"), nil)
	never := delivery(t, "m2", movement, strings.Replace(received("1", "5.000"), "]", `,{"Material":"FG-100","Plant":"1000","ManufacturingOrder":"2","GoodsMovementType":"531","QuantityInEntryUnit":"1.000"}]`, 1), nil)
	wait := func(d message.Delivery) {
		t.Helper()
		out := w.deliver(t, d)
		if out.Verdict != message.Again || !out.Locked || out.LinkDown || out.After <= 0 || !strings.Contains(out.Err.Error(), "PP05") || len(w.system.Effects()) != 0 {
			t.Errorf("got %v after %s (locked %t), %d effects", out, out.After, out.Locked, len(w.system.Effects()))
		}
	}
	wait(late)
	wait(never)
	at = at.Add(bookedWithin - time.Second)
	wait(late)
	wait(never)
	w.books(t, "5000000001", "1", "4.000")
	if out := w.deliver(t, late); out.Verdict != message.Delivered || out.Receipt.Document != "5000000001/2026" || len(told) != 0 {
		t.Errorf("once SAP has booked it: %v, told of %v", out, told)
	}
	at = at.Add(time.Second)
	for range 2 {
		if out := w.deliver(t, never); out.Verdict != message.Delivered || !strings.Contains(string(out.Receipt.Answer), "none yet of 5.000: look in COGI") {
			t.Errorf("what SAP does not book: %v %s", out, out.Receipt.Answer)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "order 1") {
		t.Errorf("told of %v, want one", told)
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
