package erpmock_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/openapi"
)

// call sends a request straight into the handler.
func call(m *erpmock.Mock, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic's value
			panic(p)
		}
	}()
	m.Handler().ServeHTTP(w, r)
	return w
}

func open(t *testing.T, path string) *erpmock.Mock {
	t.Helper()
	m, err := erpmock.New(openapi.ERP(), erpmock.Config{Ledger: path})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestALedgerHasOneMock: two at once would write over each other's effects.
func TestALedgerHasOneMock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	m := open(t, path)
	if _, err := erpmock.New(openapi.ERP(), erpmock.Config{Ledger: path}); !errors.Is(err, erpmock.ErrLedgerTaken) {
		t.Errorf("a second mock: %v, want %v", err, erpmock.ErrLedgerTaken)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALedgerOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	m := open(t, path)
	call(m, "POST", "/materials", `{"number":"M1","description":"d","baseUnit":"PCE"}`)
	call(m, "POST", "/production-orders", anOrder)
	if err := m.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Operation: "createConfirmation", Skip: 1}); err != nil {
		t.Fatal(err)
	}
	call(m, "POST", "/confirmations", aConf)
	call(m, "POST", "/confirmations", aConf)
	call(m, "POST", "/confirmations", `{}`)
	call(m, "POST", "/production-orders/000001000001/complete", `{"messageId":"t1"}`)
	want := m.Journal()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, path)

	again := open(t, path)
	defer again.Close()
	if diff := cmp.Diff(want, again.Journal()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if got := countOf(again, "c1"); got != 2 {
		t.Errorf("%d confirmations, want 2", got)
	}
	if w := call(again, "GET", "/production-orders/000001000001", ""); !strings.Contains(w.Body.String(), `"status":"completed"`) || w.Header().Get("ETag") != `"2"` {
		t.Errorf("order: %s %s", w.Header().Get("ETag"), w.Body)
	}
	if w := call(again, "GET", "/documents?messageId=t1", ""); !strings.Contains(w.Body.String(), "orderCompletion") {
		t.Errorf("documents: %s", w.Body)
	}
	call(again, "POST", "/materials", `{"number":"M2","description":"d","baseUnit":"PCE"}`)
	if got, want := again.Effects(), len(m.Effects())+1; len(got) != want || got[want-1].Seq != int64(want) {
		t.Errorf("effects go on at %d of %d, want %d", got[len(got)-1].Seq, len(got), want)
	}
}

// tear leaves half a line, as a crash in the middle of a write does.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"entry":{"seq":99,"effe`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALedgerThatIsDamagedInsideIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	if err := os.WriteFile(path, []byte("{\"entry\":{\"seq\":1}}\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := erpmock.New(openapi.ERP(), erpmock.Config{Ledger: path}); err == nil || !strings.Contains(err.Error(), "byte 20") {
		t.Errorf("got %v, want an error at byte 20", err)
	}
}

// stock is a contract whose documents can be changed, deleted and posted once.
const stock = `openapi: 3.1.0
info: {title: Stock, version: "1"}
x-mock-settings: {closed: false}
paths:
  /items:
    x-mock-collection: {type: item, first: "100", number: id, version: version, changed: changedAt}
    get:
      operationId: listItems
      parameters: [{name: after, in: query, x-mock-role: changedAfter, schema: {type: string}}]
      x-mock-list: {items: items, token: token}
      responses: {'200': {description: d, content: {application/json: {schema: {type: object, required: [items, token], properties: {items: {type: array}, token: {type: string}}}}}}}
    post:
      operationId: addItem
      x-mock-idempotent: true
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
      responses: {'201': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
  /items/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}}
    patch:
      requestBody: {required: true, content: {application/merge-patch+json: {schema: {type: object}}}}
      responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
    delete: {responses: {'204': {description: d}}}
components:
  schemas:
    Item: {type: object, properties: {id: {type: string}, colour: {type: string}, messageId: {type: string}}}
`

