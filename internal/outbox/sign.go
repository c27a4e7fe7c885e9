package outbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Signer makes the origin signature of a message that has this digest. It waits for nothing, and its error is of kind Unavailable while
// the node has no key that counts: what is appended meanwhile stays unsigned, and does not leave before it is signed.
type Signer interface {
	SignMessage(m message.Message, digest string) (message.Signature, error)
	// SignLate is SignMessage of one that was committed without a signature. It is told each time: whoever can write the database could
	// have it sign what the plant never said.
	SignLate(m message.Message, digest string) (message.Signature, error)
}

// SignWith has each message signed, once, in the transaction that appends, amends or voids it, and those that are owed without a signature
// before they leave. It is called before anything else uses o.
func (o *Outbox) SignWith(s Signer) { o.signer = s }

// sign gives w its signature, or none where there is no key for it at this moment.
func (o *Outbox) sign(tx *store.Tx, w *row) {
	w.Signature = nil
	if o.signer == nil {
		return
	}
	if s, err := o.signer.SignMessage(w.message(tx), w.Digest); err == nil {
		w.Signature = s.Bytes()
	}
}

// unsignedPause is how long a lane rests whose first message cannot be signed.
const unsignedPause = 15 * time.Second

// signFirst signs those of a lane's first messages that were committed without a signature: before the plant had keys, by a node of the
// release before, by a command, or while the node's certificate had ended. It gives those that may leave. Where there is no key for the
// first, the lane rests and says so.
func (o *Outbox) signFirst(ctx context.Context, tx *store.Tx, link, name string, rows []row) ([]row, error) {
	if o.signer == nil {
		return rows, nil
	}
	for i := range rows {
		w := &rows[i]
		m := w.message(tx)
		if m.Origin != nil {
			continue
		}
		s, err := o.signer.SignLate(m, w.Digest)
		if problem.KindOf(err) == problem.Unavailable {
			if i > 0 {
				return rows[:i], nil
			}
			return nil, o.rest(ctx, tx, link, name, err)
		}
		if err != nil {
			return nil, fmt.Errorf("sign message %d: %w", w.Number, err)
		}
		w.Signature = s.Bytes()
		if err := tx.Later(ctx, `UPDATE outbox_messages SET signature = ? WHERE id = ?`, w.Signature, w.ID); err != nil {
			return nil, fmt.Errorf("keep the signature of message %d: %w", w.Number, err)
		}
	}
	return rows, nil
}

// rest has a locked lane tried again in a while, and say why.
func (o *Outbox) rest(ctx context.Context, tx *store.Tx, link, name string, why error) error {
	_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET due_at = ?, lease_owner = '', reason = ?, changed_at = ? WHERE link = ? AND lane = ?`,
		store.Micros(tx.Now.Add(unsignedPause)), "its first message is not signed yet: "+why.Error(), store.Micros(tx.Now), link, name)
	if err != nil {
		return fmt.Errorf("let lane %s of link %s rest: %w", name, link, err)
	}
	return nil
}

// origin is the signature as it is kept, nil if there is none or it cannot be read.
func (w row) origin() *message.Signature {
	if len(w.Signature) == 0 {
		return nil
	}
	s, err := message.ParseSignature(w.Signature)
	if err != nil {
		return nil
	}
	return &s
}
