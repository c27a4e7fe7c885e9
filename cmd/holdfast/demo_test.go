package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTheDemoRunsOnPostgreSQL: the same script on the other database, whose password stands in no configuration.
func TestTheDemoRunsOnPostgreSQL(t *testing.T) {
	url := storetest.PostgresURL(t)
	dir := t.TempDir()
	var out, errs bytes.Buffer
	args := []string{"demo", "--once", "--json", "--orders", "6", "--outage", "1s", "--database", url, "--data", dir}
	if got := run(t.Context(), args, &out, &errs); got != 0 {
		t.Fatalf("status %d: %s%s", got, out.String(), errs.String())
	}
	var r struct {
		Messages, Delivered, Lost, Duplicated int
		OutOfOrder                            int `json:"out_of_order"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, out.String())
	}
	if r.Messages == 0 || r.Delivered != r.Messages || r.Lost+r.Duplicated+r.OutOfOrder != 0 {
		t.Errorf("got %+v", r)
	}
	out.Reset()
	if got := run(t.Context(), []string{"status", "--config", dir + "/holdfast.yaml"}, &out, &errs); got != 0 || !strings.Contains(out.String(), "erp") {
		t.Errorf("status %d: %s%s", got, out.String(), errs.String())
	}
	checkNumbers(t, dir)
	// The database is used now: a demo with a new ERP must not take it for its own.
	if got, want := run(t.Context(), []string{"demo", "--once", "--database", url, "--data", t.TempDir()}, &out, &errs), 1; got != want {
		t.Errorf("a second demo ends with %d, want %d: %s", got, want, errs.String())
	}
}

// checkNumbers: what the plant made has the ERP's number. Nothing but the receipt brings that of a lot; what the end of the demo has
// cut off is told at the next start.
func checkNumbers(t *testing.T, dir string) {
	t.Helper()
	cfg, err := loadConfig(dir + "/holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = f.db.View(t.Context(), func(tx *store.Tx) error {
		orders, err := f.plant.Orders(t.Context(), tx, mes.OrderFilter{}, mes.Page{Limit: 500})
		if err != nil {
			return err
		}
		lots, err := f.plant.Lots(t.Context(), tx, mes.LotFilter{}, mes.Page{Limit: 500})
		if err != nil {
			return err
		}
		untold, err := f.outbox.Untold(t.Context(), tx, outbox.Reference{}, 500)
		if err != nil {
			return err
		}
		made, numbered := len(lots.Items), 0
		for _, l := range lots.Items {
			if l.ERPNumber != "" {
				numbered++
			}
		}
		for _, o := range orders.Items {
			if o.Origin == mes.FromPlant {
				made++
				if o.ERPNumber != "" && o.Number == o.ERPNumber {
					numbered++
				}
			}
		}
		if made == 0 || numbered == 0 || numbered+len(untold) < made {
			t.Errorf("of %d orders and lots that the plant made, %d have the ERP's number, and %d wait to be told", made, numbered, len(untold))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
