package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
)

// signedResult is what the demo's ERP says of the plant's signatures. It has public keys alone.
type signedResult struct {
	Signed   int `json:"signed"`         // messages with a signature, of those in the plant's database
	Verified int `json:"verified"`       // of these, how many the ERP was given with a signature that counts and a place that fits
	Bad      int `json:"bad_signatures"` // requests of the plant without such a signature
}

// openWitness gives the ERP the plant's public keys.
func (s *stage) openWitness(ctx context.Context) {
	if s.plant.ring == nil {
		return
	}
	_, _ = s.plant.ring.Trust(ctx) // from now on it knows the roots, whoever is away
	s.witness.Store(prove.NewWitness(func() (*seal.Trust, error) { return s.plant.ring.Trust(ctx) }))
}

// origin is how the ERP checks what it is sent: the signature, that it is over the message which the request names, and its place in
// its lane.
func (s *stage) origin(statement string, e erpmock.Entry) error {
	return s.stated(statement, func(m message.Message) bool {
		return m.ID == e.MessageID && m.Digest() == e.Digest && m.Lane == e.Lane && m.Number == e.LaneNumber
	})
}

// sapOrigin is origin for a system that knows a message by its RequestID alone. SAP itself would pass the statement over, which goes with
// each write in a header; here somebody with the plant's public keys looks at it.
func (s *stage) sapOrigin(statement string, e erpmock.Entry) error {
	return s.stated(statement, func(m message.Message) bool { return odata.RequestID(m.ID) == e.MessageID })
}

// stated checks what a request states: is tells whether that is the message which the request names.
func (s *stage) stated(statement string, is func(message.Message) bool) error {
	if statement == "" {
		return errors.New("it is not signed")
	}
	m, _, err := message.ParseStatement(statement)
	if err != nil {
		return err
	}
	if !is(m) {
		return errors.New("what is signed is another message than the one that the request names")
	}
	w := s.witness.Load()
	if w == nil {
		return errors.New("the plant has no keys")
	}
	_, err = w.Check(m)
	return err
}

// signatures fills in what the plant has signed and what the ERP has made of it.
func (s *stage) signatures(r *demoReport, list []outbox.Detail) {
	var entries []erpmock.Entry
	name := func(id string) string { return id }
	switch {
	case s.plant.ring == nil:
		return
	case s.sap != nil:
		entries, name = s.sap.now.Load().Journal(), odata.RequestID
	case s.mock != nil:
		entries = s.mock.Log().Entries
	default: // behind a broker it is the receiver that checks
		return
	}
	verified := map[string]bool{}
	for _, e := range entries {
		if e.Hop != "" && e.Hop != erpmock.Verified && e.Lane != "" { // the demo's planner, who is no plant, signs nothing
			e.Origin = e.Hop
		}
		switch e.Origin {
		case "":
		case erpmock.Verified:
			verified[e.MessageID] = true
		default:
			r.Bad++
			if len(r.Examples) < 20 {
				r.Examples = append(r.Examples, fmt.Sprintf("message %s in request %d: %s", e.MessageID, e.Seq, e.Origin))
			}
		}
	}
	for _, d := range list {
		if d.Origin == nil {
			continue
		}
		r.Signed++
		if verified[name(d.ID)] {
			r.Verified++
		}
	}
	r.signs = true
}

// signedOK tells whether each message that was delivered has a signature that the ERP has found to be good. What an earlier run without
// keys has delivered has none.
func (r demoReport) signedOK() bool {
	return !r.signs || r.Bad == 0 && r.Verified == r.Signed && r.Signed >= r.Messages-r.Earlier
}

func (r demoReport) printSigned(w io.Writer) {
	if r.signs {
		fmt.Fprintf(w, "with the plant's public keys alone it says: signed %d, verified %d, bad signatures %d\n", r.Signed, r.Verified, r.Bad)
	}
}
