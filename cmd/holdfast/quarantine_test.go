package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestWhatWasNotBelievedIsShown: what status counts as not believed, a command shows, without obeying what a stranger wrote.
func TestWhatWasNotBelievedIsShown(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	for _, args := range [][]string{{"init", dir}, {"migrate", "up", "--config", file}} {
		if status := run(t.Context(), args, io.Discard, io.Discard); status != 0 {
			t.Fatalf("%q ended with %d", args, status)
		}
	}
	forge(t, file)
	says := func(args ...string) string {
		var out bytes.Buffer
		if status := run(t.Context(), append(args, "--config", file), &out, io.Discard); status != 0 {
			t.Fatalf("%q ended with %d", args, status)
		}
		return out.String()
	}
	if got := says("status"); !strings.Contains(got, "1 not believed") {
		t.Errorf("status says %q", got)
	}
	got := says("quarantine", "list", "--rejected")
	if !strings.Contains(got, "urn:erp") || !strings.Contains(got, "digest") || strings.Contains(got, "\x1b") {
		t.Errorf("the list says %q", got)
	}
	if got := says("quarantine", "list", "--rejected", "--json"); !strings.Contains(got, `"id": "forged"`) {
		t.Errorf("the list as JSON says %q", got)
	}
}

// forge hands in a message whose digest is wrong.
func forge(t *testing.T, file string) {
	t.Helper()
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	in := message.Incoming{
		Message: message.Message{
			ID: "forged", Source: "urn:erp", Kind: "order\x1b[31m", Version: 1, Key: "1", Time: time.Now(), Body: []byte(`{}`),
		},
		Claimed: "00",
	}
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := f.inbox.Receive(context.Background(), tx, in, "erp")
		return err
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
