package sap

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
)

// backflushed seeds an order of two operations: SAP backflushes RM-1 and RM-2 with the first, and receives with the second by its control key.
func (w *world) backflushed(t *testing.T, order string) {
	t.Helper()
	component := func(item, material, operation string, marked, issued bool) any {
		return map[string]any{
			"Reservation": order, "ReservationItem": item, "ReservationRecordType": "", "ManufacturingOrder": order, "Material": material,
			"ManufacturingOrderOperation": operation, "GoodsMovementType": "261", "MatlCompIsMarkedForBackflush": marked, "ReservationIsFinallyIssued": issued,
		}
	}
	operation := func(number, key string) any {
		return map[string]any{"OrderInternalBillOfOperations": order, "OrderIntBillOfOperationsItem": number, "ManufacturingOrder": order, "ManufacturingOrderOperation": number, controlKey: key}
	}
	if err := w.system.Seed("A_ProductionOrder_2", map[string]any{
		"ManufacturingOrder":          order,
		"to_ProductionOrderOperation": []any{operation("0010", "PP01"), operation("0020", "PP05")},
		"to_ProductionOrderComponent": []any{
			component("0001", "RM-1", "0010", true, false), component("0002", "RM-2", "0010", true, false), component("0003", "RM-3", "0010", false, false),
			component("0004", "RM-4", "0010", true, true),
		},
	}); err != nil {
		t.Fatal(err)
	}
}

