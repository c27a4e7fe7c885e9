package prove_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/store"
)

// TestAShreddingIsAnAct: bodies that somebody destroys with SQL, as a shredding would, are missed unless the audit record has the act of a person since
// they were made.
func TestAShreddingIsAnAct(t *testing.T) {
	entry := func(lane string, e audit.Entry) func(ctx context.Context, tx *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			e.Actor, e.Action, e.Object = "local:anna", "keys.shred", "lane/erp/"+lane
			return audit.Append(ctx, tx, e)
		}
	}
	tests := []struct {
		name  string
		act   func(ctx context.Context, tx *store.Tx) error
		whole bool
	}{
		{"by a person", entry("o1", audit.Entry{}), true},
		{"by nobody", func(context.Context, *store.Tx) error { return nil }, false},
		{"of another lane", entry("o2", audit.Entry{}), false},
		{"that was refused", entry("o1", audit.Entry{Outcome: audit.Refused}), false},
		{"before the messages were made", entry("o1", audit.Entry{At: time.Now().Add(-time.Hour)}), false},
		{"that was put into the record", func(ctx context.Context, tx *store.Tx) error {
			guard := "DROP TRIGGER audit_entries_mac"
			if tx.Dialect() == store.Postgres {
				guard = "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_mac"
			}
			if _, err := tx.Exec(ctx, guard); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome) VALUES (?, 'local:anna', '', 'keys.shred', 'lane/erp/o1', 'asked for', 'done')`,
				store.Micros(tx.Now))
			return err
		}, false},
	}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.seals()
		w.by.Shredded = prove.Shreddings
		w.owe("o1", 2)
		w.do(entry("old", audit.Entry{}))
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(audit.BeginMACs(ctx, tx, "n1", nil), w.out.Amend(ctx, tx, outbox.MessageID("erp", "o1-2"), []byte(`{"piece":22}`), "typo"))
		})
		w.deliver(2)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			if at, err := prove.Shreddings(ctx, tx, "erp", "old"); err != nil || len(at) != 1 {
				t.Errorf("an entry from before there were MACs: got %v, %v, want it believed", at, err)
			}
			return nil
		})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
					if err := tt.act(t.Context(), tx); err != nil {
						return err
					}
					if _, err := w.out.Shred(t.Context(), tx, "erp", "o1"); err != nil {
						return err
					}
					ends, err := w.out.Ends(t.Context(), tx, "erp", "o1")
					if err != nil {
						return err
					}
					c, err := prove.Check(t.Context(), tx, w.out, ends[0], w.by)
					if tt.whole != (c.State == prove.Whole) || !tt.whole && (!names([]prove.Chain{c}, "o1", 1) || !names([]prove.Chain{c}, "o1", 2)) {
						t.Errorf("got %+v, want the lane whole: %v, else broken at its numbers", c, tt.whole)
					}
					return errors.Join(err, errUndo)
				})
				if !errors.Is(err, errUndo) {
					t.Fatal(err)
				}
			})
		}
	})
}

// TestNobodyElseExcusesAMessage: what was purged for its age is missed by nobody, and what somebody takes away and notes as purged is.
func TestNobodyElseExcusesAMessage(t *testing.T) {
	const note = "INSERT INTO outbox_purged (link, lane, epoch, number) VALUES ('erp', 'o2', 1, 2)"
	tests := []struct {
		name    string
		lane    string
		number  int64
		changes []string
	}{
		{"noted", "o2", 1, []string{"DELETE FROM outbox_delivered WHERE lane = 'o2' AND number < 3", note}},
		{"noted with the MAC of another", "o2", 1, []string{
			"DELETE FROM outbox_delivered WHERE lane = 'o2' AND number < 3", note, "UPDATE outbox_purged SET mac = (SELECT mac FROM outbox_purged WHERE lane = 'o1') WHERE lane = 'o2'",
		}},
		{"more than was", "o1", 1, []string{"DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 2", "UPDATE outbox_purged SET number = 2 WHERE lane = 'o1'"}},
		{"more than was, without a MAC", "o1", 1, []string{
			"DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 2", "UPDATE outbox_purged SET number = 2, mac = NULL WHERE lane = 'o1'",
		}},
		{"the whole lane", "o2", 1, []string{"DELETE FROM outbox_delivered WHERE lane = 'o2'", "INSERT INTO outbox_purged (link, lane, epoch, number) VALUES ('erp', 'o2', 1, 3)"}},
	}
	for _, before := range []bool{false, true} { // receipts have MACs since before the purge
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			eachLaneWorld(t, func(t *testing.T, w laneWorld) {
				w.seals()
				if before {
					w.placed()
				}
				w.owe("o1", 3)
				w.owe("o2", 3)
				w.deliver(3)
				w.do(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET settled_at = 1 WHERE lane = 'o1' AND number = 1")
					return err
				})
				w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.out.Purge(ctx, tx, 100); return err })
				w.placed()
				w.since()
				w.by.Since = w.db.Now() // what the test has set is no receipt of the plant's
				if all, broken := w.after(t); len(broken) != 0 || all[0].First != 2 {
					t.Fatalf("got %+v, want two whole lanes, the first from number 2 on", all)
				}
				for _, tt := range tests {
					t.Run(tt.name, func(t *testing.T) {
						if _, broken := w.after(t, tt.changes...); !names(broken, tt.lane, tt.number) {
							t.Errorf("got %+v, want lane %s broken at number %d", broken, tt.lane, tt.number)
						}
					})
				}
				lost := 0
				err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
					for _, s := range tests[4].changes {
						if _, err := tx.Exec(t.Context(), s); err != nil {
							return err
						}
					}
					all, err := prove.Held(t.Context(), tx, w.out, "", "")
					lost = len(all)
					return errors.Join(err, errUndo)
				})
				if !errors.Is(err, errUndo) || lost != 1 {
					t.Errorf("the record misses %d (%v), want the head of o2", lost, err)
				}
			})
		})
	}
}

// TestEachDeliveryIsKept of a message that was delivered several times, but for what was purged for its age.
func TestEachDeliveryIsKept(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 2)
		w.deliver(2)
		for range 2 {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.out.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 2}, "it was lost there")
				return err
			})
			w.deliver(2)
		}
		if all, broken := w.after(t); len(broken) != 0 || all[0].Receipts != 4 {
			t.Fatalf("got %+v, want the lane whole with four receipts", all)
		}
		w.broken(t, "DELETE FROM outbox_delivered WHERE number = 2 AND redelivery = 0", 2)
		w.broken(t, "DELETE FROM outbox_delivered WHERE number = 2 AND redelivery = 1", 2)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET settled_at = 1 WHERE number = 1 OR redelivery = 0")
			return err
		})
		w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.out.Purge(ctx, tx, 100); return err })
		if all, broken := w.after(t); len(broken) != 0 || all[0].Receipts != 2 {
			t.Errorf("once the first were purged: got %+v, want the lane whole with two receipts", all)
		}
	})
}
