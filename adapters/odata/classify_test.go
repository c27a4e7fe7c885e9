package odata

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

const (
	v2Error = `{"error":{"code":"CODE","message":{"lang":"en","value":"TEXT"},"innererror":{"transactionid":"ABC123","errordetails":[` +
		`{"code":"CODE","message":"TEXT","severity":"error"},{"code":"M7/021","message":"Deficit of 5 PC","propertyref":"QuantityInEntryUnit","severity":"error"}]}}}`
	v2CAP   = `{"error":{"code":"CODE","message":{"lang":"en","value":"TEXT"},"innererror":{"errordetails":[{"code":"X/1","message":{"lang":"en","value":"more"},"target":"Plant","severity":"error"}]}}}`
	v4Error = `{"error":{"code":"CODE","message":"TEXT","target":"PostingDate","details":[{"code":"X/1","message":"more","target":"Plant","@Common.numericSeverity":4}]}}`
	xmlErr  = `<?xml version="1.0"?><error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>CODE</code><message xml:lang="en">TEXT</message></error>`
	html    = `<html><body>Service Unavailable</body></html>`
)

// TestEveryAnswerHasOneMeaning is the table of docs/odata.md, line by line.
func TestEveryAnswerHasOneMeaning(t *testing.T) {
	tests := []struct {
		name       string
		status     int
		header     string // NAME: VALUE
		body       string
		code, text string
		want       message.Verdict
		link       bool
		kind       problem.Kind
	}{
		{"posting period closed, V2", 400, "", v2Error, "RU/505", "Posting only possible in periods 2026/11", message.Refused, false, problem.Invalid},
		{"posting period closed, V4", 400, "", v4Error, "RU/505", "Posting only possible in periods 2026/11", message.Refused, false, problem.Invalid},
		{"as CAP's V2 adapter writes it", 400, "", v2CAP, "RU/505", "no", message.Refused, false, problem.Invalid},
		{"in XML", 400, "", xmlErr, "RU/505", "no", message.Refused, false, problem.Invalid},
		{"a lock by its words", 400, "", v2Error, "CO/469", "Order 1000001 is already being processed by MILLER", message.Again, false, problem.Conflict},
		{"a lock by its words, V4", 400, "", v4Error, "CO/469", "Plant data of material M1 is locked by user MILLER", message.Again, false, problem.Conflict},
		{"a lock by the customer's code", 400, "", v2Error, "C6/001", "Auftrag gesperrt", message.Again, false, problem.Conflict},
		{"a lock by the customer's class", 400, "", v2Error, "ZLOCK/017", "gesperrt", message.Again, false, problem.Conflict},
		{"a lock by the customer's words", 400, "", v2Error, "X/1", "wordt verwerkt door JANSEN", message.Again, false, problem.Conflict},
		{"a code that says unknown", 400, "", v2Error, "/IWBEP/CM_COS/005", "RequestID is outdated", message.Unsure, false, problem.Unavailable},
		{"the useful code below an exception", 400, "", strings.Replace(v2Error, "M7/021", "C6/001", 1), "/IWBEP/CX_MGW_BUSI_EXCEPTION", "Exception", message.Again, false, problem.Conflict},
		{"bad credentials", 401, "", html, "", "", message.Again, true, problem.Denied},
		{"no authorisation", 403, "", v2Error, "/IWBEP/CM/100", "No authorization", message.Again, true, problem.Denied},
		{"a token that is refused anew", 403, "X-Csrf-Token: Required", "CSRF token validation failed", "", "", message.Again, true, problem.Unavailable},
		{"no such service", 404, "", v2Error, "/IWFND/MED/170", "No service found", message.Again, true, problem.Unavailable},
		{"nothing there at all", 404, "", html, "", "", message.Again, true, problem.Unavailable},
		{"no such object", 404, "", v2Error, "CO/017", "Order does not exist", message.Refused, false, problem.Invalid},
		{"stale", 412, "", v2Error, "X/1", "changed", message.Refused, false, problem.Precondition},
		{"without If-Match", 428, "", v4Error, "X/1", "no If-Match", message.Refused, false, problem.Precondition},
		{"locked as WebDAV says it", 423, "", "", "", "", message.Again, false, problem.Conflict},
		{"too much", 429, "Retry-After: 2", html, "", "", message.Again, true, problem.Unavailable},
		{"maintenance with a time", 503, "Retry-After: 2", html, "", "", message.Again, true, problem.Unavailable},
		{"unavailable without a time", 503, "", html, "", "", message.Unsure, true, problem.Unavailable},
		{"bad gateway", 502, "", html, "", "", message.Unsure, true, problem.Unavailable},
		{"gateway timeout", 504, "", html, "", "", message.Unsure, true, problem.Unavailable},
		{"internal error", 500, "", v2Error, "X/1", "dump", message.Unsure, false, problem.Unavailable},
		{"a redirect to log on", 302, "Location: /saml", "", "", "", message.Unsure, true, problem.Denied},
		{"moved", 301, "Location: /x", "", "", "", message.Again, true, problem.Unavailable},
		{"a method that is not there", 405, "", "", "", "", message.Again, true, problem.Unavailable},
		{"a logon page", 200, "Content-Type: text/html", html, "", "", message.Unsure, true, problem.Denied},
		{"an unknown code", 422, "", v4Error, "Z/999", "something", message.Refused, false, problem.Invalid},
		{"teapot", 418, "", "short and stout", "", "", message.Refused, false, problem.Invalid},
	}
	d := dialects()[0]
	c := d.config("http://127.0.0.1:1")
	c.Codes = map[string]Meaning{"C6/001": MeansAgain, "ZLOCK/*": MeansAgain}
	c.Locks = []string{"wordt verwerkt door"}
	l := open(t, c)
	client := l.services["conf"]
	if err := client.metadata.load("testdata/" + d.file); err != nil {
		t.Fatal(err)
	}
	m, _ := client.metadata.known()
	target, err := client.target(m, d.set)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if name, v, ok := strings.Cut(tt.header, ": "); ok {
				h.Set(name, v)
			}
			body := strings.NewReplacer("CODE", tt.code, "TEXT", tt.text).Replace(tt.body)
			got := client.classify(&write{what: "w", model: m, target: target}, wire.Answer{Status: tt.status, Header: h, Body: []byte(body)})
			if got.Verdict != tt.want || got.LinkDown != tt.link || problem.KindOf(got.Err) != tt.kind {
				t.Errorf("got %v (link %t, %s), want %s (link %t, %s)", got, got.LinkDown, problem.KindOf(got.Err), tt.want, tt.link, tt.kind)
			}
			if tt.text != "" && !strings.Contains(got.Err.Error(), tt.text) {
				t.Errorf("the ERP's words were lost: %v", got.Err)
			}
			if strings.HasPrefix(tt.header, "Retry-After") && got.After != 2*time.Second {
				t.Errorf("after %s, want 2 s", got.After)
			}
		})
	}
}

