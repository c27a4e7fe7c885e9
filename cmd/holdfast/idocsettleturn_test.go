package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// booking is a SAP that has booked one message, cannot read the question after another, and knows of no other. It counts what it is asked for.
type booking struct {
	link
	booked, garbled string
	mu              sync.Mutex
	asked           map[string]int // guarded by mu
}

// Ask is relay.Deliverer.
func (b *booking) Ask(_ context.Context, d message.Delivery) (message.Outcome, error) {
	id := d.Event.Message().ID
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[id]++
	switch id {
	case b.garbled:
		return message.Outcome{Verdict: message.Unsure}, errors.New("the services give documents of others")
	case b.booked:
		return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "0000000100/00000003"}}, nil
	}
	return message.Outcome{Verdict: message.Again}, nil
}

// TestANewIDocIsAskedForHoweverManyAreNeverBooked, once in a round, whether one node looks or two, and whatever another question brings.
func TestANewIDocIsAskedForHoweverManyAreNeverBooked(t *testing.T) {
	var now struct {
		sync.Mutex
		time.Time
	}
	now.Time = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	db := storetest.SQLite(t, storetest.WithClock(func() time.Time { now.Lock(); defer now.Unlock(); return now.Time }))
	pass := func(d time.Duration) { now.Lock(); defer now.Unlock(); now.Time = now.Add(d) }
	out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "idocs"}}, "urn:plant:1000", outbox.Config{})
	sap := &booking{booked: outbox.MessageID("idocs", "new"), garbled: outbox.MessageID("idocs", "old-0001"), asked: map[string]int{}}
	node := func() *settling {
		return (&floors{db: db, outbox: out, links: map[string]link{"erp": sap}, log: slog.New(slog.DiscardHandler)}).settling()
	}
	first, second := node(), node()
	c := idocConfig{ReadBack: &ReadBack{Link: "erp"}, BookedWithin: 1000 * time.Hour}
	round := func(s *settling) {
		t.Helper()
		_ = s.link(t.Context(), "idocs", c) // what one question brings is told, and is nothing to the others
	}

	var old []string
	for i := range 200 {
		old = append(old, fmt.Sprintf("old-%04d", i))
	}
	gotByIDoc(t, db, out, old...)
	pass(2 * time.Minute)
	round(first)
	round(second)
	gotByIDoc(t, db, out, "new")
	pass(time.Minute)
	round(first)
	var d outbox.Detail
	err := db.View(t.Context(), func(tx *store.Tx) (err error) { d, err = out.Message(t.Context(), tx, sap.booked); return err })
	if err != nil || d.Receipt.Document != "0000000100/00000003" {
		t.Errorf("the new one is called %q, %v", d.Receipt.Document, err)
	}
	round(second)
	for id, n := range sap.asked {
		if n != 1 {
			t.Errorf("message %s was asked for %d times, want once by the two nodes", id, n)
		}
	}
	if len(sap.asked) != 201 {
		t.Errorf("%d were asked for, want 201", len(sap.asked))
	}
}

// gotByIDoc appends events and has them received by SAP, which gives no number.
func gotByIDoc(t *testing.T, db *store.DB, out *outbox.Outbox, events ...string) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, id := range events {
			m, err := message.New(id, "operation.confirmed", id, tx.Now, map[string]string{"n": id})
			if err == nil {
				err = out.Append(t.Context(), tx, m)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(t.Context(), func(tx *store.Tx) error {
		claims, err := out.Claim(t.Context(), tx, "n1", "idocs", len(events), 1)
		if err != nil {
			return err
		}
		all := make([]outbox.Settlement, len(claims))
		for i, c := range claims {
			q := c.Messages[0]
			all[i] = outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.SentTo, Done: []outbox.Done{{
				ID: q.ID, Epoch: q.Epoch, Number: q.Number, Role: q.Role, SentWith: "ticket@1", Sent: true,
				Receipt: message.Receipt{Kind: "IDoc PPCC2PRETTICKET01", Status: 200, Answer: []byte("IDoc-XML-inbound ok"), At: tx.Now},
			}}}
		}
		busy, lost, err := out.Settle(t.Context(), tx, "idocs", all)
		if err == nil && len(claims)-len(busy)-len(lost) != len(events) {
			err = fmt.Errorf("%d of %d are settled", len(claims)-len(busy)-len(lost), len(events))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
