package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/odata"
	"holdfast/adapters/sap"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
)

// TestTheShippedMappingsRunOnCAP: a confirmation and goods movements of each kind, as the plant tells them, are made into documents by the mappings that
// are shipped, booked by SAP's own server, and found there with what was told, each once, however often it is asked for.
func TestTheShippedMappingsRunOnCAP(t *testing.T) {
	server := adaptertest.OpenCAP(t, "216", "/sap/opu/odata/sap/API_PROD_ORDER_CONFIRMATION_2_SRV")
	cfg, err := parseConfig(filepath.Join(t.TempDir(), "holdfast.yaml"), []byte(fmt.Sprintf(`plant: {number: "1000", zone: Europe/Berlin}
links: {erp: {kind: sap, base_url: %q, sap_client: %q}}
routes: [{kinds: [operation.confirmed, "goods.*"], link: erp, mapping: sap-out}]
`, server.URL, server.Client)))
	if err != nil {
		t.Fatal(err)
	}
	rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := links["erp"].(*sap.Link)
	defer l.Close()
	c, err := l.Service(sap.Confirmations)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.Model(t.Context()); err != nil {
		t.Fatal(err)
	} else if _, ok := m.Sets["ProdnOrdConf2"].Of.Field("ConfirmationScrapQuantity"); !ok {
		t.Skip("the CAP server is older than this tree: deploy/dev/services up")
	}
	const order = `"plant":"1000","zone":"Europe/Berlin","order":{"id":"o-1","number":"000001000044","erpNumber":"000001000044","material":"FG-100","unit":"PCE"}`
	moved := func(typ, item string) string {
		return `{` + order + `,"movement":{"id":"m-1","type":"` + typ + `","items":[{"item":"0001",` + item + `,"baseQuantity":"12.500","baseUnit":"KGM"}],"postedAt":"2026-11-24T23:30:00Z",` +
			`"postingDate":"2026-11-25","recordedAt":"2026-11-24T23:30:01Z","order":"o-1","reason":"broken"}}`
	}
	for _, tt := range []struct {
		kind, body, service, set string
		want                     map[string]string // of the document, or of its first item
	}{
		{
			"operation.confirmed", `{` + order + `,"confirmation":{"id":"c-1","order":"o-1","operation":"0010","workCentre":"MILL-01","yield":"9.000","scrap":"1.125","rework":"0","unit":"PCE",` +
				`"booked":{"yield":"9.000","scrap":"1.125","rework":"0","unit":"PCE"},"reason":"TOOL","setupTime":"15","machineTime":"42.5","labourTime":"40.25","timeUnit":"MIN","personnel":"4711",` +
				`"start":"2026-11-24T22:15:00Z","end":"2026-11-24T23:10:00Z","postedAt":"2026-11-24T23:10:00Z","postingDate":"2026-11-25","final":true,"text":"Tool changed","recordedAt":"2026-11-25T06:00:00+01:00"}}`,
			sap.Confirmations, "ProdnOrdConf2",
			map[string]string{
				"OrderID": "000001000044", "ConfirmationYieldQuantity": "9.000", "ConfirmationScrapQuantity": "1.125", "OpConfirmedWorkQuantity3": "40.250", "ConfirmedExecutionEndTime": "00:10:00",
				"PostingDate": "2026-11-25T00:00:00", "VarianceReasonCode": "TOOL",
			},
		},
		{
			"goods.issued", moved("261", `"material":"RM-200","quantity":"12.500","unit":"KGM","batch":"B-1","operation":"0010","storageLocation":"RM01"`), sap.Movements, "A_MaterialDocumentItem",
			map[string]string{"GoodsMovementType": "261", "QuantityInEntryUnit": "12.500", "EntryUnit": "KG", "Batch": "B-1", "ManufacturingOrder": "000001000044"},
		},
		{
			"goods.received", moved("101", `"material":"FG-100","quantity":"2","unit":"PCE","serials":["S1","S2"]`), sap.Movements, "A_MaterialDocumentItem",
			map[string]string{"GoodsMovementType": "101", "QuantityInEntryUnit": "2.000", "EntryUnit": "PC", "GoodsMovementRefDocType": "F"},
		},
		{
			"goods.scrapped", moved("551", `"material":"RM-200","quantity":"0.250","unit":"KGM","batch":"B-1"`), sap.Movements, "A_MaterialDocumentItem",
			map[string]string{"GoodsMovementType": "551", "QuantityInEntryUnit": "0.250", "EntryUnit": "KG"},
		},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			m := message.Message{
				ID: server.Message(tt.kind), Source: "urn:plant:1000", Kind: tt.kind, Version: 1, Key: "o-1", Time: time.Unix(0, 0).UTC(), Body: []byte(tt.body),
				Place: message.Place{Link: "erp", Lane: "o-1", Epoch: 1, Number: 1, Role: message.Event},
			}
			made, err := rules.Try(t.Context(), "sap-out", m, mapping.Resolver(nil))
			if err != nil {
				t.Fatal(err)
			}
			d := adaptertest.Delivery(t, m, message.Document{Mapping: made.Version, Target: made.Target, Params: made.Params, Body: made.Body})
			d.Quiet = true
			out := l.Deliver(t.Context(), []message.Delivery{d})[0]
			asked, err := l.Ask(t.Context(), d)
			if out.Verdict != message.Delivered || err != nil || asked.Verdict != message.Delivered || asked.Receipt.Document != out.Receipt.Document {
				t.Fatalf("delivered: %v, %v; asked: %v, %v\n%s", out, out.Err, asked, err, made.Body)
			}
			onCAP(t, l, tt.service, tt.set, out.Receipt.Document, tt.want)
		})
	}
}

// onCAP checks what a document on the server has, by its number: that of a confirmation has two parts, and so has that of a material document.
func onCAP(t *testing.T, l *sap.Link, service, set, number string, want map[string]string) {
	t.Helper()
	c, err := l.Service(service)
	if err != nil {
		t.Fatal(err)
	}
	first, second := "ConfirmationGroup", "ConfirmationCount"
	if service == sap.Movements {
		first, second = "MaterialDocument", "MaterialDocumentYear"
	}
	a, b, _ := strings.Cut(number, "/")
	n := 0
	_, err = c.All(t.Context(), odata.Query{Set: set, Where: odata.And(odata.Equal(first, a), odata.Equal(second, b))}, func(e odata.Entity) error {
		n++
		for field, w := range want {
			if got := fmt.Sprint(e.Values[field]); got != w {
				text, _ := json.Marshal(e.Values) // it came as JSON
				t.Errorf("%s is %q, want %q, in %s", field, got, w, text)
			}
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%d entities of %s, %v; want one", n, number, err)
	}
}
