package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ReceiptsAltered is the action of the entries by which the record has of which deliveries the plant has not written what is kept, so that each is told once.
const ReceiptsAltered = "receipts.altered"

const (
	lookReceipts = 500              // in one look: of what was closed lately, and of all that is kept
	settling     = 30 * time.Second // what a settling may take from its reading of the clock to its commit, and clocks differ
)

// watch is how far TellForged has come.
type watch struct {
	newest atomic.Pointer[delivery] // of what was closed lately; nil: lookBack ago
	again  atomic.Pointer[delivery] // of all that is kept, which is looked at again and again; nil: its beginning
}

// delivery is one of a message.
type delivery struct {
	SettledAt  int64  `db:"settled_at"`
	ID         string `db:"id"`
	Redelivery int    `db:"redelivery"`
}

// TellForged looks whether what is kept of deliveries beside their messages is what the plant has written: of those that were closed since it looked last,
// and of the next of all that are kept, from where it has come to. Whoever can write the database can say that the ERP has booked what it never got. Each
// such delivery raises an alarm, once; prove names it too, whenever it is asked. It says how many were found. Without the keys it finds nothing.
func (o *Outbox) TellForged(ctx context.Context, db *store.DB) (found int, err error) {
	var wrong []delivery
	var unread *Garbled
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		since, is, err := receiptsSince(ctx, tx)
		if err != nil || !is {
			return err
		}
		wrong, err = o.forged(ctx, tx, since, "")
		unread = nil
		if errors.As(garbled(ctx, tx, err, "", "", deliveredTable), &unread) { // it hides none beside it
			var others []string
			if others, _, err = notNumbers(ctx, tx, deliveredTable); err == nil {
				wrong, err = o.forged(ctx, tx, since, " AND NOT ("+strings.Join(others, " OR ")+")")
			}
		}
		return err
	})
	if problem.KindOf(err) == problem.Unavailable {
		return 0, nil
	}
	if err == nil && unread != nil {
		err = db.InTx(ctx, func(tx *store.Tx) error {
			is, err := o.tellAltered(ctx, tx, fmt.Sprintf("delivery/%s/%s/%d", unread.Link, unread.Lane, unread.Number), unread.Link, unread.Lane, unread)
			found = times(is)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("look for receipts that the plant has not written: %w", err)
	}
	for _, d := range wrong {
		is := false
		err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			is, err = o.tellForged(ctx, tx, d)
			return err
		})
		if err != nil && problem.KindOf(err) != problem.Unavailable {
			return found, fmt.Errorf("tell of the receipt of message %s: %w", d.ID, err)
		}
		found += times(is)
	}
	return found, nil
}

// receiptsSince is since when receipts have MACs, by an entry that the plant has written: where the record was altered, so that nothing says so, not every
// delivery from before is to raise an alarm.
func receiptsSince(ctx context.Context, tx *store.Tx) (since time.Time, is bool, err error) {
	if is, err = audit.ReceiptsBegun(ctx, tx); err != nil || !is {
		return since, false, err
	}
	return audit.ReceiptsSince(ctx, tx)
}

