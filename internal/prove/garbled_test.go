package prove_test

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/store"
)

// TestATextInAColumnOfNumbersIsNamedByLaneAndNumber: SQLite keeps any text there, and the whole proof ended with words about a scan. PostgreSQL takes none.
func TestATextInAColumnOfNumbersIsNamedByLaneAndNumber(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 3)
		w.owe("o2", 1)
		w.deliver(3)
		columns := []string{"epoch", "number", "version", "created_at", "attempts", "redelivery", "sealed", "settled_at", "status", "asked", "sends", "answer_sealed"}
		if w.db.Dialect() == store.Postgres {
			columns = nil
		}
		for _, column := range columns {
			const at = ` WHERE lane = 'o1' AND id = (SELECT id FROM outbox_delivered WHERE lane = 'o1' AND prev <> '' ORDER BY rowid LIMIT 1)`
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `CREATE TABLE kept AS SELECT id, `+column+` AS was FROM outbox_delivered`+at)
				if err == nil {
					_, err = tx.Exec(ctx, `UPDATE outbox_delivered SET `+column+` = 'xx'`+at)
				}
				return err
			})
			w.do(func(ctx context.Context, tx *store.Tx) error {
				broken, there, err := prove.One(ctx, tx, w.out, "erp", "o1", w.by)
				if err != nil || !there || broken.State != prove.Broken || len(broken.Wrong) != 1 || broken.Wrong[0].Number != 2 || !strings.Contains(broken.Wrong[0].What, "column "+column+" ") {
					t.Errorf("%s: %s, %+v, %v, want it named at number 2", column, broken.State, broken.Wrong, err)
				}
				whole, _, err := prove.One(ctx, tx, w.out, "erp", "o2", w.by)
				if err != nil || whole.State != prove.Whole {
					t.Errorf("%s: the other lane is %s, %+v, %v", column, whole.State, whole.Wrong, err)
				}
				if _, err = tx.Exec(ctx, `UPDATE outbox_delivered SET `+column+` = (SELECT was FROM kept) WHERE id = (SELECT id FROM kept)`); err == nil {
					_, err = tx.Exec(ctx, `DROP TABLE kept`)
				}
				return err
			})
		}
	})
}

// TestATextInANumberOfAHistoryIsNamedByLaneAndNumber: the same of what a message was before a person changed it.
func TestATextInANumberOfAHistoryIsNamedByLaneAndNumber(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		if w.db.Dialect() != store.SQLite {
			return // its columns are of numbers
		}
		w.owe("o1", 3)
		w.owe("o2", 1)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.out.Amend(ctx, tx, outbox.MessageID("erp", "o1-2"), []byte(`{"piece":22}`), "typo")
		})
		if all, broken := w.after(t); len(all) != 2 || len(broken) != 0 {
			t.Fatalf("got %+v, want two whole lanes", all)
		}
		for _, column := range []string{"at", "sealed", "seq"} {
			all, broken := w.after(t, `UPDATE outbox_events SET `+column+` = 'xx' WHERE what = 'amended'`)
			if len(all) != 2 || len(broken) != 1 || broken[0].Lane != "o1" || broken[0].Wrong[0].Number != 2 || !strings.Contains(broken[0].Wrong[0].What, "column "+column+" ") {
				t.Errorf("%s: got %+v, want lane o1 broken at number 2, and the other looked at", column, broken)
			}
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE outbox_events SET `+column+` = CASE '`+column+`' WHEN 'seq' THEN 1 ELSE 0 END WHERE what = 'amended'`)
				return err
			})
		}
	})
}
