package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAnExportNeedsNoMoreThanToRead: who may only read the database takes messages out as before, and is told that it is on no record.
func TestAnExportNeedsNoMoreThanToRead(t *testing.T) {
	dir, address := t.TempDir(), storetest.PostgresURL(t)
	if got := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); got != 0 {
		t.Fatalf("init ends with %d", got)
	}
	file := filepath.Join(dir, "holdfast.yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		text = regexp.MustCompile(`(?m)^  url: .*$`).ReplaceAll(text, []byte("  url: env:HOLDFAST_EXPORT_DATABASE"))
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_EXPORT_DATABASE", address)
	oweOne(t, file)
	export := func() (stdout, stderr string) {
		var out, told bytes.Buffer
		if got := run(t.Context(), []string{"msg", "export", "--config", file}, &out, &told); got != 0 {
			t.Fatalf("msg export ends with %d: %s", got, told.String())
		}
		return out.String(), told.String()
	}
	want, told := export()
	if want == "" || told != "" {
		t.Fatalf("got %q, told %q; want a message and nothing told", want, told)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("default_transaction_read_only", "on")
	u.RawQuery = q.Encode()
	t.Setenv("HOLDFAST_EXPORT_DATABASE", u.String())
	if got, told := export(); got != want || !strings.Contains(told, "on no record") {
		t.Errorf("got %q, told %q; want %q, and that it is on no record", got, told, want)
	}
}

// oweOne makes the database of a plant, which owes one message.
func oweOne(t *testing.T, file string) {
	t.Helper()
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		m, err := message.New("1d2d4f6a-0000-4000-8000-000000000001", "lot.created", "o1", tx.Now, map[string]string{"lot": "L1"})
		if err != nil {
			return err
		}
		return f.outbox.Append(t.Context(), tx, m)
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
