package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/adapters/sap"
)

// sapConfig is a plant with a link to SAP whose services are known by the shipped $metadata.
func sapConfig(t *testing.T) Config {
	t.Helper()
	known, err := sap.Config{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, sap.Metadata()); err != nil {
		t.Fatal(err)
	}
	var services strings.Builder
	for name, s := range known.Services {
		fmt.Fprintf(&services, "      %s: {path: %q, metadata: %s}\n", name, s.Path, filepath.Join(dir, name+".xml"))
	}
	text := `plant: {number: "1000", zone: Europe/Berlin}
links:
  erp:
    kind: sap
    base_url: http://127.0.0.1:1
    read: [` + strings.Join(sap.Reads(), ", ") + `]
    services:
` + services.String() + `routes:
  - {kinds: [order.created, order.completed, operation.confirmed, confirmation.reversed, "goods.*", lot.created, lot.changed], link: erp, mapping: sap-out}
`
	cfg, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestTheShippedMappingsFitSAPsServices: every target is there, and every field that a mapping makes or reads, with its type and length.
func TestTheShippedMappingsFitSAPsServices(t *testing.T) {
	rules, links, err := sapConfig(t).compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer links["erp"].Close()
	for _, f := range sapConfig(t).fit(rules, links) {
		t.Errorf("%s: %v", f.mapping, f.Finding)
	}
	for _, w := range warnings(links["erp"]) {
		t.Errorf("the link warns: %s", w)
	}
}

// TestTheDemoRunsOverSAP: the whole script over S/4HANA's services, which lose 5 % of their answers after the effect, have orders locked, end
// sessions and are restarted in between.
func TestTheDemoRunsOverSAP(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"demo", "--erp", "sap", "--once", "--json", "--orders", "4", "--outage", "0s", "--data", t.TempDir()}
	if got := run(t.Context(), args, &out, &errs); got != 0 {
		t.Fatalf("status %d: %s%s", got, out.String(), errs.String())
	}
	var r struct {
		Messages, Delivered, Lost, Duplicated int
		OutOfOrder                            int `json:"out_of_order"`
		Restarts                              int `json:"erp_restarts"`
		Signed, Verified                      int
		Bad                                   int `json:"bad_signatures"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, out.String())
	}
	if r.Messages == 0 || r.Delivered != r.Messages || r.Lost+r.Duplicated+r.OutOfOrder != 0 || r.Restarts != 1 {
		t.Errorf("got %+v", r)
	}
	if r.Signed != r.Messages || r.Verified != r.Signed || r.Bad != 0 {
		t.Errorf("signatures: %+v, want each message's checked with the plant's public keys, and good", r)
	}
}
