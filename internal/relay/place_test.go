package relay

import (
	"context"
	"log/slog"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store/storetest"
)

// TestAPlaceHidesNoLaneForGood: while a transaction is under way that may take a lane, whatever stands of that lane in this node's name is passed over.
// Until it has ended no more places are given, and then leases are looked at once more: a lane that is appended to all the time would else
// never be taken back.
func TestAPlaceHidesNoLaneForGood(t *testing.T) {
	db := storetest.SQLite(t)
	r := New(db, outbox.New(nil, "urn:p", outbox.Config{}), nil, nil, map[string]Link{"erp": {}}, Config{}, slog.New(slog.DiscardHandler))
	w := newRunner(r, "erp", r.links["erp"])
	r.runners["erp"].Store(w)
	w.reachable(1)
	_, p := r.Reach("erp", "o1", 10)
	if p == nil {
		t.Fatal("no place is given")
	}
	if held := w.onlyHolding(); len(held) != 1 || held[0].Token != 0 || held[0].Lane != "o1" {
		t.Fatalf("got %+v, want o1 under any token", held)
	}
	w.reachable(1) // what was looked at is not all
	if _, p := r.Reach("erp", "o2", 10); p != nil || w.leftUnsure() {
		t.Errorf("another place is given: %t; leases are looked at again before the first has ended: %t", p != nil, w.leftUnsure())
	}
	p.End(nil)
	if !w.leftUnsure() {
		t.Fatal("nobody looks at what the place has hidden")
	}
	if held := w.onlyHolding(); len(held) != 0 {
		t.Errorf("got %+v, want nothing in hand", held)
	}
	w.reachable(1)
	_, p = r.Reach("erp", "o1", 10)
	if p == nil || w.leftUnsure() {
		t.Fatal("no place is given any more")
	}
	p.End(context.Canceled) // rolled back before it took anything
	if _, p := r.Reach("erp", "o1", 10); p == nil {
		t.Fatal("a rollback closes the way")
	}
}

// TestPlacesTakeMemory: bodies of transactions under way count like those in hand, or as many as the window is wide would come on top.
func TestPlacesTakeMemory(t *testing.T) {
	r := New(storetest.SQLite(t), outbox.New(nil, "urn:p", outbox.Config{}), nil, nil, map[string]Link{"erp": {}}, Config{}, slog.New(slog.DiscardHandler))
	w := newRunner(r, "erp", r.links["erp"])
	r.runners["erp"].Store(w)
	w.reachable(1)
	_, p := r.Reach("erp", "o1", mostBytes)
	if p == nil {
		t.Fatal("no place is given")
	}
	if _, p := r.Reach("erp", "o2", 1); p != nil {
		t.Error("a place is given beyond the memory that bodies may take")
	}
	p.End(context.Canceled)
	if _, p := r.Reach("erp", "o2", 1); p == nil {
		t.Error("what was rolled back takes memory")
	}
}
