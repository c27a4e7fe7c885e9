package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/adapters/sap"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// confirmations makes the document of each event: a confirmation of what its key names.
type confirmations struct{}

// Apply is relay.Mapper.
func (confirmations) Apply(_ context.Context, name string, m message.Verified, _ mapping.Resolver) (message.Document, error) {
	body := fmt.Sprintf(`{"OrderID":%q,"OrderOperation":"0010","ConfirmationYieldQuantity":"1.000","ConfirmationUnit":"PC","ConfirmationText":%q}`, m.Message().Key, string(m.Message().Body))
	return message.Document{Mapping: name, Target: sap.Confirmations + "/ProdnOrdConf2", Body: []byte(body)}, nil
}

// backlog is a plant that owes its ERP confirmations, and a system of SAP's services that is to take them in batches.
type backlog struct {
	t      *testing.T
	system *edmx.System
	out    *outbox.Outbox
	db     *store.DB
	link   *sap.Link
}

func openBacklog(t *testing.T, timeout time.Duration) *backlog {
	t.Helper()
	services, err := sapServices()
	if err != nil {
		t.Fatal(err)
	}
	b := &backlog{t: t, out: outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "sap-out"}}, "urn:plant:1000", outbox.Config{AskAfter: 10 * time.Millisecond})}
	if b.system, err = edmx.NewSystem(edmx.Config{}, services...); err != nil {
		t.Fatal(err)
	}
	if b.db, err = store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := sap.Config{Config: odata.Config{BaseURL: erpmock.Listen(t, b.system), Client: "100", Batch: 50, Timeout: timeout, AskAfter: timeout}, Plant: "1000", Zone: "UTC"}
	if b.link, err = sap.Open(c, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.link.Close)
	return b
}

