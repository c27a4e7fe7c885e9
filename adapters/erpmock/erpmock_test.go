package erpmock_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/adapters/erpmock"
)

// client is one with connections of its own, so that faults of one test end with it.
func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

func (r reply) doc(t *testing.T) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	m := map[string]any{}
	if err := d.Decode(&m); err != nil {
		t.Fatalf("answer %d is no JSON object: %v\n%s", r.status, err, r.body)
	}
	return m
}

func send(t *testing.T, c *http.Client, method, url, body string, header ...string) reply {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err}
}

const (
	anOrder = `{"messageId":"o1","material":"M1","plant":"1000","quantity":"10.500","unit":"PCE","scheduledStart":"2026-11-24T06:00:00+01:00","scheduledEnd":"2026-11-24T14:00:00+01:00"}`
	aConf   = `{"messageId":"c1","lane":"L1","laneNumber":1,"order":"000001000001","operation":"0010","yield":"2.500","unit":"PCE","postingDate":"2026-11-24"}`
)

// start gives an ERP with one material and one order.
func start(t *testing.T, cfg erpmock.Config) (*erpmock.Mock, string) {
	t.Helper()
	m, url := erpmock.Start(t, nil, cfg)
	if err := m.Seed("material", map[string]any{"number": "M1", "description": "Gear", "baseUnit": "PCE"}); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal([]byte(anOrder), &o); err != nil {
		t.Fatal(err)
	}
	if err := m.Seed("productionOrder", o); err != nil {
		t.Fatal(err)
	}
	return m, url
}

func TestAnOrderLivesFromReleaseToCompletion(t *testing.T) {
	_, url := start(t, erpmock.Config{})
	c := client(t)

	made := send(t, c, "POST", url+"/production-orders", strings.ReplaceAll(anOrder, "o1", "o2"))
	if made.status != 201 {
		t.Fatalf("create: %d %s", made.status, made.body)
	}
	o := made.doc(t)
	if o["number"] != "000001000002" || o["quantity"] != "10.500" || o["status"] != "released" || o["version"] != json.Number("1") {
		t.Errorf("created %v", o)
	}
	at := url + made.header.Get("Location")
	got := send(t, c, "GET", at, "")
	if got.body != made.body || got.header.Get("ETag") != `"1"` {
		t.Errorf("got %s with %s, want %s", got.body, got.header.Get("ETag"), made.body)
	}
	if r := send(t, c, "PATCH", at, `{"messageId":"ch1","quantity":"12"}`, "If-Match", `"7"`); r.status != 412 {
		t.Errorf("stale change: %d %s", r.status, r.body)
	}
	changed := send(t, c, "PATCH", at, `{"messageId":"ch1","quantity":"12"}`, "If-Match", `"1"`, "Content-Type", "application/merge-patch+json")
	if d := changed.doc(t); changed.status != 200 || d["quantity"] != "12" || d["messageId"] != "o2" || d["version"] != json.Number("2") {
		t.Errorf("change: %d %s", changed.status, changed.body)
	}
	if r := send(t, c, "POST", at+"/complete", `{"messageId":"t1"}`); r.status != 201 || r.doc(t)["target"] != "000001000002" {
		t.Errorf("complete: %d %s", r.status, r.body)
	}
	if r := send(t, c, "POST", at+"/complete", `{"messageId":"t2"}`); r.status != 409 || r.doc(t)["code"] != "order-closed" {
		t.Errorf("complete again: %d %s", r.status, r.body)
	}
	found := send(t, c, "GET", url+"/documents?messageId=t1", "")
	if items, _ := found.doc(t)["items"].([]any); len(items) != 1 {
		t.Errorf("documents of t1: %s", found.body)
	}
}