func openStock(t *testing.T, path string) *erpmock.Mock {
	t.Helper()
	m, err := erpmock.New([]byte(stock), erpmock.Config{Ledger: path, Store: erpmock.Limits{Count: 5}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestALedgerKeepsTheWholeState: what was seeded, posted, changed, deleted, dropped and set is there after a restart, in the same order
// of change, and goes on under the same numbers.
func TestALedgerKeepsTheWholeState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	m := openStock(t, path)
	if m.Restored() {
		t.Error("a new ledger has something to restore")
	}
	if err := m.SeedFile([]byte("item: [{id: A, colour: red}, {id: B, colour: red}, {colour: blue}]"), "seed.yaml"); err != nil {
		t.Fatal(err)
	}
	call(m, "POST", "/__mock/seed", `{"item": [{"id": "C", "colour": "green"}]}`)
	token := tokenOf(t, call(m, "GET", "/items", ""))
	call(m, "DELETE", "/items/B", "")
	for _, id := range []string{"m1", "m2", "m3"} {
		call(m, "POST", "/items", `{"colour":"white","messageId":"`+id+`"}`)
	}
	patch := httptest.NewRequest("PATCH", "/items/A", strings.NewReader(`{"colour":"black"}`))
	patch.Header.Set("Content-Type", "application/merge-patch+json")
	m.Handler().ServeHTTP(httptest.NewRecorder(), patch)
	call(m, "POST", "/__mock/settings", `{"closed": true}`)

	reads := [][2]string{
		{"GET", "/items"}, {"GET", "/items?after=" + token}, {"GET", "/items/A"}, {"GET", "/items/B"}, {"GET", "/__mock/documents/item"}, {"GET", "/__mock/settings"},
	}
	var want []string
	for _, r := range reads {
		want = append(want, call(m, r[0], r[1], "").Body.String())
	}
	first := call(m, "POST", "/items", `{"colour":"white","messageId":"m3"}`).Body.String()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	again := openStock(t, path)
	defer again.Close()
	if !again.Restored() {
		t.Error("nothing was restored")
	}
	for i, r := range reads {
		if diff := cmp.Diff(want[i], call(again, r[0], r[1], "").Body.String()); diff != "" {
			t.Errorf("%s %s (-before +after the restart):\n%s", r[0], r[1], diff)
		}
	}
	if got := call(again, "POST", "/items", `{"colour":"white","messageId":"m3"}`).Body.String(); got != first {
		t.Errorf("the same message is answered %s, before the restart %s", got, first)
	}
	if got := call(again, "POST", "/items", `{"messageId":"m4"}`).Body.String(); !strings.Contains(got, `"104"`) {
		t.Errorf("the next document is %s, want number 104", got)
	}
}

func tokenOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var list struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || list.Token == "" {
		t.Fatalf("no token in %s: %v", w.Body, err)
	}
	return list.Token
}

// TestALedgerForgetsWhatWasReset: a space that was emptied stays empty, and what comes later is kept.
func TestALedgerForgetsWhatWasReset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	m := openStock(t, path)
	call(m, "POST", "/items", `{"messageId":"m1"}`)
	call(m, "POST", "/__mock/reset", "")
	call(m, "POST", "/items", `{"messageId":"m2"}`)
	want := m.Journal()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStock(t, path)
	defer again.Close()
	if diff := cmp.Diff(want, again.Journal()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if got := len(again.Documents("item")); got != 1 {
		t.Errorf("%d documents, want 1", got)
	}
}

// TestARefusedSeedFileLeavesNothingInTheLedger, so that the corrected one is taken.
func TestARefusedSeedFileLeavesNothingInTheLedger(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "erp.ledger")
	for _, text := range []string{"material: [{number: M1}]\nnothing: [{number: 1}]", "material: [{number: M1}]\nproductionOrder: {}", "material: [{number: M1}]\nproductionOrder: [1]"} {
		m := open(t, ledger)
		if err := m.SeedFile([]byte(text), "seed.yaml"); err == nil {
			t.Errorf("%s is taken", text)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m := open(t, ledger)
	if m.Restored() {
		t.Error("the ledger holds a part of what was refused")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
