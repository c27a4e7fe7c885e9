package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/adapters/sap"
	"holdfast/internal/mapping"
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
  - {kinds: [order.created, order.completed, operation.confirmed, confirmation.reversed, "goods.*", lot.created, lot.changed, inspection.recorded], link: erp, mapping: sap-out}
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

// TestTheDoctorMissesAServiceThatARouteNeeds: the service of inspections is not there. That is a fault only where results are to be sent to it.
func TestTheDoctorMissesAServiceThatARouteNeeds(t *testing.T) {
	known, err := sap.Config{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for name, s := range known.Services {
		text, err := fs.ReadFile(sap.Metadata(), name+".xml")
		if err != nil {
			t.Fatal(err)
		}
		if name != sap.Inspections && name != sap.Stock {
			mux.HandleFunc(s.Path+"/$metadata", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
		}
	}
	erp := httptest.NewServer(mux)
	defer erp.Close()
	for kinds, want := range map[string]bool{"operation.confirmed": true, "operation.confirmed, inspection.recorded": false} {
		cfg, err := parseConfig(filepath.Join(t.TempDir(), "holdfast.yaml"), []byte(`plant: {number: "1000", zone: Europe/Berlin}
links: {erp: {kind: sap, base_url: "`+erp.URL+`"}}
routes: [{kinds: [`+kinds+`], link: erp, mapping: sap-out}]
`))
		if err != nil {
			t.Fatal(err)
		}
		rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		cfg.need(rules, links)
		well, says := true, ""
		for _, f := range examineLinks(t.Context(), cfg, links) {
			well, says = well && f.State != isBad, says+f.Says+"\n"
		}
		if well != want || !want && !strings.Contains(says, "$metadata of inspections: the ERP answered 404") || strings.Contains(says, "stock") {
			t.Errorf("with a route of %s the doctor says %t:\n%s", kinds, well, says)
		}
	}
}

// carriedConfig is a plant with a link to SAP that speaks IDocs.
func carriedConfig(t *testing.T) Config {
	t.Helper()
	cfg, err := parseConfig(filepath.Join(t.TempDir(), "holdfast.yaml"), []byte(`plant: {number: "1000", zone: Europe/Berlin}
links:
  erp:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {folder: out}
    receive: {folder: in}
routes:
  - {kinds: [operation.confirmed, goods.issued, goods.received, goods.scrapped, goods.reversed, lot.created, lot.changed], link: erp, mapping: sap-idoc-out}
`))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestMistakesOfMappingsAreFoundBySAPsOwnDescriptions: what comes in and what goes out is held against the $metadata, or the description of its IDoc type.
func TestMistakesOfMappingsAreFoundBySAPsOwnDescriptions(t *testing.T) {
	tests := []struct {
		of               string
		cfg              Config
		right, bad, want string
	}{
		{"sap-in/material", sapConfig(t), "src.?WeightUnit.orValue", "src.?WeightUnt.orValue", "has no field WeightUnt (did you mean WeightUnit?)"},
		{"sap-in/material", sapConfig(t), "value: decimal(src.NetWeight)", "value: decimal(src.TotalShelfLife)", "field TotalShelfLife may be missing"},
		{"sap-in/material", sapConfig(t), "has(src.NetWeight)", "src.?NetWeight.orValue(0) > 0", "no matching overload for 'orValue'"},
		{"sap-in/production-order", sapConfig(t), "src.Zone)", "src.Zon)", "did you mean Zone?"},
		{"sap-in/production-order", sapConfig(t), "op.?MfgOrderOperationText", "op.?MfgOrderOperationTxt", "has no field MfgOrderOperationTxt (did you mean MfgOrderOperationText?)"},
		{"sap-idoc-in/production-order", carriedConfig(t), "src.E1AFKOL.?AUFNR", "src.E1AFKOL.?AUFNRR", "has no field AUFNRR (did you mean AUFNR?)"},
		{"sap-out/operation.confirmed", sapConfig(t), "IsFinalConfirmation:", "IsFinalConfirmaton:", `knows no "IsFinalConfirmaton", and the contract refuses it (did you mean IsFinalConfirmation?)`},
		{"sap-out/operation.confirmed", sapConfig(t), "ConfirmationText: {value: 'src.confirmation.?text.or(src.confirmation.?reason)', maxLength: 40", "ConfirmationText: {value: 'src.confirmation.?text.or(src.confirmation.?reason)', maxLength: 41", "more than the 40 that ConfirmationText takes (maxLength: 40)"},
		{"sap-out/operation.confirmed", sapConfig(t), "src.confirmation.yield), scale: 3", "src.confirmation.yield), scale: 4", "4 places are more than the 3 that ConfirmationYieldQuantity takes (scale: 3)"},
		{"sap-out/operation.confirmed", sapConfig(t), "PostingDate: src.confirmation.postingDate", "PostingDate: src.confirmation.operation", "it makes a text of any form, and PostingDate is a day, or a time without a zone (make it one"},
		{"sap-out/operation.confirmed", sapConfig(t), "PostingDate: src.confirmation.postingDate", "PostingDate: src.confirmation.postedAt", "it makes a date-time, and PostingDate is a day, or a time without a zone (make it one"},
		{
			"sap-out/confirmation.reversed", sapConfig(t),
			`  ConfirmationCount: {value: 'src.confirmation.?reverses.optMap(id, ref("confirmation", id).split("/")[1])', maxLength: 8, required: true}` + "\n", "", "requires ConfirmationCount, and nothing makes it",
		},
		{"sap-idoc-out/operation.confirmed", carriedConfig(t), "POSTG_DATE:", "POSTG_DAT:", `knows no "POSTG_DAT", and the contract refuses it (did you mean POSTG_DATE?)`},
		{"sap-idoc-out/operation.confirmed", carriedConfig(t), "maxLength: 4}", "maxLength: 5}", "more than the 4 that PLANT takes (maxLength: 4)"},
	}
	for _, tt := range tests {
		rules, links, err := tt.cfg.compile(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer links["erp"].Close()
		look, _ := rules.Look(tt.of)
		text := strings.Replace(string(look.Text), tt.right, tt.bad, 1)
		if text == string(look.Text) {
			t.Fatalf("%s has no %s any more: write the test anew", tt.of, tt.right)
		}
		next, err := rules.With(tt.of+".yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", tt.bad, err)
		}
		found := tt.cfg.fit(next, links)
		if !slices.ContainsFunc(found, func(f misfit) bool { return f.Refused && strings.Contains(f.Error(), tt.want) }) {
			t.Errorf("%s: got %v, want it refused with %q", tt.bad, found, tt.want)
		}
	}
}

// TestMadeUpMessagesOfSAPAreMapped: of each mapping of both links some of what is made up becomes a document, and each document fits.
func TestMadeUpMessagesOfSAPAreMapped(t *testing.T) {
	for name, cfg := range map[string]Config{"OData": sapConfig(t), "IDoc": carriedConfig(t)} {
		rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer links["erp"].Close()
		w := &workshop{cfg, rules, links}
		var names []string
		for _, m := range rules.Names() {
			if len(cfg.usersOf(rules, m)) > 0 {
				names = append(names, m)
			}
		}
		report, err := rules.Test(t.Context(), mapping.TestConfig{Check: w.fits, Document: w.document, Fuzz: 60, Seed: 1}, names...)
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, c := range report.Cases {
			for _, e := range c.Errors {
				t.Errorf("%s: %s: %s: %s", name, c.Mapping, c.Name, e)
			}
			if c.MadeUp > 0 {
				tried++
			}
			if c.MadeUp > 0 && c.Mapped == 0 {
				t.Errorf("%s: nothing that is made up is mapped by %s", name, c.Mapping)
			}
		}
		if tried != len(names) || tried < 9 {
			t.Errorf("%s: %d of %d mappings were tried", name, tried, len(names))
		}
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
		Answers                               int `json:"erp_lost_answers"`
		Locks                                 int `json:"erp_locks"`
		Sessions                              int `json:"erp_sessions_ended"`
		Signed, Verified                      int
		Bad                                   int `json:"bad_signatures"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, out.String())
	}
	if r.Messages == 0 || r.Delivered != r.Messages || r.Lost+r.Duplicated+r.OutOfOrder != 0 || r.Restarts != 1 {
		t.Errorf("got %+v", r)
	}
	if r.Answers == 0 || r.Locks == 0 || r.Sessions == 0 {
		t.Errorf("%d answers were lost, %d objects locked, %d sessions ended: want some of each", r.Answers, r.Locks, r.Sessions)
	}
	if r.Signed != r.Messages || r.Verified != r.Signed || r.Bad != 0 {
		t.Errorf("signatures: %+v, want each message's checked with the plant's public keys, and good", r)
	}
}
