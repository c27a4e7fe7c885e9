package erpmock_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
)

// plain is a document of somebody else, without any extension.
const plain = `openapi: %s
info: {title: Shop, version: "1"}
paths:
  /shops/{shop}/items:
    parameters: [{name: shop, in: path, required: true, schema: {type: string}}]
    get:
      parameters:
        - {name: colour, in: query, schema: {type: string}}
      responses: {'200': {description: d, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Item'}}}}}}
    post:
      operationId: addItem
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
      responses: {'201': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
  /shops/{shop}/items/{id}:
    parameters:
      - {name: shop, in: path, required: true, schema: {type: string}}
      - {name: id, in: path, required: true, schema: {type: integer}}
    get: {responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}}
    put:
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
      responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
    patch:
      requestBody: {required: true, content: {application/merge-patch+json: {schema: {type: object}}}}
      responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
    delete: {responses: {'204': {description: d}}}
  /rate:
    get:
      operationId: rate
      responses:
        '200': {description: d, content: {application/json: {example: {id: 9007199254740993, price: 12.500}}}}
        '404': {description: d, content: {application/json: {examples: {gone: {value: {why: gone}}}}}}
  /made-up:
    get:
      operationId: madeUp
      responses:
        '200':
          description: d
          content:
            application/json:
              schema:
                type: object
                required: [code, at, size]
                properties:
                  code: {type: string, pattern: '^[A-Z]{2}-[0-9]{4}(x|y)$'}
                  at: {type: string, format: date-time}
                  size: {type: integer, minimum: 3}
                  list: {type: array, minItems: 2, items: {type: string, minLength: 6}}
components:
  schemas:
    Item:
      type: object
      required: [id, name, owner]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string}
        colour: {type: string}
        price: {type: number}
        secret: {type: string, writeOnly: true}
        owner: {type: string, readOnly: true, example: nobody}
`

func shop(t *testing.T, version string) (*erpmock.Mock, string) {
	t.Helper()
	return erpmock.Start(t, fmt.Appendf(nil, plain, version), erpmock.Config{Name: "shop.yaml"})
}

func TestAnyDocumentHasState(t *testing.T) {
	for _, version := range []string{"3.0.3", "3.1.0"} {
		t.Run(version, func(t *testing.T) {
			_, url := shop(t, version)
			c := client(t)
			at := url + "/shops/a/items"
			made := send(t, c, "POST", at, `{"name":"x","colour":"red","price":12.500,"secret":"s"}`)
			if got, want := made.body, `{"colour":"red","id":1,"name":"x","owner":"nobody","price":12.500}`; made.status != 201 || got != want {
				t.Fatalf("POST: %d %s, want %s", made.status, got, want)
			}
			send(t, c, "POST", at, `{"name":"y","colour":"blue"}`)
			steps := []struct {
				name, method, path, body string
				status                   int
				want                     string
			}{
				{"get", "GET", "/shops/a/items/1", "", 200, made.body},
				{"another parent has none", "GET", "/shops/b/items", "", 200, "[]"},
				{"filter", "GET", "/shops/a/items?colour=blue", "", 200, `[{"colour":"blue","id":2,"name":"y","owner":"nobody"}]`},
				{"replace", "PUT", "/shops/a/items/2", `{"name":"z"}`, 200, `{"id":2,"name":"z","owner":"nobody"}`},
				{"the filter follows", "GET", "/shops/a/items?colour=blue", "", 200, "[]"},
				{"delete", "DELETE", "/shops/a/items/2", "", 204, ""},
			}
			for _, s := range steps {
				if r := send(t, c, s.method, url+s.path, s.body); r.status != s.status || r.body != s.want {
					t.Errorf("%s: got %d %s, want %d %s", s.name, r.status, r.body, s.status, s.want)
				}
			}
			patched := send(t, c, "PATCH", url+"/shops/a/items/1", `{"colour":null,"name":"n"}`, "Content-Type", "application/merge-patch+json")
			if got, want := patched.body, `{"id":1,"name":"n","owner":"nobody","price":12.500}`; got != want {
				t.Errorf("PATCH: got %s, want %s", got, want)
			}
			if r := send(t, c, "GET", url+"/shops/a/items/2", ""); r.status != 404 {
				t.Errorf("GET after DELETE: %d", r.status)
			}
			if r := send(t, c, "POST", at, `{"id":5,"name":"x"}`); r.status != 400 || !strings.Contains(r.body, `"keyword":"readOnly"`) {
				t.Errorf("a read-only member: %d %s", r.status, r.body)
			}
		})
	}
}

