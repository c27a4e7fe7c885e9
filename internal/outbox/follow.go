package outbox

import (
	"context"
	"fmt"
	"strconv"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Follower is a message that is owed behind another of its lane.
type Follower struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Epoch  int64  `json:"epoch"`
	Number int64  `json:"number"`
}

// Followers are the messages that are owed behind d in its lane and say something, in the order in which they go: the first of them, limit at most,
// and how many there are. They go on without d if it is discarded, and may need it.
func (o *Outbox) Followers(ctx context.Context, tx *store.Tx, d Detail, limit int) (list []Follower, all int64, err error) {
	const behind = ` FROM outbox_messages AS m WHERE m.link = ? AND m.lane = ? AND (m.epoch, m.number) > (?, ?) AND m.role <> ?
		AND NOT EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE ` + isReceiptOf + `)`
	args := []any{d.Link, d.Lane, d.Epoch, d.Number, string(message.Void)}
	err = tx.Select(ctx, &list, `SELECT m.id, m.kind, m.epoch, m.number`+behind+` ORDER BY m.epoch, m.number LIMIT `+strconv.Itoa(limit), args...)
	if all = int64(len(list)); err == nil && len(list) == limit {
		err = tx.Get(ctx, &all, `SELECT COUNT(*)`+behind, args...)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list what follows message %s: %w", d.ID, err)
	}
	return list, all, nil
}
