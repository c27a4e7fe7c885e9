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

// Said is what a link's row tells whoever would send over it.
type Said struct {
	// Held is how long the link's ERP has asked not to be called from now on (Settlement.Hold), 0 if it may be called: never longer than it
	// asked for, and at most an hour. A hold that was written by a clock far ahead counts for nothing; the ERP says it again.
	Held    time.Duration
	Rate    int           // RateLink
	Breaker string        // SetBreaker; closed where nobody has said anything
	Trouble string        // what opened it
	Age     time.Duration // since the row last changed
}

// Said is what link's row says.
func (o *Outbox) Said(ctx context.Context, tx *store.Tx, link string) (s Said, err error) {
	if err = tx.Read(ctx, o.said(tx, &s), saidQuery, link); err != nil {
		return s, fmt.Errorf("read what is said of link %s: %w", link, err)
	}
	return s, nil
}

// Held is how long link's ERP has asked not to be called from now on, see Said.
func (o *Outbox) Held(ctx context.Context, tx *store.Tx, link string) (time.Duration, error) {
	s, err := o.Said(ctx, tx, link)
	return s.Held, err
}

// SaidToo is Said that needs no round trip of its own: it is told with the answer to the next statement.
func (o *Outbox) SaidToo(ctx context.Context, tx *store.Tx, link string, s *Said) error {
	return tx.ReadLater(ctx, o.said(tx, s), saidQuery, link)
}

const saidQuery = `SELECT COALESCE(MAX(hold_until), 0), COALESCE(MAX(hold_set), 0), COALESCE(MAX(rate), 0), COALESCE(MAX(breaker), 'closed'),
	COALESCE(MAX(trouble), ''), COALESCE(MAX(changed_at), 0) FROM outbox_links WHERE link = ?`

// said reads the row of saidQuery.
func (o *Outbox) said(tx *store.Tx, s *Said) func(r *store.Row) {
	return func(r *store.Row) {
		until, set := r.Int(), r.Int()
		s.Rate, s.Breaker, s.Trouble = int(r.Int()), r.Text(), r.Text()
		s.Age = tx.Now.Sub(store.FromMicros(r.Int()))
		if until == 0 || set > store.Micros(tx.Now.Add(o.astray())) {
			return
		}
		left := store.FromMicros(until).Sub(tx.Now)
		if asked := store.FromMicros(until).Sub(store.FromMicros(set)); set > 0 {
			left = min(left, asked)
		} else if left > longest { // by the release before, which did not say when
			left = 0
		}
		s.Held = max(0, min(left, longest))
	}
}

// Hold keeps that link's ERP has asked not to be called for so long from now on, for every node and the next start: in the answer to something else than a
// message. It never shortens what the ERP has asked before.
func (o *Outbox) Hold(ctx context.Context, tx *store.Tx, link string, wait time.Duration) error {
	return o.hold(ctx, tx, link, []Settlement{{Hold: tx.Now.Add(wait)}})
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
