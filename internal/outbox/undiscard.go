package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Undiscard owes again what a person has discarded, or what has expired, for as long as its body is kept, and returns the ID under which it
// is owed. A void whose turn has not come becomes the message that it was, under the same number. A number that is closed stays closed: the event is
// owed under the next of its lane, by an ID of its own, and names the void as its cause. What was held when it was discarded is held again. Conflict if it is no void, if it is owed again already, or if
// the ERP may have it; Integrity if what is kept of it is not what the plant has committed; Denied where a second person has to approve it, see Ask.
func (o *Outbox) Undiscard(ctx context.Context, tx *store.Tx, id, reason string) (string, error) {
	if err := o.alone("undo the discard of message " + id); err != nil {
		return "", err
	}
	return o.undiscard(ctx, tx, id, reason)
}

func (o *Outbox) undiscard(ctx context.Context, tx *store.Tx, id, reason string) (string, error) {
	d, err := o.Message(ctx, tx, id)
	if err != nil {
		return "", err
	}
	l, err := lockLane(ctx, tx, d.Link, d.Lane)
	if err == nil {
		d, err = o.Message(ctx, tx, id) // again: it may have been settled before the lock was had
	}
	if err != nil {
		return "", err
	}
	last := d.lastVoided()
	if d.Role != message.Void || last < 0 {
		return "", d.stays("it was not discarded", "see holdfast msg show "+id)
	}
	was := d.History[last]
	if was.Large != nil && was.Large.Gone {
		return "", d.stays("its body was shredded", "book it in the plant once more")
	}
	if err := o.isWhatWas(ctx, tx, d, last); err != nil {
		return "", err
	}
	if !d.Settled {
		return id, o.revive(ctx, tx, l, d, last, reason)
	}
	return o.oweAnew(ctx, tx, l, d, last, reason)
}

// discardUndone is in the history of a void that was owed again, and of what it is owed as.
const discardUndone = "discard undone"

// Undoable tells whether Undiscard has anything to do: a person has discarded the message, or it has expired, and nobody has undone that. The history is
// that of Message.
func (d Detail) Undoable() bool {
	if d.Role != message.Void {
		return false
	}
	for _, h := range slices.Backward(d.History) {
		switch h.What {
		case discardUndone:
			return false
		case voided, VoidedInDoubt:
			return (h.What == voided || !d.Settled) && (h.Large == nil || !h.Large.Gone)
		}
	}
	return false
}

// stays says why a void is not undone.
func (d Detail) stays(why, hint string) error {
	return &problem.Error{Kind: problem.Conflict, What: "undo the discard of message " + d.ID, Why: why, Hint: hint}
}

// isWhatWas is an error of kind Integrity if a void, or what its history has of it before the change at last, is not what the plant has committed: it would
// be signed anew. The void names the digest of the event, the audit record has that of each change, and where all is sealed both are.
func (o *Outbox) isWhatWas(ctx context.Context, tx *store.Tx, d Detail, last int) error {
	was, m := d.History[last], d.Message
	m.Body, m.Large, m.Role = was.Body, was.Large, was.Role
	if m.Role == message.Event {
		m.Refers = ""
	}
	w := row{ID: d.ID}
	whole, err := tx.Whole(ctx)
	switch {
	case err != nil:
		return err
	case d.Altered(), m.Large == nil && len(m.Body) == 0, m.Digest() != was.Digest, m.Role == message.Event && was.Digest != d.Refers:
		return w.altered("what it was before it was discarded is not what the plant has committed")
	case whole && (!d.Sealed || m.Large == nil && !was.Sealed):
		return w.altered("what it was before it was discarded is not sealed, as all is that the plant owes")
	}
	err = o.recorded(ctx, tx, d, d.Digest, was.At)
	for i := last - 1; i >= 0 && err == nil && m.Role == message.Amendment; i-- {
		if d.History[i].Role != "" { // the change that made it
			return o.recorded(ctx, tx, d, was.Digest, d.History[i].At)
		}
	}
	return err
}

