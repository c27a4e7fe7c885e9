package edmx_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/adapters/erpmock/edmx"
)

func start(t *testing.T, file string, cfg edmx.Config) (*edmx.Mock, func(method, path, contentType, body string) (int, string)) {
	t.Helper()
	text, err := os.ReadFile("../../odata/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Root = "/srv"
	m, s := edmx.Start(t, text, cfg)
	return m, func(method, path, contentType, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/srv/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("X-Csrf-Token") + string(b)
	}
}

func TestWhatSAPRefusesIsRefused(t *testing.T) {
	tests := []struct {
		name, file, path, contentType, body string
		status                              int
		want                                string
	}{
		{"V2: a decimal as text", "confirmation-v2.xml", "ProdnOrdConf2", "application/json", `{"ConfirmationYieldQuantity":"1.5"}`, 201, `"1.5"`},
		{"V2: a decimal as number", "confirmation-v2.xml", "ProdnOrdConf2", "application/json", `{"ConfirmationYieldQuantity":1.5}`, 400, "ConfirmationYieldQuantity"},
		{"V4: a decimal as number", "confirmation-v4.xml", "Confirmation", "application/json", `{"OrderID":"1","ConfirmationYieldQuantity":1.5}`, 201, "1.5"},
		{"V4: a decimal as text", "confirmation-v4.xml", "Confirmation", "application/json", `{"OrderID":"1","ConfirmationYieldQuantity":"1.5"}`, 400, "ConfirmationYieldQuantity"},
		{"V4: a decimal as text where that is agreed", "confirmation-v4.xml", "Confirmation", "application/json;IEEE754Compatible=true", `{"OrderID":"1","ConfirmationYieldQuantity":"1.5"}`, 201, "1.5"},
		{"V4: without what is mandatory", "confirmation-v4.xml", "Confirmation", "application/json", `{}`, 400, "OrderID"},
		{"an unknown field", "confirmation-v2.xml", "ProdnOrdConf2", "application/json", `{"Nothing":"1"}`, 400, "Nothing"},
		{"too many digits", "confirmation-v2.xml", "ProdnOrdConf2", "application/json", `{"ConfirmationYieldQuantity":"1.0001"}`, 400, "/IWBEP/"},
		{"no JSON", "confirmation-v2.xml", "ProdnOrdConf2", "text/plain", `{}`, 415, ""},
		{"no such set", "confirmation-v2.xml", "Nothing", "application/json", `{}`, 404, "/IWBEP/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, call := start(t, tt.file, edmx.Config{NoCSRF: true})
			status, body := call(http.MethodPost, tt.path, tt.contentType, tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %s, want %d with %q", status, body, tt.status, tt.want)
			}
			if n := len(m.Effects()); (n == 1) != (tt.status == 201) {
				t.Errorf("%d effects", n)
			}
		})
	}
}

func TestAWriteWithoutATokenIsRefused(t *testing.T) {
	m, call := start(t, "confirmation-v2.xml", edmx.Config{})
	if status, said := call(http.MethodPost, "ProdnOrdConf2", "application/json", `{}`); status != 403 || !strings.HasPrefix(said, "Required") || len(m.Effects()) != 0 {
		t.Errorf("got %d %s", status, said)
	}
}

func TestAChangeNeedsItsVersion(t *testing.T) {
	m, call := start(t, "order-v2.xml", edmx.Config{NoCSRF: true})
	if err := m.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": "1"}); err != nil {
		t.Fatal(err)
	}
	if status, _ := call("MERGE", "A_ProductionOrder_2('1')", "application/json", `{"Material":"M2"}`); status != 428 {
		t.Errorf("got %d, want 428", status)
	}
}

