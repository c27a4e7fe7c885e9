package erpmock_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/openapi"
)

func newERP(t testing.TB) *erpmock.Mock {
	t.Helper()
	m, err := erpmock.New(openapi.ERP(), erpmock.Config{Name: "openapi/erp.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestControlAPI(t *testing.T) {
	m := newERP(t)
	steps := []struct {
		name, method, path, body string
		status                   int
		want                     string // part of the answer
	}{
		{"seed", "POST", "seed", `{"material":[{"number":"M1","description":"d","baseUnit":"PCE"}]}`, 201, `{"documents":1}`},
		{"seed of an unknown type", "POST", "seed", `{"tea":[{}]}`, 400, "no collection of type"},
		{"documents", "GET", "documents/material", "", 200, `"number":"M1"`},
		{"a fault", "POST", "faults", `{"kind":"status","status":500,"operation":"createBatch","count":1}`, 201, `{"ids":["fault-1"]}`},
		{"several faults", "POST", "faults", `[{"kind":"lost","id":"x"},{"kind":"reset"}]`, 201, `"x","fault-2"`},
		{"a misspelt fault", "POST", "faults", `{"kind":"lost","cuont":1}`, 400, "cuont"},
		{"down as a fault", "POST", "faults", `{"kind":"down","for":"1s"}`, 400, "/__mock/down"},
		{"list faults", "GET", "faults", "", 200, `"id":"x"`},
		{"delete one", "DELETE", "faults?id=x", "", 204, ""},
		{"delete it again", "DELETE", "faults?id=x", "", 404, "no fault"},
		{"delete all", "DELETE", "faults", "", 204, ""},
		{"a fault of no operation", "POST", "faults", `{"kind":"reset","operation":"createTea"}`, 400, "no operation"},
		{"down for ever", "POST", "down", `{}`, 400, "--control"},
		{"down", "POST", "down", `{"for":"5s"}`, 200, `"down":true`},
		{"it is down", "GET", "down", "", 200, `"down":true`},
		{"time passes", "POST", "clock", `{"advance":"6s"}`, 200, `"offset":"6s"`},
		{"it is up", "GET", "down", "", 200, `"down":false`},
		{"set the clock", "POST", "clock", `{"set":"2030-01-01T00:00:00Z"}`, 200, `"now":"2030-01-01T00:00:0`},
		{"up", "DELETE", "down", "", 204, ""},
		{"settings", "POST", "settings", `{"closedUntil":"2031-01-01"}`, 200, `"closedUntil":"2031-01-01"`},
		{"an unknown setting", "POST", "settings", `{"closed":1}`, 400, "no setting"},
		{"expect what is not", "POST", "expect", `{"expect":[{"attempts":7}]}`, 417, "got 0, want 7"},
		{"expect what is", "POST", "expect", `{"expect":[{"attempts":0}]}`, 200, `"results"`},
		{"expect nonsense", "POST", "expect", `expect: 1`, 400, "read expectations"},
		{"a bad number", "GET", "journal?after=x", "", 400, "whole numbers"},
		{"effects", "GET", "effects", "", 200, `"effects":[]`},
		{"nothing like it", "GET", "tea", "", 404, "there are faults"},
		{"reset", "POST", "reset", "", 204, ""},
		{"nothing is left", "GET", "documents/material", "", 200, `{"documents":[]}`},
	}
	for _, s := range steps {
		w := call(m, s.method, "/__mock/"+s.path, s.body)
		if w.Code != s.status || !strings.Contains(w.Body.String(), s.want) {
			t.Errorf("%s: got %d %s, want %d with %s", s.name, w.Code, w.Body, s.status, s.want)
		}
	}
	if got := m.Now().Year(); got != 2030 {
		t.Errorf("year %d, want 2030", got)
	}
}

// FuzzControlAPI sends anything to the control API; the mock must stay whole and answer.
func FuzzControlAPI(f *testing.F) {
	f.Add("POST", "faults", `{"kind":"quota","rate":1e-300,"burst":1}`)
	f.Add("POST", "faults", `[{"kind":"latency","delay":"1ns","probability":0.5}]`)
	f.Add("POST", "clock", `{"advance":"2562047h","set":"0001-01-01T00:00:00Z"}`)
	f.Add("POST", "expect", `{"expect":[{"attempts":{"min":1},"body":{"a":[1]},"order":["x"]}]}`)
	f.Add("POST", "seed", `{"productionOrder":[{"number":"1","status":1}]}`)
	f.Add("POST", "settings", `{"closedUntil":{"a":1}}`)
	f.Add("GET", "journal?after=1&limit=-1", ``)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequest(method, "/__mock/"+path, strings.NewReader(body)) //nolint:noctx // never sent
		if err != nil || strings.HasPrefix(path, "down") {
			return
		}
		m := newFuzzed(t)
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s answered %d: %s", method, path, w.Code, w.Body)
		}
		if err := m.SetFaults(); err != nil {
			t.Fatal(err)
		}
		if w := call(m, "GET", "/materials", ""); w.Code != 200 {
			t.Errorf("the ERP answers %d afterwards: %s", w.Code, w.Body)
		}
	})
}

// newFuzzed is a small mock that is quick to build.
func newFuzzed(t testing.TB) *erpmock.Mock {
	t.Helper()
	m, err := erpmock.New([]byte(small), erpmock.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const small = `openapi: 3.1.0
info: {title: t, version: "1"}
x-mock-settings: {closedUntil: '2020-01-01'}
paths:
  /materials:
    x-mock-collection: {type: productionOrder, number: number, upsert: true}
    get: {responses: {'200': {description: d, content: {application/json: {schema: {type: array, items: {}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {number: {type: string, maxLength: 9}, n: {type: number, multipleOf: 0.01, maximum: 1e10}}}}}}
      responses: {'201': {description: d, content: {application/json: {schema: {type: object}}}}}
  /materials/{number}:
    patch:
      parameters: [{name: number, in: path, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {}}}}
      responses: {'200': {description: d, content: {application/json: {schema: {type: object}}}}}
`

// FuzzRequestBody posts anything; what is taken must come back as it went in.
func FuzzRequestBody(f *testing.F) {
	f.Add(`{"number":"a","n":12.50}`)
	f.Add(`{"number":"a/b","messageId":"m","x":{"y":[null,true,"\u0000\ud83d\ude00"]}}`)
	f.Add(`{"n":1e999999999}`)
	f.Add(`[[[[`)
	m := newFuzzed(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := call(m, "POST", "/materials", body)
		switch w.Code {
		case 201:
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("%q came back as %q, which is no JSON", body, w.Body)
			}
		case 400, 415:
			var p struct{ Violations []struct{ Keyword string } }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || len(p.Violations) == 0 {
				t.Errorf("%q refused without a violation: %s", body, w.Body)
			}
		default:
			t.Errorf("%q answered %d: %s", body, w.Code, w.Body)
		}
	})
}

func TestClockMovesStamps(t *testing.T) {
	m := newERP(t)
	m.Advance(time.Until(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))
	w := call(m, "POST", "/materials", `{"number":"M1","description":"d","baseUnit":"PCE"}`)
	if !strings.Contains(w.Body.String(), `"createdAt":"2040-01-01T00:00:0`) && !strings.Contains(w.Body.String(), `"createdAt":"2039-12-31T23:59:59`) {
		t.Errorf("stamp: %s", w.Body)
	}
}
