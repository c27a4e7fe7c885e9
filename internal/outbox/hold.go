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
func (o *Outbox) Held(ctx context.Context, tx *store.Tx, link string) (held time.Duration, err error) {
	err = tx.Read(ctx, o.heldBy(tx, &held, new(int)), holdQuery, link)
	if err != nil {
		return 0, fmt.Errorf("read whether link %s may be called: %w", link, err)
	}
	return held, nil
}

// HeldToo is Held that needs no round trip of its own, with the link's rate besides (RateLink): both are told with the answer to the next
// statement.
func (o *Outbox) HeldToo(ctx context.Context, tx *store.Tx, link string, held *time.Duration, rate *int) error {
	return tx.ReadLater(ctx, o.heldBy(tx, held, rate), holdQuery, link)
}

const holdQuery = `SELECT COALESCE(MAX(hold_until), 0), COALESCE(MAX(hold_set), 0), COALESCE(MAX(rate), 0) FROM outbox_links WHERE link = ?`

// heldBy reads the row of holdQuery.
func (o *Outbox) heldBy(tx *store.Tx, held *time.Duration, rate *int) func(r *store.Row) {
	return func(r *store.Row) {
		until, set := r.Int(), r.Int()
		*rate = int(r.Int())
		if until == 0 || set > store.Micros(tx.Now.Add(o.astray())) {
			return
		}
		left := store.FromMicros(until).Sub(tx.Now)
		if asked := store.FromMicros(until).Sub(store.FromMicros(set)); set > 0 {
			left = min(left, asked)
		} else if left > longest { // by the release before, which did not say when
			left = 0
		}
		*held = max(0, min(left, longest))
	}
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
