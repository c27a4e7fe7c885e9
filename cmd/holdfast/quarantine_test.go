package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
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
	hand(t, file, func(m *message.Incoming) { m.ID, m.Claimed = "forged", "00" })
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

// TestAMissingNumberIsSeenAndSkipped follows the words of `quarantine lanes` to `quarantine skip`.
func TestAMissingNumberIsSeenAndSkipped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	says := func(want int, args ...string) string {
		var out bytes.Buffer
		if status := run(t.Context(), append(args, "--config", file), &out, &out); status != want {
			t.Fatalf("%q ended with %d, want %d: %s", args, status, want, &out)
		}
		return out.String()
	}
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	says(0, "migrate", "up")
	if got := says(0, "quarantine", "lanes"); got != "no inbound lane waits\n" {
		t.Errorf("without lanes: %q", got)
	}
	hand(t, file, func(m *message.Incoming) { m.ID, m.Lane, m.Number = "second", "L", 2 })
	if got := says(0, "quarantine", "lanes"); !strings.Contains(got, "number 1, missing for") {
		t.Errorf("the lanes are %q", got)
	}
	if got := says(0, "quarantine", "lanes", "--json"); !strings.Contains(got, `"missing_since"`) {
		t.Errorf("the lanes as JSON are %q", got)
	}
	says(2, "quarantine", "skip", "urn:erp", "L", "one", "--reason", "a look")
	says(1, "quarantine", "skip", "urn:erp", "L", "2", "--reason", "a look")
	if got := says(0, "quarantine", "skip", "urn:erp", "L", "1", "--reason", "lost"); got != "lane L goes on without number 1\n" {
		t.Errorf("skip says %q", got)
	}
	if got := says(0, "quarantine", "lanes"); !strings.Contains(got, "its turn") {
		t.Errorf("the lanes are %q", got)
	}
	hand(t, file, func(m *message.Incoming) { m.ID, m.Lane, m.Number, m.Epoch = "third", "M", 2, 2 })
	if got := says(0, "quarantine", "lanes"); !strings.Contains(got, "number 1 of epoch 2, missing for") {
		t.Errorf("the lanes are %q", got)
	}
	says(0, "quarantine", "skip", "urn:erp", "M", "1", "--reason", "the first of the new epoch is lost")
}

// hand has the inbox receive a message, changed by change.
func hand(t *testing.T, file string, change func(*message.Incoming)) {
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
			Source: "urn:erp", Kind: "order\x1b[31m", Version: 1, Key: "1", Time: time.Now(), Body: []byte(`{}`),
		},
	}
	change(&in)
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := f.inbox.Receive(context.Background(), tx, in, "erp")
		return err
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestALargeDocumentInQuarantineIsShownBySizeAndSaved(t *testing.T) {
	dir := t.TempDir()
	file, saved := filepath.Join(dir, "holdfast.yaml"), filepath.Join(dir, "saved.json")
	says := func(args ...string) string {
		var out bytes.Buffer
		if status := run(t.Context(), append(args, "--config", file), &out, &out); status != 0 {
			t.Fatalf("%q ended with %d: %s", args, status, &out)
		}
		return out.String()
	}
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	says("migrate", "up")
	text := []byte(`{"number":"` + strings.Repeat("x", 300<<10) + `"}`)
	hand(t, file, func(m *message.Incoming) { m.ID, m.Body, m.Deliveries = "m1", text, 100 })
	for _, args := range [][]string{{"quarantine", "show", "1"}, {"quarantine", "show", "1", "--json"}} {
		if got, want := says(args...), strconv.Itoa(len(text)); !strings.Contains(got, want) || len(got) > 10_000 {
			t.Errorf("%q says %.500s, want the size %s", args, got, want)
		}
	}
	says("quarantine", "show", "1", "--body", saved)
	if got, err := os.ReadFile(saved); err != nil || !bytes.Equal(got, text) {
		t.Errorf("saved are %d bytes, %v, want %d", len(got), err, len(text))
	}
}
