package store

import (
	"context"
	"fmt"
	"time"
)

// Begun is when the first step of the schema was applied, to the second or better; zero for a database that has none. A copy keeps it, and so does what is
// restored of that: two databases of one plant are told apart by it.
func (db *DB) Begun(ctx context.Context) (at time.Time, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		at, err = tx.Begun(ctx)
		return err
	})
	return at, err
}

// Begun is DB.Begun in the transaction.
func (tx *Tx) Begun(ctx context.Context) (time.Time, error) {
	there := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`
	if tx.Dialect() == Postgres {
		there = `SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'goose_db_version'`
	}
	var tables int64
	if err := tx.Get(ctx, &tables, there); err != nil || tables == 0 {
		return time.Time{}, err
	}
	var first []time.Time
	if err := tx.Select(ctx, &first, `SELECT tstamp FROM goose_db_version WHERE version_id > 0 ORDER BY id LIMIT 1`); err != nil {
		return time.Time{}, fmt.Errorf("read when the database was begun: %w", err)
	}
	if len(first) == 0 {
		return time.Time{}, nil
	}
	return first[0].UTC(), nil
}
