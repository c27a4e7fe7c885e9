package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// thing is a row that travels.
type thing struct {
	ID    string
	Kind  string
	Size  int64
	Whole bool
	Body  []byte
}

func given(all []thing) store.Given {
	return store.Give(
		store.Each("id", all, func(t thing) string { return t.ID }), store.Each("kind", all, func(t thing) string { return t.Kind }),
		store.Each("size", all, func(t thing) int64 { return t.Size }), store.Each("whole", all, func(t thing) bool { return t.Whole }),
		store.Each("body", all, func(t thing) []byte { return t.Body }))
}

// TestGivenRowsArriveAsTheyWereGiven writes rows whose columns say the same of all of them, of some, or of none, and reads them back in
// each way in which rows travel.
func TestGivenRowsArriveAsTheyWereGiven(t *testing.T) {
	awkward := `'"?,{}\` + "\n€"
	tests := []struct {
		name string
		rows []thing
		once int // columns that travel once
	}{
		{"one", []thing{{"a", awkward, -1, true, []byte{0, 255, '\\'}}}, 3},
		{"all alike", []thing{{"a", "k", 1, true, []byte("x")}, {"b", "k", 1, true, []byte("y")}}, 3},
		{"none alike", []thing{{"a", "k", 1, true, []byte{}}, {awkward, "", 1 << 62, false, []byte("y")}, {"c", "k", 1, true, []byte{}}}, 0},
		{"a group is alike only as a whole", []thing{{"a", "k", 1, true, []byte("x")}, {"b", "k", 2, true, []byte("y")}}, 1},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for n, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				err := db.InTx(t.Context(), func(tx *store.Tx) error {
					return travel(t.Context(), tx, t, fmt.Sprintf("things_%d", n), tt.rows, tt.once)
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func travel(ctx context.Context, tx *store.Tx, t *testing.T, table string, rows []thing, once int) error {
	bytes := map[store.Dialect]string{store.Postgres: "BYTEA", store.SQLite: "BLOB"}[tx.Dialect()]
	if _, err := tx.Exec(ctx, `CREATE TABLE `+table+` (id TEXT PRIMARY KEY, kind TEXT NOT NULL, size BIGINT NOT NULL, whole BOOLEAN NOT NULL, body `+bytes+` NOT NULL)`); err != nil {
		return err
	}
	g := given(rows)
	query, args := g.Insert(tx, table, []string{"kind", "size"}, []string{"whole"})
	if got := strings.Count(query, "CAST(? AS TEXT)") + strings.Count(query, "CAST(? AS BIGINT)") + strings.Count(query, "CAST(? AS BOOLEAN)"); got != once {
		t.Errorf("%d columns travel once, want %d: %s", got, once, query)
	}
	for range 2 { // the second time they are there
		if _, err := tx.Exec(ctx, query+` ON CONFLICT (id) DO NOTHING`, args...); err != nil {
			return err
		}
	}
	var written, listed, selected []thing
	if err := tx.Select(ctx, &written, `SELECT * FROM `+table); err != nil {
		return err
	}
	if err := tx.Select(ctx, &listed, `SELECT g.* FROM `+g.Table(tx, "g"), g.Args(tx)...); err != nil {
		return err
	}
	query, args = g.Values(tx)
	if tx.Dialect() == store.SQLite {
		query = `WITH g (id, kind, size, whole, body) AS (` + query + `) SELECT * FROM g`
	}
	if err := tx.Select(ctx, &selected, query, args...); err != nil {
		return err
	}
	for way, got := range map[string][]thing{"written": written, "as a table": listed, "as values": selected} {
		if diff := cmp.Diff(rows, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-given +got):\n%s", way, diff)
		}
	}
	return nil
}
