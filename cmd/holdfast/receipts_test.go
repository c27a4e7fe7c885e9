package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/sap"
)

// sapSystem is one with all services of SAP's that a link knows.
func sapSystem(t *testing.T) *edmx.System {
	t.Helper()
	known, err := sap.Config{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	var sources []edmx.Source
	for name, s := range known.Services {
		text, err := fs.ReadFile(sap.Metadata(), name+".xml")
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, edmx.Source{Metadata: text, Root: s.Path})
	}
	system, err := edmx.NewSystem(edmx.Config{}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	return system
}

// bookingSAP is a system that has booked a receipt with the confirmation of an operation whose control key is PP05; others have PP01.
func bookingSAP(t *testing.T, orders bool) (address string) {
	t.Helper()
	system := sapSystem(t)
	for order, key := range map[string]string{"1": "PP05", "2": "PP01"} {
		if !orders {
			break
		}
		err := system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": order, "ProductionPlant": "1000", "OrderIsReleased": "X", "to_ProductionOrderOperation": []any{
			map[string]any{"OrderInternalBillOfOperations": order, "OrderIntBillOfOperationsItem": "1", "ManufacturingOrderOperation": "0010", "OperationControlProfile": key},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := system.Seed("ProdnOrdConf2", map[string]any{
		"ConfirmationGroup": "7", "ConfirmationCount": "1", "OrderID": "1", "OrderOperation": "0010", "to_ProdnOrdConfMatlDocItm": []any{
			map[string]any{"MaterialDocument": "5000000001", "MaterialDocumentItem": "1", "MaterialDocumentYear": "2026", "OrderID": "1", "GoodsMovementType": "101"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return erpmock.Listen(t, system)
}

// TestDoctorTellsOfReceiptsThatWouldBeBookedTwice: SAP books the receipts of orders with control key PP05 itself. Unless the link keeps the plant's
// back, or nothing sends them, that is bad; and what cannot be asked is said.
func TestDoctorTellsOfReceiptsThatWouldBeBookedTwice(t *testing.T) {
	const idoc = `, idoc: {kind: sap-idoc, client: "100", plant: {port: A, system: B}, sap: {port: C, system: D}, send: {folder: out}, receive: {folder: in}`
	const all, fewer = `[operation.confirmed, "goods.*"]`, `[operation.confirmed, goods.issued]`
	for name, tt := range map[string]struct {
		setting, more, route, link string
		orders                     bool
		want, not                  []string
	}{
		"nobody has said so": {"", "", all, "erp", true, []string{
			"bad link erp: receipts of orders with control key PP05 would be booked twice: SAP booked the receipt 5000000001/2026 with confirmation 7/1",
			"look link erp: whether SAP books receipts itself, which the plant would then book twice, is not known: control key PP01: SAP has booked no receipt with a confirmation of such an operation yet",
		}, nil},
		"the key is named":     {", automatic_receipt: [PP05]", "", all, "erp", true, nil, []string{"bad link erp", "booked twice", "not known"}},
		"it is said to be one": {", automatic_receipt: [PP07]", "", all, "erp", true, []string{"bad link erp: receipts of orders with control key PP05"}, []string{"not known"}},
		"none is said to be":   {", automatic_receipt: []", "", all, "erp", true, []string{"look link erp: receipts of orders with control key PP05"}, []string{"bad link erp", "not known"}},
		"nothing sends them":   {"", "", fewer, "erp", true, nil, []string{"booked twice"}},
		"there are no orders":  {"", "", all, "erp", false, []string{"look link erp: whether SAP books receipts itself, which the plant would then book twice, is not known: it has no released order"}, nil},
		"by IDocs, asked":      {"", idoc + ", read_back: {link: erp}}", all, "idoc", true, []string{"bad link idoc: receipts of orders with control key PP05 would be booked twice"}, []string{"IDocs cannot ask"}},
		"by IDocs":             {"", idoc + "}", all, "idoc", true, []string{"look link idoc: it sends receipts (101), and IDocs cannot ask"}, []string{"booked twice: SAP"}},
		"by IDocs, none":       {"", idoc + "}", fewer, "idoc", true, nil, []string{"IDocs cannot ask"}},
	} {
		t.Run(name, func(t *testing.T) {
			mappings := map[string]string{"erp": "sap-out", "idoc": "sap-idoc-out"}[tt.link]
			file := written(t, filepath.Join(t.TempDir(), "holdfast.yaml"), `plant: {number: "1000", zone: Europe/Berlin}
links: {erp: {kind: sap, base_url: "`+bookingSAP(t, tt.orders)+`"`+tt.setting+`}`+tt.more+`}
routes: [{kinds: `+tt.route+`, link: `+tt.link+`, mapping: `+mappings+`}]
`)
			var out, errs bytes.Buffer
			run(t.Context(), []string{"doctor", "--json", "--config", file}, &out, &errs)
			var findings []finding
			if err := json.Unmarshal(out.Bytes(), &findings); err != nil {
				t.Fatalf("%v: %s %s", err, &out, &errs)
			}
			var said strings.Builder
			for _, f := range findings {
				said.WriteString(f.State + " " + f.Subject + ": " + f.Says + "\n")
			}
			for _, want := range tt.want {
				if !strings.Contains(said.String(), want) {
					t.Errorf("no %q in\n%s", want, &said)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(said.String(), not) {
					t.Errorf("%q in\n%s", not, &said)
				}
			}
		})
	}
}

// TestExploreNamesReceiptsThatSAPBooksItself.
func TestExploreNamesReceiptsThatSAPBooksItself(t *testing.T) {
	file := written(t, filepath.Join(t.TempDir(), "holdfast.yaml"), `plant: {number: "1000"}
links: {erp: {kind: sap, base_url: "`+bookingSAP(t, true)+`", automatic_receipt: [PP05]}}
`)
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"erp", "explore", "--link", "erp", "--config", file}, &out, &errs); status != 0 {
		t.Fatalf("explore ended with %d: %s", status, &errs)
	}
	fields := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"PP05 control key 0 receipt: booked by SAP itself with a confirmation; in automatic_receipt SAP booked the receipt 5000000001/2026",
		"PP01 control key 0 receipt: not known whether SAP books it itself SAP has booked no receipt",
	} {
		if !strings.Contains(fields, want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
}
