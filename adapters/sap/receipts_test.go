package sap

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// proposing stands before a system and says which goods movements it would book with a confirmation: a receipt too for the operations that
// are named ORDER/OPERATION, and what it says of those of order "locked", nothing.
func proposing(t *testing.T, system string, receipts ...string) (address string) {
	t.Helper()
	to, err := url.Parse(system)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, "API_PROD_ORDER_CONFIRMATION_2_SRV/$metadata") {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		text := strings.Replace(string(body), "</EntityContainer>", `<FunctionImport Name="GetGdsMvtProposal" ReturnType="Collection(API_PROD_ORDER_CONFIRMATION_2_SRV.ProdnOrdConfMatlDocItmType)" EntitySet="ProdnOrdConfMatlDocItm" m:HttpMethod="POST">
			<Parameter Name="OrderID" Type="Edm.String" Mode="In" Nullable="false" MaxLength="12"/><Parameter Name="Sequence" Type="Edm.String" Mode="In" Nullable="false" MaxLength="6"/>
			<Parameter Name="OrderOperation" Type="Edm.String" Mode="In" Nullable="false" MaxLength="4"/><Parameter Name="ConfirmationYieldQuantity" Type="Edm.Decimal" Precision="13" Scale="3" Mode="In" Nullable="false"/>
			</FunctionImport></EntityContainer>`, 1)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.Header.Set("Content-Length", fmt.Sprint(len(text)))
		return err
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/"+proposal) {
			r.Header.Del("Accept-Encoding")
			proxy.ServeHTTP(w, r)
			return
		}
		q := r.URL.Query()
		at := strings.ReplaceAll(q.Get("OrderID")+"/"+q.Get("OrderOperation"), "'", "")
		if r.Method != http.MethodPost || q.Get("ConfirmationYieldQuantity") != "1m" || q.Has("OrderSuboperation") || r.Header.Get("X-CSRF-Token") == "" {
			t.Errorf("asked by %s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(at, "locked/") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"code":"RU/505","message":{"lang":"en","value":"Order is being processed"}}}`)
			return
		}
		items := []string{`{"GoodsMovementType":"261"}`}
		for _, one := range receipts {
			if one == at {
				items = append(items, `{"GoodsMovementType":"101"}`)
			}
		}
		_, _ = io.WriteString(w, `{"d":{"results":[`+strings.Join(items, ",")+`]}}`)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// order seeds a released order with operations 0010, 0020 …, of which each has a control key.
func (w *world) order(t *testing.T, number, plant string, keys ...string) {
	t.Helper()
	var ops []any
	for i, key := range keys {
		ops = append(ops, map[string]any{
			"OrderInternalBillOfOperations": number, "OrderIntBillOfOperationsItem": fmt.Sprint(i + 1), "ManufacturingOrderSequence": "0",
			"ManufacturingOrderOperation": fmt.Sprintf("%04d", 10*(i+1)), "OperationControlProfile": key,
		})
	}
	if err := w.system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": number, "ProductionPlant": plant, "OrderIsReleased": "X", "to_ProductionOrderOperation": ops}); err != nil {
		t.Fatal(err)
	}
}

// TestSAPIsAskedWhetherItBooksReceiptsItself: by what it proposes for a confirmation, and by the receipts that it has booked with some.
func TestSAPIsAskedWhetherItBooksReceiptsItself(t *testing.T) {
	w := start(t)
	w.order(t, "1", "1000", "PP01", "PP05")
	w.order(t, "2", "1000", "PP03")
	w.order(t, "locked", "1000", "PP04", "PP01")
	w.order(t, "9", "2000", "PP09")
	if err := w.system.Seed("ProdnOrdConf2", map[string]any{
		"ConfirmationGroup": "7", "ConfirmationCount": "1", "OrderID": "2", "OrderOperation": "0010",
		"to_ProdnOrdConfMatlDocItm": []any{map[string]any{"MaterialDocument": "5000000001", "MaterialDocumentItem": "1", "MaterialDocumentYear": "2026", "OrderID": "2", "GoodsMovementType": "101"}},
	}); err != nil {
		t.Fatal(err)
	}
	before := len(w.system.Effects())
	for name, tt := range map[string]struct {
		url   string
		named []string
		want  map[string]string
	}{
		"where SAP makes proposals": {proposing(t, w.url, "1/0020"), []string{"PP03"}, map[string]string{
			"PP01": "no: SAP proposes no receipt with a confirmation of operation 0010 of order 1",
			"PP03": "yes, named: SAP booked the receipt 5000000001/2026 with confirmation 7/1 of operation 0010 of order 2",
			"PP04": "not known: SAP has booked no receipt with a confirmation of such an operation yet, and does not say whether it would: GetGdsMvtProposal: the ERP answered 400 Bad Request: Order is being processed (RU/505)",
			"PP05": "yes: SAP proposes a receipt with a confirmation of operation 0020 of order 1",
		}},
		"where it makes none": {w.url, []string{"*"}, map[string]string{
			"PP01": "not known, named: SAP has booked no receipt with a confirmation of such an operation yet", "PP03": "yes, named: SAP booked",
			"PP04": "not known, named: ", "PP05": "not known, named: SAP has booked no receipt with a confirmation of such an operation yet, and does not say whether it would: GetGdsMvtProposal of confirmations: the service's $metadata has no such operation",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, tt.url, func(c *Config) { c.AutomaticReceipt = tt.named })
			got, err := l.ControlKeys(t.Context())
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("control keys %+v, %v", got, err)
			}
			for _, k := range got {
				text := map[[2]bool]string{{true, true}: "yes", {true, false}: "no", {false, false}: "not known"}[[2]bool{k.Known, k.Automatic}]
				if k.Named {
					text += ", named"
				}
				if text += ": " + k.Says; !strings.HasPrefix(text, tt.want[k.Key]) || tt.want[k.Key] == "" {
					t.Errorf("%s: %s, want %s", k.Key, text, tt.want[k.Key])
				}
			}
		})
	}
	if after := len(w.system.Effects()); after != before {
		t.Errorf("asking had %d effects", after-before)
	}
}
