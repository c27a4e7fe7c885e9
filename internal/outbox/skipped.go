package outbox

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// skippedBefore tells of the head m of a lane whether a message of the lane is before it that no receipt settles: the lane was moved past it
// behind Holdfast. It looks at the last one before the head alone: a lane that is moved on has that one passed over, and no claim goes on from there.
const skippedBefore = `COALESCE((` + unsettled + `p.epoch = m.epoch AND p.number < m.number ORDER BY p.number DESC LIMIT 1),
	(` + unsettled + `p.epoch < m.epoch ORDER BY p.epoch DESC, p.number DESC LIMIT 1), FALSE)`

// unsettled tells of a message p of the lane of m that no receipt settles it.
const unsettled = `SELECT CASE WHEN p.number <= COALESCE((SELECT r.last_number FROM outbox_receipts AS r
		WHERE r.link = p.link AND r.lane = p.lane AND r.epoch = p.epoch AND r.first_number <= p.number ORDER BY r.first_number DESC LIMIT 1), 0) THEN FALSE ELSE TRUE END
	FROM outbox_messages AS p WHERE p.link = m.link AND p.lane = m.lane AND `

// skippedLanes are the lanes of some messages in the order of their places, and whether the message was passed over.
const skippedLanes = `SELECT m.link, m.lane, m.epoch, m.number, CASE WHEN (l.pending = 0 OR (m.epoch, m.number) < (l.head_epoch, l.head))
		AND NOT EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE ` + isReceiptOf + `) THEN TRUE ELSE FALSE END AS skipped
	FROM (SELECT link, lane, epoch, number FROM outbox_messages WHERE (link, lane, epoch, number) > (?, ?, ?, ?) ORDER BY link, lane, epoch, number LIMIT ?) AS m
	JOIN outbox_lanes AS l ON l.link = m.link AND l.lane = m.lane WHERE l.state <> 'parked' ORDER BY m.link, m.lane, m.epoch, m.number`

// lookAtOnce is how many messages ParkSkipped looks at.
const lookAtOnce = 500

// at is how far ParkSkipped has come.
type at struct {
	Link, Lane    string
	Epoch, Number int64
}

// ParkSkipped looks at some of the messages that are owed, from where it has come to, for those which their lane was moved past behind Holdfast, and
// parks these lanes, with an alarm, as a claim would: a lane that seems to owe nothing is never claimed. It says how many lanes it has parked.
func (o *Outbox) ParkSkipped(ctx context.Context, db *store.DB) (parked int, err error) {
	var from at
	if came := o.looked.Load(); came != nil {
		from = *came
	}
	var rows []struct {
		at
		Skipped bool
	}
	var last []at
	err = db.View(ctx, func(tx *store.Tx) error {
		err := tx.Select(ctx, &last, `SELECT link, lane, epoch, number FROM outbox_messages WHERE (link, lane, epoch, number) > (?, ?, ?, ?)
			ORDER BY link, lane, epoch, number LIMIT 1 OFFSET ?`, from.Link, from.Lane, from.Epoch, from.Number, lookAtOnce-1)
		if err == nil {
			err = tx.Select(ctx, &rows, skippedLanes, from.Link, from.Lane, from.Epoch, from.Number, lookAtOnce)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("look for messages that lanes were moved past: %w", err)
	}
	if o.looked.Store(&at{}); len(last) > 0 {
		o.looked.Store(&last[0])
	}
	seen := map[[2]string]bool{}
	for _, r := range rows {
		lane := [2]string{r.Link, r.Lane}
		if !r.Skipped || seen[lane] {
			continue
		}
		seen[lane] = true
		is := false
		err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			is, err = o.parkSkipped(ctx, tx, r.Link, r.Lane)
			return err
		})
		if err != nil {
			return parked, err
		}
		parked += times(is)
	}
	return parked, nil
}

// parkSkipped parks a lane that was moved past what it owes, if it was, with an alarm, and puts it back to the first of that: once a person has
// let it go on, all of it is sent in its order.
func (o *Outbox) parkSkipped(ctx context.Context, tx *store.Tx, link, name string) (bool, error) {
	l, err := lockLane(ctx, tx, link, name)
	if err != nil {
		return false, err
	}
	before := *l
	if err := l.recount(ctx, tx, link); err != nil || l.Pending == 0 {
		return false, err
	}
	h, err := readHead(ctx, tx, link, l)
	if err != nil {
		return false, err
	}
	if before.Pending > 0 && (h.Epoch > l.Epoch || h.Epoch == l.Epoch && h.Number >= l.Head) {
		return false, nil
	}
	why := &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("message %d is owed, and its lane was moved past it", h.Number), Why: "the database was altered behind Holdfast",
		Hint: "find out by whom; then resume the lane, which begins with this message, or discard the message with the cause",
	}
	if err := o.alert(ctx, tx, link, name, why); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'parked', awaits = '', reason = ?, changed_at = ?, pending = ?, head_epoch = ?, head = ?, head_at = ?, scheduled = ?
		WHERE link = ? AND lane = ?`, told(why), store.Micros(tx.Now), l.Pending, h.Epoch, h.Number, h.CreatedAt, h.NotBefore > store.Micros(tx.Now), link, name)
	if err != nil {
		return false, fmt.Errorf("park lane %s of link %s: %w", name, link, err)
	}
	tx.Wake(Settled)
	return true, nil
}

// recount counts what a locked lane owes: its row may have been altered behind Holdfast, or messages deleted.
func (l *lane) recount(ctx context.Context, tx *store.Tx, link string) error {
	err := tx.Get(ctx, &l.Pending, `SELECT COUNT(*) FROM outbox_messages WHERE link = ? AND lane = ?`, link, l.Lane)
	if err != nil {
		return fmt.Errorf("count what lane %s of link %s owes: %w", l.Lane, link, err)
	}
	return nil
}

// parkGone parks a lane of which what is owed from a number on is not there, with an alarm. What it says that it owes is left: a backup may have it.
func (o *Outbox) parkGone(ctx context.Context, tx *store.Tx, link string, l *lane, number int64) error {
	why := &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("%d messages are owed from number %d, and none is there", l.Pending, number), Why: "they were deleted behind Holdfast",
		Hint: "find out by whom; then restore their rows from a backup, or resume the lane with the cause: it goes on with what is there",
	}
	if err := o.alert(ctx, tx, link, l.Lane, why); err != nil {
		return err
	}
	l.State, l.Reason = string(Parked), told(why)
	return o.changeLane(ctx, tx, link, l.Lane, `state = 'parked', awaits = '', reason = ?`, l.Reason)
}

// told is a problem as a lane tells it, with what a person can do.
func told(err error) string {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Hint == "" {
		return err.Error()
	}
	return err.Error() + ". What to do: " + p.Hint
}
