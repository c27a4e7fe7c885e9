package prove

import (
	"cmp"
	"context"
	"slices"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// step is what the order of a lane needs of one delivery.
type step struct {
	epoch, number int64
	redelivery    int
	digest, prev  string // of its original, and of the one that it follows
}

func stepOf(d outbox.Detail) step {
	return step{d.Epoch, d.Number, d.Redelivery, cmp.Or(d.Refers, d.Digest), d.Prev}
}

// Looks are how Order looks at messages.
type Looks struct {
	MACs bool                        // Checks.MACs
	Shut bool                        // outbox.Filter.Shut
	Look func(d outbox.Detail) error // what is of kind Integrity or Denied is a defect of the message, all else ends it
}

// Order is what Check says of the order of a lane, without its bodies: each number is there unless it was purged, each message follows the one before it,
// and the last is where the lane ends. It keeps of each message its place and digest alone, and gives each to look at.
func Order(ctx context.Context, tx *store.Tx, out *outbox.Outbox, end outbox.End, by Looks) ([]Defect, error) {
	c := &chain{Chain: Chain{Link: end.Link, Lane: end.Lane}, end: end}
	if by.MACs && !end.Lost {
		var err error
		if c.end, err = out.Believed(ctx, tx, end); err != nil {
			return nil, err
		}
	}
	f := outbox.Filter{Link: end.Link, Lane: end.Lane, OldestFirst: true, Bare: true, Shut: by.Shut, Limit: 1000}
	var steps []step
	for cursor, more := "", true; more; more = cursor != "" {
		some, next, err := out.Messages(ctx, tx, f, cursor)
		if err != nil {
			if problem.KindOf(err) != problem.Integrity {
				return nil, err
			}
			c.wrong(0, "it cannot be read: %v", err)
			return c.Wrong, nil
		}
		cursor = next
		for _, d := range some {
			if err := by.Look(d); err != nil {
				if problem.KindOf(err) != problem.Integrity && problem.KindOf(err) != problem.Denied {
					return nil, err
				}
				c.wrong(d.Number, "%s", whyOf(err))
			}
			s := stepOf(d)
			if n := len(steps); n > 0 && s.prev == steps[n-1].digest {
				s.prev = steps[n-1].digest // the same text once
			}
			steps = append(steps, s)
		}
	}
	if end.Lost {
		c.wrong(end.Last, "what the lane says of its own end was removed")
		return c.Wrong, nil
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.number, b.number), cmp.Compare(a.redelivery, b.redelivery))
	})
	c.order(steps)
	return c.Wrong, nil
}

// order checks that no number is missing, that each message follows the one before it, and that the last is the lane's end.
func (c *chain) order(list []step) {
	epoch, number, head := int64(1), int64(0), ""
	known := true // whether head is that of the message before
	for i, d := range list {
		again := i > 0 && list[i-1].epoch == d.epoch && list[i-1].number == d.number
		if first := 0; d.redelivery > 0 && c.end.Purged[d.epoch] < d.number {
			if again {
				first = list[i-1].redelivery + 1
			}
			if d.redelivery > first {
				c.wrong(d.number, "a delivery of it is missing, and was not purged for its age")
			}
		}
		if again {
			continue
		}
		if d.epoch != epoch {
			known = known && !c.purgedBetween(epoch, d.epoch)
			if epoch = d.epoch; c.end.Purged[epoch] >= d.number-1 && d.number > number+1 {
				known, number = false, d.number-1
			}
		}
		if missing := d.number - number - 1; missing > 0 {
			if c.end.Purged[d.epoch] < d.number-1 {
				c.wrong(max(number, c.end.Purged[d.epoch])+1, "it is missing, and was not purged for its age")
			}
			known = false
		}
		if known && d.prev != head {
			c.wrong(d.number, "it does not follow the message before it")
		}
		number, head, known = d.number, d.digest, true
	}
	purged := c.end.Purged[c.end.Epoch]
	switch {
	case number == c.end.Last && epoch == c.end.Epoch && head == c.end.Digest:
	case c.end.Last == 0 && epoch < c.end.Epoch && (head == c.end.Digest || c.end.Purged[epoch] > number || c.purgedBetween(epoch, c.end.Epoch)):
		// a restored plant has begun an epoch, in which there is nothing yet
	case number == c.end.Last && epoch == c.end.Epoch && number > 0:
		c.wrong(number, "the lane's own end is another: its digest is not that of its last message")
	case (len(list) == 0 || number < purged) && purged == c.end.Last:
		// all that it had was purged
	case epoch != c.end.Epoch && len(list) > 0:
		c.wrong(c.end.Last, "the lane says that it is in epoch %d, and its last message is of epoch %d", c.end.Epoch, epoch)
	case number < c.end.Last:
		c.wrong(number+1, "it is missing: the lane ends at number %d", c.end.Last)
	default:
		c.wrong(number, "the lane says that it ends at number %d", c.end.Last)
	}
}

// purgedBetween tells whether messages of an epoch between the two were deleted for their age, so that the first message after cannot be held
// against the last before.
func (c *chain) purgedBetween(before, after int64) bool {
	for epoch := range c.end.Purged {
		if epoch > before && epoch < after {
			return true
		}
	}
	return false
}
