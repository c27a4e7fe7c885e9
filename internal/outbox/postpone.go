package outbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Postpone has a message that is still owed sent at until at the earliest, and with it, since order in a lane is absolute, all that
// follow it; waiting is how many messages of the lane are due no earlier. A time that is past ends a postponement. A lane that stands
// still goes on standing still. Conflict if the message is being sent, is a void, or would expire before.
func (o *Outbox) Postpone(ctx context.Context, tx *store.Tx, id string, until time.Time, reason string) (waiting int64, err error) {
	w, l, err := lockMessage(ctx, tx, "postpone message "+id, id)
	if err != nil {
		return 0, err
	}
	if err := l.free(ctx, tx, w.Link, w.Number); err != nil {
		return 0, err
	}
	if err := w.cannotWait(until); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET not_before = ? WHERE id = ?`, store.Micros(until), id); err != nil {
		return 0, fmt.Errorf("postpone message %s: %w", id, err)
	}
	h, err := readHead(ctx, tx, w.Link, l)
	if err != nil {
		return 0, err
	}
	if h.ID == id { // the head decides when its lane is due
		_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET scheduled = ?, due_at = CASE WHEN lease_owner = '' THEN ? ELSE due_at END, changed_at = ?
			WHERE link = ? AND lane = ?`, h.NotBefore > store.Micros(tx.Now), h.dueAt(tx), store.Micros(tx.Now), w.Link, w.Lane)
		if err != nil {
			return 0, fmt.Errorf("postpone lane %s of link %s: %w", w.Lane, w.Link, err)
		}
	}
	err = tx.Get(ctx, &waiting, `SELECT COUNT(*) FROM outbox_messages WHERE link = ? AND lane = ? AND (epoch > ? OR (epoch = ? AND number >= ?))`,
		w.Link, w.Lane, w.Epoch, w.Epoch, w.Number)
	if err != nil {
		return 0, fmt.Errorf("count what waits behind message %s: %w", id, err)
	}
	tx.Wake(Topic)
	return waiting, history(ctx, tx, row{ID: id}, postponed, fmt.Sprintf("until %s: %s", until.Format(time.RFC3339), reason))
}

// cannotWait says why a message cannot be sent later; nil if it can.
func (w row) cannotWait(until time.Time) error {
	no := func(why, hint string) error {
		return &problem.Error{Kind: problem.Conflict, What: "postpone message " + w.ID, Why: why, Hint: hint}
	}
	switch {
	case w.Role == string(message.Void):
		return no("it was discarded, or has expired: its void closes its number", "let the void go")
	case w.ExpiresAt > 0 && store.Micros(until) >= w.ExpiresAt:
		return no("it expires at "+store.FromMicros(w.ExpiresAt).Format(time.RFC3339), "name a time before that")
	}
	return nil
}

// dueLater has a lane due at the time of its first message.
func (o *Outbox) dueLater(ctx context.Context, tx *store.Tx, link, name string, at int64) error {
	_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET due_at = ?, scheduled = TRUE, lease_owner = '' WHERE link = ? AND lane = ?`, at, link, name)
	if err != nil {
		return fmt.Errorf("postpone lane %s of link %s: %w", name, link, err)
	}
	return nil
}

// lift has a message sent as soon as its turn comes, whatever time it was put off to.
func lift(ctx context.Context, tx *store.Tx, w row) error {
	if w.NotBefore <= store.Micros(tx.Now) {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET not_before = 0 WHERE id = ?`, w.ID); err != nil {
		return fmt.Errorf("end the postponement of message %s: %w", w.ID, err)
	}
	return history(ctx, tx, row{ID: w.ID}, lifted, "it was until "+store.FromMicros(w.NotBefore).Format(time.RFC3339))
}
