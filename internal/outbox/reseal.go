package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Fresh tells whether nothing was ever put into the outbox.
func (o *Outbox) Fresh(ctx context.Context, tx *store.Tx) (fresh bool, err error) {
	if err := tx.Get(ctx, &fresh, `SELECT NOT EXISTS (SELECT 1 FROM outbox_lanes)`); err != nil {
		return false, fmt.Errorf("look whether the outbox is new: %w", err)
	}
	return fresh, nil
}

// OwesPlain tells whether anything that is owed is not sealed.
func (o *Outbox) OwesPlain(ctx context.Context, tx *store.Tx) (plain bool, err error) {
	if err := tx.Get(ctx, &plain, `SELECT EXISTS (SELECT 1 FROM outbox_messages WHERE sealed = 0)`); err != nil {
		return false, fmt.Errorf("look for what is owed and not sealed: %w", err)
	}
	return plain, nil
}

// Sealed tells whether anything was ever sealed here: then the epochs by which it was must be there.
func (o *Outbox) Sealed(ctx context.Context, tx *store.Tx) (sealed bool, err error) {
	err = tx.Get(ctx, &sealed, `SELECT EXISTS (SELECT 1 FROM outbox_lanes WHERE own_sealed <> 0) OR EXISTS (SELECT 1 FROM outbox_messages WHERE sealed <> 0)
		OR EXISTS (SELECT 1 FROM outbox_delivered WHERE sealed <> 0)`)
	if err != nil {
		return false, fmt.Errorf("look for what the outbox has sealed: %w", err)
	}
	return sealed, nil
}

const (
	resealLanes = 50  // in one transaction
	resealRows  = 500 // of a lane in one transaction
)

// SealOwed seals messages that are owed and were written before the plant sealed, some lanes at a time, and says how many: 0 if there is none
// left. It takes them for what the plant wrote, as it was when it began; once all that is owed is sealed, what is not was put there by somebody
// else, and gets no seal: that is a problem of kind Integrity.
func (o *Outbox) SealOwed(ctx context.Context, db *store.DB) (n int, err error) {
	err = db.InTx(ctx, func(tx *store.Tx) error {
		n = 0
		var lanes []struct{ Link, Lane string }
		err := tx.Select(ctx, &lanes, `SELECT DISTINCT link, lane FROM outbox_messages WHERE sealed = 0 ORDER BY link, lane LIMIT ?`, resealLanes)
		if err != nil {
			return fmt.Errorf("look for what is owed and not sealed: %w", err)
		}
		whole, err := tx.Whole(ctx)
		if err != nil {
			return err
		}
		if len(lanes) > 0 && whole {
			return foreign(lanes[0].Link, lanes[0].Lane)
		}
		for _, l := range lanes {
			sealed, err := sealLane(ctx, tx, l.Link, l.Lane)
			if n += sealed; err != nil {
				return fmt.Errorf("seal what lane %s of link %s owes: %w", l.Lane, l.Link, err)
			}
		}
		return nil
	})
	return n, err
}

func foreign(link, lane string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "seal what lane " + lane + " of link " + link + " owes", Why: "all that the plant owes is sealed: it did not write what is not",
		Hint: alteredHint,
	}
}

