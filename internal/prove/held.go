package prove

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// Lost is what a lane has no more although the audit record holds that it had it.
type Lost struct {
	Link, Lane string
	Entry      int64 // of the record, which holds it
	Defect
}

// Held holds every lane, or those of a link, or one, against each head that the audit record keeps of them: of what was taken from the end of a lane
// whose own end was set back, and of a lane that is gone, nothing else tells.
func Held(ctx context.Context, tx *store.Tx, out *outbox.Outbox, link, lane string) (all []Lost, err error) {
	told := map[audit.Head]bool{} // the record holds the same until the lane moves on
	err = audit.EachMoved(ctx, tx, time.Time{}, func(e audit.Entry, _ int64) error {
		heads, err := e.Heads()
		if err != nil {
			return err
		}
		asked := heads[:0]
		for _, h := range heads {
			if (link == "" || h.Link == link) && (lane == "" || h.Lane == lane) {
				asked = append(asked, h)
			}
		}
		lost, err := out.Lost(ctx, tx, asked)
		for _, l := range lost {
			if told[l.Head] {
				continue
			}
			told[l.Head] = true
			what := "it is not there: audit entry %d holds that it was, and it was not purged for its age"
			if l.Other {
				what = "it is another message than the one that audit entry %d holds"
			}
			all = append(all, Lost{l.Link, l.Lane, e.Seq, Defect{l.Number, fmt.Sprintf(what, e.Seq)}})
		}
		return err
	})
	return all, err
}

// Add says what else is wrong with the lane.
func (c *Chain) Add(wrong ...Defect) {
	for _, d := range wrong {
		if c.State = Broken; len(c.Wrong) < mostDefects {
			c.Wrong = append(c.Wrong, d)
		}
	}
}

// AddUnvouched says for which numbers of the lane nothing vouches (Voucher.Unvouched).
func (c *Chain) AddUnvouched(numbers []int64) {
	for _, n := range numbers {
		before := len(c.Wrong)
		c.Add(Defect{n, "its key counts no more (revoked, or ended), and nothing vouches that it was signed before: whoever checks what msg prove writes refuses it"})
		c.Unvouched += len(c.Wrong) - before
	}
}

// One is Check of one lane, together with what Held finds of it. It is not there if nothing was ever owed in it.
func One(ctx context.Context, tx *store.Tx, out *outbox.Outbox, link, lane string, by Checks) (c Chain, there bool, err error) {
	if by.Since, by.MACs, err = audit.ReceiptsSince(ctx, tx); err != nil {
		return c, false, err
	}
	by.Vouch = &Voucher{}
	ends, err := out.Ends(ctx, tx, link, lane)
	if err != nil {
		return c, false, err
	}
	if c = (Chain{Link: link, Lane: lane, State: Whole}); len(ends) > 0 {
		if c, err = Check(ctx, tx, out, ends[0], by); err != nil {
			return c, true, err
		}
	}
	unvouched, err := by.Vouch.Unvouched(ctx, tx)
	if err != nil {
		return c, true, err
	}
	c.AddUnvouched(unvouched[[2]string{link, lane}])
	lost, err := Held(ctx, tx, out, link, lane)
	for _, l := range lost {
		c.Add(l.Defect)
	}
	return c, len(ends)+len(lost) > 0, err
}
