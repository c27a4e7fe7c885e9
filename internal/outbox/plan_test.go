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
			g := given{len(names), []column{col("lane", ofText, names), col("sent_to", ofInt, sent)}}
			plan, err := planOf(t.Context(), tx, explain+g.laneUpdate(tx, `sent_to = g.sent_to`), append(g.args(tx), "erp")...)
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
