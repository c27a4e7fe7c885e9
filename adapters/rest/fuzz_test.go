package rest

import (
	"log/slog"
	"net/http"
	"testing"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
)

// FuzzAnswers makes something of whatever an ERP answers: an outcome, and words for a person that are bounded. Nothing that breaks the contract
// counts as delivered.
func FuzzAnswers(f *testing.F) {
	l, err := Open(plainERP("http://127.0.0.1:1"), noSecret, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(l.Close)
	doc, _ := l.doc.Operation("createConfirmation")
	op := l.operation(doc)
	f.Add(422, "application/problem+json", []byte(`{"title":"no","errors":[{"pointer":"#/a","detail":"b"}]}`))
	f.Add(201, "application/json", []byte(`{"number":"1","type":"PO"}`))
	f.Add(200, "text/html", []byte(`<html>sign in</html>`))
	f.Add(503, "application/json", []byte(`[]`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		a := wire.Answer{Status: status, Header: http.Header{"Content-Type": {kind}}, Body: body}
		out := l.classify(op, "call", a)
		if out.Verdict == message.Delivered && (status < 200 || status > 299 && status != http.StatusConflict) {
			t.Errorf("status %d with %q counts as delivered", status, body)
		}
		if said := l.said(op, "call", a); len(said.Why) > 2*mostWords {
			t.Errorf("%d bytes of the ERP's words are kept", len(said.Why))
		}
	})
}