// posts seeds the movements that SAP makes itself with the n-th confirmation.
func (w *world) posts(t *testing.T, n int, movements ...string) {
	t.Helper()
	for i, m := range movements {
		typ, material, _ := strings.Cut(m, " ")
		if err := w.mock[Confirmations].Seed("ProdnOrdConfMatlDocItm", map[string]any{
			"ConfirmationGroup": fmt.Sprintf("%010d", n), "ConfirmationCount": "00000001", "MaterialDocument": fmt.Sprintf("49%08d", n), "MaterialDocumentYear": "2026",
			"MaterialDocumentItem": fmt.Sprintf("%04d", i+1), "Material": material, "GoodsMovementType": typ, "QuantityInEntryUnit": "1.000",
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func confirms(order, operation, more string) string {
	return `{"OrderID":"` + order + `","OrderOperation":"` + operation + `"` + more + `}`
}

const yield = `,"ConfirmationYieldQuantity":"1.000"`

// TestWhatSAPBooksItselfWithAConfirmationIsReadBack: a component that is marked for backflush, and the receipt of a control key. Nothing is
// said where all was posted, where nothing is due, or of what was issued otherwise.
func TestWhatSAPBooksItselfWithAConfirmationIsReadBack(t *testing.T) {
	w := start(t, func(c *Config) { c.AutomaticReceipt = []string{"PP05"} })
	w.backflushed(t, "1000001")
	const failed = "holdfast: 1 of the 2 goods movements that SAP books itself with this confirmation were not posted; look in COGI: 261 RM-2"
	for i, tt := range []struct {
		name, doc string
		posted    []string
		want      string
	}{
		{"all posted", confirms("1000001", "0010", yield), []string{"261 RM-1", "261 RM-2"}, ""},
		{"one failed", confirms("1000001", "0010", yield), []string{"261 RM-1"}, failed},
		{"a receipt that failed", confirms("1000001", "0020", yield), nil, "holdfast: 1 of the 1 goods movements that SAP books itself with this confirmation were not posted; look in COGI: 101"},
		{"a receipt", confirms("1000001", "0020", yield), []string{"101 FG-100"}, ""},
		{"scrap alone is not received", confirms("1000001", "0020", `,"ConfirmationScrapQuantity":"1.000"`), nil, ""},
		{"but backflushed", confirms("1000001", "0010", `,"ConfirmationScrapQuantity":"1.000"`), []string{"261 RM-1"}, failed},
		{"time alone", confirms("1000001", "0010", `,"ConfirmationYieldQuantity":"0.000"`), nil, ""},
		{"SAP is told to book none", confirms("1000001", "0010", yield+`,"APIConfHasNoGoodsMovements":true`), nil, ""},
		{"movements of its own are held alone", confirms("1000001", "0010", yield+`,"to_ProdnOrdConfMatlDocItm":[{"Material":"RM-3","GoodsMovementType":"261","QuantityInEntryUnit":"1.000"}]`), nil, ""},
		{"an order without any", confirms("2", "0010", yield), nil, ""},
	} {
		w.posts(t, i+1, tt.posted...)
		out := w.deliver(t, delivery(t, fmt.Sprintf("m%d", i), confirmation, tt.doc, nil))
		got, _, _ := strings.Cut(string(out.Receipt.Answer), "\n")
		if !strings.HasPrefix(got, "holdfast:") {
			got = ""
		}
		if out.Verdict != message.Delivered || got != tt.want {
			t.Errorf("%s: %v, %q, want %q", tt.name, out, got, tt.want)
		}
	}
	w.lose(t)
	d := delivery(t, "lost", confirmation, confirms("1000001", "0010", yield), nil)
	w.deliver(t, d)
	if out, err := w.link.Ask(t.Context(), d); err != nil || !strings.Contains(string(out.Receipt.Answer), "261 RM-1, 261 RM-2") {
		t.Errorf("found by asking: %v %s, %v", out, out.Receipt.Answer, err)
	}
}

// TestWhatSAPBooksItselfIsAskedOncePerOrder for a while, and anew before it is said that something failed: the order may have changed.
func TestWhatSAPBooksItselfIsAskedOncePerOrder(t *testing.T) {
	w := start(t)
	w.backflushed(t, "1000001")
	w.posts(t, 1, "261 RM-1", "261 RM-2")
	w.posts(t, 2, "261 RM-1", "261 RM-2")
	reads := func(n int) int {
		t.Helper()
		before := w.system.Calls()[http.MethodGet]
		out := w.deliver(t, delivery(t, fmt.Sprintf("m%d", n), confirmation, confirms("1000001", "0010", yield), nil))
		if out.Verdict != message.Delivered || strings.Contains(string(out.Receipt.Answer), "holdfast:") {
			t.Errorf("confirmation %d: %v %s", n, out, out.Receipt.Answer)
		}
		return w.system.Calls()[http.MethodGet] - before
	}
	reads(1)
	if n := reads(2); n != 1 {
		t.Errorf("%d reads of the second confirmation, want that of its movements alone", n)
	}
	w.system.Service("A_ProductionOrder_2").Change("A_ProductionOrderComponent_3", "ManufacturingOrder", "1000001", map[string]any{"MatlCompIsMarkedForBackflush": false})
	reads(3)
	if n := reads(4); n != 0 {
		t.Errorf("%d reads where SAP books nothing", n)
	}
	w.system.Service("A_ProductionOrder_2").Change("A_ProductionOrderComponent_3", "ManufacturingOrder", "1000001", map[string]any{"MatlCompIsMarkedForBackflush": true})
	w.posts(t, 5, "261 RM-1", "261 RM-2", "261 RM-3")
	w.link.now = func() time.Time { return time.Now().Add(ownKept) }
	if n := reads(5); n < 2 {
		t.Errorf("%d reads after %s on the link's clock, want those of the order and of its movements", n, ownKept)
	}
}

// TestWhatSAPBooksItselfWithABatchIsReadInIt: once it is known of the orders that SAP books with their confirmations, no request is needed to see that all was
// posted; what was not is asked for anew, and told.
func TestWhatSAPBooksItselfWithABatchIsReadInIt(t *testing.T) {
	w := start(t, func(c *Config) { c.Batch = 50 })
	n := 0
	confirm := func(failing int) (told, reads, writes int) {
		t.Helper()
		var ds []message.Delivery
		for i := range 4 {
			order := fmt.Sprint(1000001 + i)
			if n < 4 {
				w.backflushed(t, order)
			}
			n++
			movements := []string{"261 RM-1", "261 RM-2"}
			w.posts(t, n, movements[min(1, max(0, failing-i)):]...)
			ds = append(ds, delivery(t, fmt.Sprintf("m%d", n), confirmation, confirms(order, "0010", yield), nil))
		}
		before := w.system.Calls()
		for _, out := range w.link.Deliver(t.Context(), ds) {
			if out.Verdict != message.Delivered {
				t.Fatalf("got %v, %v", out, out.Err)
			}
			if strings.Contains(string(out.Receipt.Answer), "1 of the 2 goods movements") {
				told++
			}
		}
		after := w.system.Calls()
		return told, after[http.MethodGet] - before[http.MethodGet], after[http.MethodPost] - before[http.MethodPost]
	}
	if told, _, _ := confirm(0); told != 0 {
		t.Errorf("%d confirmations lack movements, all of which were posted", told)
	}
	if told, reads, writes := confirm(0); told != 0 || reads != 0 || writes != 1 {
		t.Errorf("%d confirmations lack movements, %d reads beside %d batches", told, reads, writes)
	}
	if told, _, _ := confirm(2); told != 2 {
		t.Errorf("%d confirmations lack movements, want 2", told)
	}
}

// TestAConfirmationStandsThoughItsMovementsCannotBeRead: each says so for as long as that lasts, and SAP is asked again within a minute by a user whom it
// has refused, whether for a right or for his password.
func TestAConfirmationStandsThoughItsMovementsCannotBeRead(t *testing.T) {
	for _, refusal := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		t.Run(http.StatusText(refusal), func(t *testing.T) {
			w := start(t)
			var denied []error
			w.link.WhenDenied(func(why error) { denied = append(denied, why) })
			w.backflushed(t, "1000001")
			fault := func(status int) {
				t.Helper()
				if _, err := w.system.AddFault(erpmock.Fault{Kind: erpmock.Status, Status: status, Method: "GET", Operation: "A_ProductionOrderComponent_3", Count: 1}); err != nil {
					t.Fatal(err)
				}
			}
			confirm := func(id string, want bool) (reads int) {
				t.Helper()
				before := w.system.Calls()[http.MethodGet]
				out := w.deliver(t, delivery(t, id, confirmation, confirms("1000001", "0020", yield), nil))
				if got := strings.Contains(string(out.Receipt.Answer), "could not be read back; look in COGI"); out.Verdict != message.Delivered || got != want {
					t.Errorf("%s: %v %s", id, out, out.Receipt.Answer)
				}
				return w.system.Calls()[http.MethodGet] - before
			}
			fault(http.StatusServiceUnavailable)
			confirm("m1", true)
			fault(refusal)
			confirm("m2", true)
			if reads := confirm("m3", true); reads != 0 {
				t.Errorf("%d reads at once after a refusal", reads)
			}
			if len(denied) != 1 {
				t.Errorf("told of %v, want one refusal", denied)
			}
			w.link.now = func() time.Time { return time.Now().Add(ownDenied) }
			confirm("m4", false)
			confirm("m5", false)
		})
	}
}
