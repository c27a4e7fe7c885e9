package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestStockIsWhatAppendWrites holds the two against each other, row by row: a figure of messages that the engine would not have
// written itself says nothing.
func TestStockIsWhatAppendWrites(t *testing.T) {
	ctx := t.Context()
	const n, lanes = 7, 3
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	stocked, appended := yardAt(t, now), yardAt(t, now)
	if err := stocked.stock(ctx, n, lanes, kilobyte()); err != nil {
		t.Fatal(err)
	}
	err := appended.db.InTx(ctx, func(tx *store.Tx) error {
		for i := range n {
			m := message.Message{ID: fmt.Sprintf("1-%d", i), Kind: benchKind, Version: 1, Key: fmt.Sprintf("1-o%d", i%lanes), Time: tx.Now, Body: kilobyte()}
			if err := appended.out.Append(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"outbox_messages", "outbox_lanes"} {
		got, want := dump(ctx, t, stocked.db, table), dump(ctx, t, appended.db, table)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from what Append writes (-Append +stock):\n%s", table, diff)
		}
	}
}

func yardAt(t *testing.T, now time.Time) *yard {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/plant.db", store.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &yard{db: db, out: newOutbox("")}
}

// dump is every row of a table in the order of its primary key, as one text.
func dump(ctx context.Context, t *testing.T, db *store.DB, table string) []string {
	t.Helper()
	var columns, rows []string
	err := db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Select(ctx, &columns, `SELECT name FROM pragma_table_info(?)`, table); err != nil {
			return err
		}
		line := "''"
		for _, c := range columns {
			line += ` || ' ` + c + `=' || COALESCE(CAST(` + c + ` AS TEXT), 'null')`
		}
		return tx.Select(ctx, &rows, `SELECT `+line+` FROM `+table+` ORDER BY 1`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
