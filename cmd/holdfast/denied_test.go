package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestARefusedUserRaisesOneAlert: an ERP that does not know the user any more is told of in the audit record, once, and not for each try.
func TestARefusedUserRaisesOneAlert(t *testing.T) {
	asked := 0
	erp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer erp.Close()
	t.Setenv("HOLDFAST_TEST_PASSWORD", "old")
	dir := t.TempDir()
	text := `
plant: {number: "1000"}
database: {url: "sqlite:plant.db"}
links:
  erp: {kind: sap, base_url: "` + erp.URL + `", auth: {basic: {user: MES, password: "env:HOLDFAST_TEST_PASSWORD"}}}
`
	file := filepath.Join(dir, "holdfast.yaml")
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
	defer f.Close()
	if err := (&process{floors: f}).proveLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := message.Message{
		ID: "m1", Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`),
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
	}
	d := adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: "confirmations/ProdnOrdConf2", Body: []byte(`{"OrderID":"1"}`)})
	for range 5 {
		if out := f.links["erp"].Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Again || !out.LinkDown {
			t.Fatalf("got %v", out)
		}
	}
	var entries []audit.Entry
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		entries, err = audit.List(t.Context(), tx, audit.Filter{Action: "link.denied", Limit: 10})
		return err
	})
	if err != nil || len(entries) != 1 || entries[0].Object != "link/erp" || asked != 1 {
		t.Errorf("%d requests, entries %+v, %v; want one of each", asked, entries, err)
	}
}
