package rest

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// plainReads is how openapi/erp.yaml is read back.
func plainReads() Reads {
	order := map[string]string{"number": "/number", "plant_number": "/externalId", "material": "/material", "quantity": "/quantity", "unit": "/unit", "status": "/status"}
	return Reads{
		Order:  &Read{Operation: "listProductionOrders", Param: "number", Items: "/items", Fields: order, Completed: []string{"completed"}, Deleted: []string{"cancelled"}},
		InWork: &Read{Operation: "listProductionOrders", Params: map[string]string{"status": "released", "limit": "2"}, Items: "/items", Page: "cursor", NextPage: "/nextCursor", Fields: order},
		Confirmations: &Read{
			Operation: "listConfirmations", Param: "order", Params: map[string]string{"limit": "2"}, Items: "/items", Page: "cursor", NextPage: "/nextCursor",
			Fields: map[string]string{"number": "/number", "order": "/order", "message": "/messageId", "yield": "/yield", "scrap": "/scrap", "unit": "/unit", "posted": "/postingDate", "reversed": "/reversed"},
		},
		Movements: &Read{
			Operation: "listMaterialDocuments", Param: "order", Items: "/items", Page: "cursor", NextPage: "/nextCursor",
			Fields: map[string]string{
				"number": "/number", "order": "/order", "message": "/messageId", "posted": "/postingDate", "reversed": "/reversed", "reverses": "/reversalOf",
				"movement": "/movementType", "lines": "/items", "material": "/material", "quantity": "/quantity", "unit": "/unit", "batch": "/batch",
			},
		},
	}
}

func plainOrder(number, status string) map[string]any {
	return map[string]any{
		"number": number, "messageId": "m" + number, "material": "BIKE", "plant": "1000", "quantity": "10.0", "unit": "PCE", "status": status,
		"scheduledStart": "2026-11-24T06:00:00+01:00", "scheduledEnd": "2026-11-24T14:00:00+01:00",
	}
}

// TestWhatAPlainERPHasIsReadBack, over more pages than one.
func TestWhatAPlainERPHasIsReadBack(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	seed := func(kind string, docs ...map[string]any) {
		t.Helper()
		if err := m.Seed(kind, docs...); err != nil {
			t.Fatal(err)
		}
	}
	seed("productionOrder", plainOrder("000001000001", "released"), plainOrder("000001000002", "completed"), plainOrder("000001000003", "cancelled"), plainOrder("000001000004", "released"), plainOrder("000001000005", "released"))
	for i := range 5 {
		seed("confirmation", map[string]any{
			"number": fmt.Sprintf("000010000%d", i), "messageId": fmt.Sprintf("c%d", i), "order": "000001000001", "operation": "0010", "yield": "1.50", "unit": "PCE", "postingDate": "2026-11-24", "reversed": i == 4,
		})
	}
	seed("materialDocument", map[string]any{
		"number": "4900000001", "messageId": "g1", "movementType": "261", "order": "000001000001", "postingDate": "2026-11-24",
		"items": []any{map[string]any{"material": "BOLT", "plant": "1000", "quantity": "4", "unit": "PCE", "batch": "B1"}},
	})
	c := plainERP(address)
	c.Reads = plainReads()
	b := open(t, c).Reader()
	if b.Reads().Missing() != "" {
		t.Errorf("it reads %+v, want all", b.Reads())
	}

	read := func(numbers ...string) (got []message.OrderRead) {
		t.Helper()
		if err := b.Orders(t.Context(), numbers, func(o message.OrderRead) error { got = append(got, o); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := message.OrderRead{Material: "BIKE", Quantity: "10.0", Unit: "PCE"}
	one, two, three := base, base, base
	one.Number, one.Released = "000001000001", true
	two.Number, two.Completed = "000001000002", true
	three.Number, three.Deleted = "000001000003", true
	if diff := cmp.Diff([]message.OrderRead{one, two, three}, read("000001000001", "000001000002", "000001999999", "000001000003")); diff != "" {
		t.Errorf("orders by number (-want +got):\n%s", diff)
	}
	if got := read(); len(got) != 3 {
		t.Errorf("%d orders are in work, want 3: %+v", len(got), got)
	}

	var docs []message.DocumentRead
	if err := b.Documents(t.Context(), []string{"000001000001", "000001000002"}, func(d message.DocumentRead) error { docs = append(docs, d); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(docs) != 6 {
		t.Fatalf("%d documents, want 6: %+v", len(docs), docs)
	}
	want := []message.DocumentRead{
		{Number: "0000100004", Kind: "confirmation", Order: "000001000001", Mark: "c4", Posted: "2026-11-24", Reversed: true, Yield: "1.50", Unit: "PCE"},
		{
			Number: "4900000001", Kind: "material document", Order: "000001000001", Mark: "g1", Posted: "2026-11-24",
			Items: []message.ItemRead{{Movement: "261", Material: "BOLT", Batch: "B1", Quantity: "4", Unit: "PCE"}},
		},
	}
	if diff := cmp.Diff(want, docs[4:]); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// TestAnERPThatIgnoresWhatItIsAskedForProvesNothing: every order would seem to have the documents of all.
func TestAnERPThatIgnoresWhatItIsAskedForProvesNothing(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	if err := m.Seed("productionOrder", plainOrder("000001000001", "released")); err != nil {
		t.Fatal(err)
	}
	c := plainERP(address)
	c.Reads = plainReads()
	c.Reads.Order.Param = "cursor" // which selects nothing
	err := open(t, c).Reader().Orders(t.Context(), []string{"0"}, func(message.OrderRead) error { t.Error("it was believed"); return nil })
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "does not select by cursor") {
		t.Errorf("err = %v", err)
	}
}

// TestReadsAreHeldAgainstTheContract when the link is opened, each with the key that is wrong.
func TestReadsAreHeldAgainstTheContract(t *testing.T) {
	tests := []struct {
		key    string
		change func(*Reads)
	}{
		{"reads.order", func(r *Reads) { r.Order = nil }},
		{"reads.order.operation", func(r *Reads) { r.Order.Operation = "none" }},
		{"reads.order.param", func(r *Reads) { r.Order.Param = "" }},
		{"reads.in_work.param", func(r *Reads) { r.InWork.Param = "number" }},
		{"reads.confirmations", func(r *Reads) { r.Confirmations.Page = "" }},
		{"reads.confirmations", func(r *Reads) { r.Confirmations.Param = "nothing" }},
		{"reads.confirmations.fields.yield", func(r *Reads) { delete(r.Confirmations.Fields, "yield") }},
		{"reads.confirmations.fields.yeild", func(r *Reads) { r.Confirmations.Fields["yeild"] = "/yield" }},
		{"reads.movements.fields.unit", func(r *Reads) { r.Movements.Fields["unit"] = "unit" }},
		{"reads.movements.operation", func(r *Reads) { r.Movements.Operation = "createMaterialDocument" }},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			c := plainERP("https://erp.example")
			c.Reads = plainReads()
			c.Reads.InWork.Fields = maps.Clone(c.Reads.InWork.Fields)
			tt.change(&c.Reads)
			if _, err := Open(c, noSecret, nil); err == nil || !strings.Contains(err.Error(), tt.key+":") {
				t.Errorf("err = %v, want one that names %s", err, tt.key)
			}
		})
	}
}
