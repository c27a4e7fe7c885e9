package odata

import (
	"net/http"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestEachDeletionIsAMessageInItsObjectsOrder: V4.01 may name what is gone by its key fields alone. Two that are gone are two messages, and each has the
// key that its object's changes have, in whichever form the service names it.
func TestEachDeletionIsAMessageInItsObjectsOrder(t *testing.T) {
	w := dialects()[1].start(t, edmx.Config{}, func(c *Config) {
		c.Polls = []PollConfig{{Name: "p", Set: "conf/Confirmation", Delta: true, Source: "urn:erp", Kind: "k", Mapping: "in", Key: "ConfirmationGroup"}}
	})
	p := w.link.Polls()[0]
	m, set, err := p.client.set(t.Context(), p.set)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ body, first, second string }{
		"by its key fields": {
			`{"value":[{"@removed":{"reason":"deleted"},"ConfirmationGroup":"3","ConfirmationCount":"1"},{"@removed":{"reason":"deleted"},"ConfirmationGroup":"4","ConfirmationCount":"1"}]}`, "3", "4",
		},
		"by its address": {
			`{"value":[{"@removed":{},"@id":"Confirmation(ConfirmationGroup='3',ConfirmationCount='1')"},{"@removed":{},"@id":"Confirmation(ConfirmationGroup='3',ConfirmationCount='2')"}]}`, "3", "3",
		},
		"as 4.0 has it": {
			`{"value":[{"@odata.context":"$metadata#Confirmation/$deletedEntity","id":"Confirmation(ConfirmationGroup='3',ConfirmationCount='1')","reason":"deleted"},{"@odata.context":"$metadata#Confirmation/$deletedEntity","id":"Confirmation(ConfirmationGroup='4',ConfirmationCount='1')","reason":"changed"}]}`, "3", "4",
		},
		"by an address of segments": {
			`{"value":[{"@removed":{},"@id":"https://erp.example/Confirmation/3/1"},{"@removed":{},"@id":"Confirmation/4/1"}]}`, "3", "4",
		},
		"by an address that says nothing": {`{"value":[{"@removed":{},"@id":"urn:a"},{"@removed":{},"@id":"urn:b"}]}`, "urn:a", "urn:b"},
	} {
		page, err := p.client.somePage(m, set.Of, wire.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(tt.body)})
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := p.take(set.Of, page, stand{link: "Confirmation?$deltatoken=1"}, time.Now())
		if err != nil || n != 2 || len(got) != 2 {
			t.Fatalf("%s: %d of %d, %v", name, len(got), n, err)
		}
		if got[0].ID == got[1].ID || got[0].Key != tt.first || got[1].Key != tt.second || got[0].Unread != nil {
			t.Errorf("%s: got %s of %s and %s of %s, want two messages of %s and %s", name, got[0].ID, got[0].Key, got[1].ID, got[1].Key, tt.first, tt.second)
		}
	}
}

// TestAPollThatGetsNowhereSaysSo: a link to the next page that is not known once begins the reading anew; one that is not known again, before that reading is
// complete, is an error each time, and yet is not asked for ever: once the service can, everything comes.
func TestAPollThatGetsNowhereSaysSo(t *testing.T) {
	for name, poll := range map[string]PollConfig{"delta": {Delta: true}, "whole": {Whole: true}} {
		t.Run(name, func(t *testing.T) {
			w := orders(t, 1200, edmx.Config{Delta: true}, poll)
			p, cursor := w.link.Polls()[0], ""
			gone := func(skip int, cursor string) (int, string, error) {
				w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 404, Method: "GET", Skip: skip, Count: 1})
				batch, next, err := p.Poll(t.Context(), cursor)
				return len(batch), next, err
			}
			n, cursor, err := gone(2, cursor) // $metadata and a page pass
			if n != 0 || err != nil || cursor == "" {
				t.Fatalf("the first time: %d, %q, %v", n, cursor, err)
			}
			for range 3 {
				if n, next, err := gone(1, cursor); n != 0 || next != cursor || problem.KindOf(err) == "" {
					t.Fatalf("again: %d, %q, %v; want an error", n, next, err)
				}
			}
			batch, cursor, err := p.Poll(t.Context(), cursor)
			if err != nil || len(batch) < fresh || len(batch) == 1200 {
				t.Fatalf("the service can again: %d, %v", len(batch), err)
			}
			for range 2 { // in the middle of the reading, whose link is not asked for ever either
				if n, next, err := gone(0, cursor); n != 0 || next != cursor || err == nil {
					t.Fatalf("in the middle: %d, %q, %v; want an error", n, next, err)
				}
				w.mock.SetFaults()
				if batch, _, err := p.Poll(t.Context(), cursor); err != nil || len(batch) < fresh {
					t.Fatalf("from its beginning: %d, %v", len(batch), err)
				}
			}
			b := &inbox{cursor: cursor, seen: map[string]message.Incoming{}}
			for _, in := range batch {
				b.seen[in.ID] = in
			}
			if b.round(t, p); len(b.seen) != 1200 {
				t.Errorf("%d in the end, want 1200", len(b.seen))
			}
			if n, _, err := gone(0, b.cursor); poll.Delta && (n != 0 || err != nil) {
				t.Errorf("after a complete reading: %d, %v", n, err)
			}
		})
	}
}
