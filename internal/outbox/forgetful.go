package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// Forgets tells whether new documents of a link's target do not keep the message's ID, so that nothing is proven where none is found by it.
func (o *Outbox) Forgets(ctx context.Context, tx *store.Tx, link, target string) (is bool, err error) {
	if err := tx.Get(ctx, &is, `SELECT EXISTS (SELECT 1 FROM outbox_forgetful WHERE link = ? AND target = ?)`, link, target); err != nil {
		return false, fmt.Errorf("read whether %s of link %s keeps the message's ID: %w", target, link, err)
	}
	return is, nil
}

// SetForgets keeps whether they do not.
func (o *Outbox) SetForgets(ctx context.Context, tx *store.Tx, link, target string, forgets bool) error {
	query, args := `DELETE FROM outbox_forgetful WHERE link = ? AND target = ?`, []any{link, target}
	if forgets {
		query, args = `INSERT INTO outbox_forgetful (link, target, at) VALUES (?, ?, ?) ON CONFLICT (link, target) DO NOTHING`, append(args, store.Micros(tx.Now))
	}
	if _, err := tx.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("keep whether %s of link %s keeps the message's ID: %w", target, link, err)
	}
	return nil
}
