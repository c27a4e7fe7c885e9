package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// plainBooks is a plant whose plain ERP was changed by hand while nobody looked.
type plainBooks struct {
	t        *testing.T
	dir      string
	document string // of the confirmation that was changed
	yield    string // that the plant has confirmed
	erp      *erpmock.Mock
}

// startPlainBooks has a demo report over a link of kind rest, takes the last order back into work on both sides, and writes another yield into the ERP's ledger.
func startPlainBooks(t *testing.T, yield string) *plainBooks {
	t.Helper()
	b := &plainBooks{t: t, dir: filepath.Join(t.TempDir(), "d")}
	if status := run(t.Context(), []string{"demo", "--once", "--json", "--orders", "2", "--outage", "0s", "--keys", "none", "--data", b.dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("the demo ended with %d", status)
	}
	order := b.open()
	b.rewrite("erp.ledger", func(text []byte) []byte {
		var out [][]byte
		for line := range bytes.Lines(text) {
			out = append(out, b.byHand(line, order, yield))
		}
		return bytes.Join(out, nil)
	})
	var address string
	b.erp, address = erpmock.Start(t, nil, erpmock.Config{Ledger: filepath.Join(b.dir, "erp.ledger")})
	b.rewrite("holdfast.yaml", func(text []byte) []byte {
		text = regexp.MustCompile(`base_url: .*`).ReplaceAll(text, []byte("base_url: "+address))
		return regexp.MustCompile(`listen: 127\.0\.0\.1:\d+`).ReplaceAll(text, []byte("listen: 127.0.0.1:0"))
	})
	return b
}

func (b *plainBooks) rewrite(name string, change func([]byte) []byte) {
	b.t.Helper()
	file := filepath.Join(b.dir, name)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, change(text), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// open has an order take reports again that the plant has completed, and gives the ERP's number of it.
func (b *plainBooks) open() (number string) {
	b.t.Helper()
	ctx := b.t.Context()
	cfg, err := loadConfig(filepath.Join(b.dir, "holdfast.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := openRecords(ctx, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.db.Close()
	err = r.db.InTx(ctx, func(tx *store.Tx) error {
		list, _, err := r.out.Messages(ctx, tx, outbox.Filter{Link: "erp", Kind: mes.OperationConfirmedKind, Settled: true, Limit: 1}, "")
		if err != nil {
			return err
		}
		c, err := r.plant.Confirmation(ctx, tx, list[0].Event)
		if err != nil {
			return err
		}
		b.document, b.yield = list[0].Receipt.Document, c.Yield.String()
		o, err := r.plant.Order(ctx, tx, c.Order)
		if err != nil {
			return err
		}
		number = o.ERPNumber
		_, err = tx.Exec(ctx, `UPDATE plant_orders SET status = 'completed', body = CAST(replace(CAST(body AS TEXT), '"technically-completed"', '"completed"') AS BLOB) WHERE id = ?`, o.ID)
		return err
	})
	if err != nil || b.document == "" || number == "" {
		b.t.Fatalf("confirmation %q of order %q: %v", b.document, number, err)
	}
	return number
}

// byHand changes what a line of the ledger says of the confirmation and of its order.
func (b *plainBooks) byHand(line []byte, order, yield string) []byte {
	b.t.Helper()
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		b.t.Fatal(err)
	}
	docs, _ := all["docs"].([]any)
	for _, doc := range docs {
		doc, _ := doc.(map[string]any)
		body, _ := doc["body"].(map[string]any)
		switch {
		case doc["template"] == "/confirmations" && doc["number"] == b.document:
			body["yield"] = yield
		case doc["template"] == "/production-orders" && doc["number"] == order:
			body["status"] = "released"
		}
	}
	out, err := json.Marshal(all)
	if err != nil {
		b.t.Fatal(err)
	}
	return append(out, '\n')
}

// says runs reconcile, and gives its exit status and what it says.
func (b *plainBooks) says(more ...string) (int, string) {
	var out bytes.Buffer
	status := run(b.t.Context(), append([]string{"reconcile", "--link", "erp", "--config", filepath.Join(b.dir, "holdfast.yaml")}, more...), &out, &out)
	return status, out.String()
}

// delivers serves the plant until what is owed is booked.
func (b *plainBooks) delivers(confirmations int) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer stop()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--config", filepath.Join(b.dir, "holdfast.yaml")}, io.Discard, io.Discard)
	}()
	for look := time.NewTicker(50 * time.Millisecond); len(b.erp.Documents("confirmation")) < confirmations && ctx.Err() == nil; {
		<-look.C
	}
	time.AfterFunc(time.Second, stop) // its receipt is kept within
	<-done
}

// TestWhatAPlainERPHasBookedOtherwiseIsFoundAndRepairedOnce: over a link of kind rest, somebody has made 9 of a yield in the ERP's own books.
func TestWhatAPlainERPHasBookedOtherwiseIsFoundAndRepairedOnce(t *testing.T) {
	b := startPlainBooks(t, "9999")
	had := len(b.erp.Documents("confirmation"))
	status, said := b.says()
	if status != 1 || strings.Count(said, "--apply takes the confirmation back") != 1 || !strings.Contains(said, "confirmation "+b.document) || !strings.Contains(said, "9999") || !strings.Contains(said, "--expect 1 ") || !strings.Contains(said, "orders were read back") {
		t.Fatalf("it exits with %d and says %s", status, said)
	}
	if status, said := b.says("--apply", "--yes", "--expect", "1", "--reason", "booked otherwise"); status != 0 || !strings.Contains(said, "its reversal and its new report are owed") {
		t.Fatalf("the repair exits with %d and says %s", status, said)
	}
	if status, said := b.says("--apply", "--yes", "--expect", "1", "--reason", "booked otherwise"); status == 0 {
		t.Errorf("a second repair exits with %d and says %s", status, said)
	}
	b.delivers(had + 1)
	if got := len(b.erp.Documents("confirmation")); got != had+1 {
		t.Errorf("the ERP has %d confirmations, want %d", got, had+1)
	}
	if status, said := b.says(); status != 0 || !strings.Contains(said, "\n0 differences in all") || strings.Contains(said, "DIFFERS") {
		t.Errorf("after the repair it exits with %d and says %s", status, said)
	}
}
