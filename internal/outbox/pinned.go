package outbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// cellOfPin is what is sealed of w besides its body: when it expires and by what it is mapped, which its digest does not cover.
func (w row) cellOfPin() store.Cell {
	place := strconv.AppendInt(append(strconv.AppendInt(nil, w.Epoch, 10), '/'), w.Number, 10)
	return store.Cell{
		Table: "outbox_messages.pin", Row: w.ID,
		Bound: [][]byte{[]byte(w.Link), []byte(w.Lane), place, strconv.AppendInt(nil, w.ExpiresAt, 10), []byte(w.Mapping)},
	}
}

// setPin has w bear what holds when it expires and by what it is mapped; nil where nothing is sealed. It has the epoch before the seal.
func (w *row) setPin(ctx context.Context, tx *store.Tx) error {
	sealed, epoch, err := tx.Seal(ctx, w.cellOfPin(), []byte{})
	if err != nil {
		return fmt.Errorf("seal when message %s expires: %w", w.ID, err)
	}
	if w.Pin = nil; epoch != 0 {
		w.Pin = append(binary.BigEndian.AppendUint64(nil, uint64(epoch)), sealed...) //nolint:gosec // read back as it is
	}
	return nil
}

// pinned is an error of kind Integrity if w expires at another time, is mapped by something else or is another event than the plant has committed.
// A node of the release before writes no pin: without one nothing is known but by mayExpire.
func (w *row) pinned(ctx context.Context, tx *store.Tx) error {
	if w.ID != MessageID(w.Link, w.Event) && w.Role != string(message.Void) { // of a void nothing is sent
		return w.altered("it is not of event " + w.Event)
	}
	if w.Pin == nil {
		return nil
	}
	if len(w.Pin) < 8 {
		return w.altered("what holds when it expires was cut")
	}
	_, err := tx.Unseal(ctx, w.cellOfPin(), int64(binary.BigEndian.Uint64(w.Pin)), w.Pin[8:]) //nolint:gosec // as setPin has written it
	if problem.KindOf(err) == problem.Integrity {
		return w.altered("when it expires, or its mapping, is not what was committed")
	}
	return err
}

func (w *row) altered(why string) error {
	return &problem.Error{Kind: problem.Integrity, What: "check message " + w.ID, Why: why, Hint: alteredHint}
}

// alteredHint is what a person can do about a message that was altered.
const alteredHint = "the database was altered behind Holdfast: find out by whom; then restore the row from a backup and resume the lane, or discard the message with the cause"

// signedWithin is how long after the time by which its expiry counts a message is signed: as long as a transaction may take.
const signedWithin = 30 * time.Second

// mayExpire is an error of kind Integrity if a message that has expired and bears no pin would do so before its route lets it. What is signed tells
// since when it is owed; a plant without keys believes its database.
func (o *Outbox) mayExpire(w *row) error {
	if w.Pin != nil || o.signer == nil {
		return nil
	}
	since := store.FromMicros(w.CreatedAt)
	if s := w.origin(); s != nil {
		since = s.At.Add(-signedWithin)
	}
	for _, r := range o.routes {
		if r.Link == w.Link && r.takes(w.Kind) {
			if r.Expires > 0 && w.ExpiresAt >= store.Micros(since.Add(r.Expires)) {
				return nil
			}
			break
		}
	}
	return w.altered("it would expire at " + store.FromMicros(w.ExpiresAt).Format(time.RFC3339) + ", before its route lets it")
}
