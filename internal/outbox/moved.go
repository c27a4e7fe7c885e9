package outbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/store"
)

// Moved is the head of every lane into which a message was put since then: epoch, number and digest of its last one.
func (o *Outbox) Moved(ctx context.Context, tx *store.Tx, since time.Time) ([]audit.Head, error) {
	var rows []struct {
		Link   string `db:"link"`
		Lane   string `db:"lane"`
		Epoch  int64  `db:"epoch"`
		Number int64  `db:"number"`
		Digest string `db:"last_digest"`
	}
	err := tx.Select(ctx, &rows, `SELECT link, lane, epoch, next_number - 1 AS number, last_digest FROM outbox_lanes
		WHERE next_number > 1 AND (link, lane) IN (SELECT link, lane FROM outbox_messages WHERE created_at >= ?
		UNION SELECT link, lane FROM outbox_delivered WHERE created_at >= ?) ORDER BY link, lane`, store.Micros(since), store.Micros(since))
	if err != nil {
		return nil, fmt.Errorf("read which lanes have moved: %w", err)
	}
	heads := make([]audit.Head, len(rows))
	for i, r := range rows {
		heads[i] = audit.Head(r)
	}
	return heads, nil
}
