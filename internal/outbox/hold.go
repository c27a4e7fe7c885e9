package outbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/store"
)

// astray is by how much a hold may have been written in the future: the clocks of nodes agree within half a lease. What is further
// ahead was written by a clock that was wrong.
func (o *Outbox) astray() time.Duration { return o.cfg.Lease / 2 }

// Held is how long link's ERP has asked not to be called from now on (Settlement.Hold), 0 if it may be called: never longer than it
// asked for, and at most an hour. A hold that was written by a clock far ahead counts for nothing; the ERP says it again.
func (o *Outbox) Held(ctx context.Context, tx *store.Tx, link string) (time.Duration, error) {
	var hold struct {
		Until int64 `db:"hold_until"`
		Set   int64 `db:"hold_set"`
	}
	err := tx.Get(ctx, &hold, `SELECT COALESCE(MAX(hold_until), 0) AS hold_until, COALESCE(MAX(hold_set), 0) AS hold_set FROM outbox_links WHERE link = ?`, link)
	if err != nil {
		return 0, fmt.Errorf("read whether link %s may be called: %w", link, err)
	}
	if hold.Until == 0 || hold.Set > store.Micros(tx.Now.Add(o.astray())) {
		return 0, nil
	}
	left := store.FromMicros(hold.Until).Sub(tx.Now)
	if asked := store.FromMicros(hold.Until).Sub(store.FromMicros(hold.Set)); hold.Set > 0 {
		left = min(left, asked)
	} else if left > longest { // by the release before, which did not say when
		left = 0
	}
	return max(0, min(left, longest)), nil
}

// hold keeps until when the ERP has asked not to be called, for every node and the next start.
func (o *Outbox) hold(ctx context.Context, tx *store.Tx, link string, all []Settlement) error {
	var until time.Time
	for _, s := range all {
		if s.Hold.After(until) {
			until = s.Hold
		}
	}
	if !until.After(tx.Now) {
		return nil
	}
	if most := tx.Now.Add(longest); until.After(most) {
		until = most
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, hold_until, hold_set) VALUES (?, ?, ?)
		ON CONFLICT (link) DO UPDATE SET hold_until = excluded.hold_until, hold_set = excluded.hold_set
		WHERE outbox_links.hold_until < excluded.hold_until OR outbox_links.hold_set > ?`,
		link, store.Micros(until), store.Micros(tx.Now), store.Micros(tx.Now.Add(o.astray())))
	if err != nil {
		return fmt.Errorf("keep that link %s is not to be called: %w", link, err)
	}
	return nil
}
