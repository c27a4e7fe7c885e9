package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// moving is a plant of several nodes whose mappings send the same events to another place from one node to the next.
type moving struct {
	t       *testing.T
	db      *store.DB
	link    link
	effects func() int
	first   string // mapping files
	second  string
}

// run has a node map by a file, and relay until it is done. askAfter is how long it leaves what may have been sent.
func (m *moving) run(node, file string, together int, askAfter time.Duration, done func(outbox.Link) bool) {
	m.t.Helper()
	f := &floors{db: m.db}
	live := mapping.NewLive(m.keep(file))
	live.Recall(f.earlierRules)
	out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "moving"}}, "urn:plant:1000", outbox.Config{AskAfter: askAfter})
	out.MapBy(live.Kept)
	m.owe(out, node)
	mover := relay.New(m.db, out, live, seal.Chain, map[string]relay.Link{"erp": {Deliverer: m.link, Concurrency: 10, Together: together, Timeout: time.Minute}},
		relay.Config{Node: node, Poll: 10 * time.Millisecond, Probe: 10 * time.Millisecond, Backoff: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer stop()
	settled, end := m.db.Subscribe(outbox.Settled)
	defer end()
	var work errgroup.Group
	work.Go(func() error { return mover.Run(ctx) })
	work.Go(func() error { return m.db.Run(ctx) })
	for over := false; !over && ctx.Err() == nil; {
		select {
		case <-settled:
		case <-ctx.Done():
			m.t.Errorf("node %s is not done in time", node)
		}
		err := m.db.View(m.t.Context(), func(tx *store.Tx) error {
			links, err := out.Links(m.t.Context(), tx)
			over = err == nil && done(links[0])
			return err
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	stop()
	if err := work.Wait(); err != nil {
		m.t.Error(err)
	}
}

// keep makes a set of one file and keeps it as keepSet does, without the shipped mappings, whose compiling would take most of the test.
func (m *moving) keep(file string) *mapping.Set {
	m.t.Helper()
	folder := fstest.MapFS{"moving.yaml": {Data: []byte(file)}}
	set, err := mapping.Load(fstest.MapFS{}, folder)
	if err != nil {
		m.t.Fatal(err)
	}
	own, err := edition.Read(folder)
	if err != nil {
		m.t.Fatal(err)
	}
	whole, err := edition.Whole(fstest.MapFS{}, own)
	if err == nil {
		err = m.db.InTx(m.t.Context(), func(tx *store.Tx) error { return edition.KeepSet(m.t.Context(), tx, whole, set.Versions()) })
	}
	if err != nil {
		m.t.Fatal(err)
	}
	set.Kept = edition.Short(whole.Hash)
	return set
}

// purge has a node that maps by another set delete those that nothing names, all of which were last used long ago.
func (m *moving) purge() {
	m.t.Helper()
	m.keep("from: {kind: operation.confirmed}\nto: {operation: nobody}\nfields: {a: {const: b}}\n")
	live := mapping.NewLive(m.keep(m.second))
	var before, after int
	count := func(n *int) func(tx *store.Tx) error {
		return func(tx *store.Tx) error { return tx.Get(m.t.Context(), n, `SELECT COUNT(*) FROM mapping_sets`) }
	}
	err := m.db.InTx(m.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(m.t.Context(), `UPDATE mapping_sets SET at = 1`)
		return errors.Join(err, count(&before)(tx))
	})
	if err != nil {
		m.t.Fatal(err)
	}
	r := &reloader{db: m.db, live: live, out: outbox.New(nil, "urn:plant:1000", outbox.Config{}), log: slog.New(slog.DiscardHandler)}
	r.purgeSets(m.t.Context())
	if err := m.db.View(m.t.Context(), count(&after)); err != nil || before != 3 || after != 2 {
		m.t.Errorf("of %d sets of mappings %d are left, want those that are named: %v", before, after, err)
	}
}

// owe has the plant owe an event for each of three orders.
func (m *moving) owe(out *outbox.Outbox, node string) {
	m.t.Helper()
	err := m.db.InTx(m.t.Context(), func(tx *store.Tx) error {
		for o := range 3 {
			e := message.Message{
				ID: fmt.Sprintf("%08d-0000-4000-8000-00000000000%s", o, node[1:]), Kind: "operation.confirmed", Version: 1, Key: fmt.Sprintf("%012d", o+1), Time: tx.Now,
				Body: []byte(`{}`), Place: message.Place{Role: message.Event},
			}
			if err := out.Append(m.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// sapMoving is SAP's services; the answers to the first writes are lost.
func sapMoving(t *testing.T, db *store.DB, batch int) *moving {
	services, err := sapServices()
	if err != nil {
		t.Fatal(err)
	}
	system, err := edmx.NewSystem(edmx.Config{}, services...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := system.AddFault(erpmock.Fault{Kind: erpmock.Lost, Method: http.MethodPost, Count: 3}); err != nil {
		t.Fatal(err)
	}
	c := sap.Config{Config: odata.Config{BaseURL: erpmock.Listen(t, system), Client: "100", Batch: batch, Timeout: time.Second, AskAfter: time.Second}, Plant: "1000", Zone: "UTC"}
	l, err := sap.Open(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return &moving{
		t: t, db: db, link: l,
		effects: func() int {
			return len(system.Service("ProdnOrdConf2").Documents("ProdnOrdConf2")) + len(system.Service("A_ProductionOrder_2").Documents("A_ProductionOrder_2"))
		},
		first: "from: {kind: operation.confirmed}\nto: {operation: confirmations/ProdnOrdConf2}\n" +
			"fields: {OrderID: event.key, OrderOperation: {const: \"0010\"}, ConfirmationYieldQuantity: {const: \"1.000\"}, ConfirmationUnit: {const: PC}}\n",
		second: "from: {kind: operation.confirmed}\nto: {operation: orders/A_ProductionOrder_2}\nfields: {ManufacturingOrderType: {const: PP01}, Material: {const: FG-100}, " +
			"ProductionPlant: {const: \"1000\"}, TotalQuantity: {const: \"10.000\"}, UnloadingPointName: event.key}\n",
	}
}

// restMoving is openapi/erp.yaml with a question of its own for each operation; the answers to the first writes are lost.
func restMoving(t *testing.T, db *store.DB, _ int) *moving {
	erp, address := erpmock.Start(t, nil, erpmock.Config{})
	for o := range 3 {
		if err := erp.Seed("productionOrder", map[string]any{"number": fmt.Sprintf("%012d", o+1), "status": "released"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := erp.Seed("material", map[string]any{"number": "FG-100"}); err != nil {
		t.Fatal(err)
	}
	if err := erp.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Method: http.MethodPost, Count: 3}); err != nil {
		t.Fatal(err)
	}
	ask := func(operation string) *rest.Ask {
		return &rest.Ask{Operation: operation, Param: "messageId", Items: "/items", Match: "/messageId", Number: "/number"}
	}
	l, err := rest.Open(rest.Config{
		BaseURL: address, Spec: rest.Builtin, Timeout: time.Second, AskAfter: time.Second, Envelope: rest.Envelope{MessageID: "messageId"},
		Operations: map[string]rest.Operation{
			"createConfirmation": {Receipt: "/number", Ask: ask("listConfirmations")},
			"createBatch":        {Receipt: "/number", Ask: ask("listBatches")},
		},
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return &moving{
		t: t, db: db, link: l,
		effects: func() int { return len(erp.Documents("confirmation")) + len(erp.Documents("batch")) },
		first: "from: {kind: operation.confirmed}\nto: {operation: createConfirmation}\nfields: {order: event.key, operation: {const: \"0010\"}, yield: {const: \"1.000\"}, " +
			"unit: {const: PCE}, postingDate: {const: \"2026-11-24\"}}\n",
		second: "from: {kind: operation.confirmed}\nto: {operation: createBatch}\nfields: {material: {const: FG-100}, plant: {const: \"1000\"}}\n",
	}
}

// TestALostAnswerAndOtherMappingsDoubleNothing: a node sends, the answers are lost, and it ends. The next one maps the same events to another
// place in the ERP, and sends there what the first did not.
func TestALostAnswerAndOtherMappingsDoubleNothing(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *store.DB, int) *moving{"rest": restMoving, "sap": sapMoving} {
		for _, together := range []int{1, 10} {
			if name == "rest" && together > 1 {
				continue
			}
			t.Run(fmt.Sprint(name, " ", together), func(t *testing.T) {
				storetest.Each(t, func(t *testing.T, db *store.DB) {
					m := open(t, db, together)
					m.run("n1", m.first, together, time.Hour, func(outbox.Link) bool { return m.effects() > 0 })
					sent := m.effects()
					m.purge()
					m.run("n2", m.second, together, 10*time.Millisecond, func(l outbox.Link) bool { return l.Owed == 0 })
					if n := m.effects(); sent == 0 || n != 6 {
						t.Errorf("the ERP has made %d documents of 6 events, %d of them by the first node", n, sent)
					}
				})
			})
		}
	}
}