// recorded is an error of kind Integrity if the audit record has it that a change of a message at this time made something else of it, or does not have it
// although each change since receipts have MACs is on it: the time may be altered too.
func (o *Outbox) recorded(ctx context.Context, tx *store.Tx, d Detail, digest string, at time.Time) error {
	is, other, err := audit.HeldAt(ctx, tx, audit.Head{Link: d.Link, Lane: d.Lane, Epoch: d.Epoch, Number: d.Number, Digest: digest}, at)
	if err != nil || is {
		return err
	}
	if other {
		return (&row{ID: d.ID}).altered("the audit record has it changed into something else")
	}
	since, begun, err := audit.ReceiptsBegunAt(ctx, tx)
	if err == nil && begun && at.After(since) { // else the plant had no keys then, or its record begins later
		err = (&row{ID: d.ID}).altered("the audit record does not have its change")
	}
	return err
}

// revive makes of a void that is still owed what it was. It no longer expires: a person has said that it is wanted.
func (o *Outbox) revive(ctx context.Context, tx *store.Tx, l *lane, d Detail, last int, reason string) error {
	id, was := d.ID, d.History[last]
	w, err := owed(ctx, tx, id)
	if err == nil {
		err = w.inHand(ctx, tx, l)
	}
	if err == nil {
		err = l.free(ctx, tx, w.Link, w.Number)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET expires_at = 0 WHERE id = ?`, id); err != nil {
		return fmt.Errorf("let message %s expire no more: %w", id, err)
	}
	w.ExpiresAt = 0
	if err := o.replace(ctx, tx, &w, message.Amendment, message.Message{Body: was.Body, Large: was.Large}, discardUndone, reason); err != nil {
		return err
	}
	if is, why := d.heldBefore(last); is {
		if err := o.holdAgain(ctx, tx, l, w, why); err != nil {
			return err
		}
	}
	return o.goOn(ctx, tx, l, w, reason)
}

// undone is the event by which a void is owed again whose number is closed.
func undone(void string) string { return uuid.NewSHA1(namespace, []byte("undiscard\n"+void)).String() }

// oweAnew appends the event of a void whose number is closed.
func (o *Outbox) oweAnew(ctx context.Context, tx *store.Tx, l *lane, d Detail, last int, reason string) (string, error) {
	was, event := d.History[last], undone(d.ID)
	id := MessageID(d.Link, event)
	if _, err := o.Message(ctx, tx, id); problem.KindOf(err) != problem.NotFound {
		if err != nil {
			return "", err
		}
		return "", d.stays("it is owed again already, as message "+id, "see holdfast msg show "+id)
	}
	if was.What == VoidedInDoubt {
		return "", d.stays("the ERP may have it: under another ID it would have it twice", "look in the ERP; if it is not there, book it in the plant once more")
	}
	r := Route{Link: d.Link, Mapping: d.Mapping}
	if n := slices.IndexFunc(o.routes, func(r Route) bool { return r.Link == d.Link && r.takes(d.Kind) }); n >= 0 {
		r = o.routes[n]
	}
	r.Delay = 0
	m := d.Message
	m.ID, m.Cause, m.Body, m.Large, m.Place, m.Origin = event, d.ID, was.Body, was.Large, message.Place{Lane: d.Lane}, nil
	var all appended
	var opt options
	if is, why := d.heldBefore(last); is {
		opt.notBefore, opt.held = heldUntil(), cmp.Or(why, "it was held when it was discarded")
	}
	if err := o.append(ctx, tx, r, m, opt, &all); err != nil {
		return "", fmt.Errorf("owe message %s again: %w", d.ID, err)
	}
	all.wake(tx, 1)
	if d.Creates != "" && l.Pending == 0 { // else what comes first and needs its number would wait for it for ever: it parks, for a person to discard too
		if _, err := tx.Exec(ctx, `UPDATE outbox_refs SET voided = FALSE WHERE link = ? AND object = ?`, d.Link, d.Creates); err != nil {
			return "", fmt.Errorf("expect the number of %s again: %w", d.Creates, err)
		}
	}
	if err := history(ctx, tx, row{ID: d.ID}, discardUndone, "owed again as message "+id+": "+reason); err != nil {
		return "", err
	}
	return id, history(ctx, tx, row{ID: id}, discardUndone, "it was discarded as message "+d.ID+": "+reason)
}
