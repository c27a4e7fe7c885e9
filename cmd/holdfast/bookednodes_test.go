package main

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata"
	"holdfast/adapters/sap"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTwoNodesNeitherDoubleNorLoseWhatSAPHasReceived: messages of one order are looked at by two nodes at a time, each of them by both, as where one has lost a
// lane and does not know it yet. In the end each stands for one document, and each document for one message.
func TestTwoNodesNeitherDoubleNorLoseWhatSAPHasReceived(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const receipts = 12
		system := sapSystem(t)
		for i := range receipts {
			err := system.Seed("A_MaterialDocumentHeader", map[string]any{
				"MaterialDocument": fmt.Sprintf("50000000%02d", i), "MaterialDocumentYear": "2026",
				"to_MaterialDocumentItem": []any{map[string]any{"MaterialDocumentItem": "0001", "ManufacturingOrder": "1", "GoodsMovementType": "101", "QuantityInEntryUnit": "4.000"}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		address := erpmock.Listen(t, system)
		f := &floors{db: db, outbox: outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "sap-out"}}, "urn:plant:1000", outbox.Config{})}
		var nodes []*sap.Link
		for range 2 {
			l, err := sap.Open(sap.Config{Config: odata.Config{BaseURL: address}, Plant: "1000", Zone: "UTC", AutomaticReceipt: []string{"*"}}, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			l.Remember(sapReceipts{f, "erp"})
			nodes = append(nodes, l)
		}
		var mu sync.Mutex
		told := map[string]string{} // documents, by message
		var g errgroup.Group
		for n, l := range nodes {
			for i := range receipts {
				d := receiptOf(t, (i+n*receipts/2)%receipts)
				g.Go(func() error {
					id, out := d.Event.Message().ID, l.Deliver(t.Context(), []message.Delivery{d})[0]
					mu.Lock()
					defer mu.Unlock()
					document := out.Receipt.Document
					if other, known := told[id]; out.Verdict != message.Delivered || document == "" || known && document != other {
						return fmt.Errorf("%s: %v as %q, by the other node as %q: %w", id, out, document, other, out.Err)
					}
					told[id] = document
					return nil
				})
			}
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		var all []outbox.Booked
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			all, err = f.outbox.Booked(t.Context(), tx, "erp", "1")
			return err
		})
		items, ids := map[string]bool{}, map[string]bool{}
		for _, b := range all {
			items[b.Item], ids[b.Message] = true, true
		}
		if err != nil || len(all) != receipts || len(items) != receipts || len(ids) != receipts {
			t.Errorf("%d items stand for %d messages in %d places, want %d each: %v, %v", len(items), len(ids), len(all), receipts, all, err)
		}
	})
}

// receiptOf is the n-th message by which goods of an order are received; all are of one quantity.
func receiptOf(t *testing.T, n int) message.Delivery {
	t.Helper()
	id := fmt.Sprintf("m%d", n)
	m := message.Message{
		ID: id, Source: "urn:plant:1000", Kind: received, Version: 1, Key: id, Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`),
		Place: message.Place{Link: "erp", Lane: id, Epoch: 1, Number: 1, Role: message.Event},
	}
	body := `{"GoodsMovementCode":"02","to_MaterialDocumentItem":[{"Material":"FG-100","Plant":"1000","ManufacturingOrder":"1","GoodsMovementType":"101","QuantityInEntryUnit":"4.000"}]}`
	return adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: "movements/A_MaterialDocumentHeader", Body: []byte(body)})
}