// TestAChangeSetTakesEffectAsAWholeOrNotAtAll, and its failure is one answer.
func TestAChangeSetTakesEffectAsAWholeOrNotAtAll(t *testing.T) {
	m, call := start(t, "confirmation-v2.xml", edmx.Config{NoCSRF: true})
	var b strings.Builder
	b.WriteString("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n")
	for _, doc := range []string{`{"OrderID":"1"}`, `{"OrderID":"far too long for it"}`} {
		fmt.Fprintf(&b, "--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"+
			"POST ProdnOrdConf2 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s\r\n", len(doc), doc)
	}
	b.WriteString("--c--\r\n--b--\r\n")
	status, said := call(http.MethodPost, "$batch", "multipart/mixed; boundary=b", b.String())
	if status != 202 || strings.Count(said, "HTTP/1.1") != 1 || !strings.Contains(said, "HTTP/1.1 400") || len(m.Effects()) != 0 || len(m.Documents("ProdnOrdConf2")) != 0 {
		t.Errorf("got %d %s, effects %v", status, said, m.Effects())
	}
}

// TestWhileItIsDownNothingIsTaken, not even over a connection that was there before and is not closed yet.
func TestWhileItIsDownNothingIsTaken(t *testing.T) {
	text, err := os.ReadFile("../../odata/testdata/confirmation-v2.xml")
	if err != nil {
		t.Fatal(err)
	}
	system, err := edmx.NewSystem(edmx.Config{NoCSRF: true}, edmx.Source{Metadata: text, Root: "/srv"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(system.Handler())
	defer s.Close()
	for n, down := range []bool{false, true, false} {
		if down {
			system.Down(0)
		} else {
			system.Up()
		}
		resp, err := s.Client().Post(s.URL+"/srv/ProdnOrdConf2", "application/json", strings.NewReader(`{"ConfirmationYieldQuantity":"1"}`))
		if err == nil {
			resp.Body.Close()
		}
		if (err != nil) != down {
			t.Errorf("down %t: %v", down, err)
		}
		if got, want := len(system.Effects()), []int{1, 1, 2}[n]; got != want {
			t.Errorf("down %t: %d effects, want %d", down, got, want)
		}
	}
}

// TestAServiceIsServedUnderItsVersionToo: SAP's bills of material are at …;v=0002, and a link to the next page names that.
func TestAServiceIsServedUnderItsVersionToo(t *testing.T) {
	m, _ := start(t, "order-v2.xml", edmx.Config{Page: 1, NoCSRF: true})
	for _, number := range []string{"1", "2"} {
		if err := m.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": number}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w.Code, w.Body.String()
	}
	for path, want := range map[string]string{
		"/srv;v=0002/$metadata": "EntityType", "/srv;v=0002/A_ProductionOrder_2?$format=json": "/srv;v=0002/A_ProductionOrder_2?", "/srv/A_ProductionOrder_2?$format=json": "/srv/A_ProductionOrder_2?",
	} {
		if status, body := get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q: %.300s", path, status, want, body)
		}
	}
	if status, _ := get("/srv;w=1/$metadata"); status != http.StatusNotFound {
		t.Errorf("what is no version: %d", status)
	}
}

// TestPlainRequestsAreAnsweredAsCAPDoes: the service document, the number of a set's documents, and the version in each answer.
func TestPlainRequestsAreAnsweredAsCAPDoes(t *testing.T) {
	tests := []struct{ name, file, path, set, header, version, want string }{
		{"V4 root", "confirmation-v4.xml", "/srv/", "", "OData-Version", "4.0", `{"@odata.context":"$metadata","value":[{"kind":"EntitySet","name":"Confirmation","url":"Confirmation"}`},
		{"V2 root", "order-v2.xml", "/srv/", "", "DataServiceVersion", "2.0", `{"d":{"EntitySets":["A_ProductionOrderComponent_3",`},
		{"V4 count", "confirmation-v4.xml", "/srv/Confirmation/$count?$top=1", "Confirmation", "OData-Version", "4.0", "2"},
		{"V4 count of a filter", "confirmation-v4.xml", "/srv/Confirmation/$count?$filter=OrderID%20eq%20'1'", "Confirmation", "OData-Version", "4.0", "1"},
		{"V2 count", "confirmation-v2.xml", "/srv/ProdnOrdConf2/$count", "ProdnOrdConf2", "DataServiceVersion", "2.0", "2"},
		{"V4 metadata", "confirmation-v4.xml", "/srv/$metadata", "", "OData-Version", "4.0", ""},
		{"V4 refusal", "confirmation-v4.xml", "/srv/Nothing", "", "OData-Version", "4.0", `{"error":`},
		{"V2 refusal", "confirmation-v2.xml", "/srv/ProdnOrdConf2/Nothing", "", "DataServiceVersion", "2.0", `{"error":`},
		{"V2 count of an unknown option", "confirmation-v2.xml", "/srv/ProdnOrdConf2/$count?$count=true", "", "DataServiceVersion", "2.0", `{"error":`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := start(t, tt.file, edmx.Config{Page: 1})
			for _, order := range []string{"1", "2"} {
				if tt.set == "" {
					continue
				}
				if err := m.Seed(tt.set, map[string]any{"OrderID": order}); err != nil {
					t.Fatal(err)
				}
			}
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody))
			body := w.Body.String()
			if !strings.HasPrefix(body, tt.want) || tt.set != "" && (body != tt.want || w.Header().Get("Content-Type") != "text/plain") {
				t.Errorf("got %d %.300s, want %s", w.Code, body, tt.want)
			}
			if got := w.Header().Get(tt.header); got != tt.version {
				t.Errorf("%s is %q, want %q", tt.header, got, tt.version)
			}
		})
	}
}

