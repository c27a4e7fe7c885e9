package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestTheFinalStateOfATimeTicketIsReadBack: SAP has got two time tickets by IDocs. One it has posted, which its services tell; of the other nothing
// is heard, and somebody is told.
func TestTheFinalStateOfATimeTicketIsReadBack(t *testing.T) {
	services, err := sapServices()
	if err != nil {
		t.Fatal(err)
	}
	system, err := edmx.NewSystem(edmx.Config{}, services...)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(system.Handler())
	defer srv.Close()
	posted, open := outbox.MessageID("idocs", "posted"), outbox.MessageID("idocs", "open")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "mappings", "ticket"), 0o700); err != nil {
		t.Fatal(err)
	}
	written(t, filepath.Join(dir, "mappings", "ticket", "operation.confirmed.yaml"), `from: {kind: operation.confirmed, version: 1}
to: {idoc: PPCC2PRETTICKET01}
fields:
  E1BP_PP_TIMETICKET:
    each: '["0010"]'
    item: o
    fields: {ORDERID: '"1000042"', OPERATION: o, YIELD: '"1.000"', CONF_QUAN_UNIT: '"PC"', POSTG_DATE: '"2026-11-24"'}
`)
	f := servePlant(t, written(t, filepath.Join(dir, "holdfast.yaml"), fmt.Sprintf(`plant: {number: "1000"}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
links:
  erp: {kind: sap, base_url: %q}
  idocs:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {folder: out}
    read_back: {link: erp, every: 50ms}
    booked_within: 50ms
routes:
  - {kinds: [operation.confirmed], link: idocs, mapping: ticket}
`, srv.URL)))
	for _, id := range []string{"posted", "open"} {
		err := f.db.InTx(t.Context(), func(tx *store.Tx) error {
			m, err := message.New(id, "operation.confirmed", id, tx.Now, map[string]string{"n": id})
			if err != nil {
				return err
			}
			return f.outbox.Append(t.Context(), tx, m)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	detail := func(id string) (d outbox.Detail) {
		_ = f.db.View(t.Context(), func(tx *store.Tx) (err error) { // what is not there yet comes
			d, err = f.outbox.Message(t.Context(), tx, id)
			return err
		})
		return d
	}
	wait := func(what string, so func() bool) {
		t.Helper()
		if err := until(t.Context(), patience, what, func() (bool, error) { return so(), nil }); err != nil {
			t.Fatal(err)
		}
	}
	wait("both are received", func() bool { return detail(posted).Settled && detail(open).Settled })
	if d := detail(posted); d.Receipt.Document != "" {
		t.Errorf("what SAP has only got is called %q", d.Receipt.Document)
	}
	if err := system.Seed("ProdnOrdConf2", map[string]any{"ConfirmationGroup": "0000000100", "ConfirmationCount": "00000003", "ExternalSystemConfirmation": posted}); err != nil {
		t.Fatal(err)
	}
	wait("the posted one has its number", func() bool { return detail(posted).Receipt.Document == "0000000100/00000003" })
	// A person has it sent once more by force: what SAP has of the first IDoc is not what it makes of the second.
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := f.outbox.Replay(t.Context(), tx, "idocs", "posted", outbox.Range{From: 1, To: 1, Force: true}, "it was cancelled")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wait("the posted one is received again", func() bool { return detail(posted).Redelivery == 1 && detail(posted).Settled })
	if _, err := f.settling().readBack(t.Context(), ReadBack{Link: "erp"}, posted); err != nil || detail(posted).Receipt.Document != "" {
		t.Errorf("the second delivery is called %q, as the first is: %v", detail(posted).Receipt.Document, err)
	}
	var entries []audit.Entry
	wait("somebody is told of the open one", func() bool {
		_ = f.db.View(t.Context(), func(tx *store.Tx) (err error) { // it comes
			entries, err = audit.List(t.Context(), tx, audit.Filter{Action: unconfirmed, Limit: 10})
			return err
		})
		return len(entries) > 0
	})
	if len(entries) != 1 || entries[0].Object != "link/idocs" || detail(open).Receipt.Document != "" {
		t.Errorf("the record has %+v, and the open one is called %q", entries, detail(open).Receipt.Document)
	}
}

// servePlant runs the plant of a configuration until the test ends.
func servePlant(t *testing.T, file string) *floors {
	t.Helper()
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &process{}
	if p.tel, err = openTelemetry(ctx, cfg.Telemetry); err != nil {
		t.Fatal(err)
	}
	if p.floors, err = openFloors(ctx, cfg, store.Config{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := p.takeSeat(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.listen(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for _, err := range []error{<-ended, p.Close(), p.tel.Close(context.Background())} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return p.floors
}

// TestAReadBackThatFindsNoMovementIsRefused: IDocs always write the message's ID to REF_DOC_NO.
func TestAReadBackThatFindsNoMovementIsRefused(t *testing.T) {
	for field, refused := range map[string]bool{"": false, ", movement_id: ReferenceDocument": false, ", movement_id: MaterialDocumentHeaderText": true} {
		_, err := parseConfig("holdfast.yaml", []byte(`plant: {number: "1000"}
links:
  erp: {kind: sap, base_url: "https://s4.example"`+field+`}
  idocs:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {folder: out}
    read_back: {link: erp}
`))
		if told := err != nil && strings.Contains(err.Error(), "links.idocs.read_back"); told != refused {
			t.Errorf("%q: got %v", field, err)
		}
	}
}

// TestDoctorTellsOfMarksThatOtherNodesMustSee: with a database that several nodes use, marks on one node's own disk would have files handed over twice.
func TestDoctorTellsOfMarksThatOtherNodesMustSee(t *testing.T) {
	for url, want := range map[string]int{"sqlite:/var/lib/holdfast.db": 0, "postgres://holdfast@db/holdfast": 1} {
		cfg := Config{Database: DatabaseConfig{URL: url}, Links: map[string]LinkConfig{"idocs": {Kind: "sap-idoc"}, "erp": {Kind: "sap"}}}
		l := cfg.Links["idocs"]
		l.IDoc.Send = &idoc.Send{Folder: "/mnt/sap/in"}
		cfg.Links["idocs"] = l
		got := examineMarks(cfg, "idocs")
		if len(got) != want || want > 0 && (got[0].State != look || !strings.Contains(got[0].Says, "/mnt/sap/in/.holdfast")) {
			t.Errorf("%s: %+v", url, got)
		}
		if got := examineMarks(cfg, "erp"); len(got) != 0 {
			t.Errorf("of a link without IDocs: %+v", got)
		}
	}
}