// forged are the next deliveries of which the plant has not written what is kept, of messages that were made since receipts have MACs.
// only is a condition more, which leaves out what cannot be read.
func (o *Outbox) forged(ctx context.Context, tx *store.Tx, since time.Time, only string) (wrong []delivery, err error) {
	newest := delivery{SettledAt: store.Micros(tx.Now.Add(-lookBack))}
	if came := o.watch.newest.Load(); came != nil {
		newest = *came
	}
	var again delivery
	if came := o.watch.again.Load(); came != nil {
		again = *came
	}
	var fresh, all []full
	err = tx.Select(ctx, &fresh, `SELECT `+receiptOnly+` WHERE (settled_at, id, redelivery) > (?, ?, ?) AND settled_at <= ?`+only+` ORDER BY settled_at, id, redelivery LIMIT ?`,
		newest.SettledAt, newest.ID, newest.Redelivery, store.Micros(tx.Now.Add(-settling)), lookReceipts)
	if err == nil {
		err = tx.Select(ctx, &all, `SELECT `+receiptOnly+` WHERE (id, redelivery) > (?, ?)`+only+` ORDER BY id, redelivery LIMIT ?`, again.ID, again.Redelivery, lookReceipts)
	}
	for _, f := range append(fresh, all...) {
		if err != nil {
			return nil, err
		}
		var why error
		if why, err = o.forgery(ctx, tx, f, since); why != nil {
			wrong = append(wrong, f.delivery())
		}
	}
	if err != nil {
		return nil, err
	}
	if n := len(fresh); n > 0 {
		last := fresh[n-1].delivery()
		o.watch.newest.Store(&last)
	}
	o.watch.again.Store(nil)
	if n := len(all); n == lookReceipts {
		last := all[n-1].delivery()
		o.watch.again.Store(&last)
	}
	return wrong, nil
}

// deliveredTable keeps what was delivered.
const deliveredTable = "outbox_delivered"

// receiptOnly is onlyReceipt, and what tells when the message was made.
const receiptOnly = `created_at, signature, ` + onlyReceipt

func (f full) delivery() delivery { return delivery{f.SettledAt, f.ID, f.Redelivery} }

// forgery is why the plant has not written what is kept of a delivery, nil if it has, or nobody can tell: the message is from before receipts had MACs, or
// the key is not at hand.
func (o *Outbox) forgery(ctx context.Context, tx *store.Tx, f full, since time.Time) (why, err error) {
	if err := f.openAnswer(ctx, tx); err != nil {
		return nil, err
	}
	d := f.detail(tx)
	made := d.CreatedAt
	if d.Origin != nil {
		made = d.Origin.At
	}
	if made.Before(since) {
		return nil, nil
	}
	has, err := o.CheckReceipt(ctx, tx, d)
	switch k := problem.KindOf(err); {
	case err == nil && has || k == problem.Unavailable:
		return nil, nil
	case err != nil && k != problem.Integrity && k != problem.NotFound:
		return nil, err
	}
	said := "it is not what the plant has written"
	if err == nil {
		said = "it has no MAC, and each since then has one: somebody else has written it, or a node without the plant's keyring"
	}
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("what is kept of the delivery of message %d of lane %s", f.Number, f.Lane), Why: said,
		Hint: "the ERP may not have it: ask there (holdfast reconcile), find out who wrote into the database, and put back a backup, or replay the message", Cause: err,
	}, nil
}

// tellForged raises the alarm for a delivery, unless it was told, or it is not so any more.
func (o *Outbox) tellForged(ctx context.Context, tx *store.Tx, of delivery) (bool, error) {
	var rows []full
	if err := tx.Select(ctx, &rows, `SELECT `+receiptOnly+` WHERE id = ? AND redelivery = ?`, of.ID, of.Redelivery); err != nil || len(rows) == 0 {
		return false, err
	}
	since, is, err := receiptsSince(ctx, tx)
	if err != nil || !is {
		return false, err
	}
	f := rows[0]
	why, err := o.forgery(ctx, tx, f, since)
	if err != nil || why == nil {
		return false, err
	}
	return o.tellAltered(ctx, tx, fmt.Sprintf("delivery/%s/%d", f.ID, f.Redelivery), f.Link, f.Lane, why)
}

// tellAltered raises the alarm for what is kept of a delivery, unless it was told.
func (o *Outbox) tellAltered(ctx context.Context, tx *store.Tx, object, link, lane string, why error) (bool, error) {
	if told, err := audit.Genuine(ctx, tx, ReceiptsAltered, object); err != nil || len(told) > 0 {
		return false, err
	}
	err := errors.Join(
		audit.Append(ctx, tx, audit.Entry{Actor: "outbox", Action: ReceiptsAltered, Object: object, Reason: why.Error()}),
		o.alert(ctx, tx, link, lane, why),
	)
	return err == nil, err
}
