package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Discard makes a void of a message that is still owed: its number is kept and nothing is sent under it. A lane that stood still
// because of it goes on. A message that may have been sent can be discarded too: a person answers for what the ERP then has.
func (o *Outbox) Discard(ctx context.Context, tx *store.Tx, link, name string, number int64, reason string) error {
	l, err := lockLane(ctx, tx, link, name)
	if err != nil {
		return err
	}
	w, err := owed(ctx, tx, `link = ? AND lane = ? AND number = ? ORDER BY epoch DESC LIMIT 1`, link, name, number)
	if err != nil {
		return err
	}
	if err := l.free(ctx, tx, link, number); err != nil {
		return err
	}
	if err := o.void(ctx, tx, &w, reason); err != nil {
		return err
	}
	return o.goOn(ctx, tx, l, w, reason)
}

// goOn lets a lane that stood still because of w try w again.
func (o *Outbox) goOn(ctx context.Context, tx *store.Tx, l *lane, w row, reason string) error {
	if l.Head != w.Number || l.Epoch != w.Epoch || l.State == string(Open) {
		return nil
	}
	return o.reopen(ctx, tx, w.Link, l, "resumed", reason)
}

// void turns w into a void, in the table and in hand. The original goes to its history.
func (o *Outbox) void(ctx context.Context, tx *store.Tx, w *row, reason string) error {
	body, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return fmt.Errorf("write the reason: %w", err)
	}
	return replace(ctx, tx, w, message.Void, body, "voided", reason)
}

// Amend corrects the body of a message that is still owed, under the same number: the amendment names the digest of the original,
// which stays in the chain. A lane that stood still because of it goes on. Invalid if body is not JSON, Conflict if the message
// is being sent or may have been sent.
func (o *Outbox) Amend(ctx context.Context, tx *store.Tx, id string, body []byte, reason string) error {
	w, l, err := lockMessage(ctx, tx, id)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("amend message %d of lane %s", w.Number, w.Lane)
	if !json.Valid(body) {
		return &problem.Error{Kind: problem.Invalid, What: what, Why: "the new body is not JSON", Hint: "take the old body and change its values"}
	}
	if err := l.free(ctx, tx, w.Link, w.Number); err != nil {
		return err
	}
	if w.Number <= l.SentTo && w.Redelivery == 0 {
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: "the ERP may already have it as it was",
			Hint: "find out first: resume the lane to have the ERP asked, or say yourself whether it was delivered",
		}
	}
	if w.Role == string(message.Void) || w.Redelivery > 0 {
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it was discarded, or delivered before", Hint: "book the correction in the plant: it is owed under a new number",
		}
	}
	if err := replace(ctx, tx, &w, message.Amendment, body, "amended", reason); err != nil {
		return err
	}
	return o.goOn(ctx, tx, l, w, reason)
}

// replace gives w another role and body under its own number.
func replace(ctx context.Context, tx *store.Tx, w *row, role message.Role, body []byte, what, reason string) error {
	if err := history(ctx, tx, *w, what, reason); err != nil {
		return err
	}
	w.Refers = cmp.Or(w.Refers, w.Digest) // the original, however often it is amended
	w.Role, w.Body = string(role), body
	w.Digest = w.message().Digest()
	_, err := tx.Exec(ctx, `UPDATE outbox_messages SET role = ?, body = ?, refers = ?, digest = ?, attempts = 0 WHERE id = ?`,
		w.Role, w.Body, w.Refers, w.Digest, w.ID)
	if err != nil {
		return fmt.Errorf("write the %s of message %s: %w", role, w.ID, err)
	}
	return nil
}

// maxReplay bounds one act, so that its transaction stays short.
const maxReplay = 10_000

// Replay has delivered messages of one lane delivered again: the same events under the same IDs and numbers, from number from to
// number to (0 means the last), ahead of whatever the lane still owes. Each delivery adds a row to the history beside the first.
// Receivers tell by the ID that it is a repeat. Voids and messages that are no longer kept are passed over. It returns how many
// messages it queued; Invalid if there are more than 10,000 numbers in the range.
func (o *Outbox) Replay(ctx context.Context, tx *store.Tx, link, name string, from, to int64, reason string) (int64, error) {
	l, err := lockLane(ctx, tx, link, name)
	if err != nil {
		return 0, err
	}
	to = min(cmp.Or(to, math.MaxInt64), l.Next-1)
	if from < 1 || to-from >= maxReplay {
		return 0, &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("replay of messages %d to %d of lane %s", from, to, name),
			Why: fmt.Sprintf("a replay begins at 1 or later and spans at most %d messages", maxReplay), Hint: "replay it in parts",
		}
	}
	const which = `FROM outbox_delivered AS d WHERE link = ? AND lane = ? AND number BETWEEN ? AND ? AND role <> 'void'
		AND redelivery = (SELECT MAX(redelivery) FROM outbox_delivered AS e WHERE e.link = d.link AND e.lane = d.lane AND e.epoch = d.epoch AND e.number = d.number)
		AND NOT EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.id = d.id)`
	args := []any{link, name, from, to}
	_, err = tx.Exec(ctx, `INSERT INTO outbox_events (id, at, seq, what, detail)
		SELECT id, CAST(? AS BIGINT), (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox_events AS v WHERE v.id = d.id), 'replayed', CAST(? AS TEXT) `+which,
		append([]any{store.Micros(tx.Now), reason}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("write the history of a replay: %w", err)
	}
	n, err := tx.Exec(ctx, `INSERT INTO outbox_messages (link, lane, epoch, number, id, event, source, kind, version, key, time, body, creates, cause,
		trace, mapping, prev, role, refers, digest, created_at, attempts, redelivery, signature)
		SELECT link, lane, epoch, number, id, event, source, kind, version, key, time, body, creates, cause,
		trace, mapping, prev, role, refers, digest, created_at, 0, redelivery + 1, signature `+which, args...)
	if err != nil {
		return 0, fmt.Errorf("queue messages again: %w", err)
	}
	l.Pending += n
	return n, o.queueAgain(ctx, tx, link, l)
}

// queueAgain sets a lane's head anew without changing whether it is held.
func (o *Outbox) queueAgain(ctx context.Context, tx *store.Tx, link string, l *lane) error {
	h, err := readHead(ctx, tx, link, l)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET pending = ?, head_epoch = ?, head = ?, head_at = ?,
		due_at = CASE WHEN lease_owner = '' THEN ? ELSE due_at END WHERE link = ? AND lane = ?`,
		l.Pending, h.Epoch, h.Number, h.CreatedAt, h.dueAt(tx), link, l.Lane)
	tx.Wake(Topic)
	return err
}
