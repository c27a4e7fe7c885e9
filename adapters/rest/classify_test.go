package rest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func TestWhatAStatusMeans(t *testing.T) {
	type want struct {
		verdict message.Verdict
		link    bool
		kind    problem.Kind
	}
	again := want{message.Again, true, problem.Unavailable}
	refused := want{message.Refused, false, problem.Invalid}
	unknown := want{message.Unsure, false, problem.Unavailable}
	lost := want{message.Unsure, true, problem.Unavailable}
	tests := []struct {
		status int
		path   string
		header http.Header
		cfg    Operation
		want   want
	}{
		{status: 300, want: unknown},
		{status: 301, want: again},
		{status: 302, want: want{message.Unsure, true, problem.Denied}},
		{status: 303, want: want{message.Unsure, true, problem.Denied}},
		{status: 303, cfg: Operation{Answers: map[int]Meaning{303: MeansUnknown}}, want: unknown},
		{status: 304, want: unknown},
		{status: 307, want: again},
		{status: 308, want: again},
		{status: 400, want: refused},
		{status: 401, want: want{message.Again, true, problem.Denied}},
		{status: 403, want: want{message.Again, true, problem.Denied}},
		{status: 403, cfg: Operation{Answers: map[int]Meaning{403: MeansRefused}}, want: want{message.Refused, false, problem.Conflict}},
		{status: 404, path: "/orders/{number}", want: refused},
		{status: 404, path: "/orders", want: again},
		{status: 405, want: again},
		{status: 408, want: unknown},
		{status: 409, want: want{message.Refused, false, problem.Conflict}},
		{status: 409, header: http.Header{"Retry-After": {"1"}}, want: want{message.Again, false, problem.Conflict}},
		{status: 412, want: want{message.Refused, false, problem.Conflict}},
		{status: 413, want: refused},
		{status: 422, want: refused},
		{status: 423, want: want{message.Again, false, problem.Conflict}},
		{status: 425, want: want{message.Again, false, problem.Conflict}},
		{status: 429, want: again},
		{status: 500, want: unknown},
		{status: 500, cfg: Operation{Answers: map[int]Meaning{500: MeansRefused}}, want: want{message.Refused, false, problem.Conflict}},
		{status: 501, want: again},
		{status: 502, want: lost},
		{status: 503, want: lost},
		{status: 503, header: http.Header{"Retry-After": {"1"}}, want: again},
		{status: 503, cfg: Operation{Idempotent: true}, want: lost},
		{status: 503, cfg: Operation{Answers: map[int]Meaning{503: MeansDown}}, want: again},
		{status: 503, cfg: Operation{Idempotent: true}, header: http.Header{"Retry-After": {"1"}}, want: again},
		{status: 503, cfg: Operation{Answers: map[int]Meaning{503: MeansUnknown}}, want: unknown},
		{status: 504, want: lost},
		{status: 507, want: unknown},
		{status: 511, want: want{message.Again, true, problem.Denied}},
		{status: 599, want: unknown},
	}
	l := open(t, plainERP("http://127.0.0.1:1"))
	for _, tt := range tests {
		name := fmt.Sprintf("%d %s %v %v", tt.status, tt.path, tt.header, tt.cfg.Answers)
		t.Run(strings.TrimSpace(name), func(t *testing.T) {
			doc, _ := l.doc.Operation("createConfirmation")
			op := *doc
			if op.Path = "/x"; tt.path != "" {
				op.Path = tt.path
			}
			out := l.classify(&operation{Operation: &op, cfg: tt.cfg}, "call", wire.Answer{Status: tt.status, Header: tt.header})
			got := want{out.Verdict, out.LinkDown, problem.KindOf(out.Err)}
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if rests := got.kind == problem.Denied && (tt.status == 403 || tt.status/100 == 3); rests != (out.After == time.Minute) {
				t.Errorf("tried again after %s", out.After)
			}
			if out.Throttled != (tt.status == 429) {
				t.Errorf("throttled: %t", out.Throttled)
			}
		})
	}
}

// TestNoUnclassifiedStatusIsSentAgain: whatever an ERP makes up, only what is known to have had no effect is sent again.
func TestNoUnclassifiedStatusIsSentAgain(t *testing.T) {
	known := map[int]bool{
		301: true, 307: true, 308: true, 401: true, 403: true, 404: true, 405: true, 407: true, 421: true, 423: true, 425: true,
		429: true, 501: true, 511: true,
	}
	l := open(t, plainERP("http://127.0.0.1:1"))
	doc, _ := l.doc.Operation("createConfirmation")
	for status := 100; status < 1000; status++ {
		got := ruleOf(&operation{Operation: doc}, wire.Answer{Status: status}, false).verdict
		if got == message.Again && !known[status] {
			t.Errorf("%d is sent again", status)
		}
	}
}

