package outbox

import (
	"context"
	"fmt"
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

// Release lets the messages of an event go that are held, at each link; it says how many these are. A lane that stands still for another
// reason goes on standing still. One that a person has discarded, retried or postponed since is held no more, and is passed over.
func (o *Outbox) Release(ctx context.Context, tx *store.Tx, event, reason string) (released int, err error) {
	all, err := o.Of(ctx, tx, event)
	if err != nil {
		return 0, err
	}
	for _, d := range all {
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
