package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestADiscardNamesWhatGoesOnWithoutIt: the first ten of the lane by number, kind and ID, and how many more there are; the plan says so and does nothing.
func TestADiscardNamesWhatGoesOnWithoutIt(t *testing.T) {
	db := storetest.SQLite(t)
	r := &records{db: db, out: outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:plant:1000", outbox.Config{})}
	for i := range 13 {
		m, err := message.New(fmt.Sprint("e", i+1), "operation.confirmed", "order-1", db.Now(), map[string]int{"yield": i})
		if err == nil {
			err = db.InTx(t.Context(), func(tx *store.Tx) error { return r.out.Append(t.Context(), tx, m) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	id := func(n int) string { return outbox.MessageID("erp", fmt.Sprint("e", n)) }
	plan := func(n int) string {
		t.Helper()
		var w strings.Builder
		if err := r.planDiscard(t.Context(), &w, id(n), false); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(w.String()), " ")
	}
	says := plan(1)
	for _, want := range []string{
		"message " + id(1) + ", 1 operation.confirmed of lane order-1 would be voided", "12 later messages of its lane go on without it: 2 operation.confirmed " + id(2) + ", 3 ",
		", 11 operation.confirmed " + id(11) + ", and 2 more",
	} {
		if !strings.Contains(says, want) {
			t.Errorf("the plan lacks %q: %s", want, says)
		}
	}
	if says := plan(13); !strings.HasSuffix(says, "no later message of its lane waits") {
		t.Errorf("the plan of the last one says %s", says)
	}
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		d, err := r.out.Message(t.Context(), tx, id(12))
		if err != nil || d.Role == message.Void {
			t.Errorf("it is %+v, %v; want what it was", d, err)
		}
		names, err := r.goOnWithout(t.Context(), tx, d)
		if want := "1 later message of its lane goes on without it: 13 operation.confirmed " + id(13); names != want {
			t.Errorf("it says %q, want %q", names, want)
		}
		if err == nil {
			err = r.out.Discard(t.Context(), tx, d.ID, "not wanted")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if says := plan(12); !strings.HasSuffix(says, "would stay as it is: it is voided") {
		t.Errorf("the plan of what is discarded says %s", says)
	}
}
