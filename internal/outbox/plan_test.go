package outbox

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestLanesAreUpdatedByTheirKeys asks for the plan of the statement by which claims and settlements change lanes: its cost must not grow
// with the lanes that it does not name.
func TestLanesAreUpdatedByTheirKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			series, explain := `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) `, `EXPLAIN QUERY PLAN `
			if tx.Dialect() == store.Postgres {
				series, explain = `WITH s (n) AS (SELECT generate_series(1, 5000)) `, `EXPLAIN `
			}
			if _, err := tx.Exec(t.Context(), series+`INSERT INTO outbox_lanes (link, lane) SELECT 'erp', CAST(n AS TEXT) FROM s`); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `ANALYZE outbox_lanes`); err != nil {
				return err
			}
			names, sent := make([]string, 500), make([]int64, 500)
			g := store.Give(store.Col("lane", names), store.Col("sent_to", sent))
			plan, err := planOf(t.Context(), tx, explain+laneUpdate(tx, g, `sent_to = g.sent_to`), append(g.Args(tx), "erp")...)
			byKey := strings.Contains(plan, "(link=? AND lane=?)") || strings.Contains(plan, "Index Cond: ((link = 'erp'::text) AND (lane = g.lane))")
			if err == nil && !byKey {
				t.Errorf("plan:\n%s", plan)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestDoubtIsFoundWithoutReadingWhatIsOwed asks for the plans of what the figures of a link are made of every few seconds: however many
// lanes and messages wait, only those in doubt are read.
func TestDoubtIsFoundWithoutReadingWhatIsOwed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			series, explain := `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) `, `EXPLAIN QUERY PLAN `
			if tx.Dialect() == store.Postgres {
				series, explain = `WITH s (n) AS (SELECT generate_series(1, 5000)) `, `EXPLAIN `
			}
			_, err := tx.Exec(t.Context(), series+`INSERT INTO outbox_lanes (link, lane, pending) SELECT 'erp', CAST(n AS TEXT), 5 FROM s`)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `ANALYZE outbox_lanes`); err != nil {
				return err
			}
			plan, err := planOf(t.Context(), tx, explain+doubtfulLanes, 0)
			for _, index := range []string{"outbox_lanes_doubtful", "outbox_lanes_leased"} {
				if err == nil && !strings.Contains(plan, index) {
					t.Errorf("plan without %s:\n%s", index, plan)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestWhatALaneWasMovedPastIsFoundByItsPlace asks for the plan of what each claim looks for: it reads one message and one receipt, however many
// of both wait to be filed.
func TestWhatALaneWasMovedPastIsFoundByItsPlace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			explain, want := `EXPLAIN QUERY PLAN `, []string{"(link=? AND lane=? AND epoch=? AND number<?)", "(link=? AND lane=? AND epoch<?)", "outbox_receipts_lane (link=? AND lane=? AND epoch=? AND first_number<?)"}
			if tx.Dialect() == store.Postgres {
				explain, want = `EXPLAIN `, []string{"(epoch = m.epoch) AND (number < m.number)", "(epoch < m.epoch)", "(first_number <= p.number)"}
				for _, set := range []string{`SET LOCAL enable_seqscan = off`, `SET LOCAL enable_bitmapscan = off`} { // the tables are empty
					if _, err := tx.Exec(t.Context(), set); err != nil {
						return err
					}
				}
			}
			plan, err := planOf(t.Context(), tx, explain+`SELECT `+skippedBefore+` FROM outbox_messages AS m WHERE m.id = 'x'`)
			for _, w := range want {
				if err == nil && !strings.Contains(plan, w) {
					t.Errorf("plan without %s:\n%s", w, plan)
				}
			}
			if err == nil && (strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE")) {
				t.Errorf("it sorts:\n%s", plan)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func planOf(ctx context.Context, tx *store.Tx, query string, args ...any) (string, error) {
	var lines []string
	if tx.Dialect() == store.Postgres {
		err := tx.Select(ctx, &lines, query, args...)
		return strings.Join(lines, "\n"), err
	}
	var rows []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	err := tx.Select(ctx, &rows, query, args...)
	for _, r := range rows {
		lines = append(lines, r.Detail)
	}
	return strings.Join(lines, "\n"), err
}
