package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestDuringAnUpgradeBodiesStayInTheirRows has a node with the keys that docs/operating.md gives for an upgrade take and owe a body which
// the release before would not know as a large one.
func TestDuringAnUpgradeBodiesStayInTheirRows(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []string{"", "outbox: {inline: 1048576}\ninbox: {inline: 1048576, max_body: 1048576}\n"} {
		if err := os.WriteFile(file, append(text, keys...), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Database.URL = "sqlite:" + filepath.Join(t.TempDir(), "plant.db")
		f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		m := message.Message{
			ID: "m1", Source: "urn:erp", Kind: "material.changed", Version: 1, Key: "material/M1", Time: time.Now(),
			Body: append(append([]byte(`{"number":"`), bytes.Repeat([]byte{'x'}, 1000<<10)...), `"}`...),
		}
		var bodies, want int
		if keys == "" {
			want = 2
		}
		err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
			if _, err := f.inbox.Receive(context.Background(), tx, message.Incoming{Message: m}, "erp"); err != nil {
				return err
			}
			m.Kind, m.Key, m.Role, m.Body[12] = "operation.confirmed", "order/1", message.Event, 'y'
			if err := f.outbox.Append(t.Context(), tx, m); err != nil {
				return err
			}
			return tx.Get(t.Context(), &bodies, `SELECT COUNT(*) FROM bodies`)
		})
		if err != nil || bodies != want {
			t.Errorf("with the keys %q: %d bodies stand beside their messages, %v, want %d", keys, bodies, err, want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
