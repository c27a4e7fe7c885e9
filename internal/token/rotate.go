package token

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// rotateRows is how many tokens are looked up anew in one transaction.
const rotateRows = 200

// Rotate makes a new purpose key, and has every value be found by it: tokens stay as they are. It says how many there were. While it works, and
// where it was stopped, values are found by either key; called again it ends what was stopped. Once it is done the earlier key is
// destroyed.
func (t *Tokens) Rotate(ctx context.Context, db *store.DB) (n int, err error) {
	var id int64
	err = db.InTx(ctx, func(tx *store.Tx) error {
		old, err := t.lock(ctx, tx)
		if err != nil {
			return err
		}
		id = old.id
		var behind int
		if err := tx.Get(ctx, &behind, `SELECT COUNT(*) FROM token_keys WHERE id < ?`, id); err != nil || behind > 0 {
			return err // a rotation was stopped: it is ended first
		}
		id++
		return t.newKey(ctx, tx, id)
	})
	if err != nil {
		return 0, fmt.Errorf("make a new key of tokens: %w", err)
	}
	for more := true; more; {
		var some int
		err := db.InTx(ctx, func(tx *store.Tx) (err error) { some, err = t.turn(ctx, tx, id); return err })
		if err != nil {
			return n, err
		}
		n, more = n+some, some > 0
	}
	return n, nil
}

// turn has some values be found by a key, and destroys the keys before it when there are none left.
func (t *Tokens) turn(ctx context.Context, tx *store.Tx, id int64) (int, error) {
	by, err := t.lock(ctx, tx)
	if err != nil {
		return 0, err
	}
	var rows []row
	if err := tx.Select(ctx, &rows, `SELECT token, class, value, sealed FROM tokens WHERE key < ? ORDER BY token LIMIT ?`, id, rotateRows); err != nil {
		return 0, fmt.Errorf("read tokens: %w", err)
	}
	for _, r := range rows {
		value, err := t.open(ctx, tx, r)
		if err != nil {
			return 0, err
		}
		l, err := lookup(by.seed, r.Class, value)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, `UPDATE tokens SET key = ?, lookup = ? WHERE token = ?`, by.id, l, r.Token); err != nil {
			return 0, fmt.Errorf("find a token by a new key: %w", err)
		}
	}
	if len(rows) == 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM token_keys WHERE id < ?`, id); err != nil {
			return 0, fmt.Errorf("destroy earlier keys of tokens: %w", err)
		}
	}
	return len(rows), nil
}
