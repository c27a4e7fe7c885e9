package prove_test

import (
	"context"
	"log/slog"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/store"
)

// seal has the audit record hold what the lanes have.
func (w laneWorld) seal() {
	w.t.Helper()
	tree := audit.NewTree(w.db, "record", "a", audit.Config{Lanes: w.out.Moved}, slog.New(slog.DiscardHandler))
	if _, err := tree.Seal(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// held is what was lost of lanes, after a change behind Holdfast's back which is undone again.
func (w laneWorld) held(t *testing.T, link, lane string, change func(ctx context.Context, tx *store.Tx) error) (lost []prove.Lost) {
	t.Helper()
	err := w.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		if err = change(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		if lost, err = prove.Held(t.Context(), tx, w.out, link, lane); err != nil {
			t.Fatal(err)
		}
		return errUndo
	})
	if err == nil {
		t.Fatal("it was not undone")
	}
	return lost
}

func statements(all ...string) func(ctx context.Context, tx *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		for _, s := range all {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestALaneIsHeldAgainstTheAuditRecord: who takes the last messages of a lane, sets its end back to what is left, and leaves nothing that does not
// fit, is told by the head that the signed record keeps.
func TestALaneIsHeldAgainstTheAuditRecord(t *testing.T) {
	back := []string{
		"DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 3",
		"UPDATE outbox_lanes SET next_number = 3, head = 3, last_digest = (SELECT digest FROM outbox_delivered WHERE lane = 'o1' AND number = 2) WHERE lane = 'o1'",
	}
	all := []string{"DELETE FROM outbox_delivered WHERE lane = 'o1'", "DELETE FROM outbox_messages WHERE lane = 'o1'", "DELETE FROM outbox_lanes WHERE lane = 'o1'"}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 3)
		w.owe("o2", 3)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.out.Amend(ctx, tx, outbox.MessageID("erp", "o2-3"), []byte(`{"piece":44}`), "typo")
		})
		w.seal()
		w.deliver(3)
		w.seal()
		tests := []struct {
			name   string
			change func(ctx context.Context, tx *store.Tx) error
			number int64 // of lane o1; 0: nothing is lost
		}{
			{"nothing", statements(), 0},
			{"the last, and its end set back", statements(back...), 3},
			{"the whole lane", statements(all...), 3},
			{"the last, and another in its place", func(ctx context.Context, tx *store.Tx) error {
				if err := statements(back...)(ctx, tx); err != nil {
					return err
				}
				m := w.event("o1", 9)
				return w.out.Append(ctx, tx, m)
			}, 3},
			{"old enough to be purged", func(ctx context.Context, tx *store.Tx) error {
				if err := statements("UPDATE outbox_delivered SET settled_at = 1")(ctx, tx); err != nil {
					return err
				}
				_, err := w.out.Purge(ctx, tx, 100)
				return err
			}, 0},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, asked := range [][2]string{{"", ""}, {"erp", "o1"}} {
					lost := w.held(t, asked[0], asked[1], tt.change)
					if tt.number == 0 && len(lost) > 0 || tt.number > 0 && (len(lost) != 1 || lost[0].Lane != "o1" || lost[0].Number != tt.number || lost[0].Entry == 0) {
						t.Errorf("lost %+v, want number %d of lane o1", lost, tt.number)
					}
				}
				if lost := w.held(t, "erp", "o2", tt.change); len(lost) > 0 {
					t.Errorf("of the other lane: %+v, want nothing", lost)
				}
			})
		}
	})
}