// TestAnAnswerThatBrokeOffIsTheLinksFault, but not one that is longer than we read.
func TestAnAnswerThatBrokeOffIsTheLinksFault(t *testing.T) {
	l := open(t, plainERP("http://127.0.0.1:1"))
	doc, _ := l.doc.Operation("createConfirmation")
	for cut, want := range map[error]bool{io.ErrUnexpectedEOF: true, context.DeadlineExceeded: true, wire.ErrTooLong: false} {
		out := l.classify(&operation{Operation: doc}, "call", wire.Answer{Status: http.StatusCreated, Cut: cut})
		if out.Verdict != message.Unsure || out.LinkDown != want {
			t.Errorf("%v: got %v, link down %t; want unknown, %t", cut, out, out.LinkDown, want)
		}
	}
}

// TestAReadIsNotAskedAbout: the hint of a write would send a person to look for a message that there is not.
func TestAReadIsNotAskedAbout(t *testing.T) {
	l := open(t, plainERP("http://127.0.0.1:1"))
	for id, want := range map[string]string{"createConfirmation": hintAsk, "listConfirmations": hintRead} {
		doc, _ := l.doc.Operation(id)
		if got := l.said(&operation{Operation: doc}, "call", wire.Answer{Status: http.StatusServiceUnavailable}); got.Hint != want {
			t.Errorf("%s: hint %q, want %q", id, got.Hint, want)
		}
	}
}

func TestAGoodStatusNeedsAProof(t *testing.T) {
	const good = `{"number":"0000100001","messageId":"m1","order":"000001000001","operation":"0010","yield":"1","unit":"PCE","postingDate":"2026-11-24","postedAt":"2026-11-24T06:00:00Z"}`
	tests := []struct {
		name    string
		status  int
		media   string
		body    string
		receipt string
		want    message.Verdict
		number  string
		warned  bool
	}{
		{"as the contract says", 201, "application/json", good, "/number", message.Delivered, "0000100001", false},
		{"no receipt wanted", 201, "application/json", good, "", message.Delivered, "", false},
		{"another field breaks the contract", 201, "application/json", strings.Replace(good, `"PCE"`, `"PIECES!"`, 1), "/number", message.Delivered, "0000100001", true},
		{"the number breaks the contract", 201, "application/json", strings.Replace(good, "0000100001", "x", 1), "/number", message.Unsure, "", false},
		{"no number", 201, "application/json", strings.Replace(good, `"number":"0000100001",`, "", 1), "/number", message.Unsure, "", false},
		{"a good status that the contract does not have", 202, "application/json", good, "/number", message.Unsure, "", false},
		{"a page to sign in", 200, "text/html", "<html>", "/number", message.Unsure, "", false},
		{"text that is no JSON", 201, "application/json", good[:50], "/number", message.Unsure, "", false},
		{"a list", 201, "application/json", "[]", "/number", message.Unsure, "", false},
		{"nothing", 201, "application/json", "", "/number", message.Unsure, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			l := open(t, plainERP("http://127.0.0.1:1"))
			l.log = slog.New(slog.NewTextHandler(&log, nil))
			doc, _ := l.doc.Operation("createConfirmation")
			op := &operation{Operation: doc, cfg: Operation{Receipt: tt.receipt}}
			out := l.classify(op, "call", wire.Answer{Status: tt.status, Header: http.Header{"Content-Type": {tt.media}}, Body: []byte(tt.body)})
			if out.Verdict != tt.want || out.Receipt.Document != tt.number {
				t.Errorf("got %v, want %s %s", out, tt.want, tt.number)
			}
			if warned := log.Len() > 0; warned != tt.warned {
				t.Errorf("warned: %t, want %t: %s", warned, tt.warned, log.String())
			}
			if strings.Contains(log.String(), "PIECES") {
				t.Errorf("a value is in the log: %s", log.String())
			}
		})
	}
}

// TestADocumentNumberIsLegible: it stands in logs and pages, and is sent on in references.
func TestADocumentNumberIsLegible(t *testing.T) {
	tests := []struct {
		name     string
		location string
		want     string // "" means unknown
		logged   bool
	}{
		{"plain", "/postings/4711", "4711", false},
		{"encoded as a path is", "/postings/2026%2F4711%20%C3%A4?lang=en", "2026/4711 ä", false},
		{"as long as a number may be", "/postings/" + strings.Repeat("9", mostNumber), strings.Repeat("9", mostNumber), false},
		{"longer", "/postings/" + strings.Repeat("9", mostNumber+1), "", true},
		{"a line break", "/postings/4711%0Alevel=ERROR", "", true},
		{"no UTF-8", "/postings/%FF4711", "", true},
		{"not encoded as a path is", "/postings/4711%2", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			l := open(t, oldConfig(t, "http://127.0.0.1:1"))
			l.log = slog.New(slog.NewTextHandler(&log, nil))
			doc, _ := l.doc.Operation("post")
			out := l.classify(l.operation(doc), "call", wire.Answer{Status: 201, Header: http.Header{"Location": {tt.location}}})
			if out.Receipt.Document != tt.want || (out.Verdict == message.Delivered) != (tt.want != "") || tt.want == "" && out.Verdict != message.Unsure {
				t.Errorf("got %v, want %q", out, tt.want)
			}
			if logged := log.Len() > 0; logged != tt.logged || strings.Contains(log.String(), "4711") {
				t.Errorf("logged: %t, want %t, and no value: %s", logged, tt.logged, log.String())
			}
		})
	}
}

