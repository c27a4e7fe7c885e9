package inbox

import (
	"context"
	"fmt"
	"strconv"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// cell is a body of r: what came, or what a person has made of it. What the sender said besides is bound to it.
func (r row) cell() store.Cell {
	return store.Cell{Table: "inbox_messages", Row: r.ID, Bound: [][]byte{
		[]byte(r.Source), []byte(r.Kind), []byte(r.Key), []byte(r.Role), []byte(r.Stream), strconv.AppendInt(nil, r.Epoch, 10), strconv.AppendInt(nil, r.Number, 10),
		[]byte(r.ObjectVersion), []byte(r.Digest), []byte(r.Content),
	}}
}

// unseal has the bodies of a row that was read in hand as they were given.
func (r *row) unseal(ctx context.Context, tx *store.Tx) (err error) {
	if r.Body, err = tx.Unseal(ctx, r.cell(), r.Sealed, r.Body); err != nil {
		return err
	}
	if r.Original, err = tx.Unseal(ctx, r.cell(), r.OriginalSealed, r.Original); err != nil {
		return err
	}
	r.Sealed, r.OriginalSealed = 0, 0
	return nil
}

// genuine is unseal of a message that is to have an effect. One that is stored and not sealed, although all that waits is, nobody has sent.
func (r *row) genuine(ctx context.Context, tx *store.Tx) error {
	if r.Seq == 0 || r.Sealed != 0 {
		return r.unseal(ctx, tx)
	}
	whole, err := tx.Whole(ctx)
	if err != nil {
		return err
	}
	if whole {
		return &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("open inbound message %d", r.Seq), Why: "it is not sealed, as all is that waits",
			Hint: "the database was altered behind Holdfast: find out by whom, and discard the message",
		}
	}
	return r.unseal(ctx, tx)
}

// alteredAlert is the alarm of a message that was altered in the database.
const alteredAlert = "message.altered"

// altered raises an alarm for a message that is quarantined since it is not what came.
func (i *Inbox) altered(ctx context.Context, tx *store.Tx, r row, why *problem.Error) error {
	if i.cfg.Alarm == nil || why.Kind != problem.Integrity {
		return nil
	}
	return i.cfg.Alarm.Raise(ctx, tx, alteredAlert, "inbound/"+strconv.FormatInt(r.Seq, 10), why)
}

// sealAll seals bodies that are to be stored, in the order of their rows; in hand they stay as they are.
func sealAll(ctx context.Context, tx *store.Tx, rows []*row) (bodies [][]byte, epochs []int64, err error) {
	bodies, epochs = make([][]byte, len(rows)), make([]int64, len(rows))
	for n, r := range rows {
		if bodies[n], epochs[n], err = tx.Seal(ctx, r.cell(), r.Body); err != nil {
			return nil, nil, fmt.Errorf("seal message %s: %w", r.ID, err)
		}
	}
	return bodies, epochs, nil
}

// cellOfRejected is the beginning of a body that could not be believed.
func cellOfRejected(source, id, kind, link string, at int64) store.Cell {
	return store.Cell{Table: "inbox_rejected", Row: id, Bound: [][]byte{[]byte(source), []byte(kind), []byte(link), strconv.AppendInt(nil, at, 10)}}
}

// lengthOf is how many bytes a stored body has as it was given, in SQL.
var lengthOf = fmt.Sprintf(`(LENGTH(body) - CASE WHEN sealed = 0 THEN 0 ELSE %d END)`, store.SealBytes)

// resealRows is how many messages are sealed in one transaction.
const resealRows = 200

// waiting are the states in which a message may still have an effect.
const waiting = `state IN ('ready', 'quarantined')`

// Fresh tells whether nothing ever came.
func (i *Inbox) Fresh(ctx context.Context, tx *store.Tx) (fresh bool, err error) {
	if err := tx.Get(ctx, &fresh, `SELECT NOT EXISTS (SELECT 1 FROM inbox_streams) AND NOT EXISTS (SELECT 1 FROM inbox_messages)`); err != nil {
		return false, fmt.Errorf("look whether the inbox is new: %w", err)
	}
	return fresh, nil
}

