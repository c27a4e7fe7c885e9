package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// LanesLost is the action of the entries by which the record has what a lane had and has no more, so that it is told once.
const LanesLost = "lanes.lost"

const (
	lookEntries = 32        // that hold heads, in one look: of those that are new, and of those before
	mostLater   = 1000      // new entries that are remembered for their key
	lookBack    = time.Hour // what is new when it begins
)

// lookout is how far ParkLost has come.
type lookout struct {
	newest atomic.Int64            // entry: what was written after it was not looked at; 0: nothing was
	again  atomic.Int64            // entry: of all that are kept, which are looked at again and again; 0: at their beginning
	later  atomic.Pointer[[]int64] // new entries whose key was not at hand: they keep no other from being looked at, and are looked at anew
	gaps   atomic.Pointer[at]
}

// ParkLost looks for messages that are no more where they were: some of the heads of lanes that the audit record holds, the new ones first and then those
// before, from where it has come to, and what should be before some of the messages that are owed. Whoever deletes what a lane owes can have the lane say
// that it owed nothing, and can set back its end, so that its numbers are given away once more. Such a lane is parked, with an alarm, once for each message.
// It says how many were found. Without the keys by which the record is believed it finds nothing.
func (o *Outbox) ParkLost(ctx context.Context, db *store.DB) (found int, err error) {
	var lost []Lost
	var away error // a key is not at hand, of an entry or of what says that it was purged: it keeps no other lane from being parked
	err = db.View(ctx, func(tx *store.Tx) error {
		heads, err := o.heldHeads(ctx, tx)
		if err != nil {
			return err
		}
		gaps, err := o.beforeOwed(ctx, tx)
		if err != nil {
			return err
		}
		lost, away, err = o.lost(ctx, tx, append(heads, gaps...))
		return err
	})
	if problem.KindOf(err) == problem.Unavailable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for messages that were taken out of their lanes: %w", err)
	}
	for _, l := range lost {
		is := false
		err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			is, err = o.parkLost(ctx, tx, l)
			return err
		})
		if problem.KindOf(err) == problem.Unavailable {
			away = fmt.Errorf("park lane %s of link %s: %w", l.Lane, l.Link, err)
			continue
		}
		if err != nil {
			return found, fmt.Errorf("park lane %s of link %s: %w", l.Lane, l.Link, err)
		}
		found += times(is)
	}
	return found, away
}

// heldHeads are those of the next new entries, and of the next of those before.
func (o *Outbox) heldHeads(ctx context.Context, tx *store.Tx) (heads []audit.Head, err error) {
	var before []int64
	if later := o.lookout.later.Load(); later != nil {
		before = *later
	}
	late, err := audit.HeldBy(ctx, tx, before)
	if err != nil {
		return nil, err
	}
	fresh, err := o.walk(ctx, tx, &o.lookout.newest, lookBack)
	if err != nil {
		return nil, err
	}
	old, err := o.walk(ctx, tx, &o.lookout.again, o.cfg.Keep)
	if err != nil {
		return nil, err
	}
	if old.N < lookEntries {
		o.lookout.again.Store(0)
	}
	later := append(late.Unjudged, fresh.Unjudged...)
	later = later[max(0, len(later)-mostLater):] // the walk through all comes to the others
	o.lookout.later.Store(&later)
	return slices.Concat(late.Heads, fresh.Heads, old.Heads), nil
}

// walk goes on through the entries that hold heads; it begins so far back.
func (o *Outbox) walk(ctx context.Context, tx *store.Tx, came *atomic.Int64, back time.Duration) (held audit.Held, err error) {
	after := came.Load()
	if after == 0 {
		if after, err = audit.HeldSince(ctx, tx, tx.Now.Add(-back)); err != nil {
			return held, err
		}
	}
	if held, err = audit.HeldAfter(ctx, tx, after, lookEntries); err == nil {
		came.Store(held.Last)
	}
	return held, err
}

