package inbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// Taken is how many messages were taken in since the database was made, those that were forgotten since included. It costs one look-up.
func (i *Inbox) Taken(ctx context.Context, tx *store.Tx) (n int64, err error) {
	if err := tx.Get(ctx, &n, `SELECT COALESCE(MAX(seq), 0) FROM inbox_messages`); err != nil {
		return 0, fmt.Errorf("count what was taken in: %w", err)
	}
	return n, nil
}