func TestAKindIsLegible(t *testing.T) {
	l := open(t, plainERP("http://127.0.0.1:1"))
	for kind, want := range map[string]message.Verdict{"confirmation": message.Delivered, `a\nb`: message.Unsure, strings.Repeat("k", 201): message.Unsure} {
		doc, _ := l.doc.Operation("createConfirmation")
		op := &operation{Operation: doc, cfg: Operation{Kind: "/batch"}}
		body := `{"number":"0000100001","messageId":"m1","order":"000001000001","operation":"0010","yield":"1","unit":"PCE",` +
			`"postingDate":"2026-11-24","postedAt":"2026-11-24T06:00:00Z","batch":"` + kind + `"}`
		out := l.classify(op, "call", wire.Answer{Status: 201, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)})
		if out.Verdict != want {
			t.Errorf("%.9q: got %v, want %s", kind, out, want)
		}
	}
}

func TestWhatTheERPSaysIsKept(t *testing.T) {
	tests := []struct {
		name, body, why string
		fields          []problem.Field
	}{
		{
			"RFC 9457", `{"title":"Order locked","detail":"by SMITH","code":"order-locked","errors":[{"detail":"too big","pointer":"/yield"}]}`,
			"the ERP answered 422 Unprocessable Entity: Order locked: by SMITH (order-locked)",
			[]problem.Field{{Pointer: "/yield", Why: "too big"}},
		},
		{
			"OData V4", `{"error":{"code":"RU/123","message":"Period closed"}}`,
			"the ERP answered 422 Unprocessable Entity: Period closed (RU/123)", nil,
		},
		{
			"OData V2", `{"error":{"code":"RU/123","message":{"lang":"en","value":"Period closed"}}}`,
			"the ERP answered 422 Unprocessable Entity: Period closed (RU/123)", nil,
		},
		{"a line break is no new line of a log", `{"title":"a\nlevel=ERROR"}`, "the ERP answered 422 Unprocessable Entity: a level=ERROR", nil},
		{"members of other types", `{"title":1,"errors":[1,{"pointer":{}}],"error":[]}`, "the ERP answered 422 Unprocessable Entity: 1", nil},
		{"HTML", `<html>no</html>`, "the ERP answered 422 Unprocessable Entity", nil},
	}
	l := open(t, plainERP("http://127.0.0.1:1"))
	doc, _ := l.doc.Operation("createConfirmation")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := l.said(l.operation(doc), "call", wire.Answer{Status: 422, Body: []byte(tt.body)})
			if got.Why != tt.why {
				t.Errorf("why = %q, want %q", got.Why, tt.why)
			}
			if diff := cmp.Diff(tt.fields, got.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
	long := l.said(l.operation(doc), "call", wire.Answer{Status: 422, Body: fmt.Appendf(nil, `{"title":%q}`, strings.Repeat("ä", 10_000))})
	if len(long.Why) > 2*mostWords {
		t.Errorf("%d bytes of the ERP's words are kept", len(long.Why))
	}
}

// TestARedirectToLogOnHoldsTheLink: what stands before the ERP leads each request to where one logs on. The link rests and somebody hears of it once;
// a contract by which an operation is answered so says that the ERP has done it, or may have.
func TestARedirectToLogOnHoldsTheLink(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusSeeOther} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://login.example/saml?SAMLRequest=secret")
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		l, told := open(t, plainERP(s.URL)), 0
		l.WhenDenied(func(error) { told++ })
		for range 3 {
			out := l.Deliver(t.Context(), []message.Delivery{confirmation(t, "m1")})[0]
			if out.Verdict != message.Unsure || !out.LinkDown || out.After != time.Minute || !strings.HasSuffix(out.Err.Error(), "to https://login.example/saml; redirects are not followed") {
				t.Errorf("got %v after %s (link down %t)", out, out.After, out.LinkDown)
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("the base URL may lead to a page: %v", err)
		}
		declared := strings.Replace(oldDocument, `"201":`, fmt.Sprintf(`"%d": {description: posted}
        "201":`, status), 1)
		path := filepath.Join(t.TempDir(), "erp.yaml")
		if err := os.WriteFile(path, []byte(declared), 0o600); err != nil {
			t.Fatal(err)
		}
		own := open(t, patient(s.URL, path))
		doc, ok := own.doc.Operation("post")
		if !ok {
			t.Fatal("no such operation")
		}
		if out := own.classify(&operation{Operation: doc}, "call", wire.Answer{Status: status}); out.Verdict != message.Unsure || out.LinkDown {
			t.Errorf("where the contract has it: %v, link down %t", out, out.LinkDown)
		}
	}
}
