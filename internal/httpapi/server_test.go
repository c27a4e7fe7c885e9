package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/store/storetest"
)

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	tests := []struct {
		address string
		want    problem.Kind
	}{
		{"127.0.0.1:0", ""},
		{"[::1]:0", ""},
		{"localhost:0", ""},
		{"127.8.9.1:0", ""},
		{":0", problem.Denied},
		{"0.0.0.0:0", problem.Denied},
		{"[::]:0", problem.Denied},
		{"192.0.2.1:80", problem.Denied},
		{"plant.example:80", problem.Denied},
		{"127.0.0.1", problem.Invalid},
		{"127.0.0.1:99999", problem.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.address, func(t *testing.T) {
			if got := problem.KindOf(httpapi.CheckLoopback(tt.address)); got != tt.want {
				t.Errorf("kind %q, want %q", got, tt.want)
			}
		})
	}
	l, err := httpapi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := httpapi.Listen(t.Context(), l.Addr().String()); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("an address that is taken: %v, want kind unavailable", err)
	}
	if _, err := httpapi.Listen(t.Context(), "0.0.0.0:0"); problem.KindOf(err) != problem.Denied {
		t.Errorf("every address: %v, want kind denied", err)
	}
}

func TestWhatDoesNotFitTheContractIsRefusedFieldByField(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.serve(httpapi.Config{CheckAnswers: true, BodyLimit: 4096})
	tests := []struct {
		name, method, path string
		body               string
		header             []string
		status             int
		code               string
		fields             []string
	}{
		{"all fields at once", "POST", "/v1/orders", `{"material":"","quantity":10,"color":"red"}`, nil, 400, "contract", []string{"/color", "/material", "/quantity"}},
		{"a quantity as a number", "POST", "/v1/orders", `{"material":"BIKE","quantity":10}`, nil, 400, "contract", []string{"/quantity"}},
		{"an exponent", "POST", "/v1/orders", `{"material":"BIKE","quantity":"1e2"}`, nil, 400, "contract", []string{"/quantity"}},
		{"a name twice", "POST", "/v1/orders", `{"material":"BIKE","material":"FRAME","quantity":"1"}`, nil, 400, "contract", []string{"/material"}},
		{"something behind the body", "POST", "/v1/orders", `{"material":"BIKE","quantity":"1"} {}`, nil, 400, "contract", []string{"body"}},
		{"no JSON", "POST", "/v1/orders", `{"material":`, nil, 400, "contract", nil},
		{"no body", "POST", "/v1/orders", ``, nil, 400, "contract", nil},
		{"another content type", "POST", "/v1/orders", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "contract", nil},
		{"a filter that there is not", "GET", "/v1/orders?matrial=BIKE", "", nil, 400, "contract", []string{"matrial"}},
		{"a limit over the limit", "GET", "/v1/orders?limit=501", "", nil, 400, "contract", []string{"limit"}},
		{"an Idempotency-Key with a blank", "POST", "/v1/orders", `{"material":"BIKE","quantity":"1"}`, []string{"Idempotency-Key", "a b"}, 400, "contract", []string{"Idempotency-Key"}},
		{"a rule of the plant", "POST", "/v1/orders", `{"material":"BIKE","quantity":"0"}`, nil, 422, "invalid", []string{"/quantity"}},
		{"a material that there is not", "POST", "/v1/orders", `{"material":"CAR","quantity":"1"}`, nil, 404, "not-found", nil},
		{"a path that there is not", "GET", "/v1/cars", "", nil, 404, "not-found", nil},
		{"a method that there is not", "PUT", "/v1/orders", `{}`, nil, 405, "invalid", nil},
		{"TRACE", "TRACE", "/v1/orders", ``, nil, 405, "invalid", nil},
		{"too much", "POST", "/v1/orders", `{"material":"` + strings.Repeat("A", 5000) + `"}`, nil, 413, "too-large", nil},
		{"a page of another site", "POST", "/v1/orders", `{}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "denied", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var body any = tt.body
			if tt.body == "" {
				body = nil
			}
			got := []string{}
			for _, e := range p.call(tt.method, tt.path, body, tt.header...).refused(t, tt.status, tt.code).Errors {
				got = append(got, e.Pointer)
			}
			slices.Sort(got)
			for _, want := range tt.fields {
				if !slices.Contains(got, want) && want != "body" {
					t.Errorf("fields %q, want %q", got, tt.fields)
				}
			}
		})
	}
	if allow := p.call("PUT", "/v1/orders", "{}").header.Get("Allow"); allow != "GET, POST" {
		t.Errorf("Allow %q, want GET, POST", allow)
	}
}

func TestANameThatOnlyLeadsHereIsNotAnswered(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/v1/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"evil.example": 403, "evil.example:80": 403, "localhost": 200, "[::1]:8420": 200, "127.0.0.1:1": 200} {
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("as %s: %d, want %d", host, res.StatusCode, want)
		}
	}
}

func TestEachRequestHasAnID(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for given, kept := range map[string]bool{"abc-1": true, "": false, "a b": false, strings.Repeat("x", 101): false} {
		got := p.call("GET", "/v1/orders", nil, "X-Request-ID", given).header.Get("X-Request-ID")
		if (got == given) != kept || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

// TestAPanicEndsOneRequest has the database missing, so that a handler panics.
func TestAPanicEndsOneRequest(t *testing.T) {
	var logged bytes.Buffer
	api := httpapi.New(httpapi.Parts{}, httpapi.Config{}, slog.New(slog.NewTextHandler(&logged, nil)))
	srv := httptest.NewServer(api.Handler())
	defer srv.Close()
	p := &plant{t: t, url: srv.URL}
	res, err := http.Get(srv.URL + "/v1/orders/1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer{res.StatusCode, res.Header, body}.refused(p.t, 500, "internal")
	if !strings.Contains(logged.String(), "request panicked") || strings.Contains(string(body), "nil pointer") {
		t.Errorf("log %q, answer %s", logged.String(), body)
	}
}

func TestRunFinishesWhatIsInHand(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	o := p.order()
	api := httpapi.New(httpapi.Parts{DB: p.db, Plant: p.mes, Outbox: p.out, Jobs: job.New(p.db, p.out, job.Config{}, slog.New(slog.DiscardHandler)), Inbox: p.in, Doer: access.New(p.db)}, httpapi.Config{}, slog.New(slog.DiscardHandler))
	l, err := httpapi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx, l) }()
	p.url = "http://" + l.Addr().String()
	asked := make(chan answer, 1)
	go func() {
		a, err := p.send(t.Context(), "POST", "/v1/confirmations", object{"order": o.ID, "operation": "0010", "yield": "1"}, "Prefer", "wait=60")
		if err != nil {
			t.Error(err)
		}
		asked <- a
	}()
	for { // until the confirmation is booked and its caller waits for the ERP
		var page httpapi.ConfirmationPage
		if p.call("GET", "/v1/confirmations", nil).want(t, 200, &page); len(page.Items) == 1 {
			break
		}
	}
	begin := time.Now()
	stop()
	var got httpapi.ConfirmationAct
	(<-asked).want(t, 201, &got)
	if err := <-ended; err != nil || got.ERP.State != httpapi.ERPProgressQueued || time.Since(begin) > 40*time.Second {
		t.Errorf("Run: %v; state %q after %s; want queued at once", err, got.ERP.State, time.Since(begin))
	}
}

func TestTheCallersTraceGoesOnWithTheMessage(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var made httpapi.OrderAct
	p.call("POST", "/v1/orders", object{"material": "BIKE", "quantity": "1"}, "traceparent", "00-"+trace+"-b7ad6b7169203331-01").want(t, 201, &made)
	var d httpapi.MessageDetail
	p.call("GET", "/v1/messages/"+made.ERP.Messages[0].ID, nil).want(t, 200, &d)
	if !strings.Contains(d.Trace, trace) {
		t.Errorf("the message's trace is %q, want one of %s", d.Trace, trace)
	}
}
