package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/internal/inbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestWhatIsPolledIsTakenAfterTheInboxHasForgotten: master data and orders that were never changed have no version. Once the inbox has forgotten one of
// their source's messages, a change of theirs still has its effect, and what is told again as it was holds up nothing.
func TestWhatIsPolledIsTakenAfterTheInboxHasForgotten(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "adapters", "odata", "testdata", "order-v2.xml"))
	if err != nil {
		t.Fatal(err)
	}
	const set = "A_ProductionOrder_2"
	for name, poll := range map[string]odata.PollConfig{
		"a whole set": {Whole: true}, "delta links": {Delta: true}, "orders that were never changed": {Watermark: "LastChangeDateTime"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				m, s := edmx.Start(t, text, edmx.Config{Root: "/orders", Delta: true})
				if err := m.Seed(set, map[string]any{"ManufacturingOrder": "1", "Material": "A", "LastChangeDateTime": ""}); err != nil {
					t.Fatal(err)
				}
				poll.Name, poll.Set, poll.Source, poll.Kind, poll.Mapping, poll.Key = "objects", "orders/"+set, "urn:erp", "erp.order", "in", "ManufacturingOrder"
				p := &thereAndBack{t: t, db: db}
				p.exec(`CREATE TABLE told (n BIGINT NOT NULL, state TEXT NOT NULL)`)
				in := inbox.New(db, asTold{}, p.apply, inbox.Config{KeepFor: time.Microsecond}, slog.New(slog.DiscardHandler))
				for _, state := range []string{"A", "B"} {
					m.Change(set, "ManufacturingOrder", "1", map[string]any{"Material": state, "LastChangeDateTime": ""})
					l, err := odata.Open(odata.Config{BaseURL: s.URL, Services: map[string]odata.Service{"orders": {Path: "/orders"}}, Polls: []odata.PollConfig{poll}}, nil, slog.New(slog.DiscardHandler))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(l.Close)
					for range 2 { // the second time it is as it was
						batch, _, err := l.Polls()[0].Poll(t.Context(), "")
						if err != nil || len(batch) != 1 {
							t.Fatalf("%d were read, %v", len(batch), err)
						}
						if all, err := in.ReceiveAll(t.Context(), batch, "erp"); err != nil || all[0].Rejected != 0 || all[0].Err != nil {
							t.Fatalf("%+v, %v", all, err)
						}
						if states := p.told(); len(states) == 0 || states[len(states)-1] != state {
							t.Fatalf("the plant was told %q, want %s at last", states, state)
						}
						for end := time.Now().Add(5 * time.Second); ; { // in a microsecond
							n, err := in.Forget(t.Context())
							if err != nil || time.Now().After(end) {
								t.Fatalf("nothing of %s is forgotten: it waits for a person; %v", state, err)
							}
							if n > 0 {
								break
							}
						}
					}
				}
				seen, err := quarantined(t, db, in)
				if err != nil || seen != 0 {
					t.Errorf("%d are in quarantine, %v", seen, err)
				}
			})
		})
	}
}

// quarantined counts what waits for a person.
func quarantined(t *testing.T, db *store.DB, in *inbox.Inbox) (n int64, err error) {
	t.Helper()
	err = db.View(t.Context(), func(tx *store.Tx) error {
		s, err := in.Status(t.Context(), tx)
		n = s.Quarantined
		return err
	})
	return n, err
}