// WaitsPlain tells whether a message waits that is not sealed.
func (i *Inbox) WaitsPlain(ctx context.Context, tx *store.Tx) (plain bool, err error) {
	if err := tx.Get(ctx, &plain, `SELECT EXISTS (SELECT 1 FROM inbox_messages WHERE sealed = 0 AND `+waiting+`)`); err != nil {
		return false, fmt.Errorf("look for what waits and is not sealed: %w", err)
	}
	return plain, nil
}

// Sealed tells whether anything was ever sealed here: then the epochs by which it was must be there.
func (i *Inbox) Sealed(ctx context.Context, tx *store.Tx) (sealed bool, err error) {
	if err := tx.Get(ctx, &sealed, `SELECT EXISTS (SELECT 1 FROM inbox_messages WHERE sealed <> 0)`); err != nil {
		return false, fmt.Errorf("look for what the inbox has sealed: %w", err)
	}
	return sealed, nil
}

// SealWaiting seals messages that wait and were stored before the plant sealed, some at a time, and says how many: 0 if there is none left. Once all
// that waits is sealed, what is not was put there by somebody else, and gets no seal: that is a problem of kind Integrity.
func (i *Inbox) SealWaiting(ctx context.Context) (n int, err error) {
	err = i.db.InTx(ctx, func(tx *store.Tx) (err error) {
		n, _, err = resealAfter(ctx, tx, 0, ` AND `+waiting)
		return err
	})
	return n, err
}

// SealKept seals messages of whatever state that are not sealed, from the one behind after on, some at a time. It says how many it sealed,
// and which it looked at last: 0 at the end.
func (i *Inbox) SealKept(ctx context.Context, after int64) (n int, last int64, err error) {
	err = i.db.InTx(ctx, func(tx *store.Tx) (err error) { n, last, err = resealAfter(ctx, tx, after, ""); return err })
	return n, last, err
}

// noForeign finds a message that waits and is not sealed although all that waits is.
func noForeign(ctx context.Context, tx *store.Tx) error {
	if whole, err := tx.Whole(ctx); err != nil || !whole {
		return err
	}
	var all []int64
	if err := tx.Select(ctx, &all, `SELECT seq FROM inbox_messages WHERE sealed = 0 AND `+waiting+` ORDER BY seq LIMIT 1`); err != nil {
		return fmt.Errorf("look for what waits and is not sealed: %w", err)
	}
	if len(all) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("seal inbound message %d", all[0]), Why: "all that waits is sealed: the plant did not take what is not",
		Hint: "the database was altered behind Holdfast: find out by whom, and discard the message",
	}
}

func resealAfter(ctx context.Context, tx *store.Tx, after int64, and string) (n int, last int64, err error) {
	if err := noForeign(ctx, tx); err != nil {
		return 0, 0, err
	}
	var rows []row
	err = tx.Select(ctx, &rows, `SELECT `+columns+` FROM inbox_messages WHERE seq > ? AND (sealed = 0 OR original IS NOT NULL AND original_sealed = 0)`+and+`
		ORDER BY seq LIMIT ?`+tx.ForUpdate(), after, resealRows)
	if err != nil {
		return 0, 0, fmt.Errorf("look for inbound messages that are not sealed: %w", err)
	}
	for _, r := range rows {
		last = r.Seq
		sealed, err := r.reseal(ctx, tx)
		if err != nil || !sealed {
			return n, 0, err
		}
		n++
	}
	return n, last, nil
}

// reseal seals the bodies of a stored row that are not; false if nothing is sealed now.
func (r *row) reseal(ctx context.Context, tx *store.Tx) (bool, error) {
	if err := r.unseal(ctx, tx); err != nil {
		return false, err
	}
	text, epoch, err := tx.Seal(ctx, r.cell(), r.Body)
	if err != nil || epoch == 0 {
		return false, err
	}
	original, by := r.Original, int64(0)
	if original != nil {
		if original, by, err = tx.Seal(ctx, r.cell(), r.Original); err != nil {
			return false, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE inbox_messages SET body = ?, sealed = ?, original = ?, original_sealed = ? WHERE seq = ?`, text, epoch, original, by, r.Seq)
	if err != nil {
		return false, fmt.Errorf("seal inbound message %d: %w", r.Seq, err)
	}
	return true, nil
}
