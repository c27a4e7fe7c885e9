package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/body"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Shred destroys the bodies of a lane for ever: its secret, without which none of them opens, also where a copy of them lies in a log or a
// free page of the database, and the bodies themselves. Digests, signatures, receipts and numbers stay, so that the lane still proves whole. It says
// how many bodies there were. Large bodies go with the next sweep, unless another message has the same. NotFound without such a lane; Conflict if it still owes something.
func (o *Outbox) Shred(ctx context.Context, tx *store.Tx, link, name string) (n int64, err error) {
	l, err := lockLane(ctx, tx, link, name)
	if err != nil {
		return 0, err
	}
	if l.Pending > 0 {
		return 0, &problem.Error{
			Kind: problem.Conflict, What: "shred lane " + name + " of link " + link, Why: fmt.Sprintf("it still owes %d messages", l.Pending),
			Hint: "wait until they are delivered, or discard them",
		}
	}
	secret, err := l.open(ctx, tx, link, name)
	if err != nil && problem.KindOf(err) != problem.Integrity {
		return 0, err
	}
	var rows []full
	if err := tx.Select(ctx, &rows, `SELECT `+fromCold+` WHERE link = ? AND lane = ?`, link, name); err != nil {
		return 0, fmt.Errorf("read what lane %s has delivered: %w", name, err)
	}
	var owners []string
	for i := range rows {
		f := &rows[i]
		f.own = secret
		if err := o.shred(ctx, tx, f); err != nil {
			return 0, fmt.Errorf("shred message %s: %w", f.ID, err)
		}
		owners = append(owners, owner(f.ID))
	}
	if err := body.Free(ctx, tx, owners); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET own = NULL, own_sealed = 0, shredded_at = ? WHERE link = ? AND lane = ?`, store.Micros(tx.Now), link, name)
	if err != nil {
		return 0, fmt.Errorf("destroy the secret of lane %s: %w", name, err)
	}
	return int64(len(rows)), nil
}

// shred leaves of a delivery and its history what their digests are made of, and no body.
func (o *Outbox) shred(ctx context.Context, tx *store.Tx, f *full) error {
	ref := f.Large
	if ref == "" {
		was, err := f.past(ctx, tx)
		if err != nil {
			return err
		}
		ref = body.Shredded(was)
	}
	if err := f.openAnswer(ctx, tx); err != nil {
		return err
	}
	was := f.detail(tx)
	f.Answer, f.AnswerLost = nil, false
	mac, err := o.macAfter(ctx, tx, was, f.detail(tx))
	if err != nil {
		return err
	}
	err = tx.Later(ctx, `UPDATE outbox_delivered SET body = ?, sealed = 0, large = ?, answer = NULL, answer_sealed = 0, receipt_mac = ?
		WHERE link = ? AND lane = ? AND epoch = ? AND number = ? AND redelivery = ?`, []byte{}, ref.Shredded(), mac, f.Link, f.Lane, f.Epoch, f.Number, f.Redelivery)
	if err != nil {
		return err
	}
	var events []struct {
		Seq, Sealed  int64
		Digest, Role string
		Body         []byte
		Signature    []byte
		Large        body.Ref
	}
	if err := tx.Select(ctx, &events, `SELECT seq, sealed, digest, role, body, signature, large FROM outbox_events WHERE id = ? AND (LENGTH(body) > 0 OR large <> '')`, f.ID); err != nil {
		return err
	}
	for _, e := range events {
		was := row{ID: f.ID, Digest: e.Digest, Role: e.Role, Signature: e.Signature, own: f.own}
		if e.Large == "" {
			text, err := shown(ctx, tx, was.cellOfEvent(), e.Sealed, e.Body)
			if err != nil {
				return err
			}
			e.Large = body.Shredded(text)
		}
		err := tx.Later(ctx, `UPDATE outbox_events SET body = ?, sealed = 0, large = ? WHERE id = ? AND seq = ?`, []byte{}, e.Large.Shredded(), f.ID, e.Seq)
		if err != nil {
			return err
		}
	}
	return nil
}