func TestAnswersComeFromExamplesThenSchema(t *testing.T) {
	m, url := shop(t, "3.1.0")
	c := client(t)
	if r := send(t, c, "GET", url+"/rate", ""); r.body != `{"id":9007199254740993,"price":12.500}` {
		t.Errorf("example: %s", r.body)
	}
	if r := send(t, c, "GET", url+"/rate", "", "Prefer", "code=404, example=gone"); r.status != 404 || r.body != `{"why":"gone"}` {
		t.Errorf("preferred example: %d %s", r.status, r.body)
	}
	r := send(t, c, "GET", url+"/made-up", "")
	op, _ := m.Document().Operation("madeUp")
	if _, wrong := op.CheckResponse(200, r.header, []byte(r.body)); len(wrong) > 0 {
		t.Errorf("made-up answer %s: %v", r.body, wrong)
	}
}

func TestEveryAnswerOfTheERPKeepsItsContract(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	c := client(t)
	requests := []struct{ id, method, path, body string }{
		{"createMaterial", "POST", "/materials", `{"number":"M2","description":"Bolt","baseUnit":"PCE"}`},
		{"createBillOfMaterial", "POST", "/bills-of-material", `{"number":"B1","material":"M1","plant":"1000","baseQuantity":"1","unit":"PCE","items":[{"item":"0010","material":"M2","quantity":"4","unit":"PCE"}]}`},
		{"createRouting", "POST", "/routings", `{"number":"R1","material":"M1","plant":"1000","operations":[{"number":"0010","workCentre":"W1","controlKey":"confirm"}]}`},
		{"createWorkCentre", "POST", "/work-centres", `{"number":"W1","plant":"1000","description":"Lathe"}`},
		{"createConfirmation", "POST", "/confirmations", aConf},
		{"createMaterialDocument", "POST", "/material-documents", `{"messageId":"m1","movementType":"101","postingDate":"2026-11-24","order":"000001000001","items":[{"material":"M1","plant":"1000","quantity":"1","unit":"PCE"}]}`},
		{"createBatch", "POST", "/batches", `{"messageId":"b1","material":"M1","plant":"1000","externalId":"LOT-1"}`},
		{"changeBatch", "PATCH", "/batches/0000000001", `{"messageId":"b2","status":"blocked","statusSince":"2026-11-24T12:00:00+01:00","statusReason":"bad"}`},
		{"createInspectionResult", "POST", "/inspection-results", `{"messageId":"i1","characteristic":"length","measured":"-0.5","valuation":"accepted","order":"000001000001"}`},
		{"cancelConfirmation", "POST", "/confirmations/0000100001/cancel", `{"messageId":"x1"}`},
		{"cancelMaterialDocument", "POST", "/material-documents/4900000001/cancel", `{"messageId":"x2"}`},
		{"getConfirmation", "GET", "/confirmations/0000100001", ""},
		{"getMaterialDocument", "GET", "/material-documents/4900000001", ""},
		{"getBatch", "GET", "/batches/0000000001", ""},
		{"getMaterial", "GET", "/materials/M1", ""},
		{"listProductionOrders", "GET", "/production-orders?plant=1000", ""},
		{"listConfirmations", "GET", "/confirmations?order=000001000001", ""},
		{"listMaterialDocuments", "GET", "/material-documents?messageId=m1", ""},
		{"listBatches", "GET", "/batches", ""},
		{"listInspectionResults", "GET", "/inspection-results", ""},
		{"listMaterials", "GET", "/materials", ""},
		{"listBillsOfMaterial", "GET", "/bills-of-material", ""},
		{"listRoutings", "GET", "/routings", ""},
		{"listWorkCentres", "GET", "/work-centres", ""},
		{"findDocument", "GET", "/documents?messageId=x1", ""},
		{"cancelProductionOrder", "POST", "/production-orders/000001000001/cancel", `{"messageId":"x3"}`},
		{"getProductionOrder", "GET", "/production-orders/000001000001", ""},
		{"createConfirmation", "POST", "/confirmations", aConf},
	}
	for _, q := range requests {
		r := send(t, c, q.method, url+q.path, q.body)
		op, _ := m.Document().Operation(q.id)
		if _, wrong := op.CheckResponse(r.status, r.header, []byte(r.body)); len(wrong) > 0 || r.status >= 400 && r.status != 409 {
			t.Errorf("%s: %d %s\n%v", q.id, r.status, r.body, wrong)
		}
	}
}