// missingBefore are messages, among some that are owed, before which nothing is: neither owed nor delivered.
const missingBefore = `SELECT m.link, m.lane, m.epoch, m.number - 1 AS number, m.prev AS digest
	FROM (SELECT link, lane, epoch, number, prev, redelivery FROM outbox_messages WHERE (link, lane, epoch, number) > (?, ?, ?, ?) ORDER BY link, lane, epoch, number LIMIT ?) AS m
	WHERE m.redelivery = 0 AND m.number > 1
		AND NOT EXISTS (SELECT 1 FROM outbox_messages AS p WHERE p.link = m.link AND p.lane = m.lane AND p.epoch = m.epoch AND p.number = m.number - 1)
		AND NOT EXISTS (SELECT 1 FROM outbox_delivered AS p WHERE p.link = m.link AND p.lane = m.lane AND p.epoch = m.epoch AND p.number = m.number - 1)`

// beforeOwed is what should be before messages that are owed, and is not.
func (o *Outbox) beforeOwed(ctx context.Context, tx *store.Tx) (missing []audit.Head, err error) {
	var from at
	if came := o.lookout.gaps.Load(); came != nil {
		from = *came
	}
	var last []at
	err = tx.Select(ctx, &last, `SELECT link, lane, epoch, number FROM outbox_messages WHERE (link, lane, epoch, number) > (?, ?, ?, ?)
		ORDER BY link, lane, epoch, number LIMIT 1 OFFSET ?`, from.Link, from.Lane, from.Epoch, from.Number, lookAtOnce-1)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		at
		Digest string
	}
	if err := tx.Select(ctx, &rows, missingBefore, from.Link, from.Lane, from.Epoch, from.Number, lookAtOnce); err != nil {
		return nil, err
	}
	if o.lookout.gaps.Store(&at{}); len(last) > 0 {
		o.lookout.gaps.Store(&last[0])
	}
	for _, r := range rows {
		missing = append(missing, audit.Head{Link: r.Link, Lane: r.Lane, Epoch: r.Epoch, Number: r.Number, Digest: r.Digest})
	}
	return missing, nil
}

// parkLost parks a lane that has lost a message, unless that was told before or is not so any more. Of a lane that is gone itself there is the alarm alone.
func (o *Outbox) parkLost(ctx context.Context, tx *store.Tx, l Lost) (bool, error) {
	_, err := lockLane(ctx, tx, l.Link, l.Lane)
	gone := problem.KindOf(err) == problem.NotFound
	if err != nil && !gone {
		return false, err
	}
	still, err := o.Lost(ctx, tx, []audit.Head{l.Head})
	if err != nil || len(still) == 0 {
		return false, err
	}
	object := "lane/" + l.Link + "/" + l.Lane
	entries, err := audit.Genuine(ctx, tx, LanesLost, object)
	if err != nil || slices.ContainsFunc(entries, func(e audit.Entry) bool {
		var h audit.Head
		return json.Unmarshal(e.After, &h) == nil && h == l.Head
	}) {
		return false, err
	}
	text, err := json.Marshal(l.Head)
	if err != nil {
		return false, fmt.Errorf("write what lane %s has lost: %w", l.Lane, err)
	}
	why := &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("message %d of lane %s is not there", l.Number, l.Lane), Why: "it was deleted behind Holdfast",
		Hint: "find out by whom; then restore its row, and that of the lane, from a backup, or resume the lane with the cause: it goes on with what is there",
	}
	if l.Other {
		why.What = fmt.Sprintf("message %d of lane %s is another than the audit record holds", l.Number, l.Lane)
		why.Why = "the database was altered behind Holdfast"
	}
	err = errors.Join(
		audit.Append(ctx, tx, audit.Entry{Actor: "outbox", Action: LanesLost, Object: object, Reason: why.Error(), After: text}),
		o.alert(ctx, tx, l.Link, l.Lane, why),
	)
	if err != nil || gone {
		return err == nil, err
	}
	return true, o.changeLane(ctx, tx, l.Link, l.Lane, `state = 'parked', awaits = '', reason = ?`, told(why))
}
