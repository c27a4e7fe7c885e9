package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/audit"
	"holdfast/internal/message"
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