func TestErrorsKeepEveryDetailWithItsField(t *testing.T) {
	c := &Client{name: "conf", link: &Link{cfg: Config{}.withDefaults(), now: time.Now}}
	for name, body := range map[string]string{"V2": v2Error, "CAP": v2CAP, "V4": v4Error} {
		e := c.said("w", wire.Answer{Status: 400, Header: http.Header{}, Body: []byte(body)})
		found := false
		for _, f := range e.Fields {
			found = found || f.Pointer == "Plant" && strings.Contains(f.Why, "more (X/1)") || f.Pointer == "QuantityInEntryUnit" && strings.Contains(f.Why, "Deficit of 5 PC (M7/021)")
		}
		if !found || !strings.Contains(e.Why, "TEXT (CODE)") || name == "V2" && !strings.Contains(e.Why, "ABC123") {
			t.Errorf("%s: %s %+v", name, e.Why, e.Fields)
		}
	}
}

func FuzzErrorBodies(f *testing.F) {
	for _, s := range []string{v2Error, v2CAP, v4Error, xmlErr, html, ""} {
		f.Add([]byte(s))
	}
	c := &Client{name: "conf", link: &Link{cfg: Config{}.withDefaults(), now: time.Now}}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := c.said("w", wire.Answer{Status: 400, Header: http.Header{}, Body: body})
		if len(e.Why) > 4*mostWords || strings.ContainsAny(e.Why, "\n\r") || len(e.Fields) > 3*mostDetails {
			t.Errorf("an error of %d bytes and %d fields", len(e.Why), len(e.Fields))
		}
	})
}

// TestAServiceThatTakesOneWriteOfAChangeSetIsUnderstood: it is SAP's default. Each write has a change set of its own, so that the words mean a service whose
// own code refuses even that, or something between that joins them.
func TestAServiceThatTakesOneWriteOfAChangeSetIsUnderstood(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{})
	w.mock.SetFaults(erpmock.Fault{
		Kind: erpmock.Status, Status: 400, Method: http.MethodPost, Count: 1,
		Body: `{"error":{"code":"/IWBEP/CM_MGW_RT/112","message":{"lang":"en","value":"Default changeset implementation allows only one operation"}}}`,
	})
	out := w.one(t, w.delivery(t, "m"))
	var p *problem.Error
	if out.Verdict != message.Refused || !errors.As(out.Err, &p) || p.Hint != "send each write in a change set of its own" || !strings.Contains(p.Why, "/IWBEP/CM_MGW_RT/112") {
		t.Errorf("got %v, %v", out, p)
	}
}
