package prove

import (
	"context"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Kept says what is wrong with what the plant keeps of a delivery beside the message, "" for nothing. Of a message from before receipts had MACs a node of the
// release before may have changed it since: old tells so.
func (by Checks) Kept(ctx context.Context, tx *store.Tx, out *outbox.Outbox, d outbox.Detail) (wrong string, old bool, err error) {
	if !d.Settled {
		return "", false, nil
	}
	if !by.MACs || madeAt(d).Before(by.Since) {
		return "", true, nil
	}
	has, err := out.CheckReceipt(ctx, tx, d)
	switch k := problem.KindOf(err); {
	case k == problem.Integrity || k == problem.NotFound:
		return "what is kept of its delivery is not what the plant has written: " + whyOf(err), false, nil
	case err == nil && !has:
		return "it seems to be delivered, and the plant has not written that: what is kept of its delivery has no MAC, and each since then has one: somebody else has written it, or a node without the plant's keyring", false, nil
	}
	return "", false, err
}

// mac is Kept of one of the lane's deliveries.
func (c *chain) mac(ctx context.Context, tx *store.Tx, out *outbox.Outbox, d outbox.Detail) error {
	wrong, old, err := c.by.Kept(ctx, tx, out, d)
	if old {
		c.NoMAC++
	}
	if wrong != "" {
		c.wrong(d.Number, "%s", wrong)
	}
	return err
}

// madeAt is when a message was made, by what is signed.
func madeAt(d outbox.Detail) time.Time {
	if d.Origin != nil {
		return d.Origin.At
	}
	return d.CreatedAt
}

// shredWithin is how much earlier than a message, by another clock, the shredding may seem to be that has destroyed it.
const shredWithin = time.Minute

// shredded checks that a body which is no more was destroyed by a person, with the lane's other bodies: whoever can write the database can say so too.
func (c *chain) shredded(ctx context.Context, tx *store.Tx, d outbox.Detail, l *message.Large) (err error) {
	if l == nil || !l.Gone || c.by.Shredded == nil {
		return nil
	}
	if c.shreds == nil {
		if c.shreds, err = c.by.Shredded(ctx, tx, d.Link, d.Lane); err != nil {
			return err
		}
	}
	for _, at := range c.shreds {
		if !madeAt(d).After(at.Add(shredWithin)) {
			return nil
		}
	}
	c.wrong(d.Number, "its body was destroyed, and the audit record has no shredding of its lane since it was made")
	return nil
}

// shredding is how the audit record names the act by which a person destroys the bodies of a lane (access.KeysShred).
const shredding = "keys.shred"

// Shreddings are the times at which a person has destroyed the bodies of a lane, by the audit record: Checks.Shredded of a plant.
func Shreddings(ctx context.Context, tx *store.Tx, link, lane string) ([]time.Time, error) {
	all, err := audit.Genuine(ctx, tx, shredding, LaneObject(link, lane))
	at := make([]time.Time, 0, len(all))
	for _, e := range all {
		at = append(at, e.At)
	}
	return at, err
}

// LaneObject is a lane as the audit record names it.
func LaneObject(link, lane string) string { return "lane/" + link + "/" + lane }
