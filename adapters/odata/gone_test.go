package odata

import (
	"net/http"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/wire"
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
