package main

import (
	"log/slog"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/seal"
	"holdfast/internal/store/storetest"
)

// signedDemo is a stage whose plant has keys, and a message that it has signed.
func signedDemo(t *testing.T) (*stage, message.Message) {
	t.Helper()
	db, node := storetest.SQLite(t), seal.NodeURI("urn:plant:1000", "a")
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.OpenRing(t.Context(), db, seal.NewLocal(safe, node, time.Hour, time.Now), nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{plant: &process{ring: ring}}
	s.openWitness(t.Context())
	m := message.Message{
		ID: "m1", Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Now(), Body: []byte(`{}`),
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
	}
	origin, err := ring.SignMessage(m, m.Digest())
	if err != nil {
		t.Fatal(err)
	}
	m.Origin = &origin
	return s, m
}

// TestTheDemosERPBelievesNoOtherSignature: what it is told counts only if the plant has signed that very message.
func TestTheDemosERPBelievesNoOtherSignature(t *testing.T) {
	s, m := signedDemo(t)
	good := erpmock.Entry{MessageID: m.ID, Digest: m.Digest(), Lane: m.Lane, LaneNumber: m.Number}
	with := func(change func(e *erpmock.Entry)) erpmock.Entry {
		e := good
		change(&e)
		return e
	}
	altered := m
	altered.Body = []byte(`{"yield":"5"}`)
	tests := []struct {
		name      string
		statement string
		e         erpmock.Entry
		want      bool
	}{
		{"as it was sent", m.Statement(m.Digest()), good, true},
		{"without", "", good, false},
		{"cut", m.Statement(m.Digest())[:100], good, false},
		{"under another ID", m.Statement(m.Digest()), with(func(e *erpmock.Entry) { e.MessageID = "m2" }), false},
		{"in another lane", m.Statement(m.Digest()), with(func(e *erpmock.Entry) { e.Lane = "o2" }), false},
		{"under another number", m.Statement(m.Digest()), with(func(e *erpmock.Entry) { e.LaneNumber = 2 }), false},
		{"altered", altered.Statement(altered.Digest()), with(func(e *erpmock.Entry) { e.Digest = altered.Digest() }), false},
		{"altered, with the old digest", altered.Statement(m.Digest()), good, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.origin(tt.statement, tt.e); (err == nil) != tt.want {
				t.Errorf("got %v, want it believed: %t", err, tt.want)
			}
		})
	}
}

// TestABadSignatureFailsTheDemo: so does a message that nobody has signed, or whose signature the ERP has never seen.
func TestABadSignatureFailsTheDemo(t *testing.T) {
	all := demoReport{signs: true}
	all.Messages, all.Signed, all.Verified = 3, 3, 3
	tests := []struct {
		name   string
		change func(r *demoReport)
		want   bool
	}{
		{"all well", func(*demoReport) {}, true},
		{"a bad one", func(r *demoReport) { r.Bad = 1 }, false},
		{"one unsigned", func(r *demoReport) { r.Signed, r.Verified = 2, 2 }, false},
		{"one unsigned, of an earlier run", func(r *demoReport) { r.Signed, r.Verified, r.Earlier = 2, 2, 1 }, true},
		{"one that the ERP has not seen", func(r *demoReport) { r.Verified = 2 }, false},
		{"no keys", func(r *demoReport) { r.signs, r.Signed, r.Verified = false, 0, 0 }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := all
			tt.change(&r)
			if got := r.signedOK(); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
	s, m := signedDemo(t)
	r := demoReport{}
	mock, _ := erpmock.Start(t, nil, erpmock.Config{Origin: s.origin})
	s.mock = mock
	s.signatures(&r, []outbox.Detail{{Message: m}})
	if r.Signed != 1 || r.Verified != 0 || r.signedOK() {
		t.Errorf("signed %d, verified %d: a message that never arrived passes", r.Signed, r.Verified)
	}
}
