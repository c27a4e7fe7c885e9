package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestTheDemoRunsWithVault cuts the link and Vault off together.
func TestTheDemoRunsWithVault(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_VAULT") == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("HOLDFAST_TEST_VAULT is not set, and CI skips nothing: run deploy/dev/services up")
		}
		t.Skip("skipped for want of Vault: set HOLDFAST_TEST_VAULT, or run make test, which builds one")
	}
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if got := run(t.Context(), []string{"demo", "--once", "--json", "--orders", "4", "--outage", "1s", "--keys", "vault", "--data", dir}, &out, &errs); got != 0 {
		t.Fatalf("status %d: %s%s", got, out.String(), errs.String())
	}
	var r struct {
		Messages, Delivered, Lost, Duplicated, Signed, Verified int
		Made                                                    int `json:"made_while_down"`
		Bad                                                     int `json:"bad_signatures"`
		Keyring                                                 string
		Without                                                 int `json:"signed_without_vault"`
		Keys                                                    int `json:"keys_made"`
		After                                                   int `json:"keys_after_outage"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, out.String())
	}
	if r.Messages == 0 || r.Delivered != r.Messages || r.Lost+r.Duplicated+r.Bad != 0 || r.Verified != r.Messages || r.Keyring != "vault" ||
		r.Without < r.Made || r.Made == 0 || r.After == 0 {
		t.Errorf("got %+v", r)
	}
	// What it did is in the record, sealed by checkpoints. Vault is gone, so nobody tells whose signatures count: that does not pass but on demand.
	for _, tt := range []struct {
		flag   string
		status int
		passes bool
	}{{"--json=false", 7, false}, {"--without-signatures", 0, true}} {
		out.Reset()
		errs.Reset()
		got := run(t.Context(), []string{"audit", "verify", "--config", dir + "/holdfast.yaml", tt.flag}, &out, &errs)
		if got != tt.status || strings.Contains(out.String(), "nothing is wrong") != tt.passes || !strings.Contains(errs.String(), "signatures are not all checked") {
			t.Errorf("audit verify %s ends with %d: %s%s", tt.flag, got, out.String(), errs.String())
		}
	}
}
