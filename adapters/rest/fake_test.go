package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
	"holdfast/internal/port"
)

// oldDocument is a contract of an ERP that knows nothing of us: OpenAPI 3.0, the number is a JSON number, the message's ID is a
// reference in the path, the document's number stands in Location, and a write has no body.
const oldDocument = `openapi: 3.0.3
info: {title: Old ERP, version: "1"}
paths:
  /postings/{reference}:
    parameters: [{name: reference, in: path, required: true, schema: {type: string, maxLength: 100}}]
    post:
      operationId: post
      parameters:
        - {name: Idempotency-Key, in: header, schema: {type: string}}
        - {name: quantity, in: query, schema: {type: number, maximum: 9999999999.999}}
        - {name: X-Client, in: header, schema: {type: string, enum: ["100", "200"]}}
      responses:
        "201": {description: posted, headers: {Location: {schema: {type: string}}}}
        "400": {description: refused, content: {application/json: {schema: {type: object}}}}
    get:
      operationId: findPosting
      responses:
        "200":
          description: the posting
          content:
            application/json:
              schema:
                type: object
                required: [number, reference]
                properties: {number: {type: integer, format: int64}, reference: {type: string}}
        "404": {description: none}
`

// oldERP serves oldDocument; it is an oracle of its own, so that not everything rests on erpmock.
type oldERP struct {
	server  *httptest.Server // nil while it is down
	address string
	gone    chan struct{} // closed when the test ends: what hangs, ends

	mu       sync.Mutex // guards what follows
	next     adaptertest.Fault
	attempts map[string]int
	posted   map[string][]string
	key      map[string]string
}

const firstNumber = 9007199254740993 // a float64 cannot hold it

func newOldERP(t *testing.T) *oldERP {
	e := &oldERP{gone: make(chan struct{}), attempts: map[string]int{}, posted: map[string][]string{}, key: map[string]string{}}
	l, err := port.Listen() // up listens on it again
	if err != nil {
		t.Fatal(err)
	}
	e.address = l.Addr().String()
	e.serve(l)
	t.Cleanup(func() {
		close(e.gone)
		e.server.CloseClientConnections()
		e.server.Close()
	})
	return e
}

func (e *oldERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref := strings.TrimPrefix(r.URL.Path, "/postings/")
	if r.Method == http.MethodGet {
		e.get(w, ref)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	e.mu.Lock()
	e.attempts[ref]++
	e.key[ref] = r.Header.Get("Idempotency-Key")
	fault := e.next
	e.next = adaptertest.None
	number := ""
	if !before(fault) {
		number = fmt.Sprint(firstNumber + len(e.posted))
		e.posted[ref] = append(e.posted[ref], number)
	}
	e.mu.Unlock()
	e.answer(w, fault, number)
}

// before tells whether a fault prevents the effect.
func before(f adaptertest.Fault) bool {
	return f != adaptertest.None && !strings.Contains(string(f), "after the effect")
}

func (e *oldERP) get(w http.ResponseWriter, ref string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.posted[ref]) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"number": json.Number(e.posted[ref][0]), "reference": ref})
}

// statuses are the faults that are an answer.
var statuses = map[adaptertest.Fault]int{
	adaptertest.Refuse: 400, adaptertest.Throttle: 429, adaptertest.Unavailable: 503, adaptertest.SignIn: 401, adaptertest.Redirect: 301,
	adaptertest.ErrorBefore: 500, adaptertest.ErrorAfter: 500, adaptertest.GatewayBefore: 502, adaptertest.GatewayAfter: 502,
	adaptertest.MaintainBefore: 503, adaptertest.MaintainAfter: 503, adaptertest.GarbageBefore: 200, adaptertest.GarbageAfter: 200,
}

func (e *oldERP) answer(w http.ResponseWriter, f adaptertest.Fault, number string) {
	location := "/postings/by-number/" + number + "?lang=en"
	if status, ok := statuses[f]; ok {
		switch f {
		case adaptertest.Throttle:
			w.Header().Set("Retry-After", "7")
		case adaptertest.Unavailable: // a date by a clock that is years off
			w.Header().Set("Date", "Thu, 01 Jan 2015 00:00:00 GMT")
			w.Header().Set("Retry-After", "Thu, 01 Jan 2015 00:00:07 GMT")
		case adaptertest.Redirect:
			w.Header().Set("Location", "http://"+e.address+"/postings/elsewhere")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>")
		return
	}
	if f == adaptertest.None {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusCreated)
		return
	}
	e.spoil(w, f, location)
}

// spoil breaks the connection.
func (e *oldERP) spoil(w http.ResponseWriter, f adaptertest.Fault, location string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	switch f {
	case adaptertest.ResetBefore, adaptertest.ResetAfter:
		_ = conn.(*net.TCPConn).SetLinger(0)
	case adaptertest.HangBefore, adaptertest.HangAfter:
		<-e.gone
	case adaptertest.HalfAfter:
		fmt.Fprintf(conn, "HTTP/1.1 201 Created\r\nLocation: %s\r\nContent-Length: 10\r\n\r\nhalf", location)
	}
}

func (e *oldERP) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	if f == adaptertest.Down {
		e.down()
		return
	}
	e.up(t)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = f
}

// down closes the listener and every connection; up listens on the same address again.
func (e *oldERP) down() {
	e.server.CloseClientConnections()
	e.server.Close()
	e.server = nil
}

func (e *oldERP) up(t *testing.T) {
	t.Helper()
	if e.server != nil {
		return
	}
	ln, err := net.Listen("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	e.serve(ln)
}

func (e *oldERP) serve(l net.Listener) {
	e.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: e}}
	e.server.Start()
}

func (e *oldERP) Attempts(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.attempts[id]
}

func (e *oldERP) Documents(id string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.posted[id]
}

// specFile writes a contract for one test.
func specFile(t testing.TB, doc string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func oldConfig(t *testing.T, url string) Config {
	c := patient(url, specFile(t, oldDocument))
	c.Operations = map[string]Operation{"post": {
		Receipt: "location", Params: map[string]string{"X-Client": "100"},
		Ask: &Ask{Operation: "findPosting", Param: "reference", Number: "/number"},
	}}
	return c
}

// posting is a delivery without a body.
func posting(t *testing.T, id string) message.Delivery {
	t.Helper()
	m := message.Message{ID: id, Source: "urn:plant", Kind: "goods.issued", Version: 1, Key: "o1", Time: time.Unix(0, 0), Body: []byte(`{}`)}
	return adaptertest.Delivery(t, m, message.Document{Target: "post", Params: map[string]string{"reference": id, "quantity": "12.500"}})
}

func TestSuiteOnAnOldERP(t *testing.T) {
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		e := newOldERP(t)
		return adaptertest.Subject{
			Adapter: open(t, suited(t, oldConfig(t, "http://"+e.address))), ERP: e,
			Delivery: func(id string) message.Delivery {
				return posting(t, strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(id))
			},
		}
	})
}