// owe has the plant owe so many confirmations for each of so many orders.
func (b *backlog) owe(orders, each int) {
	b.t.Helper()
	err := b.db.InTx(b.t.Context(), func(tx *store.Tx) error {
		for n := range each {
			for o := range orders {
				m := message.Message{
					ID: fmt.Sprintf("%08d-0000-4000-8000-%012d", o, n), Kind: "operation.confirmed", Version: 1, Key: fmt.Sprintf("%012d", o), Time: tx.Now,
					Body: fmt.Appendf(nil, `%d`, n), Place: message.Place{Role: message.Event},
				}
				if err := b.out.Append(b.t.Context(), tx, m); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// drain relays until nothing is owed.
func (b *backlog) drain() {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer stop()
	mover := relay.New(b.db, b.out, confirmations{}, seal.Chain, map[string]relay.Link{
		"erp": {Deliverer: b.link, Concurrency: 100, Together: 50, Timeout: 5 * time.Minute},
	}, relay.Config{Poll: 10 * time.Millisecond, Probe: 10 * time.Millisecond, Backoff: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	settled, done := b.db.Subscribe(outbox.Settled)
	defer done()
	var work errgroup.Group
	work.Go(func() error { return mover.Run(ctx) })
	work.Go(func() error { return b.db.Run(ctx) })
	for owed := int64(1); owed > 0 && ctx.Err() == nil; {
		<-settled
		err := b.db.View(ctx, func(tx *store.Tx) error {
			links, err := b.out.Links(ctx, tx)
			owed = links[0].Owed
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	stop()
	if err := work.Wait(); err != nil {
		b.t.Error(err)
	}
}

// once checks that each confirmation took effect once, and those of an order in their order.
func (b *backlog) once(orders, each int) {
	b.t.Helper()
	next := map[any]int{}
	docs := b.system.Service("ProdnOrdConf2").Documents("ProdnOrdConf2")
	for _, d := range docs {
		if got, want := d["ConfirmationText"], fmt.Sprint(next[d["OrderID"]]); got != want {
			b.t.Fatalf("order %v: confirmation %v came where %s was due", d["OrderID"], got, want)
		}
		next[d["OrderID"]]++
	}
	if len(docs) != orders*each || len(next) != orders {
		b.t.Errorf("the ERP has %d confirmations of %d orders, want %d of %d", len(docs), len(next), orders*each, orders)
	}
}

// backflush has SAP issue a component with each confirmation of so many orders, and post it with so many confirmations.
func (b *backlog) backflush(orders, confirmations int) {
	b.t.Helper()
	for o := range orders {
		order := fmt.Sprintf("%012d", o)
		if err := b.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": order, "to_ProductionOrderComponent": []any{map[string]any{
			"Reservation": fmt.Sprintf("%010d", o), "ReservationItem": "0001", "ReservationRecordType": "", "ManufacturingOrder": order, "Material": "RM-1",
			"ManufacturingOrderOperation": "0010", "GoodsMovementType": "261", "MatlCompIsMarkedForBackflush": true,
		}}}); err != nil {
			b.t.Fatal(err)
		}
	}
	items := b.system.Service("ProdnOrdConfMatlDocItm")
	for n := range confirmations {
		if err := items.Seed("ProdnOrdConfMatlDocItm", map[string]any{
			"ConfirmationGroup": fmt.Sprintf("%010d", n+1), "ConfirmationCount": "00000001", "MaterialDocument": fmt.Sprintf("49%08d", n), "MaterialDocumentYear": "2026",
			"MaterialDocumentItem": "0001", "Material": "RM-1", "GoodsMovementType": "261", "QuantityInEntryUnit": "1.000",
		}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestABacklogIsDrainedInBatches: 2,000 confirmations need at most a twentieth of the requests, questions and tokens included; also where SAP
// issues components with each, and what it has posted is read back.
func TestABacklogIsDrainedInBatches(t *testing.T) {
	for name, posted := range map[string]int{"alone": 0, "with backflush": 2000} {
		t.Run(name, func(t *testing.T) {
			b := openBacklog(t, time.Minute)
			if posted > 0 {
				b.backflush(100, posted)
			}
			b.owe(100, 20)
			b.drain()
			b.once(100, 20)
			calls := b.system.Calls()
			if n := calls[http.MethodPost] + calls[http.MethodGet] + calls[http.MethodHead]; n > 100 {
				t.Errorf("%d requests for 2000 confirmations: %v", n, calls)
			} else {
				t.Logf("%d requests: %v", n, calls)
			}
		})
	}
}

// TestAnswersToBatchesThatAreLostDoubleNothing: of what the ERP took or did not take before an answer was lost, each is asked for, and sent
// again only where the ERP does not have it. Objects are locked, sessions end, and one batch is refused as a whole meanwhile.
func TestAnswersToBatchesThatAreLostDoubleNothing(t *testing.T) {
	b := openBacklog(t, time.Second)
	for _, f := range []erpmock.Fault{
		{Kind: erpmock.Lost, Method: http.MethodPost, Skip: 3, Count: 1},
		{Kind: erpmock.Lost, Phase: erpmock.Before, Method: http.MethodPost, Skip: 5, Count: 1},
		{Kind: erpmock.Half, Phase: erpmock.After, Method: http.MethodPost, Skip: 7, Count: 1},
		{Kind: erpmock.Status, Status: http.StatusGatewayTimeout, Phase: erpmock.After, Method: http.MethodPost, Skip: 9, Count: 1},
		{Kind: erpmock.Status, Status: http.StatusServiceUnavailable, Method: http.MethodPost, Skip: 11, Count: 1},
	} {
		if _, err := b.system.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	b.system.Service("ProdnOrdConf2").SetRules(edmx.Rule{Code: "CO/469", Text: "The object is already being processed by MILLER", Count: 5})
	b.owe(40, 10)
	b.drain()
	b.once(40, 10)
	if n := len(b.system.Effects()); n != 400 {
		t.Errorf("%d effects, want 400", n)
	}
}
