package prove

import (
	"context"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// mac checks that what the plant keeps of a delivery beside the message is what it wrote. Of a message from before receipts had MACs a node of the release
// before may have changed it since.
func (c *chain) mac(ctx context.Context, tx *store.Tx, out *outbox.Outbox, d outbox.Detail) error {
	if !d.Settled {
		return nil
	}
	if !c.by.MACs || madeAt(d).Before(c.by.Since) {
		c.NoMAC++
		return nil
	}
	has, err := out.CheckReceipt(ctx, tx, d)
	switch k := problem.KindOf(err); {
	case k == problem.Integrity || k == problem.NotFound:
		c.wrong(d.Number, "what is kept of its delivery is not what the plant has written: %s", whyOf(err))
	case err != nil:
		return err
	case !has:
		c.wrong(d.Number, "it seems to be delivered, and the plant has not written that: what is kept of its delivery has no MAC, and each since then has one")
	}
	return nil
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
