package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"holdfast/internal/access"
	"holdfast/internal/decimal"
	"holdfast/internal/httpapi"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	compiled "holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/openapi"
)

// plant is an API over a real database, with an ERP that never answers unless the test says so.
type plant struct {
	t   *testing.T
	db  *store.DB
	out *outbox.Outbox
	mes *mes.Plant
	in  *inbox.Inbox
	url string
	kin routers.Router
}

// mapping refuses whatever it is given: what the tests send is a plant's event already, unless they want it refused.
type mapping struct{}

func (mapping) ApplyIn(context.Context, string, message.Message, compiled.Resolver) (message.Message, error) {
	return message.Message{}, &problem.Error{Kind: problem.Invalid, What: "map", Why: "there is no such mapping"}
}

// owing is the plant's outbox, as cmd joins it.
type owing struct{ *outbox.Outbox }

func (o owing) Append(ctx context.Context, tx *store.Tx, m message.Message) error {
	m.Trace = httpapi.Traceparent(ctx)
	return o.Outbox.Append(ctx, tx, m)
}

func d(s string) decimal.Decimal { return decimal.MustParse(s) }

// open builds the plant with its master data and serves it.
func open(t *testing.T, db *store.DB) *plant {
	t.Helper()
	out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:plant:1000", outbox.Config{})
	p := &plant{t: t, db: db, out: out, mes: mes.New(owing{out}, mes.Config{})}
	p.apply("material.changed", mes.Material{
		Number: "BIKE", Description: "City bike", BaseUnit: "PCE", BatchManaged: true, Units: []mes.UnitRatio{{Unit: "BOX", Numerator: d("4"), Denominator: d("1")}},
	})
	p.apply("material.changed", mes.Material{Number: "FRAME", Description: "Frame", BaseUnit: "PCE", BatchManaged: true})
	p.apply("workcentre.changed", mes.WorkCentre{Number: "WELD", Plant: "1000", Description: "Welding"})
	p.apply("bom.changed", mes.BOM{
		Material: "BIKE", Plant: "1000", BaseQuantity: d("1"), Unit: "PCE",
		Items: []mes.BOMItem{{Item: "0010", Material: "FRAME", Quantity: d("1"), Unit: "PCE", Operation: "0010", BatchManaged: true}},
	})
	p.apply("routing.changed", mes.Routing{
		Material: "BIKE", Plant: "1000",
		Operations: []mes.PlannedOperation{{Number: "0010", WorkCentre: "WELD", TimeUnit: "MIN"}, {Number: "0020", WorkCentre: "WELD", TimeUnit: "MIN"}},
	})
	p.in = inbox.New(db, mapping{}, p.mes.Apply, inbox.Config{Poll: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	p.serve(httpapi.Config{CheckAnswers: true})
	return p
}

func (p *plant) serve(cfg httpapi.Config) {
	p.t.Helper()
	parts := httpapi.Parts{Checker: orders{}, DB: p.db, Plant: p.mes, Outbox: p.out, Jobs: job.New(p.db, p.out, job.Config{}, slog.New(slog.DiscardHandler)), Inbox: p.in, Doer: access.New(p.db)}
	srv := httptest.NewServer(httpapi.New(parts, cfg, slog.New(slog.NewTextHandler(p.t.Output(), nil))).Handler())
	p.t.Cleanup(srv.Close)
	p.url = srv.URL
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Holdfast())
	if err != nil {
		p.t.Fatal(err)
	}
	if p.kin, err = gorillamux.NewRouter(doc); err != nil {
		p.t.Fatal(err)
	}
}

// apply is the ERP's word, as the inbox would hand it to the plant.
func (p *plant) apply(kind string, body any) {
	p.t.Helper()
	m, err := message.New("seed-"+kind, kind, "seed", p.db.Now(), body)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.mes.Apply(p.t.Context(), tx, m) }); err != nil {
		p.t.Fatalf("%s: %v", kind, err)
	}
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request and has kin-openapi, as a second judge beside the server's own, hold request and answer against the contract.
func (p *plant) call(method, path string, body any, header ...string) answer {
	p.t.Helper()
	a, err := p.send(p.t.Context(), method, path, body, header...)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *plant) send(ctx context.Context, method, path string, body any, header ...string) (answer, error) {
	var content []byte
	switch b := body.(type) {
	case nil:
	case string:
		content = []byte(b)
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(content))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{res.StatusCode, res.Header, got}
	return a, p.judge(ctx, req, content, a)
}

// judge is kin-openapi's opinion.
func (p *plant) judge(ctx context.Context, req *http.Request, content []byte, a answer) error {
	route, params, err := p.kin.FindRoute(req)
	if err != nil {
		return nil // a path that the contract does not have
	}
	req.Body = io.NopCloser(bytes.NewReader(content))
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route}
	if err := openapi3filter.ValidateRequest(ctx, in); err != nil && a.status < 400 {
		return fmt.Errorf("the server took what kin-openapi refuses: %w", err)
	}
	err = openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
	})
	if err != nil {
		return fmt.Errorf("%s %s answered %d %s: %w", req.Method, req.URL.Path, a.status, a.body, err)
	}
	return nil
}

// want reads a good answer into dst, and fails the test on any other.
func (a answer) want(t *testing.T, status int, dst any) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if dst != nil {
		if err := json.Unmarshal(a.body, dst); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
	}
	return a
}

// refused reads a problem document and checks its status and code.
func (a answer) refused(t *testing.T, status int, code string) httpapi.Problem {
	t.Helper()
	var p httpapi.Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Code != code || p.Status != status {
		t.Fatalf("answer %d %s, want %d with code %s", a.status, a.body, status, code)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" || p.Title == "" || !strings.HasPrefix(p.Instance, "urn:request:") {
		t.Errorf("content type %q, document %+v", got, p)
	}
	return p
}

type object = map[string]any

// order makes an order of 10 bikes and starts it.
func (p *plant) order() httpapi.Order {
	p.t.Helper()
	var made httpapi.OrderAct
	p.call("POST", "/v1/orders", object{"material": "BIKE", "quantity": "10", "unit": "PCE"}).want(p.t, 201, &made)
	p.call("POST", "/v1/orders/"+made.Order.ID+"/start", object{}).want(p.t, 200, &made)
	return made.Order
}

// orders is a Checker that takes what names an order.
type orders struct{}

func (orders) Check(_ context.Context, _ *store.Tx, m outbox.Detail) error {
	if !strings.Contains(string(m.Body), `"order"`) {
		return &problem.Error{Kind: problem.Invalid, What: "amend message " + m.ID, Why: "it names no order", Hint: "name one"}
	}
	return nil
}