func sealLane(ctx context.Context, tx *store.Tx, link, name string) (n int, err error) {
	has, err := lockOwn(ctx, tx, link, name)
	if err != nil {
		return 0, err
	}
	var rows []row
	if err := tx.Select(ctx, &rows, `SELECT `+hot+` FROM outbox_messages WHERE link = ? AND lane = ? AND sealed = 0 LIMIT ?`, link, name, resealRows); err != nil {
		return 0, err
	}
	secret := row{Link: link, Lane: name}
	if err := secret.giveOwn(ctx, tx, has); err != nil {
		return 0, err
	}
	for i := range rows {
		w := &rows[i]
		w.own = secret.own
		stored, err := w.stored(ctx, tx)
		if err != nil || w.Sealed == 0 {
			return n, err
		}
		if err := w.setPin(ctx, tx); err != nil {
			return n, err
		}
		if err := tx.Later(ctx, `UPDATE outbox_messages SET body = ?, sealed = ?, pin = ? WHERE id = ?`, stored, w.Sealed, w.Pin, w.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// lockOwn locks a lane, whoever has it in hand, and reads its secret.
func lockOwn(ctx context.Context, tx *store.Tx, link, name string) (has own, err error) {
	err = tx.Get(ctx, &has, `SELECT `+ownColumns+` FROM outbox_lanes WHERE link = ? AND lane = ?`+tx.ForUpdate(), link, name)
	return has, err
}

// Kept is how far SealKept has come; its zero value is the beginning.
type Kept struct {
	created int64
	id      string
	again   int
	events  bool // the deliveries are done
	event   string
	seq     int64
	End     bool // nothing is left
	Unsaid  int  // of the deliveries that were sealed, those that the plant is not known to have said
}

// resealKept is how many rows are sealed in one transaction.
const resealKept = 200

// SealKept seals what is kept of settled messages and was written before the plant sealed, some rows at a time, from where it has come to.
// It says how many it sealed. Once all that is owed is sealed, a delivery that is not may have been put there by somebody else: one that genuine
// does not know for the plant's is sealed so that nobody reads it, and so that it never leaves again.
func (o *Outbox) SealKept(ctx context.Context, db *store.DB, from Kept, genuine func(message.Message) error) (n int, to Kept, err error) {
	err = db.InTx(ctx, func(tx *store.Tx) (err error) {
		owns := lockedOwns{}
		if from.events {
			n, to, err = sealEvents(ctx, tx, from, owns)
		} else {
			n, to, err = sealDelivered(ctx, tx, from, owns, genuine)
		}
		return err
	})
	return n, to, err
}

// lockedOwns are the secrets of lanes that are locked.
type lockedOwns map[[2]string][]byte

// of is the secret of a lane, which is locked and given one if it has none.
func (s lockedOwns) of(ctx context.Context, tx *store.Tx, link, lane string) ([]byte, error) {
	key := [2]string{link, lane}
	if secret, ok := s[key]; ok {
		return secret, nil
	}
	has, err := lockOwn(ctx, tx, link, lane)
	if err != nil {
		return nil, err
	}
	w := row{Link: link, Lane: lane}
	if err := w.giveOwn(ctx, tx, has); err != nil {
		return nil, err
	}
	s[key] = w.own
	return w.own, nil
}

func sealDelivered(ctx context.Context, tx *store.Tx, from Kept, owns lockedOwns, genuine func(message.Message) error) (n int, to Kept, err error) {
	whole, err := tx.Whole(ctx)
	if err != nil {
		return 0, from, err
	}
	var rows []full
	err = tx.Select(ctx, &rows, `SELECT `+fromCold+` WHERE (sealed = 0 AND large NOT LIKE 'shredded %' OR answer IS NOT NULL AND answer_sealed = 0) AND (created_at, id, redelivery) > (?, ?, ?)
		ORDER BY created_at, id, redelivery LIMIT ?`, from.created, from.id, from.again, resealKept)
	if err != nil {
		return 0, from, fmt.Errorf("look for deliveries that are not sealed: %w", err)
	}
	if to = from; len(rows) < resealKept {
		to.events = true
	}
	for i := range rows {
		f := &rows[i]
		if f.own, err = owns.of(ctx, tx, f.Link, f.Lane); err != nil {
			return n, from, err
		}
		said := f.Sealed != 0 || !whole || genuine(f.message(tx)) == nil
		if !said {
			to.Unsaid++
		}
		if err := f.reseal(ctx, tx, said); err != nil {
			return n, from, fmt.Errorf("seal delivered message %s: %w", f.ID, err)
		}
		n, to.created, to.id, to.again = n+1, f.CreatedAt, f.ID, f.Redelivery
	}
	return n, to, nil
}

// reseal seals what is not sealed of a delivery: as what the plant has said, or as what it is not known to have.
func (f *full) reseal(ctx context.Context, tx *store.Tx, said bool) (err error) {
	text := f.Body
	if f.Sealed == 0 {
		c := f.cell()
		if !said {
			c = f.cellOfUnsaid()
		}
		if text, f.Sealed, err = tx.Seal(ctx, c, f.Body); err != nil {
			return err
		}
	}
	answer, by := f.Answer, f.AnswerBy
	if answer != nil && by == 0 {
		if answer, by, err = tx.Seal(ctx, cellOfAnswer(f.ID, f.Redelivery), answer); err != nil {
			return err
		}
	}
	return tx.Later(ctx, `UPDATE outbox_delivered SET body = ?, sealed = ?, answer = ?, answer_sealed = ?
		WHERE link = ? AND lane = ? AND epoch = ? AND number = ? AND redelivery = ?`, text, f.Sealed, answer, by, f.Link, f.Lane, f.Epoch, f.Number, f.Redelivery)
}

func sealEvents(ctx context.Context, tx *store.Tx, from Kept, owns lockedOwns) (n int, to Kept, err error) {
	var rows []struct {
		ID, Digest, Role string
		Seq              int64
		Body, Signature  []byte
		Link, Lane       string
	}
	err = tx.Select(ctx, &rows, `SELECT e.id, e.seq, e.digest, e.role, e.body, e.signature, m.link, m.lane FROM outbox_events AS e
		JOIN (SELECT id, link, lane FROM outbox_messages UNION SELECT id, link, lane FROM outbox_delivered) AS m ON m.id = e.id
		WHERE e.sealed = 0 AND LENGTH(e.body) > 0 AND (e.id, e.seq) > (?, ?) ORDER BY e.id, e.seq LIMIT ?`, from.event, from.seq, resealKept)
	if err != nil {
		return 0, from, fmt.Errorf("look for histories that are not sealed: %w", err)
	}
	if to = from; len(rows) < resealKept {
		to.End = true
	}
	for _, r := range rows {
		w := row{ID: r.ID, Digest: r.Digest, Role: r.Role, Signature: r.Signature}
		if w.own, err = owns.of(ctx, tx, r.Link, r.Lane); err != nil {
			return n, from, err
		}
		text, epoch, err := tx.Seal(ctx, w.cellOfEvent(), r.Body)
		if err == nil {
			err = tx.Later(ctx, `UPDATE outbox_events SET body = ?, sealed = ? WHERE id = ? AND seq = ?`, text, epoch, r.ID, r.Seq)
		}
		if err != nil {
			return n, from, fmt.Errorf("seal the history of message %s: %w", r.ID, err)
		}
		n, to.event, to.seq = n+1, r.ID, r.Seq
	}
	return n, to, nil
}
