package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// heldUntil is what the time of a held message is: no clock reaches it, and the release before, which knows nothing of held messages, keeps to it.
func heldUntil() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// Held tells whether a time before which a message is not sent means that a person must let it go.
func Held(notBefore time.Time) bool { return !notBefore.Before(heldUntil()) }

// Hold keeps the message from being sent before a person lets it go (Release), and with it, since order in a lane is absolute, all that
// follow it in its lane. What comes before it goes on. reason is told in its history. An expiry of the message counts all the same.
func Hold(reason string) Option {
	return func(o *options) { o.notBefore, o.held = heldUntil(), reason }
}

// latest is the message under which one is owed again whose number was closed by a void, or itself.
func (o *Outbox) latest(ctx context.Context, tx *store.Tx, d Detail) (Detail, error) {
	for d.Role == message.Void && d.Settled {
		next, err := o.Message(ctx, tx, MessageID(d.Link, undone(d.ID)))
		if problem.KindOf(err) == problem.NotFound {
			return d, nil
		}
		if err != nil {
			return d, err
		}
		d = next
	}
	return d, nil
}

// held tells whether a message waits for a person to let it go, or did when it was discarded or expired.
func (d Detail) held() bool {
	if d.Role == message.Void {
		is, _ := d.heldBefore(d.lastVoided())
		return is
	}
	return !d.Settled && Held(d.NotBefore)
}

// What the history of a message has of its being held and let go.
const (
	held      = "held"
	postponed = "postponed"
	lifted    = "postponement lifted"
)

// heldBefore tells whether a message was held before something happened to it, and why: Release is a postponement to a time that comes.
func (d Detail) heldBefore(at int) (is bool, why string) {
	for _, h := range d.History[:max(at, 0)] {
		switch h.What {
		case held:
			is, why = true, h.Detail
		case postponed:
			is = strings.HasPrefix(h.Detail, "until "+heldUntil().Format(time.RFC3339))
		case lifted:
			is = false
		}
	}
	return is, why
}

// lastVoided is where the history of a message tells last that it was discarded or has expired; -1: nowhere.
func (d Detail) lastVoided() int {
	last := len(d.History) - 1
	for last >= 0 && d.History[last].What != voided && d.History[last].What != VoidedInDoubt {
		last--
	}
	return last
}

// holdAgain has a message held as it was before it was discarded: nobody has let it go since.
func (o *Outbox) holdAgain(ctx context.Context, tx *store.Tx, l *lane, w row, why string) error {
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET not_before = ? WHERE id = ?`, store.Micros(heldUntil()), w.ID); err != nil {
		return fmt.Errorf("hold message %s again: %w", w.ID, err)
	}
	return errors.Join(history(ctx, tx, row{ID: w.ID}, held, why), o.queueAgain(ctx, tx, w.Link, l))
}

// Release lets the messages of an event go that are held, at each link; it says how many these are. A lane that stands still for another
// reason goes on standing still. One that a person has discarded, retried or postponed since is held no more, and is passed over; one that is owed again by another ID since it was discarded is let go by that.
func (o *Outbox) Release(ctx context.Context, tx *store.Tx, event, reason string) (released int, err error) {
	all, err := o.Of(ctx, tx, event)
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		if d, err = o.latest(ctx, tx, d); err != nil {
			return 0, err
		}
		if d.Settled || d.Role == message.Void || !Held(d.NotBefore) {
			continue
		}
		_, err := o.Postpone(ctx, tx, d.ID, tx.Now, "let go: "+reason)
		if problem.KindOf(err) == problem.Conflict && d.ExpiresAt.After(time.Time{}) && !d.ExpiresAt.After(tx.Now) {
			continue // it has expired meanwhile: its void closes its number
		}
		if err != nil {
			return 0, fmt.Errorf("let message %s go: %w", d.ID, err)
		}
		released++
	}
	return released, nil
}
