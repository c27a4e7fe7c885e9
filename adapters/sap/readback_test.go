package sap

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
)

// TestSAPIsReadBack: orders, what was booked for them, and stock, as reconciliation compares them.
func TestSAPIsReadBack(t *testing.T) {
	w := start(t)
	w.seedOrders(t, 45)
	for _, d := range []message.Delivery{
		delivery(t, "11111111-1111-4111-8111-111111111111", confirmation, `{"OrderID":"7","OrderOperation":"0010","ConfirmationYieldQuantity":"4.500","ConfirmationUnit":"PC","PostingDate":"2026-03-29"}`, nil),
		delivery(t, "m2", movement, `{"GoodsMovementCode":"03","PostingDate":"2026-03-29","to_MaterialDocumentItem":[{"Material":"RM-1","Plant":"1000","ManufacturingOrder":"7","Reservation":"1","ReservationItem":"1","GoodsMovementType":"261","Batch":"B1","QuantityInEntryUnit":"1.250","EntryUnit":"KG"}]}`, nil),
	} {
		if out := w.deliver(t, d); out.Verdict != message.Delivered {
			t.Fatalf("got %v", out)
		}
	}
	var numbers []string
	for i := range 45 {
		numbers = append(numbers, fmt.Sprint(i+1))
	}
	var orders []message.OrderRead
	if err := w.link.Orders(t.Context(), numbers, func(o message.OrderRead) error { orders = append(orders, o); return nil }); err != nil || len(orders) != 45 {
		t.Fatalf("%d orders, %v", len(orders), err)
	}
	want := message.OrderRead{
		Number: "7", Material: "FG-100", Quantity: "10.000", Yield: "4.500", Received: "3.000", Unit: "PC", UnitISO: "PCE", Released: true,
		Components: []message.ComponentRead{{Item: "0001", Material: "RM-1", Required: "2.500", Withdrawn: "1.250", Unit: "KG"}},
	}
	for _, o := range orders {
		if diff := cmp.Diff(want, o); o.Number == want.Number && diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	}
	all := 0
	if err := w.link.Orders(t.Context(), nil, func(message.OrderRead) error { all++; return nil }); err != nil || all != 45 {
		t.Errorf("of the plant: %d orders, %v", all, err)
	}
	var docs []message.DocumentRead
	if err := w.link.Documents(t.Context(), numbers, func(d message.DocumentRead) error { docs = append(docs, d); return nil }); err != nil {
		t.Fatal(err)
	}
	wantDocs := []message.DocumentRead{
		{Number: "0000000001/00000001", Kind: "confirmation", Order: "7", Operation: "0010", Mark: "11111111-1111-4111-8111-111111111111", Posted: "2026-03-29", Yield: "4.500", Unit: "PC"},
		{Number: docs[len(docs)-1].Number, Kind: "material document", Order: "7", Mark: "m2", Posted: "2026-03-29", Items: []message.ItemRead{
			{Movement: "261", Material: "RM-1", Batch: "B1", Quantity: "1.250", Unit: "KG"},
		}},
	}
	if diff := cmp.Diff(wantDocs, docs); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// seedOrders gives the system orders 1 to n of the plant, and one of another plant.
func (w *world) seedOrders(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		number := fmt.Sprint(i + 1)
		err := w.system.Seed("A_ProductionOrder_2", map[string]any{
			"ManufacturingOrder": number, "Material": "FG-100", "ProductionPlant": "1000", "TotalQuantity": "10.000", "ProductionUnit": "PC",
			"ProductionUnitISOCode": "PCE", "OrderIsReleased": "X", "MfgOrderConfirmedYieldQty": "4.500",
			"to_ProductionOrderItem":      []any{map[string]any{"ManufacturingOrderItem": "0001", "MfgOrderItemGoodsReceiptQty": "3.000"}},
			"to_ProductionOrderComponent": []any{map[string]any{"Reservation": number, "ReservationItem": "0001", "ReservationRecordType": "", "Material": "RM-1", "RequiredQuantity": "2.500", "WithdrawnQuantity": "1.250", "BaseUnit": "KG"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": "9000", "ProductionPlant": "2000"}); err != nil {
		t.Fatal(err)
	}
}

// TestStockIsReadBack: the plant's own, by lot and place.
func TestStockIsReadBack(t *testing.T) {
	w := start(t)
	row := func(material, plant, special, batch, quantity string) map[string]any {
		return map[string]any{
			"Material": material, "Plant": plant, "StorageLocation": "0001", "Batch": batch, "Supplier": "", "Customer": "", "WBSElementInternalID": "0",
			"SDDocument": "", "SDDocumentItem": "0", "InventorySpecialStockType": special, "InventoryStockType": "01", "MaterialBaseUnit": "KG",
			"MatlWrhsStkQtyInMatlBaseUnit": quantity,
		}
	}
	err := w.system.Seed("A_MatlStkInAcctMod", row("RM-1", "1000", "", "B1", "12345678901234567.00000000000001"), row("RM-1", "1000", "O", "B1", "7"),
		row("RM-1", "2000", "", "B1", "8"), row("RM-2", "1000", "", "", "-1.5"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		materials []string
		want      []message.StockRead
	}{
		{[]string{"RM-1", "it's"}, []message.StockRead{{Material: "RM-1", StorageLocation: "0001", Batch: "B1", Type: "01", Quantity: "12345678901234567.00000000000001", Unit: "KG"}}},
		{[]string{"RM-2"}, []message.StockRead{{Material: "RM-2", StorageLocation: "0001", Type: "01", Quantity: "-1.5", Unit: "KG"}}},
		{[]string{"RM-3"}, nil},
	}
	for _, tt := range tests {
		var got []message.StockRead
		if err := w.link.Stock(t.Context(), tt.materials, func(s message.StockRead) error { got = append(got, s); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("stock of %v (-want +got):\n%s", tt.materials, diff)
		}
	}
	n := 0
	if err := w.link.Stock(t.Context(), nil, func(message.StockRead) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("of the plant: %d rows, %v", n, err)
	}
}
