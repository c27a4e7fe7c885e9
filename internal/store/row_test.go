package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// cells is a row of every kind that Row reads.
type cells struct {
	Name  string
	N     int64
	OK    bool
	Body  []byte
	At    time.Time
	Empty string
}

const readCells = `SELECT CAST('näme' AS TEXT), CAST(-7 AS BIGINT), TRUE, CAST(? AS BYTEA), '2026-11-26T10:00:00+01:00', CAST(NULL AS TEXT)
	UNION ALL SELECT '', CAST(NULL AS BIGINT), FALSE, CAST(NULL AS BYTEA), '', 'end' ORDER BY 6 NULLS FIRST`

func readAll(into *[]cells) func(r *store.Row) {
	return func(r *store.Row) {
		*into = append(*into, cells{r.Text(), r.Int(), r.Bool(), r.Bytes(), r.Zoned(), r.Text()})
	}
}

func query(db *store.DB) string {
	if db.Dialect() == store.SQLite { // it has no such type, and sorts NULL first
		return `SELECT * FROM (SELECT 'näme' AS a, -7 AS b, TRUE, CAST(? AS BLOB), '2026-11-26T10:00:00+01:00', NULL
			UNION ALL SELECT '', NULL, FALSE, NULL, '', 'end') ORDER BY b DESC`
	}
	return readCells
}

func TestRowsAreReadWithAndWithoutATransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 11, 26, 10, 0, 0, 0, time.FixedZone("", 3600))
		want := []cells{{"näme", -7, true, []byte{0, 1, 255}, at, ""}, {"", 0, false, nil, time.Time{}, "end"}}
		for name, in := range map[string]func(context.Context, func(*store.Tx) error) error{"in a transaction": db.InTx, "in a view": db.View} {
			for way, read := range map[string]func(tx *store.Tx, into *[]cells) error{
				"now": func(tx *store.Tx, into *[]cells) error {
					return tx.Read(t.Context(), readAll(into), query(db), []byte{0, 1, 255})
				},
				"later": func(tx *store.Tx, into *[]cells) error {
					err := tx.ReadLater(t.Context(), readAll(into), query(db), []byte{0, 1, 255})
					return errors.Join(err, tx.Get(t.Context(), new(int), `SELECT 1`))
				},
			} {
				var got []cells
				if err := in(t.Context(), func(tx *store.Tx) error { return read(tx, &got) }); err != nil {
					t.Errorf("%s, %s: %v", name, way, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, %s: -want +got\n%s", name, way, diff)
				}
			}
		}
	})
}

// TestAColumnThatIsReadAsAnotherIsAnError also of a query that travels with the next.
func TestAColumnThatIsReadAsAnotherIsAnError(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, read := range map[string]func(tx *store.Tx) error{
			"now": func(tx *store.Tx) error {
				return tx.Read(t.Context(), func(r *store.Row) { r.Int() }, `SELECT CAST('x' AS TEXT)`)
			},
			"later": func(tx *store.Tx) error {
				return tx.ReadLater(t.Context(), func(r *store.Row) { r.Int() }, `SELECT CAST('x' AS TEXT)`)
			},
			"too few": func(tx *store.Tx) error {
				return tx.Read(t.Context(), func(r *store.Row) { r.Text() }, `SELECT CAST('x' AS TEXT), 1`)
			},
			"too many": func(tx *store.Tx) error {
				return tx.Read(t.Context(), func(r *store.Row) { r.Text(); r.Text() }, `SELECT CAST('x' AS TEXT)`)
			},
		} {
			if err := db.InTx(t.Context(), read); err == nil {
				t.Errorf("%s: it was not noticed", name)
			}
		}
	})
}

// TestAQueryThatFailsUndoesWhatWaited: it travels with the BEGIN and with statements that nobody waits for.
func TestAQueryThatFailsUndoesWhatWaited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Later(t.Context(), insertNote, 1); err != nil {
				return err
			}
			return tx.Read(t.Context(), func(*store.Row) {}, `SELECT nothing FROM nowhere`)
		})
		if err == nil || count(t, db) != 0 {
			t.Errorf("err = %v, %d rows, want an error and none", err, count(t, db))
		}
	})
}