// TestARefusedSeedLeavesNothingInTheLedger: the seed that somebody has corrected is taken, and none of the first is there.
func TestARefusedSeedLeavesNothingInTheLedger(t *testing.T) {
	var sources []edmx.Source
	for _, file := range []string{"confirmation-v2.xml", "order-v2.xml"} {
		text, err := os.ReadFile("../../odata/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, edmx.Source{Metadata: text, Root: "/" + file})
	}
	ledger := filepath.Join(t.TempDir(), "erp.ledger")
	order := func(number string) map[string]any { return map[string]any{"ManufacturingOrder": number} }
	confirmations := []map[string]any{{"OrderID": "1"}}
	for _, tt := range []struct {
		name           string
		seed           map[string][]map[string]any
		restored, good bool
	}{
		{"an order twice", map[string][]map[string]any{"A_ProductionOrder_2": {order("1"), order("1")}, "ProdnOrdConf2": confirmations}, false, false},
		{"a set that nobody has", map[string][]map[string]any{"A_ProductionOrder_2": {order("1")}, "Nothing": {order("1")}}, false, false},
		{"an unknown field in the last set", map[string][]map[string]any{"A_ProductionOrder_2": {order("1")}, "ProdnOrdConf2": {{"Nothing": "1"}}}, false, false},
		{"corrected", map[string][]map[string]any{"A_ProductionOrder_2": {order("1"), order("2")}, "ProdnOrdConf2": confirmations}, false, true},
		{"after a restart", nil, true, true},
	} {
		s, err := edmx.NewSystem(edmx.Config{Ledger: ledger}, sources...)
		if err != nil {
			t.Fatal(err)
		}
		if s.Restored() != tt.restored {
			t.Errorf("%s: restored is %t", tt.name, s.Restored())
		}
		err = s.SeedAll(tt.seed)
		orders, confirmed := len(s.Service("A_ProductionOrder_2").Documents("A_ProductionOrder_2")), len(s.Service("ProdnOrdConf2").Documents("ProdnOrdConf2"))
		if want := map[bool]int{true: 3}[tt.good]; (err == nil) != tt.good || orders+confirmed != want {
			t.Errorf("%s: %v, %d orders and %d confirmations", tt.name, err, orders, confirmed)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
