package body

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Hold has a body stay for as long as owner is not freed, from the commit of tx on. The same again has no effect. Unavailable if the
// body was kept so long ago that it is gone: it must be sent again.
func Hold(ctx context.Context, tx *store.Tx, owner string, l *message.Large) error {
	ref := RefOf(l)
	n, err := tx.Exec(ctx, `UPDATE bodies SET loose_at = 0 WHERE id = ? AND state = 'kept'`, ref.id())
	if err != nil {
		return fmt.Errorf("hold a body: %w", err)
	}
	if n == 0 {
		return &problem.Error{
			Kind: problem.Unavailable, What: "hold a body of " + l.String(), Why: "nothing referred to it for so long that it was given up", Hint: "send it again",
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO body_holds (owner, body) VALUES (?, ?) ON CONFLICT (owner, body) DO NOTHING`, owner, ref.id())
	if err != nil {
		return fmt.Errorf("hold a body for %s: %w", owner, err)
	}
	return nil
}

// freeRows is how many owners are freed with one statement.
const freeRows = 100

// Free says that nothing is left of these owners. Bodies that nobody else holds are left to the sweep.
func Free(ctx context.Context, tx *store.Tx, owners []string) error {
	for part := range slices.Chunk(owners, freeRows) {
		query, args, err := tx.In(`DELETE FROM body_holds WHERE owner IN (?) RETURNING body`, part)
		if err != nil {
			return err
		}
		var ids []string
		if err := tx.Select(ctx, &ids, query, args...); err != nil {
			return fmt.Errorf("free bodies: %w", err)
		}
		if len(ids) == 0 {
			continue
		}
		query, args, err = tx.In(`UPDATE bodies SET loose_at = ? WHERE id IN (?) AND NOT EXISTS (SELECT 1 FROM body_holds AS h WHERE h.body = bodies.id)`,
			store.Micros(tx.Now), ids)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return fmt.Errorf("leave bodies to the sweep: %w", err)
		}
	}
	return nil
}

const (
	// Loose is how long a body stays that nothing refers to: long enough for the transaction for whose sake it was kept.
	Loose = time.Hour

	// Swept is how many bodies one sweep removes at most: after so many there may be more.
	Swept = 20

	sweepChunks = 64 // deleted in one transaction
)

// Sweep removes bodies that nothing has referred to for as long as Loose, a little at a time, and says how many. It costs nothing for
// those that are held.
func Sweep(ctx context.Context, db *store.DB) (int, error) {
	var gone []string
	err := db.InTx(ctx, func(tx *store.Tx) (err error) { gone, err = condemn(ctx, tx); return err })
	if err != nil {
		return 0, fmt.Errorf("look for bodies that nothing refers to: %w", err)
	}
	for n, id := range gone {
		if err := remove(ctx, db, id); err != nil {
			return n, fmt.Errorf("remove a body that nothing refers to: %w", err)
		}
	}
	return len(gone), nil
}

// condemn marks bodies that are to be removed: nobody can hold them any more.
func condemn(ctx context.Context, tx *store.Tx) ([]string, error) {
	var found []string
	err := tx.Select(ctx, &found, `SELECT id FROM bodies WHERE loose_at > 0 AND loose_at <= ? ORDER BY loose_at LIMIT ?`+tx.SkipLocked(),
		store.Micros(tx.Now.Add(-Loose)), Swept)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	// whoever held one before it was locked here is seen now, and not by the statement that found it
	query, args, err := tx.In(`UPDATE bodies SET loose_at = 0 WHERE id IN (?) AND EXISTS (SELECT 1 FROM body_holds AS h WHERE h.body = bodies.id)`, found)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, query, args...); err != nil {
		return nil, err
	}
	query, args, err = tx.In(`UPDATE bodies SET state = 'gone' WHERE id IN (?) AND loose_at > 0 RETURNING id`, found)
	if err != nil {
		return nil, err
	}
	var gone []string
	err = tx.Select(ctx, &gone, query, args...)
	return gone, err
}

// remove deletes a condemned body, the chunks first: after a crash the next sweep goes on.
func remove(ctx context.Context, db *store.DB, id string) error {
	for more := true; more; {
		err := db.InTx(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec(ctx, `DELETE FROM body_chunks WHERE body = ? AND seq IN (SELECT seq FROM body_chunks WHERE body = ? ORDER BY seq LIMIT ?)`,
				id, id, sweepChunks)
			if more = n == sweepChunks; err != nil || more {
				return err
			}
			_, err = tx.Exec(ctx, `DELETE FROM bodies WHERE id = ? AND state = 'gone'`, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
