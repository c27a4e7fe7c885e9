package outbox

import (
	"context"
	"fmt"

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

const (
	resealLanes = 50  // in one transaction
	resealRows  = 500 // of a lane in one transaction
)

// SealOwed seals messages that are owed and were written before the plant sealed, some lanes at a time, and says how many: 0 if there is none
// left. It takes them for what the plant wrote, as it was when it began.
func (o *Outbox) SealOwed(ctx context.Context, db *store.DB) (n int, err error) {
	err = db.InTx(ctx, func(tx *store.Tx) error {
		n = 0
		var lanes []struct{ Link, Lane string }
		err := tx.Select(ctx, &lanes, `SELECT DISTINCT link, lane FROM outbox_messages WHERE sealed = 0 ORDER BY link, lane LIMIT ?`, resealLanes)
		if err != nil {
			return fmt.Errorf("look for what is owed and not sealed: %w", err)
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
		if err := tx.Later(ctx, `UPDATE outbox_messages SET body = ?, sealed = ? WHERE id = ?`, stored, w.Sealed, w.ID); err != nil {
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
