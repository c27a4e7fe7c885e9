package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Signer makes the origin signature of a message that has this digest. It waits for nothing, and its error is of kind Unavailable while
// the node has no key that counts: what is appended meanwhile stays unsigned, and does not leave before it is signed.
type Signer interface {
	// Ready is nil while the node can sign, and else the error that SignMessage would have.
	Ready() error
	SignMessage(m message.Message, digest string) (message.Signature, error)
	// SignedLate is told of each message that was committed without a signature and has one now, once that is committed: whoever can write
	// the database could have the node sign what the plant never said.
	SignedLate(m message.Message)
}

// SignWith has each message signed, once, in the transaction that appends, amends or voids it, and those that are owed without a signature
// before they leave. It is called before anything else uses o.
func (o *Outbox) SignWith(s Signer) { o.signer = s }

// sign gives w its signature, or none where there is no key for it at this moment.
func (o *Outbox) sign(m message.Message, w *row) {
	w.Signature = nil
	if o.signer == nil {
		return
	}
	if s, err := o.signer.SignMessage(m, w.Digest); err == nil {
		w.Signature = s.Bytes()
	}
}

// unready is why the node can sign nothing at this moment; nil if it can, or the plant has no keys.
func (o *Outbox) unready() error {
	if o.signer == nil {
		return nil
	}
	return o.signer.Ready()
}

// signFirst signs those of a lane's first messages that were committed without a signature: before the plant had keys, by a node of the
// release before, by a command, or while the node's certificate had ended. It gives those that may leave; none where there is no key for the
// first. Such a lane stays due: another node may have a key.
func (o *Outbox) signFirst(ctx context.Context, tx *store.Tx, rows []row) ([]row, error) {
	if o.signer == nil {
		return rows, nil
	}
	for i := range rows {
		w := &rows[i]
		m := w.message(tx)
		if m.Origin != nil {
			continue
		}
		s, err := o.signer.SignMessage(m, w.Digest)
		unready := problem.KindOf(err) == problem.Unavailable
		if err != nil && !unready {
			return nil, fmt.Errorf("sign message %d: %w", w.Number, err)
		}
		if unready && len(w.Signature) == 0 {
			return rows[:i], nil
		}
		w.Signature = nil // of what it was: by it the message would be taken for a signed one
		if !unready {
			w.Signature = s.Bytes()
			tx.AfterCommit(func() { o.signer.SignedLate(m) })
		}
		stored, err := w.stored(ctx, tx)
		if err == nil {
			err = tx.Later(ctx, `UPDATE outbox_messages SET signature = ?, body = ?, sealed = ? WHERE id = ?`, w.Signature, stored, w.Sealed, w.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("keep the signature of message %d: %w", w.Number, err)
		}
		if unready {
			return rows[:i], nil
		}
	}
	return rows, nil
}

// unsignedHead is the condition of a lane whose first message is not signed.
const unsignedHead = `EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.link = outbox_lanes.link AND m.lane = outbox_lanes.lane
	AND m.epoch = outbox_lanes.head_epoch AND m.number = outbox_lanes.head AND m.signature IS NULL)`

const (
	tellEvery = 15 * time.Second // that lanes which wait for a signature are told so
	tellMost  = 1000             // with one claim
)

// telling remembers when the lanes of each link were last told that their first messages are not signed.
type telling struct {
	mu   sync.Mutex
	last map[string]time.Time // by link; guarded by mu
}

// due tells whether the lanes of a link are to be told, and takes it that they are.
func (t *telling) due(link string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if since := now.Sub(t.last[link]); since >= 0 && since < tellEvery {
		return false
	}
	t.last[link] = now
	return true
}

// tellUnsigned has lanes which are due say why they wait, now and then while the node cannot sign. It moves none of them: another node may
// have a key, and clears the reason when it settles.
func (o *Outbox) tellUnsigned(ctx context.Context, tx *store.Tx, link string, unready error) error {
	if unready == nil || !o.telling.due(link, tx.Now) {
		return nil
	}
	why := "its first message is not signed yet: " + unready.Error()
	var names []string
	err := tx.Select(ctx, &names, `SELECT lane FROM outbox_lanes WHERE link = ? AND `+due+` AND due_at <= ? AND reason <> ? AND `+unsignedHead+`
		ORDER BY due_at LIMIT ?`+tx.SkipLocked(), link, store.Micros(tx.Now), why, tellMost)
	if err != nil {
		return fmt.Errorf("look for lanes of link %s that are not signed: %w", link, err)
	}
	if len(names) == 0 {
		return nil
	}
	if err := updateLanes(ctx, tx, store.Give(store.Col("lane", names)), link, `reason = ?, changed_at = ?`, why, store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("say why lanes of link %s wait: %w", link, err)
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
