package docnum

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/internal/store"
)

// Second gives the second that stands in what key names: the one that is wanted, or the first after all that others of its lane have. It is the
// same each time it is asked for. Those of one lane must be asked for one after the other, in their order.
func Second(ctx context.Context, tx *store.Tx, link, lane, key string, wanted int64) (second int64, err error) {
	const known = `SELECT second FROM docnum_seconds WHERE link = ? AND key = ?`
	if err := tx.Get(ctx, &second, known, link, key); err == nil || !errors.Is(err, sql.ErrNoRows) {
		return second, wrap("find the second beside", key, err)
	}
	var last int64
	if err := tx.Get(ctx, &last, `SELECT COALESCE(MAX(second), 0) FROM docnum_seconds WHERE link = ? AND lane = ?`, link, lane); err != nil {
		return 0, wrap("find the last second beside", key, err)
	}
	n, err := tx.Exec(ctx, `INSERT INTO docnum_seconds (link, key, lane, second) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, link, key, lane, max(wanted, last+1))
	if err != nil {
		return 0, wrap("keep the second beside", key, err)
	}
	if n == 0 { // another node was faster
		err = tx.Get(ctx, &second, known, link, key)
		return second, wrap("find the second beside", key, err)
	}
	return max(wanted, last+1), nil
}

// forgetSeconds removes those of tickets that are older than Keep, some at a time.
func forgetSeconds(ctx context.Context, tx *store.Tx) error {
	before := tx.Now.Add(-Keep).Unix()
	_, err := tx.Exec(ctx, `DELETE FROM docnum_seconds WHERE second < ? AND key IN (SELECT key FROM docnum_seconds WHERE second < ? LIMIT 1000)`, before, before)
	if err != nil {
		return fmt.Errorf("forget old seconds: %w", err)
	}
	return nil
}
