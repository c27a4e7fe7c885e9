package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/audit"
	"holdfast/internal/console"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestARefusedUserRaisesOneAlert: an ERP that does not know the user any more is told of in the audit record, once, and not for each try; and it
// is asked once, since after a few wrong passwords it would lock the user.
func TestARefusedUserRaisesOneAlert(t *testing.T) {
	tests := []struct{ kind, keys, target, body string }{
		{"sap", `base_url: URL, auth: {basic: {user: MES, password: "env:HOLDFAST_TEST_PASSWORD"}}`, "confirmations/ProdnOrdConf2", `{"OrderID":"1"}`},
		{
			"rest", `base_url: URL, spec: "builtin:erp", auth: {basic: {user: MES, password: "env:HOLDFAST_TEST_PASSWORD"}}`, "createConfirmation",
			`{"messageId":"m1","order":"000001000001","operation":"0010","yield":"12.500","unit":"PCE","postingDate":"2026-11-24"}`,
		},
		{
			"sap-idoc", `client: "100", plant: {port: A, system: B}, sap: {port: C, system: D}, send: {url: URL, user: MES, password: "env:HOLDFAST_TEST_PASSWORD"}`,
			"PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1"}]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			asked := 0
			erp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer erp.Close()
			f := openWith(t, "{kind: "+tt.kind+", "+strings.Replace(tt.keys, "URL", erp.URL, 1)+"}")
			if err := (&process{floors: f}).proveLinks(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := message.Message{
				ID: "m1", Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`),
				Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
			}
			d := adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: tt.target, Body: []byte(tt.body)})
			for range 5 {
				if out := f.links["erp"].Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Again || !out.LinkDown {
					t.Fatalf("got %v", out)
				}
			}
			var entries []audit.Entry
			err := f.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				entries, err = audit.List(t.Context(), tx, audit.Filter{Action: "link.denied", Limit: 10})
				return err
			})
			if err != nil || len(entries) != 1 || entries[0].Object != "link/erp" || asked != 1 {
				t.Errorf("%d requests, entries %+v, %v; want one of each", asked, entries, err)
			}
		})
	}
}

// TestAFileThatCannotBeTakenRaisesAnAlert: of SAP's IDocs; and nothing behind it waits for it.
func TestAFileThatCannotBeTakenRaisesAnAlert(t *testing.T) {
	dir := t.TempDir()
	f := openWith(t, `{kind: sap-idoc, client: "100", plant: {port: A, system: B}, sap: {port: C, system: D}, receive: {folder: `+dir+`, every: 10ms, settle: 10ms}}`)
	if err := (&process{floors: f}).proveLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	written(t, filepath.Join(dir, "o1.xml"), "no IDoc")
	written(t, filepath.Join(dir, "o2.xml"), "no IDoc either")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	for _, p := range f.listeners() {
		go func() { done <- p.run(ctx) }()
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "bad", "o2.xml")); err == nil {
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var entries []audit.Entry
	err := f.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		entries, err = audit.List(t.Context(), tx, audit.Filter{Action: "link.file-aside", Limit: 10})
		return err
	})
	if err != nil || len(entries) != 1 || entries[0].Object != "link/erp" || !strings.Contains(entries[0].Reason, "o1.xml") {
		t.Errorf("entries %+v, %v; want one of the first file", entries, err)
	}
}

// TestARightThatIsMissingStopsPollsTooAndIsShown: after the first 403 to a message the link is shown as down, with SAP's words, and its polls rest as
// long as what is sent does.
func TestARightThatIsMissingStopsPollsTooAndIsShown(t *testing.T) {
	metadata, err := os.ReadFile("../../adapters/odata/testdata/order-v2.xml")
	if err != nil {
		t.Fatal(err)
	}
	erp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "$metadata") {
			_, _ = w.Write(metadata)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":"CO/100","message":{"lang":"en","value":"No authorization for plant 1000"}}}`)
	}))
	defer erp.Close()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "mappings", "sap"), 0o700); err != nil {
		t.Fatal(err)
	}
	written(t, filepath.Join(dir, "mappings", "sap", "order.created.yaml"), "from: {kind: order.created, version: 1}\nto: {operation: orders/ReleaseOrder}\nfields: {ManufacturingOrder: '\"1\"'}\n")
	written(t, filepath.Join(dir, "mappings", "sap", "order.yaml"), "from: {document: ProductionOrder}\nto: {kind: '\"order.changed\"', key: src.ManufacturingOrder}\nfields: {erpNumber: src.ManufacturingOrder}\n")
	text := `
plant: {number: "1000", zone: Europe/Berlin}
database: {url: "sqlite:plant.db"}
links:
  erp:
    kind: odata
    base_url: ` + erp.URL + `
    services: {orders: {path: /orders, no_csrf: true}}
    polls: [{name: orders, set: orders/A_ProductionOrder_2, watermark: LastChangeDateTime, source: "urn:erp", kind: erp.production-order, mapping: sap/order, key: ManufacturingOrder}]
routes: [{kinds: [order.created], link: erp, mapping: sap}]
`
	file := written(t, filepath.Join(dir, "holdfast.yaml"), text)
	if status := run(t.Context(), []string{"migrate", "up", "--config", file}, t.Output(), t.Output()); status != 0 {
		t.Fatalf("migrate ended with %d", status)
	}
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&process{floors: f}).takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	owed := message.Message{ID: "m1", Kind: "order.created", Version: 1, Key: "o1", Time: time.Now(), Body: []byte(`{}`), Place: message.Place{Role: message.Event}}
	if err := f.db.InTx(t.Context(), func(tx *store.Tx) error { return f.outbox.Append(t.Context(), tx, owed) }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.relay(nil).Run(ctx) }()
	var held time.Duration
	var link outbox.Link
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && (held == 0 || link.Breaker == "closed"); {
		err := f.db.InTx(t.Context(), func(tx *store.Tx) error {
			links, err := f.outbox.Links(t.Context(), tx)
			if err != nil || len(links) != 1 {
				return cmp.Or(err, errors.New("no link"))
			}
			link = links[0]
			held, err = f.feeds()[0].Held(t.Context(), tx)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := errors.Join(<-done, f.Close()); err != nil {
		t.Error(err)
	}
	state, why, _ := console.Stand(link, nil)
	if state != console.Down || !strings.Contains(why, "No authorization for plant 1000") || held < 50*time.Second || held > time.Minute {
		t.Errorf("the link is shown as %s (%s), and is not polled for %s; want it down, why, and a minute", state, why, held)
	}
}

// openWith opens a plant with one link.
func openWith(t *testing.T, link string) *floors {
	t.Helper()
	t.Setenv("HOLDFAST_TEST_PASSWORD", "old")
	text := `
plant: {number: "1000"}
database: {url: "sqlite:plant.db"}
links:
  erp: ` + link + "\n"
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	cfg, err := parseConfig(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), []string{"migrate", "up", "--config", written(t, file, text)}, t.Output(), t.Output()); status != 0 {
		t.Fatalf("migrate ended with %d", status)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}
