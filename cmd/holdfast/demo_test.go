package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

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
	// The database is used now: a demo with a new ERP must not take it for its own.
	if got, want := run(t.Context(), []string{"demo", "--once", "--database", url, "--data", t.TempDir()}, &out, &errs), 4; got != want {
		t.Errorf("a second demo ends with %d, want %d: %s", got, want, errs.String())
	}
}