// TestAUsageDecisionIsADocumentOfItsOwn: the batch says what it may be used for, and whoever lost the answer finds the decision, and
// by it the batch, under its message.
func TestAUsageDecisionIsADocumentOfItsOwn(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	c := client(t)
	send(t, c, "POST", url+"/batches", `{"messageId":"b1","material":"M1","plant":"1000","status":"inspection"}`)
	r := send(t, c, "PATCH", url+"/batches/0000000001", `{"messageId":"b2","lane":"l","laneNumber":2,"status":"unrestricted","statusReason":"all is good"}`)
	if d := r.doc(t); r.status != 200 || d["status"] != "unrestricted" || d["statusReason"] != "all is good" || d["messageId"] != "b1" {
		t.Errorf("the batch: %d %s", r.status, r.body)
	}
	if r := send(t, c, "PATCH", url+"/batches/0000000009", `{"messageId":"b3","status":"blocked"}`); r.status != 404 {
		t.Errorf("a batch that is not there: %d %s", r.status, r.body)
	}
	d := send(t, c, "GET", url+"/documents?messageId=b2", "").doc(t)
	if got, ok := d["items"].([]any); !ok || len(got) != 1 || got[0].(map[string]any)["target"] != "0000000001" { //nolint:forcetypeassert // a test
		t.Errorf("documents of the decision: %v", d)
	}
	var got []string
	for _, e := range m.Effects() {
		if e.MessageID == "b2" {
			got = append(got, fmt.Sprint(e.Type, " ", e.Act, " ", e.Lane, " ", e.LaneNumber))
		}
	}
	if diff := cmp.Diff([]string{"batchChange created l 2"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestChangedAfterGivesEachChangeOnce(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	for i := range 4 {
		if err := m.Seed("material", map[string]any{"number": fmt.Sprint("N", i), "description": "d", "baseUnit": "KG"}); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t)
	var got []string
	page := func(query string) map[string]any {
		d := send(t, c, "GET", url+"/materials"+query, "").doc(t)
		for _, it := range d["items"].([]any) { //nolint:forcetypeassert // a test
			got = append(got, it.(map[string]any)["number"].(string)) //nolint:forcetypeassert // a test
		}
		return d
	}
	d := page("?limit=3")
	d = page(fmt.Sprintf("?limit=3&cursor=%s", d["nextCursor"]))
	if d["nextCursor"] != nil {
		t.Errorf("a cursor on the last page: %v", d["nextCursor"])
	}
	if err := m.Seed("material", map[string]any{"number": "N0", "description": "changed", "baseUnit": "KG"}); err != nil {
		t.Fatal(err)
	}
	d = page(fmt.Sprintf("?changedAfter=%s", d["changeToken"]))
	page(fmt.Sprintf("?changedAfter=%s", d["changeToken"]))
	if diff := cmp.Diff([]string{"M1", "N0", "N1", "N2", "N3", "N0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBusinessAnswers(t *testing.T) {
	locked := func(m *erpmock.Mock, t *testing.T) {
		var o map[string]any
		if err := json.Unmarshal([]byte(anOrder), &o); err != nil {
			t.Fatal(err)
		}
		o["number"], o["locked"] = "000001000001", true
		if err := m.Seed("productionOrder", o); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		set    func(*erpmock.Mock, *testing.T)
		path   string
		body   string
		status int
		code   string
	}{
		{"an unknown order", nil, "/confirmations", strings.Replace(aConf, "000001000001", "000009999999", 1), 422, "unknown-order"},
		{"a locked order", locked, "/confirmations", aConf, 423, "order-locked"},
		{"a closed period", func(m *erpmock.Mock, _ *testing.T) { m.Set("closedUntil", "2026-11-30") }, "/confirmations", aConf, 422, "period-closed"},
		{
			"an unknown batch", func(m *erpmock.Mock, _ *testing.T) { m.Set("checkBatches", true) }, "/material-documents",
			`{"messageId":"m","movementType":"261","postingDate":"2026-11-24","items":[{"material":"M1","plant":"1","batch":"B","quantity":"1","unit":"KG"}]}`, 422, "unknown-batch",
		},
		{"an unknown material", nil, "/batches", `{"messageId":"b","material":"nope","plant":"1"}`, 422, "unknown-material"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, url := start(t, erpmock.Config{})
			if tt.set != nil {
				tt.set(m, t)
			}
			r := send(t, client(t), "POST", url+tt.path, tt.body)
			if r.status != tt.status || r.doc(t)["code"] != tt.code {
				t.Errorf("got %d %s, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			if e := m.Journal()[0]; len(e.Effects) != 0 || e.Refusal != tt.code || e.Delivered != erpmock.DeliveredFull {
				t.Errorf("entry %+v", e)
			}
		})
	}
}

func TestTheSameKeyWithAnotherBodyIsRefusedWhereKeysCount(t *testing.T) {
	m, url := start(t, erpmock.Config{Idempotent: true})
	c := client(t)
	one := send(t, c, "POST", url+"/confirmations", aConf, "Idempotency-Key", "k")
	two := send(t, c, "POST", url+"/confirmations", aConf, "Idempotency-Key", "k")
	three := send(t, c, "POST", url+"/confirmations", strings.Replace(aConf, "2.500", "3", 1), "Idempotency-Key", "k")
	if one.body != two.body || three.status != 422 || len(m.Effects()) != 1 {
		t.Errorf("got %s / %s / %d, %d effects", one.body, two.body, three.status, len(m.Effects()))
	}
}

func TestSpacesAreApart(t *testing.T) {
	m, url := start(t, erpmock.Config{Spaces: 3})
	c := client(t)
	send(t, c, "POST", url+"/materials", `{"number":"A","description":"d","baseUnit":"KG"}`, "X-Mock-Space", "one")
	if r := send(t, c, "GET", url+"/materials/A", "", "X-Mock-Space", "two"); r.status != 404 {
		t.Errorf("another space has it too: %d", r.status)
	}
	if got := len(m.JournalOf("one")); got != 1 || len(m.Journal()) != 0 {
		t.Errorf("journals: %d and %d", got, len(m.Journal()))
	}
	if r := send(t, c, "GET", url+"/materials", "", "X-Mock-Space", "three"); r.status != 429 {
		t.Errorf("a space too many: %d", r.status)
	}
	send(t, c, "POST", url+"/__mock/reset", "", "X-Mock-Space", "one")
	if r := send(t, c, "GET", url+"/materials/A", "", "X-Mock-Space", "one"); r.status != 404 {
		t.Errorf("after reset: %d", r.status)
	}
}

func TestMemoryIsBoundedAndSaysWhatItDropped(t *testing.T) {
	m, err := erpmock.New(fmt.Appendf(nil, plain, "3.1.0"), erpmock.Config{Journal: erpmock.Limits{Count: 10}, Store: erpmock.Limits{Count: 5}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 30 {
		r := httptest.NewRequest("POST", "/shops/a/items", strings.NewReader(fmt.Sprintf(`{"name":"n%d"}`, i)))
		r.Header.Set("Content-Type", "application/json")
		m.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := len(m.Journal()); got != 10 || m.Journal()[0].Seq != 21 {
		t.Errorf("%d entries from %d, want 10 from 21", got, m.Journal()[0].Seq)
	}
	if got := m.Documents("items"); len(got) != 5 || !strings.Contains(string(got[0]), "n25") {
		t.Errorf("documents %q, want the last five", got)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/__mock/journal?after=28", nil))
	var j struct {
		Entries                   []erpmock.Entry
		Dropped, DocumentsDropped int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &j); err != nil || len(j.Entries) != 2 || j.Dropped != 20 || j.DocumentsDropped != 25 {
		t.Errorf("journal %+v, %v", j, err)
	}
}

func TestViolationsAreAllInTheBody(t *testing.T) {
	_, url := start(t, erpmock.Config{})
	r := send(t, client(t), "POST", url+"/confirmations", `{"messageId":"","order":"1","operation":"10","yield":2.5,"unit":"PCE","postingDate":"soon","number":"x"}`)
	var p struct {
		Violations []struct{ Pointer, Keyword, Spec string }
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, v := range p.Violations {
		got = append(got, v.Pointer+" "+v.Keyword)
		if !strings.HasPrefix(v.Spec, "openapi/erp.yaml:") {
			t.Errorf("%s: place %q", v.Pointer, v.Spec)
		}
	}
	want := []string{"/messageId minLength", "/number readOnly", "/operation pattern", "/order pattern", "/postingDate format", "/yield type"}
	if diff := cmp.Diff(want, got); diff != "" || r.status != 400 || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s (-want +got):\n%s", r.status, r.header.Get("Content-Type"), diff)
	}
}

func TestSeedFileKeepsDigitsAndNamesMistakes(t *testing.T) {
	m := newFuzzed(t)
	if err := m.SeedFile([]byte("productionOrder:\n  - {number: a, weight: 12.500}\n"), "seed.yaml"); err != nil {
		t.Fatal(err)
	}
	if got, want := string(m.Documents("productionOrder")[0]), `{"number":"a","weight":12.500}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for text, want := range map[string]string{
		"tea: [{}]": `no collection of type "tea"`, "productionOrder: 1": "not a list", "productionOrder: [1]": "document 1 of productionOrder",
		"productionOrder: [{a: 007}]": "seed.yaml:1:",
	} {
		if err := m.SeedFile([]byte(text), "seed.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
